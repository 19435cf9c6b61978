// gemm_pack.h - copies parts of a matrix into the order in which the GEMM's inner loop reads them. Floor:
// kernels. Included by gemm.cpp only; anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/gemm_problem.h"

namespace chainrule {
namespace {

// One step of a transpose: swaps the blocks off the diagonal of every 2 x 2 arrangement of blocks `distance`
// wide.
template <int distance, class V, int... L>
inline void swap_blocks(V& upper, V& lower, std::integer_sequence<int, L...>) {
  constexpr int width = sizeof...(L);
  const V a = upper, b = lower;
  upper = __builtin_shufflevector(a, b, ((L & distance) ? width + L - distance : L)...);
  lower = __builtin_shufflevector(a, b, ((L & distance) ? width + L : L + distance)...);
}

template <int distance, class V, int width>
inline void transpose(V (&v)[width]) {
#pragma GCC unroll 32
  for (int i = 0; i < width; ++i)
    if ((i & distance) == 0) swap_blocks<distance>(v[i], v[i + distance], std::make_integer_sequence<int, width>{});
  if constexpr (distance > 1) transpose<distance / 2>(v);
}

/// square[p][j] = b[p + j * column_step] for p, j < lanes<S>.
template <class S, int width>
inline void load_transposed(Vector<S, width> (&square)[width], const S* b, int64_t column_step) {
#pragma GCC unroll 32
  for (int j = 0; j < width; ++j) __builtin_memcpy(&square[j], b + j * column_step, sizeof square[j]);
  transpose<width / 2>(square);
}

/// The first `count` < lanes elements at p; zeros in the other lanes.
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

/// packed[p * width + j] = b[p * row_step + j * column_step] for p < rows, j < columns; zeros for the other j
/// < width.
template <class S>
inline void pack_sliver(S* packed, int64_t width, const S* b, int64_t row_step, int64_t column_step, int64_t rows,
                        int64_t columns) {
  using P = Pack<S, lanes<S>>;
  constexpr int lane_count = lanes<S>;
  if (columns < width) __builtin_memset(packed, 0, sizeof(S) * static_cast<uint64_t>(rows * width));
  int64_t j = 0;
  if (column_step == 1) {
    for (; j + lane_count <= columns; j += lane_count)
      for (int64_t p = 0; p < rows; ++p) P::load(b + p * row_step + j).store(packed + p * width + j);
  } else if (row_step == 1) {
    for (; j + lane_count <= columns; j += lane_count) {
      const S* from = b + j * column_step;
      int64_t p = 0;
      for (; p + lane_count <= rows; p += lane_count) {
        Vector<S, lane_count> square[lane_count];
        load_transposed(square, from + p, column_step);
#pragma GCC unroll 32
        for (int q = 0; q < lane_count; ++q) P(square[q]).store(packed + (p + q) * width + j);
      }
      pack_element_wise(packed + p * width + j, width, from + p, 1, column_step, rows - p, lane_count);
    }
  }
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

template <class S>
constexpr int64_t copied_row_step = max_block_length + 64 / static_cast<int64_t>(sizeof(S));  // never a power of two

/// to[i * copied_row_step + p] = a[i * row_step + p]: rows that lie a power of two apart share few sets of the cache.
template <class S>
inline void copy_rows(S* to, const S* a, int64_t row_step, int64_t rows, int64_t length) {
  for (int64_t i = 0; i < rows; ++i)
    __builtin_memcpy(to + i * copied_row_step<S>, a + i * row_step, sizeof(S) * static_cast<uint64_t>(length));
}

/// to[p * rows + i] = a[i * row_step + p * column_step].
template <class S>
inline void copy_columns(S* to, const S* a, int64_t row_step, int64_t column_step, int64_t rows, int64_t length) {
  if (row_step != 1) return pack_element_wise(to, rows, a, column_step, row_step, length, rows);
  for (int64_t p = 0; p < length; ++p)
    __builtin_memcpy(to + p * rows, a + p * column_step, sizeof(S) * static_cast<uint64_t>(rows));
}

}  // namespace
}  // namespace chainrule
