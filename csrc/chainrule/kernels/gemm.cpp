// gemm.cpp - matrix products of any strides, float32 and float64. Compiled once per level. Floor: kernels.
// c is computed in tiles that stay in registers, over blocks of p. Invariant: an element of c is the sum over
// blocks of (the fused sum over p of one block, from zero), blocks and p ascending, block lengths a function
// of k alone. So its bits do not depend on m, n, the strides, or how a caller splits the rows and columns.
#include "chainrule/kernels/gemm_pack.h"
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/scratch.h"

namespace chainrule {
namespace {

constexpr int64_t max_block_length = 256;  // of p: a sliver of b stays in the first level cache
constexpr int tile_rows = vector_bytes == 64 ? 12 : 6;  // with tile_vectors: accumulators fill the registers
constexpr int tile_vectors = 2;
constexpr int row_vectors = 8;  // of the tile for a single row: enough sums to hide latency

template <class S>
constexpr int64_t sliver_width = tile_vectors * lanes<S>;
template <class S>
constexpr int64_t panel_slivers =
    scratch_bytes / (max_block_length * sliver_width<S> * static_cast<int64_t>(sizeof(S)));

/// GemmArguments with types, and with steps for everything: the transpose of a problem is a problem.
template <class S>
struct Problem {
  int64_t m, n, k;
  const S* a;
  int64_t a_row_step, a_column_step;
  const S* b;
  int64_t b_row_step, b_column_step;
  S* c;
  int64_t c_row_step, c_column_step;
  const S* bias;
  int64_t bias_row_step, bias_column_step;
};

template <class S>
Problem<S> transposed(const Problem<S>& g) {
  return {g.n,
          g.m,
          g.k,
          g.b,
          g.b_column_step,
          g.b_row_step,
          g.a,
          g.a_column_step,
          g.a_row_step,
          g.c,
          g.c_column_step,
          g.c_row_step,
          g.bias,
          g.bias_column_step,
          g.bias_row_step};
}

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
  const S* bias;  ///< null but in the last block
  int64_t bias_row_step, bias_column_step;
  bool first;     ///< c is overwritten, not added to
};

template <class S>
inline void store_element_wise(const Tile<S>& t, const S* sums, int64_t rows, int64_t sums_step) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < t.columns; ++j) {
      S* at = t.c + i * t.c_row_step + j * t.c_column_step;
      S value = sums[i * sums_step + j];
      if (!t.first) value = *at + value;
      if (t.bias) value = value + t.bias[i * t.bias_row_step + j * t.bias_column_step];
      *at = value;
    }
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

  const bool dense = t.columns == vectors * width && t.c_column_step == 1 && (!t.bias || t.bias_column_step == 1);
  if (!dense) {
    S sums[rows * vectors * width];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v].store(sums + (i * vectors + v) * width);
    return store_element_wise(t, sums, rows, vectors * width);
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      S* at = t.c + i * t.c_row_step + v * width;
      P value = sum[i][v];
      if (!t.first) value = P::load(at) + value;
      if (t.bias) value = value + P::load(t.bias + i * t.bias_row_step + v * width);
      value.store(at);
    }
}

template <class S>
using TileKernel = void (*)(const Tile<S>& tile);

/// multiply_tile for 1..tile_rows rows.
template <class S>
TileKernel<S> tile_kernel(int64_t rows, int64_t columns) {
  return [=]<int... R>(std::integer_sequence<int, R...>) {
    static constexpr TileKernel<S> kernels[] = {&multiply_tile<S, R + 1, tile_vectors>...};
    static constexpr TileKernel<S> narrow_kernels[] = {&multiply_tile<S, R + 1, 1>...};
    if (columns > sliver_width<S>) return &multiply_tile<S, 1, row_vectors>;
    return (columns <= lanes<S> ? narrow_kernels : kernels)[rows - 1];
  }(std::make_integer_sequence<int, tile_rows>{});
}

/// to[p * rows + i] = a[p * step + i]: the rows of a tile, where they are neighbours.
template <class S, int rows>
void copy_neighbours(S* to, const S* a, int64_t step, int64_t length) {
  for (int64_t p = 0; p < length; ++p) __builtin_memcpy(to + p * rows, a + p * step, sizeof(S) * rows);
}

template <class S>
void copy_tile_of_a(S* to, const S* a, int64_t row_step, int64_t column_step, int64_t rows, int64_t length) {
  if (row_step != 1) return pack_element_wise(to, rows, a, column_step, row_step, length, rows);
  [=]<int... R>(std::integer_sequence<int, R...>) {
    static constexpr void (*kernels[])(S*, const S*, int64_t, int64_t) = {&copy_neighbours<S, R + 1>...};
    kernels[rows - 1](to, a, column_step, length);
  }(std::make_integer_sequence<int, tile_rows>{});
}

/// The columns of b that tiles of one column position read: b itself, or its packed copy.
template <class S>
struct Sliver {
  const S* b;
  int64_t row_step;
  int64_t column, columns;
};

template <class S>
struct Panel {
  Sliver<S> slivers[panel_slivers<S>];
  int64_t count = 0, end_column = 0;
};

/// Columns from `column` on, as many as fit, and rows [p, p + length) of b, packed where that pays or is
/// needed.
template <class S>
void prepare_panel(Panel<S>& panel, const Problem<S>& g, int64_t column, int64_t p, int64_t length) {
  constexpr int64_t width = sliver_width<S>, wide = row_vectors * lanes<S>;
  constexpr int64_t rows_that_repay_packing = 4 * tile_rows;
  const bool direct = g.b_column_step == 1 && g.m < rows_that_repay_packing;
  S* packed = static_cast<S*>(kernel_scratch());
  for (panel.count = 0; panel.count < panel_slivers<S> && column < g.n; ++panel.count) {
    const S* b = g.b + p * g.b_row_step + column * g.b_column_step;
    const int64_t left = g.n - column;
    const int64_t columns = direct && g.m == 1 && left >= wide ? wide : left < width ? left : width;
    panel.slivers[panel.count] = {b, g.b_row_step, column, columns};
    column += columns;
    if (direct && columns >= width) continue;
    const int64_t packed_width = columns <= lanes<S> ? lanes<S> : width;
    pack_sliver(packed, packed_width, b, g.b_row_step, g.b_column_step, length, columns);
    panel.slivers[panel.count].b = packed;
    panel.slivers[panel.count].row_step = packed_width;
    packed += length * packed_width;
  }
  panel.end_column = column;
}

/// c(all rows, columns of the panel) (+)= a(all rows, [p, p + length)) * panel.
template <class S>
void multiply_panel(const Problem<S>& g, const Panel<S>& panel, int64_t p, int64_t length) {
  const int64_t tiles = (g.m + tile_rows - 1) / tile_rows;
  const bool copy_a = panel.count > 1 && g.a_column_step != 1;
  S a_copy[tile_rows * max_block_length];
  int64_t row = 0;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t rows = g.m / tiles + (i < g.m % tiles);
    Tile<S> t{};
    t.k = length;
    t.a = g.a + row * g.a_row_step + p * g.a_column_step;
    t.a_row_step = g.a_row_step;
    t.a_column_step = g.a_column_step;
    if (copy_a) {
      copy_tile_of_a(a_copy, t.a, g.a_row_step, g.a_column_step, rows, length);
      t.a = a_copy;
      t.a_row_step = 1;
      t.a_column_step = rows;
    }
    t.c_row_step = g.c_row_step;
    t.c_column_step = g.c_column_step;
    t.bias_row_step = g.bias_row_step;
    t.bias_column_step = g.bias_column_step;
    t.first = p == 0;
    const bool last = p + length == g.k;
    for (int64_t s = 0; s < panel.count; ++s) {
      const Sliver<S>& sliver = panel.slivers[s];
      t.b = sliver.b;
      t.b_row_step = sliver.row_step;
      t.columns = sliver.columns;
      t.c = g.c + row * g.c_row_step + sliver.column * g.c_column_step;
      t.bias = g.bias && last ? g.bias + row * g.bias_row_step + sliver.column * g.bias_column_step : nullptr;
      tile_kernel<S>(rows, t.columns)(t);
    }
    row += rows;
  }
}

/// The blocks of p: as even as they can be, and no longer than max_block_length. Calls block(p, length).
template <class Block>
inline void for_each_block(int64_t k, const Block& block) {
  const int64_t blocks = k == 0 ? 1 : (k + max_block_length - 1) / max_block_length;
  for (int64_t i = 0, p = 0; i < blocks; ++i) {
    const int64_t length = k / blocks + (i < k % blocks);
    block(p, length);
    p += length;
  }
}

template <class S>
void multiply(const Problem<S>& g) {
  Panel<S> panel;
  for (int64_t column = 0; column < g.n; column = panel.end_column)
    for_each_block(g.k, [&](int64_t p, int64_t length) {
      prepare_panel(panel, g, column, p, length);
      multiply_panel(g, panel, p, length);
    });
}

/// A matrix with contiguous rows times a vector (n = 1), `groups` vectors of rows from `row` on: squares of a
/// are transposed in registers, so that a lane sums one row in the order of the tiles.
template <class S, int groups>
void multiply_rows_by_vector(const Problem<S>& g, int64_t row) {
  constexpr int width = lanes<S>;
  constexpr int line = 64 / static_cast<int>(sizeof(S));  // a cache line of each row at once
  using P = Pack<S, width>;
  const S* const a = g.a + row * g.a_row_step;
  P total[groups];
#pragma GCC unroll 4
  for (int group = 0; group < groups; ++group) total[group] = P(0);
  for_each_block(g.k, [&](int64_t begin, int64_t length) {
    P sum[groups];
#pragma GCC unroll 4
    for (int group = 0; group < groups; ++group) sum[group] = P(0);
    int64_t p = begin;
    for (; p + line <= begin + length; p += line) {
      Vector<S, width> square[groups][line / width][width];
#pragma GCC unroll 4
      for (int group = 0; group < groups; ++group)
#pragma GCC unroll 4
        for (int q = 0; q < line / width; ++q)
          load_transposed(square[group][q], a + group * width * g.a_row_step + p + q * width, g.a_row_step);
#pragma GCC unroll 32
      for (int q = 0; q < line; ++q) {
        const P b_element = P::splat(g.b + (p + q) * g.b_row_step);
#pragma GCC unroll 4
        for (int group = 0; group < groups; ++group)
          sum[group] = fma(P(square[group][q / width][q % width]), b_element, sum[group]);
      }
    }
    for (; p < begin + length; ++p)
#pragma GCC unroll 4
      for (int group = 0; group < groups; ++group)
        sum[group] = fma(P::gather(a + group * width * g.a_row_step + p, g.a_row_step),
                         P::splat(g.b + p * g.b_row_step), sum[group]);
#pragma GCC unroll 4
    for (int group = 0; group < groups; ++group) total[group] = begin == 0 ? sum[group] : total[group] + sum[group];
  });
#pragma GCC unroll 4
  for (int group = 0; group < groups; ++group) {
    const int64_t i = row + group * width;
    if (g.bias) total[group] = total[group] + P::gather(g.bias + i * g.bias_row_step, g.bias_row_step);
    total[group].scatter(g.c + i * g.c_row_step, g.c_row_step);
  }
}

template <class S>
void multiply_by_vector(Problem<S> g) {
  constexpr int64_t width = lanes<S>;
  int64_t row = 0;
  for (; row + 2 * width <= g.m; row += 2 * width) multiply_rows_by_vector<S, 2>(g, row);
  for (; row + width <= g.m; row += width) multiply_rows_by_vector<S, 1>(g, row);
  if (row == g.m) return;
  g.m -= row;
  g.a += row * g.a_row_step;
  g.c += row * g.c_row_step;
  if (g.bias) g.bias += row * g.bias_row_step;
  multiply(g);
}

template <class S>
void gemm(const GemmArguments& g) {
  Problem<S> problem{g.m,
                     g.n,
                     g.k,
                     static_cast<const S*>(g.a),
                     g.a_row_step,
                     g.a_column_step,
                     static_cast<const S*>(g.b),
                     g.b_row_step,
                     g.b_column_step,
                     static_cast<S*>(g.c),
                     g.c_row_step,
                     1,
                     static_cast<const S*>(g.bias),
                     0,
                     1};
  if (g.m == 0 || g.n == 0) return;
  // A matrix and a vector: the matrix goes to the side where its contiguous dim is read in vectors.
  if ((g.n == 1 && g.a_row_step == 1) || (g.m == 1 && g.b_row_step == 1)) problem = transposed(problem);
  if (problem.n == 1 && problem.a_column_step == 1) multiply_by_vector(problem);
  else multiply(problem);
}

}  // namespace

template <>
GemmKernel gemm_kernel<level>(DType dtype) {
  return dtype == DType::float32 ? &gemm<float> : &gemm<double>;
}

}  // namespace chainrule
