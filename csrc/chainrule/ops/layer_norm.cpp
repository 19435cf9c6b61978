#include "chainrule/ops/layer_norm.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/ops/reduce.h"

namespace chainrule {

namespace {

int index_of(DType dtype) { return static_cast<int>(dtype); }
Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

char* at(void* data, int64_t elements, int64_t size) {
  return data ? static_cast<char*>(data) + elements * size : nullptr;
}

// Rows that one thread works on at a turn. Each such block gives one partial sum of the gradients of weight and bias,
// so that their bits do not depend on the threads.
int64_t rows_per_block(int64_t columns) { return std::max<int64_t>(16, chunk_elements / columns); }

}  // namespace

Meta LayerNorm::infer(const Meta& x, const Meta& weight, const Meta& bias) const {
  require_floating(x, info.name);
  require_same_dtype(x, weight, info.name);
  require_same_dtype(x, bias, info.name);
  const int count = weight.shape.size(), lead = x.shape.size() - count;
  bool fits = count > 0 && lead >= 0;
  for (int d = 0; fits && d < count; ++d) fits = x.shape[lead + d] == weight.shape[d];
  if (!fits)
    fail(ErrorKind::shape, info.name,
         "x has shape " + to_string(x.shape) + ", weight has shape " + to_string(weight.shape),
         "the shape of weight, which is normalized_shape, must be that of the last dimensions of x, at least one");
  if (!same(bias.shape, weight.shape))
    fail(ErrorKind::shape, info.name,
         "weight has shape " + to_string(weight.shape) + ", bias has shape " + to_string(bias.shape),
         "they must be equal");
  return x;
}

void LayerNorm::forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) const {
  if (y.numel() == 0) return;
  const Tensor in = dense(x), w = dense(weight), b = dense(bias);
  const int64_t columns = w.numel(), rows = y.numel() / columns, size = size_of(y.dtype());
  const int64_t block_rows = rows_per_block(columns);
  const LayerNormKernel kernel = active_kernels().layer_norm.forward[index_of(y.dtype())];
  parallel_for((rows + block_rows - 1) / block_rows, [&](int64_t block) noexcept {
    const int64_t first = block * block_rows, offset = first * columns;
    kernel(at(y.data(), offset, size), at(in.data(), offset, size), w.data(), b.data(), eps,
           std::min(block_rows, rows - first), columns);
  });
}

void LayerNorm::backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor&,
                         const Tensor&, Tensor* gx) const {
  if (gy.numel() == 0) return;  // vjp gives the zeros
  const Tensor g = dense(gy), in = dense(x), w = dense(weight);
  const DType dtype = g.dtype();
  const int64_t columns = w.numel(), rows = g.numel() / columns, size = size_of(dtype);
  const int64_t block_rows = rows_per_block(columns), blocks = (rows + block_rows - 1) / block_rows;
  Shape partial_shape(w.shape());
  partial_shape.insert(0, blocks);
  Tensor partial[3];
  if (owed & 1) gx[0] = Tensor::empty(dtype, g.shape());
  for (int k : {1, 2})
    if (owed >> k & 1) partial[k] = Tensor::empty(dtype, partial_shape);
  const LayerNormGradients all{gx[0] ? gx[0].data() : nullptr,
                               partial[1] ? partial[1].data() : nullptr,
                               partial[2] ? partial[2].data() : nullptr,
                               g.data(),
                               in.data(),
                               w.data()};
  const LayerNormBackwardKernel kernel = active_kernels().layer_norm.backward[index_of(dtype)];
  parallel_for(blocks, [&](int64_t block) noexcept {
    const int64_t first = block * block_rows, offset = first * columns;
    const LayerNormGradients part{at(all.gx, offset, size),
                                  at(all.gweight, block * columns, size),
                                  at(all.gbias, block * columns, size),
                                  static_cast<const char*>(all.gy) + offset * size,
                                  static_cast<const char*>(all.x) + offset * size,
                                  all.weight};
    kernel(part, eps, std::min(block_rows, rows - first), columns);
  });
  for (int k : {1, 2}) {
    if (!partial[k]) continue;
    gx[k] = Tensor::empty(dtype, w.shape());
    reduce_with(active_kernels().reductions.sum[index_of(dtype)], partial[k], 1, gx[k]);
  }
}

}  // namespace chainrule
