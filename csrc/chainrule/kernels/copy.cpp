// copy.cpp - the loops of copy.h. Compiled once. Floor: kernels.
// A copy is first brought to its simplest form: dims that lie behind each other become one, and the two
// innermost dims are those in which y and x run densest. Then every copy is a nest of loops around these two.
#include "chainrule/kernels/copy.h"

#include <cstring>
#include <limits>
#include <utility>

namespace chainrule {
namespace {

template <class Y, class X>
inline Y convert(X x) {
  if constexpr (std::is_same_v<Y, uint8_t>) {
    return x != 0;
  } else if constexpr (std::is_integral_v<Y> && std::is_floating_point_v<X>) {
    constexpr X past_max = -static_cast<X>(std::numeric_limits<Y>::min());  // a power of two, hence exact
    if (x != x) return 0;
    if (x >= past_max) return std::numeric_limits<Y>::max();
    if (x < -past_max) return std::numeric_limits<Y>::min();
    return static_cast<Y>(x);
  } else {
    return static_cast<Y>(x);
  }
}

struct Nest {
  int dims = 0;
  int64_t size[max_dims], y_step[max_dims], x_step[max_dims];

  void append(int64_t new_size, int64_t new_y_step, int64_t new_x_step) {
    size[dims] = new_size;
    y_step[dims] = new_y_step;
    x_step[dims] = new_x_step;
    ++dims;
  }
  void move_last(int d) {
    for (; d < dims - 1; ++d) {
      std::swap(size[d], size[d + 1]);
      std::swap(y_step[d], y_step[d + 1]);
      std::swap(x_step[d], x_step[d + 1]);
    }
  }
  /// The dim with the smallest step, the last of equals.
  int densest(const int64_t* step) const {
    int best = dims - 1;
    for (int d = dims - 2; d >= 0; --d)
      if (magnitude(step[d]) < magnitude(step[best])) best = d;
    return best;
  }

 private:
  // A repeated element (step 0) is no better than the worst.
  static uint64_t magnitude(int64_t step) {
    return step == 0 ? ~uint64_t{0} : static_cast<uint64_t>(step < 0 ? -step : step);
  }
};

Nest coalesced(IntSpan shape, IntSpan y_strides, IntSpan x_strides) {
  Nest nest;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    const int last = nest.dims - 1;
    if (last >= 0 && nest.y_step[last] == y_strides[d] * shape[d] && nest.x_step[last] == x_strides[d] * shape[d]) {
      nest.size[last] *= shape[d];
      nest.y_step[last] = y_strides[d];
      nest.x_step[last] = x_strides[d];
      continue;
    }
    nest.append(shape[d], y_strides[d], x_strides[d]);
  }
  while (nest.dims < 2) {  // a dim of one element in front
    nest.append(1, 0, 0);
    nest.move_last(0);
  }
  return nest;
}

// Of a loop of known length and without aliases the compiler makes vectors at -O2, of any other it does not.
constexpr int64_t step_length = 16;

template <class S>
inline void fill_run(S* y, S value, int64_t n) {
  int64_t i = 0;
  for (; i + step_length <= n; i += step_length)
    for (int64_t k = 0; k < step_length; ++k) y[i + k] = value;
  for (; i < n; ++i) y[i] = value;
}

template <class Y, class X>
inline void convert_run(Y* __restrict y, const X* __restrict x, int64_t n) {
  int64_t i = 0;
  for (; i + step_length <= n; i += step_length)
    for (int64_t k = 0; k < step_length; ++k) y[i + k] = convert<Y>(x[i + k]);
  for (; i < n; ++i) y[i] = convert<Y>(x[i]);
}

template <class Y, class X>
inline void copy_run(Y* y, int64_t y_step, const X* x, int64_t x_step, int64_t n) {
  if (y_step == 1 && x_step == 1) {
    if constexpr (std::is_same_v<Y, X>) std::memcpy(y, x, sizeof(Y) * static_cast<size_t>(n));
    else convert_run(y, x, n);
  } else if (y_step == 1 && x_step == 0) {
    fill_run(y, convert<Y>(*x), n);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * y_step] = convert<Y>(x[i * x_step]);
  }
}

/// x runs along dim 0, y along dim 1. Through a small square, so that each cache line of either is touched
/// only once, even where sizes that are powers of two send them all to the same place of the cache.
template <class Y, class X>
void copy_transposed(Y* y, int64_t y0, int64_t y1, const X* x, int64_t x0, int64_t x1, int64_t n0, int64_t n1) {
  constexpr int64_t tile = 16;
  Y square[tile][tile];
  for (int64_t i0 = 0; i0 < n0; i0 += tile)
    for (int64_t j0 = 0; j0 < n1; j0 += tile) {
      const int64_t rows = n0 - i0 < tile ? n0 - i0 : tile, columns = n1 - j0 < tile ? n1 - j0 : tile;
      const X* from = x + i0 * x0 + j0 * x1;
      Y* to = y + i0 * y0 + j0 * y1;
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t i = 0; i < rows; ++i) square[i][j] = convert<Y>(from[i * x0 + j * x1]);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) to[i * y0 + j * y1] = square[i][j];
    }
}

template <class Y, class X>
void copy_plane(Y* y, const X* x, const Nest& nest) {
  const int outer = nest.dims - 2, inner = nest.dims - 1;
  const int64_t n0 = nest.size[outer], n1 = nest.size[inner];
  const int64_t y0 = nest.y_step[outer], y1 = nest.y_step[inner], x0 = nest.x_step[outer], x1 = nest.x_step[inner];
  if (x1 != 0 && nest.densest(nest.x_step) == outer) return copy_transposed(y, y0, y1, x, x0, x1, n0, n1);
  for (int64_t i = 0; i < n0; ++i) copy_run(y + i * y0, y1, x + i * x0, x1, n1);
}

template <class Y, class X>
void copy_nest(Y* y, const X* x, const Nest& nest) {
  int64_t counter[max_dims] = {};
  while (true) {
    copy_plane(y, x, nest);
    int d = nest.dims - 3;
    for (; d >= 0; --d) {
      y += nest.y_step[d];
      x += nest.x_step[d];
      if (++counter[d] < nest.size[d]) break;
      y -= counter[d] * nest.y_step[d];
      x -= counter[d] * nest.x_step[d];
      counter[d] = 0;
    }
    if (d < 0) return;
  }
}

}  // namespace

void copy_strided(void* y, DType y_dtype, IntSpan y_strides, const void* x, DType x_dtype, IntSpan x_strides,
                  IntSpan shape) {
  for (int64_t size : shape)
    if (size == 0) return;
  Nest nest = coalesced(shape, y_strides, x_strides);
  nest.move_last(nest.densest(nest.x_step));  // innermost, or second to the order in which y is written
  nest.move_last(nest.densest(nest.y_step));
  dispatch(y_dtype, [&]<class Y>() {
    dispatch(x_dtype, [&]<class X>() { copy_nest(static_cast<Y*>(y), static_cast<const X*>(x), nest); });
  });
}

void fill(void* y, DType dtype, int64_t n, double real, int64_t integer, bool is_integer) {
  dispatch(dtype, [&]<class S>() {
    const S value = is_integer ? convert<S>(integer) : convert<S>(real);
    fill_run(static_cast<S*>(y), value, n);
  });
}

}  // namespace chainrule
