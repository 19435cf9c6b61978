// indexing.cpp - the loops of indexing.h. Compiled once. Floor: kernels.
#include "chainrule/kernels/indexing.h"

#include <cstring>

namespace chainrule {
namespace {

/// Calls element(flat position, offset of the position in the strided tensor with index[position] in place of
/// dim).
template <class Element>
void for_each_indexed(IntSpan strides, const int64_t* index, IntSpan shape, int dim, const Element& element) {
  const int dims = static_cast<int>(shape.size());
  if (dims == 0) return element(0, 0);  // of a 0-d tensor the only index is 0
  for (int64_t size : shape)
    if (size == 0) return;
  const int last = dims - 1;
  const int64_t inner_step = last == dim ? 0 : strides[last];
  int64_t counter[max_dims] = {};
  int64_t offset = 0, position = 0;
  while (true) {
    for (int64_t j = 0; j < shape[last]; ++j, ++position)
      element(position, offset + j * inner_step + index[position] * strides[dim]);
    int d = last - 1;
    for (; d >= 0; --d) {
      const int64_t step = d == dim ? 0 : strides[d];
      offset += step;
      if (++counter[d] < shape[d]) break;
      offset -= counter[d] * step;
      counter[d] = 0;
    }
    if (d < 0) return;
  }
}

/// Elements are only moved: their size is all that matters.
template <int size>
inline void move_element(void* y, int64_t y_offset, const void* x, int64_t x_offset) {
  std::memcpy(static_cast<char*>(y) + y_offset * size, static_cast<const char*>(x) + x_offset * size, size);
}
template <class F>
void dispatch_size(int64_t element_size, const F& f) {
  if (element_size == 1) f.template operator()<1>();
  else if (element_size == 4) f.template operator()<4>();
  else f.template operator()<8>();
}

/// Integers wrap around; bools are or-ed.
template <class S>
inline S add(S a, S b) {
  if constexpr (std::is_floating_point_v<S>) return a + b;
  else if constexpr (std::is_same_v<S, uint8_t>) return a | b;
  else return static_cast<S>(static_cast<std::make_unsigned_t<S>>(a) + static_cast<std::make_unsigned_t<S>>(b));
}

}  // namespace

int64_t first_outside(const int64_t* index, int64_t count, int64_t size) {
  for (int64_t i = 0; i < count; ++i)
    if (static_cast<uint64_t>(index[i]) >= static_cast<uint64_t>(size)) return i;
  return -1;
}

int64_t gather(void* y, const void* x, IntSpan x_strides, int64_t x_size, const int64_t* index, IntSpan shape, int dim,
               int64_t element_size) {
  const int64_t outside = first_outside(index, numel_of(shape), x_size);
  if (outside >= 0) return outside;
  dispatch_size(element_size, [&]<int size>() {
    for_each_indexed(x_strides, index, shape, dim,
                     [&](int64_t position, int64_t offset) { move_element<size>(y, position, x, offset); });
  });
  return -1;
}

int64_t scatter_add(void* y, IntSpan y_strides, int64_t y_size, const void* x, const int64_t* index, IntSpan shape,
                    int dim, DType dtype) {
  const int64_t outside = first_outside(index, numel_of(shape), y_size);
  if (outside >= 0) return outside;
  dispatch(dtype, [&]<class S>() {
    for_each_indexed(y_strides, index, shape, dim, [&](int64_t position, int64_t offset) {
      S& at = static_cast<S*>(y)[offset];
      at = add(at, static_cast<const S*>(x)[position]);
    });
  });
  return -1;
}

void take_rows(void* y, const void* x, const int64_t* offsets, int64_t rows, int64_t length, int64_t element_size) {
  if (length == 1) {
    return dispatch_size(element_size, [&]<int size>() {
      for (int64_t r = 0; r < rows; ++r) move_element<size>(y, r, x, offsets[r]);
    });
  }
  const int64_t bytes = length * element_size;
  if (bytes == 0) return;
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(static_cast<char*>(y) + r * bytes, static_cast<const char*>(x) + offsets[r] * element_size,
                static_cast<size_t>(bytes));
}

void add_rows(void* y, const void* x, const int64_t* offsets, int64_t rows, int64_t length, DType dtype) {
  dispatch(dtype, [&]<class S>() {
    for (int64_t r = 0; r < rows; ++r) {
      S* to = static_cast<S*>(y) + offsets[r];
      const S* from = static_cast<const S*>(x) + r * length;
      for (int64_t j = 0; j < length; ++j) to[j] = add(to[j], from[j]);
    }
  });
}

}  // namespace chainrule
