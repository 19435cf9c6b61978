#include "chainrule/ops/normalization.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/kernels/copy.h"
#include "chainrule/ops/reduce.h"

namespace chainrule {

namespace {

int index_of(DType dtype) { return static_cast<int>(dtype); }

void check(const Meta& x, int64_t dim, std::string_view op) {
  require_floating(x, op);
  normalize_dim(dim, x.shape.size(), op);
}

// x with `dim` last and dense, and y as it looks from there.
Tensor dim_last(const Tensor& x, int dim) { return x.ndim() ? Permute::swap(x.ndim(), dim, x.ndim() - 1).view(x) : x; }
Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

Rows rows_of(const Tensor& x) {
  const int64_t columns = x.ndim() ? x.shape().back() : 1;
  return {x.data(), columns ? x.numel() / columns : 0, columns, columns, 1};
}

void copy_into(const Tensor& y, const Tensor& x) {
  copy_strided(y.data(), y.dtype(), y.strides(), x.data(), x.dtype(), x.strides(), x.shape());
}

void apply_rows(RowKernel kernel, const Tensor& x, int dim, const Tensor& y) {
  const Tensor from = dense(dim_last(x, dim)), to = dim_last(y, dim);
  const Tensor result = to.is_contiguous() ? to : Tensor::empty(to.dtype(), to.shape());
  const int64_t size = size_of(x.dtype());
  const Rows all = rows_of(from);
  for_row_chunks(all, size, [&](const Rows& part, int64_t first) noexcept {
    kernel(static_cast<char*>(result.data()) + first * all.columns * size, part);
  });
  if (!to.is_contiguous()) copy_into(to, result);
}

Tensor apply_rows_backward(RowBackwardKernel kernel, const Tensor& gy, const Tensor& y, int dim) {
  const Tensor g = dense(dim_last(gy, dim)), out = dense(dim_last(y, dim));
  const Tensor gx = Tensor::empty(g.dtype(), g.shape());
  const int64_t size = size_of(g.dtype());
  const Rows all = rows_of(g);
  for_row_chunks(all, size, [&](const Rows& part, int64_t first) noexcept {
    const int64_t at = first * all.columns * size;
    kernel(static_cast<char*>(gx.data()) + at, part.x, static_cast<const char*>(out.data()) + at, part.rows,
           all.columns);
  });
  return dim_last(gx, dim);
}

}  // namespace

Meta Softmax::infer(const Meta& x) const { return check(x, dim, info.name), x; }
void Softmax::forward(const Tensor& x, Tensor& y) const {
  apply_rows(active_kernels().rows.softmax[index_of(x.dtype())], x, normalize_dim(dim, x.ndim(), info.name), y);
}
void Softmax::backward(unsigned, const Tensor& gy, const Tensor&, const Tensor& y, Tensor* gx) const {
  gx[0] = apply_rows_backward(active_kernels().rows.softmax_backward[index_of(y.dtype())], gy, y,
                              normalize_dim(dim, y.ndim(), info.name));
}

Meta LogSoftmax::infer(const Meta& x) const { return check(x, dim, info.name), x; }
void LogSoftmax::forward(const Tensor& x, Tensor& y) const {
  apply_rows(active_kernels().rows.log_softmax[index_of(x.dtype())], x, normalize_dim(dim, x.ndim(), info.name), y);
}
void LogSoftmax::backward(unsigned, const Tensor& gy, const Tensor&, const Tensor& y, Tensor* gx) const {
  gx[0] = apply_rows_backward(active_kernels().rows.log_softmax_backward[index_of(y.dtype())], gy, y,
                              normalize_dim(dim, y.ndim(), info.name));
}

Meta LogSumExp::infer(const Meta& x) const {
  require_floating(x, info.name);
  return {x.dtype, reduced(x.shape, dim, keepdim, info.name)};
}
// The reduced dims go last, so that each result is one row.
void LogSumExp::forward(const Tensor& x, Tensor& y) const {
  const uint32_t mask = dim_mask(dim, x.ndim(), info.name);
  Permute order;
  for (int pass = 0; pass < 2; ++pass)
    for (int d = 0; d < x.ndim(); ++d)
      if (static_cast<int>(mask >> d & 1) == pass) order.dims.push_back(d);
  const Tensor from = dense(order.view(x));
  const int64_t columns = reduced_count(x.shape(), dim, info.name), size = size_of(x.dtype());
  const Rows all{from.data(), y.numel(), columns, columns, 1};
  const ReduceKernel kernel = active_kernels().rows.logsumexp[index_of(x.dtype())];
  for_row_chunks(all, size, [&](const Rows& part, int64_t first) noexcept {
    kernel(static_cast<char*>(y.data()) + first * size, part, false);
  });
}

}  // namespace chainrule
