#include "chainrule/core/shape.h"

#include <cstdlib>

#include "chainrule/core/error.h"

namespace chainrule {

namespace {
void check_capacity(int64_t size) {
  if (size > max_dims)
    fail(ErrorKind::shape, "shape", std::to_string(size) + " dimensions arrived",
         "a tensor has at most " + std::to_string(max_dims) + " dimensions", "merge some with reshape");
}
}  // namespace

Shape::Shape(std::span<const int64_t> values) {
  check_capacity(static_cast<int64_t>(values.size()));
  size_ = static_cast<int64_t>(values.size());
  std::copy(values.begin(), values.end(), values_);
}
void Shape::push_back(int64_t value) { insert(size(), value); }
void Shape::insert(int position, int64_t value) {
  check_capacity(size_ + 1);
  std::copy_backward(begin() + position, end(), end() + 1);
  values_[position] = value;
  ++size_;
}
void Shape::erase(int position) {
  std::copy(begin() + position + 1, end(), begin() + position);
  --size_;
}
void Shape::resize(int size, int64_t fill) {
  check_capacity(size);
  for (int i = static_cast<int>(size_); i < size; ++i) values_[i] = fill;
  size_ = size;
}

std::string size_text(int64_t size) {
  const SizeInN n = in_terms_of_n(size);
  // Much added to N is no batch but a size beyond all bounds, which an error must show as it came.
  if (n.is_known() || std::abs(n.plus) > 1 << 20) return std::to_string(size);
  std::string text = n.times == 1 ? "N" : std::to_string(n.times) + "*N";
  if (n.plus) text += (n.plus < 0 ? " - " : " + ") + std::to_string(std::abs(n.plus));
  return text;
}

std::string to_string(IntSpan shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + size_text(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

namespace {

// Several sizes in terms of N would multiply to one that is not.
void check_one_open(IntSpan shape, std::string_view op) {
  if (std::ranges::count_if(shape, [](int64_t size) { return !is_known(size); }) > 1)
    fail(ErrorKind::shape, op, "a tensor of shape " + to_string(shape), "one size of a tensor may be left open",
         "give the input its whole shape in place of None");
}

}  // namespace

int64_t checked_numel(IntSpan shape, int64_t element_size, std::string_view op) {
  bool empty = false;
  int64_t bytes = element_size;
  for (int64_t size : shape) {
    if (size < 0) fail(ErrorKind::shape, op, "shape " + to_string(shape), "sizes must not be negative");
    empty |= size == 0;
    // An empty shape must have strides that fit, too.
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) {
      check_one_open(shape, op);
      fail(ErrorKind::memory, op,
           "shape " + to_string(shape) + " with elements of " + std::to_string(element_size) + " bytes",
           "the bytes of a tensor must fit in a signed 64-bit integer");
    }
  }
  return empty ? 0 : bytes / element_size;
}

int64_t numel_of(IntSpan shape) {
  int64_t numel = 1;
  for (int64_t size : shape) numel *= size;
  return numel;
}

Shape contiguous_strides(IntSpan shape) {
  Shape strides(shape);
  int64_t step = 1;
  for (int i = strides.size() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

bool is_contiguous(IntSpan shape, IntSpan strides) {
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != step) return std::ranges::find(shape, 0) != shape.end();
    step *= shape[i];
  }
  return true;
}

int normalize_dim(int64_t dim, int ndim, std::string_view op) {
  const int64_t range = std::max(ndim, 1);
  if (dim < -range || dim >= range)
    fail(ErrorKind::index, op,
         "dim " + std::to_string(dim) + " of a tensor with " + std::to_string(ndim) + " dimensions",
         "dim must be in [" + std::to_string(-range) + ", " + std::to_string(range - 1) + "]");
  return static_cast<int>(dim < 0 ? dim + range : dim);
}

uint32_t dim_mask(IntSpan dims, int ndim, std::string_view op) {
  if (dims.empty()) return (1u << ndim) - 1;
  uint32_t mask = 0;
  for (int64_t dim : dims) {
    const uint32_t bit = 1u << normalize_dim(dim, ndim, op);
    if (mask & bit)
      fail(ErrorKind::value, op, "dim " + std::to_string(dim) + " appears twice in " + to_string(dims),
           "each dim may be named once");
    mask |= bit;
  }
  return ndim == 0 ? 0 : mask;
}

Shape broadcast_shapes(IntSpan a, IntSpan b, std::string_view op) {
  Shape result(a.size() >= b.size() ? a : b);
  const IntSpan shorter = a.size() >= b.size() ? b : a;
  const size_t lead = result.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    int64_t& size = result[static_cast<int>(lead + i)];
    if (size == shorter[i] || shorter[i] == 1) continue;
    if (size != 1)
      fail(ErrorKind::shape, op, "shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast",
           "aligned from the right, sizes must be equal or 1 (" + size_text(size) + " and " + size_text(shorter[i]) +
               " are not)");
    size = shorter[i];
  }
  return result;
}

Shape broadcast_strides(IntSpan shape, IntSpan strides, IntSpan target) {
  Shape result(target);
  const size_t lead = target.size() - shape.size();
  for (size_t i = 0; i < target.size(); ++i) {
    const bool repeats = i < lead || (shape[i - lead] == 1 && target[i] != 1);
    result[static_cast<int>(i)] = repeats ? 0 : strides[i - lead];
  }
  return result;
}

Shape reduced_shape(IntSpan shape, uint32_t mask, bool keepdim) {
  Shape result;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!(mask >> i & 1)) result.push_back(shape[i]);
    else if (keepdim) result.push_back(1);
  }
  return result;
}

}  // namespace chainrule
