// gemm_tile.h - the inner loop of the matrix product: a tile of c that stays in registers. Floor: kernels.
// Included by gemm.cpp and attention.cpp; anonymous namespace like simd.h.
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
  int64_t c_row_step, c_column_step;  ///< one of them is 1
  int64_t columns;
  const S* bias;      ///< null but in the last block; contiguous
  bool bias_of_rows;  ///< bias[i] for row i, not bias[j] for column j
  bool first;         ///< c is overwritten, not added to
};

template <class S, int rows, int vectors>
using Sums = Pack<S, lanes<S>>[rows][vectors];

/// sum += a(row, p) * b(p, all vectors), for all rows and one p. Both are asked for where they are used:
/// element(row, vector) of a, splat, and row(vector) of b.
template <class S, int rows, int vectors, class Element>
CR_INLINE void add_products(Sums<S, rows, vectors>& sum, const S* b, const Element& element) {
  Pack<S, lanes<S>> b_row[vectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) b_row[v] = Pack<S, lanes<S>>::load(b + v * lanes<S>);
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = fma(element(i, v), b_row[v], sum[i][v]);
}

template <class S, int rows, int vectors>
CR_INLINE void add_in_place(Sums<S, rows, vectors>& sum, const Tile<S>& t) {
  RowWalk<S, rows> a(t.a, t.a_row_step);
  const S* b = t.b;
  const int64_t a_column_step = t.a_column_step, b_row_step = t.b_row_step;
  for (int64_t p = t.k; p > 0; --p, a.advance(a_column_step), b += b_row_step)
    add_products<S, rows, vectors>(sum, b,
                                   [&](int i, int) CR_INLINE_BODY { return Pack<S, lanes<S>>::splat(a.row(i)); });
}

// With AVX-512 an instruction multiplies by an element of memory. Used for half of the rows it saves instructions to
// decode, which are what is short when two threads share a core, and leaves time for all loads.
constexpr int rows_multiplied_from_memory = vector_bytes == 64 ? tile_rows / 2 : 0;

/// a is packed: its element (i, p) is a[p * rows + i].
template <class S, int rows, int vectors>
CR_INLINE void add_packed(Sums<S, rows, vectors>& sum, const Tile<S>& t) {
  constexpr int together = 2;
  const S* a = t.a;
  const S* again = hidden(a);  // else the element is loaded once for all vectors, by an instruction of its own
  const S* b = t.b;
  const int64_t b_row_step = t.b_row_step;
  const auto step = [&](int q) CR_INLINE_BODY {
    add_products<S, rows, vectors>(sum, b + q * b_row_step, [&](int i, int v) CR_INLINE_BODY {
      const S* from = i < rows_multiplied_from_memory && v % 2 ? again : a;
      return Pack<S, lanes<S>>::splat(from + q * rows + i);
    });
  };
  int64_t p = t.k;
  for (; p >= together; p -= together, a += together * rows, again = hidden(again + together * rows)) {
#pragma GCC unroll 4
    for (int q = 0; q < together; ++q) step(q);
    b += together * b_row_step;
  }
  for (; p > 0; --p, a += rows, again += rows, b += b_row_step) step(0);
}

/// Adds what c holds and the bias to the sums, in this order, and stores them: rows of c, the last vector perhaps in
/// part.
template <class S, int rows, int vectors, bool whole>
CR_INLINE void store_rows(const Tile<S>& t, Sums<S, rows, vectors>& sum) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  const int64_t last = t.columns - (vectors - 1) * width;
  const auto load = [&](const S* from, int v) CR_INLINE_BODY {
    return v + 1 < vectors || whole ? P::load(from + v * width) : load_first<S>(from + v * width, last);
  };
  const auto for_each = [&](const auto& visit) CR_INLINE_BODY {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) visit(i, v);
  };
  if (!t.first) for_each([&](int i, int v) CR_INLINE_BODY { sum[i][v] = load(t.c + i * t.c_row_step, v) + sum[i][v]; });
  if (t.bias && t.bias_of_rows)
    for_each([&](int i, int v) CR_INLINE_BODY { sum[i][v] = sum[i][v] + P::splat(t.bias + i); });
  else if (t.bias) for_each([&](int i, int v) CR_INLINE_BODY { sum[i][v] = sum[i][v] + load(t.bias, v); });
  for_each([&](int i, int v) CR_INLINE_BODY {
    S* const to = t.c + i * t.c_row_step + v * width;
    if (v + 1 < vectors || whole) sum[i][v].store(to);
    else store_first<S>(to, sum[i][v], last);
  });
}

/// The same for sums in memory, where the columns of c are contiguous: squares are transposed in registers. `sums` has
/// whole squares.
template <class S>
void store_transposed(const Tile<S>& t, const S* sums, int64_t rows, int64_t sums_step) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  for (int64_t i = 0; i < rows; i += width)
    for (int64_t j = 0; j < t.columns; j += width) {
      Vector<S, width> square[width];
      load_transposed(square, RowWalk<S>(sums + i * sums_step + j, sums_step));
      const int64_t count = rows - i < width ? rows - i : width;
      S* to = t.c + i + j * t.c_column_step;
#pragma GCC unroll 16
      for (int q = 0; q < width; ++q, to += t.c_column_step) {
        if (q == t.columns - j) break;
        P value(square[q]);
        if (!t.first) value = load_first<S>(to, count) + value;
        if (t.bias) value = value + (t.bias_of_rows ? load_first<S>(t.bias + i, count) : P::splat(t.bias + j + q));
        store_first<S>(to, value, count);
      }
    }
}

template <class S, int rows, int vectors, bool packed>
void multiply_tile(const Tile<S>& t) {
  constexpr int width = lanes<S>;
  Sums<S, rows, vectors> sum;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = Pack<S, width>(0);
  if constexpr (packed) add_packed<S, rows, vectors>(sum, t);
  else add_in_place<S, rows, vectors>(sum, t);

  if (t.c_column_step != 1) {
    S sums[(rows + width - 1) / width * width][vectors * width];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v].store(&sums[i][v * width]);
    store_transposed<S>(t, sums[0], rows, vectors * width);
  } else if (!stores_parts && t.columns == vectors * width) {
    store_rows<S, rows, vectors, true>(t, sum);
  } else {
    store_rows<S, rows, vectors, false>(t, sum);
  }
}

template <class S>
using TileKernel = void (*)(const Tile<S>& tile);

/// pack_rows for 1 to tile_rows rows.
template <class S>
inline void pack_tile(S* to, const S* a, int64_t row_step, int64_t column_step, int64_t length, int64_t rows,
                      int64_t readable) {
  [=]<int... R>(std::integer_sequence<int, R...>) {
    static constexpr void (*kernels[])(S*, const S*, int64_t, int64_t, int64_t, int64_t) = {&pack_rows<S, R + 1>...};
    kernels[rows - 1](to, a, row_step, column_step, length, readable);
  }(std::make_integer_sequence<int, tile_rows>{});
}

/// The kernel of r rows at [r - 1], for 1 to `most` rows.
template <class S, int vectors, bool packed, int most = tile_rows>
inline const TileKernel<S>* kernels_of_rows() {
  return []<int... R>(std::integer_sequence<int, R...>) {
    static constexpr TileKernel<S> kernels[] = {&multiply_tile<S, R + 1, vectors, packed>...};
    return kernels;
  }(std::make_integer_sequence<int, most>{});
}

/// Those for as many columns, and rows of a that are packed or in place; few columns take steps of packed rows, too.
/// More than a sliver are wide tiles of 1 to wide_rows rows, so that there are enough sums to hide the latency of an
/// addition.
template <class S>
inline const TileKernel<S>* tile_kernels(bool packed, int64_t columns) {
  if (columns > sliver_width<S>) return kernels_of_rows<S, wide_vectors, false, wide_rows>();
  if (columns > lanes<S>)
    return packed ? kernels_of_rows<S, tile_vectors, true>() : kernels_of_rows<S, tile_vectors, false>();
  return kernels_of_rows<S, 1, false>();
}

}  // namespace
}  // namespace chainrule
