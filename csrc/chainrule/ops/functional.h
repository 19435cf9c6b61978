// functional.h - the public operations that are not one op each: composites, and friendlier spellings. Floor: ops.
// Elementwise functions and operators (a + b, exp(x), maximum(a, b)) come from math/; the structured ops (Sum, Matmul,
// ...) are called as Tensor::call(Sum{...}, x). Dims may be negative throughout. Errors are those of DESIGN: see
// error.h.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "chainrule/autograd/engine.h"
#include "chainrule/ops/convolution.h"
#include "chainrule/ops/op_table.h"
#include "chainrule/ops/pooling.h"

namespace chainrule {

// ---- Shapes (views wherever the strides allow) ----
Tensor reshape(const Tensor& x, IntSpan shape);  ///< one size may be -1
Tensor view(const Tensor& x, IntSpan shape);     ///< like reshape, but fails rather than copy
Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1);
Tensor matrix_transpose(const Tensor& x);        ///< x.mT
Tensor reverse_dims(const Tensor& x);            ///< x.T
Tensor permute(const Tensor& x, IntSpan dims);
Tensor expand(const Tensor& x, IntSpan shape);   ///< -1 keeps a size
Tensor squeeze(const Tensor& x, std::optional<IntSpan> dims = std::nullopt);
Tensor unsqueeze(const Tensor& x, int64_t dim);
Tensor flatten(const Tensor& x, int64_t start_dim = 0, int64_t end_dim = -1);
Tensor contiguous(const Tensor& x);
Tensor cast(const Tensor& x, DType dtype);       ///< x itself when it has that dtype
Tensor detach(const Tensor& x);
Tensor stack(std::span<const Tensor> tensors, int64_t dim = 0);

// ---- Reductions ----
Tensor sum(const Tensor& x, IntSpan dim = {}, bool keepdim = false);
Tensor mean(const Tensor& x, IntSpan dim = {}, bool keepdim = false);
Tensor max(const Tensor& x);  ///< over all elements; ties share the gradient
Tensor min(const Tensor& x);
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim = false);  ///< values, indices
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim = false);
Tensor argmax(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);
Tensor argmin(const Tensor& x, std::optional<int64_t> dim = std::nullopt, bool keepdim = false);

// ---- Linear algebra ----
Tensor matmul(const Tensor& a, const Tensor& b);  ///< 1-d, 2-d, batched; batches broadcast
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});  ///< x @ weight.T + bias

// ---- Images: (n, channels, h, w) or (channels, h, w) ----
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2d& options = {});
std::pair<Tensor, Tensor> max_pool2d(const Tensor& x, const MaxPool2d& options);  ///< values, positions in the plane

// ---- Indexing ----
Tensor select(const Tensor& x, int64_t dim, int64_t index);
Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t stop, int64_t step = 1);
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
/// x[i0, i1, ...] for integer arrays on the dims from `first_dim` on (they broadcast together).
Tensor index(const Tensor& x, std::span<const Tensor> indices, int64_t first_dim = 0);
/// Positions of the true elements, (count, ndim) int64; no gradient.
Tensor nonzero(const Tensor& mask);

// ---- Losses ----
Tensor mse_loss(const Tensor& input, const Tensor& target);             ///< mean over all elements
Tensor cross_entropy(const Tensor& logits, const Tensor& target);       ///< mean over the batch

}  // namespace chainrule
