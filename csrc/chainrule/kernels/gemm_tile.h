// gemm_tile.h - the inner loop of the matrix product: a tile of c that stays in registers. Floor: kernels.
// Included by gemm.cpp only; anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/gemm_pack.h"

namespace chainrule {
namespace {

constexpr int tile_rows = vector_bytes == 64 ? 12 : 6;  // with tile_vectors: accumulators fill the registers
constexpr int tile_vectors = 2;
constexpr int wide_rows = vector_bytes == 64 ? 3 : 1;
constexpr int wide_vectors = 8;

template <class S>
constexpr int64_t sliver_width = tile_vectors * lanes<S>;

/// One tile over one block of p. Columns of b are contiguous and padded to the tile's vectors.
template <class S>
struct Tile {
  int64_t k;
  const S* a;
  int64_t a_row_step, a_column_step;
  const S* b;
  int64_t b_row_step;
  S* c;
  int64_t c_row_step, c_column_step, columns;
  const S* bias;      ///< null but in the last block; contiguous
  bool bias_of_rows;  ///< bias[i] for row i, not bias[j] for column j
  bool first;         ///< c is overwritten, not added to
};

template <class S>
inline void store_element_wise(const Tile<S>& t, const S* sums, int64_t rows, int64_t sums_step) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < t.columns; ++j) {
      S* at = t.c + i * t.c_row_step + j * t.c_column_step;
      S value = sums[i * sums_step + j];
      if (!t.first) value = *at + value;
      if (t.bias) value = value + t.bias[t.bias_of_rows ? i : j];
      *at = value;
    }
}

/// Adds what c holds and the bias to one vector of sums, in this order, and stores it.
template <class S, bool whole>
inline void store_vector(const Tile<S>& t, Pack<S, lanes<S>> value, int64_t i, int64_t j) {
  using P = Pack<S, lanes<S>>;
  S* at = t.c + i * t.c_row_step + j;
  const int64_t count = t.columns - j;
  if (!t.first) value = (whole ? P::load(at) : load_first<S>(at, count)) + value;
  if (t.bias) {
    if (t.bias_of_rows) value = value + P::splat(t.bias + i);
    else value = value + (whole ? P::load(t.bias + j) : load_first<S>(t.bias + j, count));
  }
  if constexpr (whole) value.store(at);
  else store_first<S>(at, value, count);
}

template <class S, int rows, int vectors>
void multiply_tile(const Tile<S>& t) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  P sum[rows][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = P(0);

  const S* a = t.a;
  const S* b = t.b;
  const int64_t a_row_step = t.a_row_step, a_column_step = t.a_column_step, b_row_step = t.b_row_step;
  if (t.c_column_step == 1)
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) __builtin_prefetch(t.c + i * t.c_row_step + v * width, 1);
  for (int64_t p = t.k; p > 0; --p, a += a_column_step, b += b_row_step) {
    P b_row[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) b_row[v] = P::load(b + v * width);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const P a_element = P::splat(a + i * a_row_step);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma(a_element, b_row[v], sum[i][v]);
    }
  }

  if (t.c_column_step == 1) {
    const bool whole = t.columns == vectors * width;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v)
        if (v + 1 < vectors || whole) store_vector<S, true>(t, sum[i][v], i, v * width);
        else store_vector<S, false>(t, sum[i][v], i, v * width);
    return;
  }
  S sums[rows * vectors * width];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v].store(sums + (i * vectors + v) * width);
  store_element_wise(t, sums, rows, vectors * width);
}

template <class S>
using TileKernel = void (*)(const Tile<S>& tile);

/// multiply_tile for 1..tile_rows rows.
template <class S>
inline TileKernel<S> tile_kernel(int64_t rows, int64_t columns) {
  return [=]<int... R>(std::integer_sequence<int, R...>) {
    static constexpr TileKernel<S> kernels[] = {&multiply_tile<S, R + 1, tile_vectors>...};
    static constexpr TileKernel<S> narrow_kernels[] = {&multiply_tile<S, R + 1, 1>...};
    return (columns <= lanes<S> ? narrow_kernels : kernels)[rows - 1];
  }(std::make_integer_sequence<int, tile_rows>{});
}

/// For few rows: tiles of wide_vectors, so that there are enough sums to hide the latency of an addition.
template <class S>
inline TileKernel<S> wide_tile_kernel(int64_t rows) {
  return [=]<int... R>(std::integer_sequence<int, R...>) {
    static constexpr TileKernel<S> kernels[] = {&multiply_tile<S, R + 1, wide_vectors>...};
    return kernels[rows - 1];
  }(std::make_integer_sequence<int, wide_rows>{});
}

}  // namespace
}  // namespace chainrule
