#include "chainrule/ops/views.h"

#include <algorithm>

#include "chainrule/kernels/copy.h"

namespace chainrule {

void require_floating(const Meta& x, std::string_view op) {
  if (!is_floating(x.dtype))
    fail(ErrorKind::dtype, op, std::string("dtype ") + name_of(x.dtype), "it works on float32 and float64",
         "convert with .float()");
}
void require_same_dtype(const Meta& a, const Meta& b, std::string_view op) {
  if (a.dtype != b.dtype)
    fail(ErrorKind::dtype, op, std::string("dtypes ") + name_of(a.dtype) + " and " + name_of(b.dtype),
         "both must be the same", "convert one with .to(dtype)");
}

// ---- Reshape ----

Meta Reshape::infer(const Meta& x) const {
  const int64_t numel = checked_numel(shape, size_of(x.dtype), info.name);
  if (numel != numel_of(x.shape))
    fail(ErrorKind::shape, info.name,
         "x has shape " + to_string(x.shape) + " (" + std::to_string(numel_of(x.shape)) +
             " elements), the new shape is " + to_string(shape) + " (" + std::to_string(numel) + ")",
         "the number of elements must stay the same");
  return {x.dtype, shape};
}

// Walks both shapes from the right: each run of old dims that lie densely in one another may be cut anew.
Tensor Reshape::view(const Tensor& x) const {
  if (x.is_contiguous()) return x.view(shape, contiguous_strides(shape), 0);
  Shape strides(shape);
  int at = shape.size() - 1;
  int64_t run = 1;
  int64_t run_stride = x.ndim() ? x.strides().back() : 1;
  for (int d = x.ndim() - 1; d >= 0; --d) {
    run *= x.size(d);
    const bool run_ends = d == 0 || (x.size(d - 1) != 1 && x.strides()[d - 1] != run * run_stride);
    if (!run_ends) continue;
    int64_t covered = 1;
    while (at >= 0 && (covered < run || shape[at] == 1)) {
      strides[at] = covered * run_stride;
      covered *= shape[at--];
    }
    if (covered != run) return {};
    run = 1;
    if (d > 0) run_stride = x.strides()[d - 1];
  }
  return at < 0 ? x.view(shape, strides, 0) : Tensor();
}

void Reshape::forward(const Tensor& x, Tensor& y) const {
  copy_strided(y.data(), y.dtype(), contiguous_strides(x.shape()), x.data(), x.dtype(), x.strides(), x.shape());
}

// ---- Permute ----

Meta Permute::infer(const Meta& x) const {
  if (dims.size() != x.shape.size())
    fail(ErrorKind::shape, info.name, "dims " + to_string(dims) + " for a tensor of shape " + to_string(x.shape),
         "every dimension must be named once");
  if (!dims.empty()) dim_mask(dims, x.shape.size(), info.name);
  Meta y{x.dtype, x.shape};
  for (int i = 0; i < dims.size(); ++i) y.shape[i] = x.shape[normalize_dim(dims[i], x.shape.size(), info.name)];
  return y;
}
Tensor Permute::view(const Tensor& x) const {
  Shape shape(x.shape()), strides(x.strides());
  for (int i = 0; i < dims.size(); ++i) {
    const int from = normalize_dim(dims[i], x.ndim(), info.name);
    shape[i] = x.size(from);
    strides[i] = x.strides()[from];
  }
  return x.view(shape, strides, 0);
}
Permute Permute::inverse() const {
  Permute result{dims};
  for (int i = 0; i < dims.size(); ++i) result.dims[normalize_dim(dims[i], dims.size(), info.name)] = i;
  return result;
}
Permute Permute::swap(int ndim, int dim0, int dim1) {
  Permute result;
  for (int i = 0; i < ndim; ++i) result.dims.push_back(i);
  if (ndim) std::swap(result.dims[dim0], result.dims[dim1]);
  return result;
}

// ---- Expand ----

Meta Expand::infer(const Meta& x) const {
  checked_numel(shape, size_of(x.dtype), info.name);
  const int lead = shape.size() - x.shape.size();
  bool fits = lead >= 0;
  for (int i = 0; fits && i < x.shape.size(); ++i) fits = x.shape[i] == shape[lead + i] || x.shape[i] == 1;
  if (!fits)
    fail(ErrorKind::shape, info.name, "x has shape " + to_string(x.shape) + ", the new shape is " + to_string(shape),
         "aligned from the right, sizes must be equal, or 1 in x");
  return {x.dtype, shape};
}
Tensor Expand::view(const Tensor& x) const {
  return x.view(shape, broadcast_strides(x.shape(), x.strides(), shape), 0);
}

// ---- Slice, Select, EmbedSlice ----

Slice::Range Slice::range(IntSpan shape) const {
  const int at = normalize_dim(dim, static_cast<int>(shape.size()), info.name);
  if (shape.empty()) fail(ErrorKind::index, info.name, "a 0-d tensor", "it has no dimension to slice", "use item()");
  if (step < 1) fail(ErrorKind::value, info.name, "step " + std::to_string(step), "the step must be positive");
  const int64_t size = shape[at];
  auto bound = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size); };
  const int64_t begin = bound(start), end = std::max(begin, bound(stop));
  return {at, begin, end == begin ? 0 : (end - begin - 1) / step + 1};
}
Meta Slice::infer(const Meta& x) const {
  const Range r = range(x.shape);
  Meta y = x;
  y.shape[r.dim] = r.length;
  return y;
}
Tensor Slice::view(const Tensor& x) const {
  const Range r = range(x.shape());
  Shape shape(x.shape()), strides(x.strides());
  shape[r.dim] = r.length;
  if (r.length > 1) strides[r.dim] *= step;
  return x.view(shape, strides, r.length ? r.start * x.strides()[r.dim] : 0);
}

Meta Select::infer(const Meta& x) const {
  if (x.shape.empty()) fail(ErrorKind::index, info.name, "a 0-d tensor", "it cannot be indexed", "use item()");
  Meta y = x;
  const int at = normalize_dim(dim, x.shape.size(), info.name);
  const int64_t size = x.shape[at];
  if (index < -size || index >= size)
    fail(ErrorKind::index, info.name,
         "index " + std::to_string(index) + " on dim " + std::to_string(at) + " of a tensor of shape " +
             to_string(x.shape),
         "it must be in [" + std::to_string(-size) + ", " + std::to_string(size - 1) + "]");
  y.shape.erase(at);
  return y;
}
Tensor Select::view(const Tensor& x) const {
  const int at = normalize_dim(dim, x.ndim(), info.name);
  Shape shape(x.shape()), strides(x.strides());
  shape.erase(at);
  strides.erase(at);
  return x.view(shape, strides, (index < 0 ? index + x.size(at) : index) * x.strides()[at]);
}

Meta EmbedSlice::infer(const Meta& x) const {
  Meta y = x;
  const int at = normalize_dim(dim, x.shape.size(), info.name);
  const int64_t length = x.shape.empty() ? 0 : x.shape[at];
  int64_t last = 0;  // a step from a file may be any number
  const bool overflows =
      length && (__builtin_mul_overflow(length - 1, step, &last) || __builtin_add_overflow(last, start, &last));
  if (x.shape.empty() || start < 0 || start > size || step < 1 || overflows || (length && last >= size))
    fail(ErrorKind::shape, info.name,
         "x of shape " + to_string(x.shape) + " from " + std::to_string(start) + " in steps of " +
             std::to_string(step) + " along dim " + std::to_string(at) + " of size " + std::to_string(size),
         "x must fit");
  y.shape[at] = size;
  return y;
}
void EmbedSlice::forward(const Tensor& x, Tensor& y) const {
  std::fill_n(static_cast<char*>(y.data()), y.numel() * size_of(y.dtype()), char{0});
  const int at = normalize_dim(dim, x.ndim(), info.name);
  Shape strides(y.strides());
  char* first = static_cast<char*>(y.data()) + start * strides[at] * size_of(y.dtype());
  if (x.size(at) > 1) strides[at] *= step;
  copy_strided(first, y.dtype(), strides, x.data(), x.dtype(), x.strides(), x.shape());
}

}  // namespace chainrule
