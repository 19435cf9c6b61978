#include "chainrule/ops/normalization.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/ops/reduce.h"

namespace chainrule {

namespace {

int index_of(DType dtype) { return static_cast<int>(dtype); }

void check(const Meta& x, int64_t dim, std::string_view op) {
  require_floating(x, op);
  normalize_dim(dim, x.shape.size(), op);
}

Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

// A dense tensor as matrices one after the other, whose rows run along dims [first, last]: `count` matrices.
struct Matrices {
  Rows rows;
  int64_t count;

  Matrices(const Tensor& x, int first, int last) {
    int64_t inner = 1, columns = 1;
    count = 1;
    for (int d = 0; d < x.ndim(); ++d) (d < first ? count : d <= last ? columns : inner) *= x.size(d);
    rows = {x.data(), inner, 1, columns, inner};
    if (inner != 1) return;
    rows = {x.data(), count, columns, columns, 1};
    count = 1;
  }

  /// body(rows, offset of their first element, index of the first row) for chunks that together are all rows.
  template <class Body>
  void each_chunk(int64_t element_size, const Body& body) const {
    const RowChunks chunks(rows.rows, rows.columns, rows.column_step != 1);
    const int64_t size = rows.rows * rows.columns;
    for_blocks(count * chunks.count, 4 * count * size, [&](int64_t block) noexcept {  // exp costs more than a sum
      const int64_t matrix = block / chunks.count, first = block % chunks.count * chunks.rows;
      Rows part = rows;
      part.rows = std::min(chunks.rows, rows.rows - first);
      const int64_t offset = (matrix * size + first * rows.row_step) * element_size;
      part.x = static_cast<const char*>(rows.x) + offset;
      body(part, offset, matrix * rows.rows + first);
    });
  }
};

void apply_rows(RowKernel kernel, const Tensor& x, int dim, const Tensor& y) {
  if (y.numel() == 0) return;
  const Tensor from = dense(x);
  Matrices(from, dim, dim).each_chunk(size_of(x.dtype()), [&](const Rows& part, int64_t offset, int64_t) noexcept {
    kernel(static_cast<char*>(y.data()) + offset, part);
  });
}

Tensor apply_rows_backward(RowBackwardKernel kernel, const Tensor& gy, const Tensor& y, int dim) {
  const Tensor g = dense(gy), out = dense(y), gx = Tensor::empty(g.dtype(), g.shape());
  if (gx.numel() == 0) return gx;
  Matrices(g, dim, dim).each_chunk(size_of(g.dtype()), [&](const Rows& part, int64_t offset, int64_t) noexcept {
    kernel(static_cast<char*>(gx.data()) + offset, part, static_cast<const char*>(out.data()) + offset);
  });
  return gx;
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
// Dims that are not side by side are first brought to the end.
void LogSumExp::forward(const Tensor& x, Tensor& y) const {
  const uint32_t mask = dim_mask(dim, x.ndim(), info.name);
  if (y.numel() == 0) return;
  int first = x.ndim(), last = -1, reduced_dims = 0;
  Permute order;
  for (int pass = 0; pass < 2; ++pass)
    for (int d = 0; d < x.ndim(); ++d) {
      if (static_cast<int>(mask >> d & 1) != pass) continue;
      order.dims.push_back(d);
      if (pass == 0) continue;
      first = std::min(first, d), last = d, ++reduced_dims;
    }
  const bool side_by_side = last - first + 1 == reduced_dims;
  const Tensor from = dense(side_by_side ? x : order.view(x));
  const Matrices all(from, side_by_side ? first : x.ndim() - reduced_dims, side_by_side ? last : x.ndim() - 1);
  const int64_t size = size_of(x.dtype());
  const ReduceKernel kernel = active_kernels().rows.logsumexp[index_of(x.dtype())];
  all.each_chunk(size, [&](const Rows& part, int64_t, int64_t row) noexcept {
    kernel(static_cast<char*>(y.data()) + row * size, part, false);
  });
}

}  // namespace chainrule
