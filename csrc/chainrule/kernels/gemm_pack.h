// gemm_pack.h - copies parts of a matrix into the order in which the GEMM's inner loop reads them. Floor:
// kernels. Included by gemm.cpp only; anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/gemm_problem.h"

namespace chainrule {
namespace {

// What a transpose is made of. Each vector is cut into spans and these into blocks: gives the even blocks (or the odd
// ones) of a, then those of b, span by span. One instruction where a span is 16 bytes, or its blocks are.
template <int block, int span, bool odd, class V, int... L>
CR_INLINE V unzip(const V& a, const V& b, std::integer_sequence<int, L...>) {
  constexpr int width = sizeof...(L), half = span / 2;
  return __builtin_shufflevector(
      a, b,
      ((L % span < half ? 0 : width) + L / span * span + L % half / block * 2 * block + L % block + odd * block)...);
}

/// Unzips `count` vectors, v[0], v[step], ..., by blocks of span / 2 elements, then by half of that, and so on.
template <int block, int span, int count, int step, class V, int width>
CR_INLINE void unzip_all(V (&v)[width], int first) {
  if constexpr (count > 1) {
    constexpr auto all = std::make_integer_sequence<int, width>{};
    V unzipped[count];
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; ++i) {
      const V &a = v[first + 2 * i * step], &b = v[first + (2 * i + 1) * step];
      unzipped[i] = unzip<block, span, false>(a, b, all);
      unzipped[i + count / 2] = unzip<block, span, true>(a, b, all);
    }
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) v[first + i * step] = unzipped[i];
    unzip_all<block / 2, span, count / 2, step>(v, first);
    unzip_all<block / 2, span, count / 2, step>(v, first + count / 2 * step);
  }
}

// The compiler must not see that two values are related, or it derives one from the other anew.
template <class T>
CR_INLINE T hidden(T value) {
  asm("" : "+r"(value));
  return value;
}

/// One element of each of `count` rows, and a step to other columns. Four rows share a pointer: with one for each, or a
/// multiplication, there are more addresses than registers.
template <class S, int count = lanes<S>>
class RowWalk {
 public:
  RowWalk() = default;
  RowWalk(const S* first, int64_t step) : step_(hidden(step)), three_steps_(hidden(3 * step)) {
#pragma GCC unroll 8
    for (int i = 0; i < quads; ++i) quad_[i] = hidden(first + 4 * i * step);
  }
  CR_INLINE const S* row(int i) const { return quad_[i / 4] + (i % 4 == 3 ? three_steps_ : i % 4 * step_); }
  CR_INLINE void advance(int64_t elements) {
#pragma GCC unroll 8
    for (int i = 0; i < quads; ++i) quad_[i] = hidden(quad_[i] + elements);
  }

 private:
  static constexpr int quads = (count + 3) / 4;
  const S* quad_[quads];
  int64_t step_, three_steps_;
};

// The builtins take the upper half from memory; of a shuffle GCC makes two loads and an instruction of that one port.
template <class S>
CR_INLINE Vector<S, lanes<S>> load_halves(const S* lower, const S* upper) {
  constexpr int width = lanes<S>;
  Vector<S, width / 2> low, high;
  __builtin_memcpy(&low, lower, sizeof low);
  __builtin_memcpy(&high, upper, sizeof high);
#if defined(__AVX512F__) && !defined(__clang__)
  if constexpr (sizeof low == 32) {
    const auto whole = __builtin_ia32_pd512_256pd((Vector<double, 4>)low);
    return (Vector<S, width>)__builtin_ia32_insertf64x4_mask(whole, (Vector<double, 4>)high, 1, whole, 0xFF);
  }
#elif defined(__AVX__) && !defined(__clang__)
  if constexpr (sizeof low == 16) {
    const auto whole = __builtin_ia32_ps256_ps((Vector<float, 4>)low);
    return (Vector<S, width>)__builtin_ia32_vinsertf128_ps256(whole, (Vector<float, 4>)high, 1);
  }
#endif
  return [&]<int... L>(std::integer_sequence<int, L...>) CR_INLINE_BODY {
    return __builtin_shufflevector(low, high, L...);
  }(std::make_integer_sequence<int, width>{});
}

/// square[p][j] = row j at p, for p, j < lanes<S>. The first step is made by loading halves of rows, which takes the
/// load off the one port that shuffles.
template <class S>
CR_INLINE void load_transposed(Vector<S, lanes<S>> (&square)[lanes<S>], const RowWalk<S>& walk) {
  constexpr int width = lanes<S>;
  constexpr int inner = 16 / static_cast<int>(sizeof(S));  // rows that end up in the same 16 bytes
  constexpr int outer = width / inner;
  if constexpr (outer == 1) {
#pragma GCC unroll 4
    for (int j = 0; j < width; ++j) __builtin_memcpy(&square[j], walk.row(j), sizeof square[j]);
  } else {
#pragma GCC unroll 4
    for (int j = 0; j < inner; ++j) {
#pragma GCC unroll 2
      for (int i = 0; i < outer / 2; ++i)
#pragma GCC unroll 2
        for (int odd = 0; odd < 2; ++odd)
          square[j + (i + odd * outer / 2) * inner] = load_halves(walk.row(j + 2 * i * inner) + odd * width / 2,
                                                                  walk.row(j + (2 * i + 1) * inner) + odd * width / 2);
      unzip_all<width / 4, width, outer / 2, inner>(square, j);
      unzip_all<width / 4, width, outer / 2, inner>(square, j + outer / 2 * inner);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < outer; ++i) unzip_all<inner / 2, inner, inner, 1>(square, i * inner);
}

/// Whether load_first and store_first cost what whole vectors do.
#if defined(__AVX512F__) && !defined(__clang__)
constexpr bool stores_parts = true;
#else
constexpr bool stores_parts = false;
#endif

/// The first `count` <= lanes elements at p; zeros in the other lanes.
template <class S>
inline Pack<S, lanes<S>> load_first(const S* p, int64_t count) {
#if defined(__AVX512F__) && !defined(__clang__)
  if constexpr (sizeof(S) == 4)
    return __builtin_ia32_loadups512_mask(p, Vector<float, 16>{}, static_cast<uint16_t>((1u << count) - 1));
  else return __builtin_ia32_loadupd512_mask(p, Vector<double, 8>{}, static_cast<uint8_t>((1u << count) - 1));
#else
  S lane[lanes<S>] = {};
  for (int64_t j = 0; j < count; ++j) lane[j] = p[j];
  return Pack<S, lanes<S>>::load(lane);
#endif
}

template <class S>
inline void store_first(S* p, const Pack<S, lanes<S>>& value, int64_t count) {
#if defined(__AVX512F__) && !defined(__clang__)
  if constexpr (sizeof(S) == 4) __builtin_ia32_storeups512_mask(p, value.raw, static_cast<uint16_t>((1u << count) - 1));
  else __builtin_ia32_storeupd512_mask(p, value.raw, static_cast<uint8_t>((1u << count) - 1));
#else
  S lane[lanes<S>];
  value.store(lane);
  for (int64_t j = 0; j < count; ++j) p[j] = lane[j];
#endif
}

template <class S>
inline void pack_element_wise(S* packed, int64_t packed_step, const S* b, int64_t row_step, int64_t column_step,
                              int64_t rows, int64_t columns) {
  for (int64_t p = 0; p < rows; ++p)
    for (int64_t j = 0; j < columns; ++j) packed[p * packed_step + j] = b[p * row_step + j * column_step];
}

/// load_transposed of a square of which only some rows and columns are there: zeros for the others.
template <class S>
CR_INLINE void load_part_transposed(Vector<S, lanes<S>> (&square)[lanes<S>], const S* first, int64_t step, int64_t rows,
                                    int64_t columns) {
  using P = Pack<S, lanes<S>>;
  constexpr int width = lanes<S>;
  alignas(64) S copy[width * width];
  int64_t j = 0;
  if (columns == width)
    for (; j < rows; ++j) P::load(first + j * step).store(copy + j * width);
  else
    for (; j < rows; ++j) load_first<S>(first + j * step, columns).store(copy + j * width);
  for (; j < width; ++j) P(0).store(copy + j * width);
  load_transposed(square, RowWalk<S>(copy, width));
}

/// packed[p * width + j] = b[p + j * column_step] for p < rows, j < columns <= lanes<S>; anything for the other j <
/// lanes<S>, which is zeros unless more columns are there to read.
template <class S>
void pack_transposed(S* packed, int64_t width, const S* b, int64_t column_step, int64_t rows, int64_t columns,
                     int64_t readable) {
  constexpr int lane_count = lanes<S>;
  RowWalk<S> walk(b, column_step);
  for (int64_t p = 0; p < rows; p += lane_count, walk.advance(lane_count)) {
    Vector<S, lane_count> square[lane_count];
    const int64_t here = rows - p < lane_count ? rows - p : lane_count;
    if (readable >= lane_count && here == lane_count) load_transposed(square, walk);
    else load_part_transposed(square, b + p, column_step, columns, here);
#pragma GCC unroll 32
    for (int q = 0; q < lane_count; ++q) {
      if (q == here) break;
      __builtin_memcpy(packed + (p + q) * width, &square[q], sizeof square[q]);
    }
  }
}

/// packed[p * width + j] = b[p * row_step + j * column_step] for p < rows, j < columns; zeros for the other j
/// < width. Width is a whole number of vectors.
template <class S>
inline void pack_sliver(S* packed, int64_t width, const S* b, int64_t row_step, int64_t column_step, int64_t rows,
                        int64_t columns) {
  using P = Pack<S, lanes<S>>;
  constexpr int lane_count = lanes<S>;
  if (row_step == 1 && column_step != 1 && rows > 4) {
    for (int64_t j = 0; j < width; j += lane_count) {
      const int64_t here = columns - j < lane_count ? columns - j : lane_count;
      pack_transposed(packed + j, width, b + j * column_step, column_step, rows, here, here);
    }
    return;
  }
  if (columns < width) __builtin_memset(packed, 0, sizeof(S) * static_cast<uint64_t>(rows * width));
  int64_t j = 0;
  if (column_step == 1)
    for (; j + lane_count <= columns; j += lane_count)
      for (int64_t p = 0; p < rows; ++p) P::load(b + p * row_step + j).store(packed + p * width + j);
  pack_element_wise(packed + j, width, b + j * column_step, row_step, column_step, rows, columns - j);
}

/// `count` whole slivers at once, for b with contiguous rows: longer stretches of each row are read.
template <class S, int count>
inline void pack_slivers(S* packed, int64_t width, const S* b, int64_t row_step, int64_t rows) {
  using P = Pack<S, lanes<S>>;
  for (int64_t p = 0; p < rows; ++p)
#pragma GCC unroll 8
    for (int s = 0; s < count; ++s)
      for (int64_t j = 0; j < width; j += lanes<S>)
        P::load(b + p * row_step + s * width + j).store(packed + (s * rows + p) * width + j);
}

/// to[p * rows + i] = a[i * row_step + p * column_step]. The first `readable` >= rows of a are there, and room for a
/// vector behind what is packed.
template <class S, int rows>
void pack_rows(S* to, const S* a, int64_t row_step, int64_t column_step, int64_t length, int64_t readable) {
  constexpr int width = lanes<S>;
  if (column_step == 1) {  // the last rows first: a vector that is too long reaches into the first rows of the next p
    for (int i = (rows - 1) / width * width; i >= 0; i -= width)
      pack_transposed(to + i, rows, a + i * row_step, row_step, length, rows - i < width ? rows - i : width,
                      readable - i);
  } else if (row_step == 1) {
    for (int64_t p = 0; p < length; ++p) __builtin_memcpy(to + p * rows, a + p * column_step, sizeof(S) * rows);
  } else {
    pack_element_wise(to, rows, a, column_step, row_step, length, rows);
  }
}

}  // namespace
}  // namespace chainrule
