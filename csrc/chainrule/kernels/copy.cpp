// copy.cpp - the loops of copy.h. Compiled once. Floor: kernels.
// A copy is first brought to its simplest form: dims that lie behind each other become one, and the two innermost
// dims are those in which y and x run densest. Then every copy is a nest of tiles over these two.
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

template <class Y, class X>
inline void copy_run(Y* y, int64_t y_step, const X* x, int64_t x_step, int64_t n) {
  if (y_step == 1 && x_step == 1) {
    if constexpr (std::is_same_v<Y, X>) std::memcpy(y, x, sizeof(Y) * static_cast<size_t>(n));
    else
      for (int64_t i = 0; i < n; ++i) y[i] = convert<Y>(x[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * y_step] = convert<Y>(x[i * x_step]);
  }
}

/// The two innermost dims. Where y and x run densest in different dims, square tiles keep the cache lines of both.
template <class Y, class X>
void copy_plane(Y* y, const X* x, const Nest& nest) {
  const int outer = nest.dims - 2, inner = nest.dims - 1;
  const int64_t n0 = nest.size[outer], n1 = nest.size[inner];
  const int64_t y0 = nest.y_step[outer], y1 = nest.y_step[inner], x0 = nest.x_step[outer], x1 = nest.x_step[inner];
  constexpr int64_t tile = 32;
  const bool transposed = x1 != 0 && nest.densest(nest.x_step) == outer;
  const int64_t tile0 = transposed ? tile : n0, tile1 = transposed ? tile : n1;
  for (int64_t i0 = 0; i0 < n0; i0 += tile0)
    for (int64_t j0 = 0; j0 < n1; j0 += tile1) {
      const int64_t i_end = n0 - i0 < tile0 ? n0 : i0 + tile0;
      const int64_t columns = n1 - j0 < tile1 ? n1 - j0 : tile1;
      for (int64_t i = i0; i < i_end; ++i)
        copy_run(y + i * y0 + j0 * y1, y1, x + i * x0 + j0 * x1, x1, columns);
    }
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
    S* out = static_cast<S*>(y);
    for (int64_t i = 0; i < n; ++i) out[i] = value;
  });
}

}  // namespace chainrule
