// convolution_planes.h - copies a band of an image plane into scratch: Note [Planes] in convolution.h. Floor: kernels.
// Included by convolution.cpp, convolution_gradient.cpp and pooling.cpp only; anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/convolution.h"
#include "chainrule/kernels/simd.h"

namespace chainrule {
namespace {

template <class S>
using Wide = Pack<S, lanes<S>>;

/// Hands out parts of a workspace, each aligned to a cache line.
class Parts {
 public:
  explicit Parts(Workspace w) : at_(static_cast<char*>(w.memory)), end_(at_ + w.bytes) {}
  template <class S>
  S* take(int64_t count) {
    S* part = reinterpret_cast<S*>(at_);
    at_ += (count * static_cast<int64_t>(sizeof(S)) + 63) / 64 * 64;
    return part;
  }
  template <class S>
  int64_t left() const {
    return (end_ - at_) / static_cast<int64_t>(sizeof(S));
  }

 private:
  char* at_;
  char* end_;
};

/// f(Pack<S, n>, j) for packs that cover [0, count): as many of the widest as fit, then narrower ones.
template <class S, int n = lanes<S>, class F>
inline void for_each_pack(int64_t count, const F& f, int64_t j = 0) {
  for (; j + n <= count; j += n) f(Pack<S, n>(), j);
  if constexpr (n > 1) for_each_pack<S, n / 2>(count, f, j);
}

template <class S>
inline void fill_row(S* to, int64_t count, S value) {
  for_each_pack<S>(count, [&](auto pack, int64_t j) { decltype(pack)(value).store(to + j); });
}

template <class S, int... L>
inline Vector<S, sizeof...(L)> even_lanes(const S* from, std::integer_sequence<int, L...>) {
  Vector<S, sizeof...(L)> a, b;
  __builtin_memcpy(&a, from, sizeof a);
  __builtin_memcpy(&b, from + sizeof...(L), sizeof b);
  return __builtin_shufflevector(a, b, (2 * L)...);
}

/// to[j] = from[j], j < count, and nothing else is touched.
template <class S>
inline void copy_careful(S* to, const S* from, int64_t count) {
  for_each_pack<S>(count, [&](auto pack, int64_t j) { decltype(pack)::load(from + j).store(to + j); });
}

/// to[j] = from[j * step], j < count. Whole vectors are read and written where no read passes `end`: what lies behind
/// the row in `to` is overwritten, so rows are copied in ascending order.
template <class S>
inline void copy_row(S* to, const S* from, int64_t step, int64_t count, const S* end) {
  constexpr int width = lanes<S>;
  const int64_t whole = (count + width - 1) / width * width;
  if (step == 1 && end - from >= whole) {
    for (int64_t j = 0; j < whole; j += width) Wide<S>::load(from + j).store(to + j);
  } else if (step == 1) {
    copy_careful(to, from, count);
  } else if (step == 2 && end - from >= 2 * whole) {
    for (int64_t j = 0; j < whole; j += width) {
      const auto v = even_lanes<S>(from + 2 * j, std::make_integer_sequence<int, width>{});
      __builtin_memcpy(to + j, &v, sizeof v);
    }
  } else {
    for (int64_t j = 0; j < count; ++j) to[j] = from[j * step];
  }
}

/// Where [0, count) meets { i : 0 <= i * step + start < size }.
struct Inside {
  int64_t begin, end;
};
inline Inside inside(int64_t start, int64_t step, int64_t size, int64_t count) {
  int64_t begin = start >= 0 ? 0 : (-start + step - 1) / step;
  int64_t end = start >= size ? 0 : (size - start + step - 1) / step;
  if (begin > count) begin = count;
  if (end > count) end = count;
  return {begin, end < begin ? begin : end};
}

/// One phase of one plane; `filler` stands outside of the image. Nothing is read from `end` on.
template <class S>
inline void copy_phase(S* to, const S* x, const S* end, const Windows& w, Band band, int64_t a, int64_t b, S filler) {
  const int64_t columns = plane_columns(w), rows = band.rows + w.reach.height;
  const int64_t left = b - w.border.width, top = band.row * w.step.height + a - w.border.height;
  const Inside across = inside(left, w.step.width, w.width, columns), down = inside(top, w.step.height, w.height, rows);
  fill_row(to, down.begin * columns, filler);
  for (int64_t u = down.begin; u < down.end; ++u) {
    S* row = to + u * columns;
    const S* from = x + (top + u * w.step.height) * w.width + left;
    fill_row(row, across.begin, filler);
    copy_row(row + across.begin, from + across.begin * w.step.width, w.step.width, across.end - across.begin, end);
    fill_row(row + across.end, columns - across.end, filler);
  }
  fill_row(to + down.end * columns, (rows - down.end) * columns, filler);
}

/// `count` planes, one after another; vector_padding elements past them are filled, too, for vectors to read.
template <class S>
inline void copy_planes(S* to, const S* x, const Windows& w, Band band, int64_t count, S filler) {
  const int64_t phase = phase_size(w, band.rows), plane = plane_size(w, band.rows);
  for (int64_t c = 0; c < count; ++c)
    for (int64_t a = 0; a < w.phases.height; ++a)
      for (int64_t b = 0; b < w.phases.width; ++b)
        copy_phase(to + c * plane + (a * w.phases.width + b) * phase, x + c * w.height * w.width,
                   x + count * w.height * w.width, w, band, a, b, filler);
  fill_row(to + count * plane, vector_padding, filler);
}

/// Where each tap lies in a plane.
inline void find_offsets(int64_t* offsets, const Windows& w, int64_t band_rows) {
  for (int64_t t = 0; t < w.tap_count; ++t) {
    const Tap& tap = w.taps[t];
    offsets[t] = tap.phase * phase_size(w, band_rows) + tap.row * plane_columns(w) + tap.column;
  }
}

}  // namespace
}  // namespace chainrule
