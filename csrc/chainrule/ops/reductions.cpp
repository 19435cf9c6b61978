#include "chainrule/ops/reductions.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/ops/extrema.h"
#include "chainrule/ops/reduce.h"

namespace chainrule {

namespace {

int index_of(DType dtype) { return static_cast<int>(dtype); }

void require_elements(const Meta& x, IntSpan dim, std::string_view op) {
  if (reduced_count(x.shape, dim, op) == 0)
    fail(ErrorKind::shape, op, "x of shape " + to_string(x.shape) + " over dim " + to_string(dim),
         "there must be at least one element to choose from");
}

// Multiplies in place by a number; y is dense and floating.
void scale(const Tensor& y, double factor) {
  const Tensor constant = Tensor::full(y.dtype(), {}, factor);
  const Tensor* inputs[] = {&y, &constant};
  forward_elementwise(installed().rows[id_of<Mul>], nullptr, inputs, y);
}

}  // namespace

Shape reduced(IntSpan shape, IntSpan dim, bool keepdim, std::string_view op) {
  return reduced_shape(shape, dim_mask(dim, static_cast<int>(shape.size()), op), keepdim);
}

int64_t reduced_count(IntSpan shape, IntSpan dim, std::string_view op) {
  const uint32_t mask = dim_mask(dim, static_cast<int>(shape.size()), op);
  int64_t count = 1;
  for (size_t d = 0; d < shape.size(); ++d)
    if (mask >> d & 1) count *= shape[d];
  return count;
}

// ---- Sum, Mean, Var ----

Meta Sum::infer(const Meta& x) const {
  const DType dtype = is_floating(x.dtype) ? x.dtype : DType::int64;
  return {dtype, reduced(x.shape, dim, keepdim, info.name)};
}
void Sum::forward(const Tensor& x, Tensor& y) const {
  const Tensor values = x.dtype() == y.dtype() ? x : installed().cast(x, y.dtype());
  reduce_with(active_kernels().reductions.sum[index_of(y.dtype())], values, dim_mask(dim, x.ndim(), info.name), y);
}

Meta Mean::infer(const Meta& x) const {
  require_floating(x, info.name);
  return {x.dtype, reduced(x.shape, dim, keepdim, info.name)};
}
void Mean::forward(const Tensor& x, Tensor& y) const {
  Sum{dim, keepdim}.forward(x, y);
  const double count = static_cast<double>(reduced_count(x.shape(), dim, info.name));
  const Tensor divisor = Tensor::full(y.dtype(), {}, count);
  const Tensor* inputs[] = {&y, &divisor};
  forward_elementwise(installed().rows[id_of<Div>], nullptr, inputs, y);
}

Meta Var::infer(const Meta& x) const {
  require_floating(x, info.name);
  return {x.dtype, reduced(x.shape, dim, keepdim, info.name)};
}
double Var::degrees_of_freedom(IntSpan shape) const {
  return std::max(0.0, static_cast<double>(reduced_count(shape, dim, info.name)) - static_cast<double>(correction));
}
// Two passes: the mean first, then the squares of what is left, which keeps small variances of large values exact.
void Var::forward(const Tensor& x, Tensor& y) const {
  const GradMode unrecorded(false);
  const Tensor squares = square(x - Tensor::call(Mean{dim, true}, x));
  Sum{dim, keepdim}.forward(squares, y);
  scale(y, 1 / degrees_of_freedom(x.shape()));
}

// ---- Extrema over any dims ----

Meta Amax::infer(const Meta& x) const {
  require_elements(x, dim, info.name);
  return {x.dtype, reduced(x.shape, dim, keepdim, info.name)};
}
void Amax::forward(const Tensor& x, Tensor& y) const {
  reduce_with(active_kernels().reductions.maximum[index_of(x.dtype())], x, dim_mask(dim, x.ndim(), info.name), y);
}
Meta Amin::infer(const Meta& x) const {
  require_elements(x, dim, info.name);
  return {x.dtype, reduced(x.shape, dim, keepdim, info.name)};
}
void Amin::forward(const Tensor& x, Tensor& y) const {
  reduce_with(active_kernels().reductions.minimum[index_of(x.dtype())], x, dim_mask(dim, x.ndim(), info.name), y);
}

// ---- Positions ----

Meta Argmax::infer(const Meta& x) const {
  require_elements(x, Shape{dim}, info.name);
  return {DType::int64, reduced(x.shape, Shape{dim}, keepdim, info.name)};
}
void Argmax::forward(const Tensor& x, Tensor& y) const {
  arg_reduce_with(active_kernels().reductions.argmax[index_of(x.dtype())], x, normalize_dim(dim, x.ndim(), info.name),
                  y);
}
Meta Argmin::infer(const Meta& x) const {
  require_elements(x, Shape{dim}, info.name);
  return {DType::int64, reduced(x.shape, Shape{dim}, keepdim, info.name)};
}
void Argmin::forward(const Tensor& x, Tensor& y) const {
  arg_reduce_with(active_kernels().reductions.argmin[index_of(x.dtype())], x, normalize_dim(dim, x.ndim(), info.name),
                  y);
}

std::array<Meta, 2> Max::infer(const Meta& x) const {
  require_elements(x, Shape{dim}, info.name);
  const Shape shape = reduced(x.shape, Shape{dim}, keepdim, info.name);
  return {Meta{x.dtype, shape}, Meta{DType::int64, shape}};
}
void Max::forward(const Tensor& x, std::array<Tensor, 2>& y) const {
  Amax{Shape{dim}, keepdim}.forward(x, y[0]);
  Argmax{dim, keepdim}.forward(x, y[1]);
}
std::array<Meta, 2> Min::infer(const Meta& x) const {
  require_elements(x, Shape{dim}, info.name);
  const Shape shape = reduced(x.shape, Shape{dim}, keepdim, info.name);
  return {Meta{x.dtype, shape}, Meta{DType::int64, shape}};
}
void Min::forward(const Tensor& x, std::array<Tensor, 2>& y) const {
  Amin{Shape{dim}, keepdim}.forward(x, y[0]);
  Argmin{dim, keepdim}.forward(x, y[1]);
}

}  // namespace chainrule
