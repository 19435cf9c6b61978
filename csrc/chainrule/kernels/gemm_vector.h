// gemm_vector.h - products of a matrix with contiguous rows and a vector, or a few. Floor: kernels.
// Included by gemm.cpp only; anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/gemm_pack.h"

namespace chainrule {
namespace {

template <class S>
constexpr int few_columns = lanes<S> / 2;  // of b, for which transposing a in registers beats packing it

/// A matrix with contiguous rows times the columns [0, columns) of b, `groups` vectors of rows from `row` on: squares
/// of a are transposed in registers, so that a lane sums one row in the order of the tiles.
template <class S, int columns, int groups, bool contiguous>
void multiply_rows_by_columns(const Problem<S>& g, int64_t row) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  const int64_t b_row_step = contiguous ? 1 : g.b_row_step;
  const S* const a = g.a + row * g.a_row_step;
  P total[groups][columns];
#pragma GCC unroll 8
  for (int i = 0; i < groups * columns; ++i) total[i / columns][i % columns] = P(0);
  for_each_block(g.k, [&](int64_t begin, int64_t length) {
    P sum[groups][columns];
#pragma GCC unroll 8
    for (int i = 0; i < groups * columns; ++i) sum[i / columns][i % columns] = P(0);
    const S* b = g.b + begin * b_row_step;
    RowWalk<S> walks[groups];
#pragma GCC unroll 4
    for (int group = 0; group < groups; ++group)
      walks[group] = RowWalk<S>(a + group * width * g.a_row_step + begin, g.a_row_step);
    int64_t p = length;
    for (; p >= width; p -= width, b += width * b_row_step)
#pragma GCC unroll 4
      for (int group = 0; group < groups; ++group) {
        Vector<S, width> square[width];
        load_transposed(square, walks[group]);
        walks[group].advance(width);
#pragma GCC unroll 32
        for (int q = 0; q < width; ++q)
#pragma GCC unroll 8
          for (int j = 0; j < columns; ++j)
            sum[group][j] = fma(P(square[q]), P::splat(b + q * b_row_step + j * g.b_column_step), sum[group][j]);
      }
    for (; p > 0; --p, b += b_row_step)
#pragma GCC unroll 4
      for (int group = 0; group < groups; ++group) {
        const P a_column = P::gather(walks[group].row(0), g.a_row_step);
        walks[group].advance(1);
#pragma GCC unroll 8
        for (int j = 0; j < columns; ++j)
          sum[group][j] = fma(a_column, P::splat(b + j * g.b_column_step), sum[group][j]);
      }
#pragma GCC unroll 8
    for (int i = 0; i < groups * columns; ++i) {
      P& whole = total[i / columns][i % columns];
      const P part = sum[i / columns][i % columns];
      whole = begin == 0 ? part : whole + part;
    }
  });
  for (int group = 0; group < groups; ++group)
    for (int j = 0; j < columns; ++j) {
      const int64_t i = row + group * width;
      P value = total[group][j];
      if (g.bias) value = value + (g.bias_of_rows ? P::load(g.bias + i) : P::splat(g.bias + j));
      value.scatter(g.c + i * g.c_row_step + j * g.c_column_step, g.c_row_step);
    }
}

/// At least a vector of rows: the last vector may overlap the one before and then writes the same numbers again. Two
/// at a time where one would wait for its additions.
template <class S, int columns, bool contiguous>
void multiply_by_columns(const Problem<S>& g) {
  constexpr int64_t width = lanes<S>;
  int64_t row = 0;
  if constexpr (columns <= 3)
    for (; row + 2 * width <= g.m; row += 2 * width) multiply_rows_by_columns<S, columns, 2, contiguous>(g, row);
  for (; row + width <= g.m; row += width) multiply_rows_by_columns<S, columns, 1, contiguous>(g, row);
  if (row < g.m) multiply_rows_by_columns<S, columns, 1, contiguous>(g, g.m - width);
}

/// The same for any number of columns up to few_columns.
template <class S>
void multiply_by_few_columns(const Problem<S>& g) {
  [&]<int... N>(std::integer_sequence<int, N...>) {
    static constexpr void (*kernels[])(const Problem<S>&) = {&multiply_by_columns<S, N + 1, false>...};
    static constexpr void (*of_contiguous[])(const Problem<S>&) = {&multiply_by_columns<S, N + 1, true>...};
    (g.b_row_step == 1 ? of_contiguous : kernels)[g.n - 1](g);
  }(std::make_integer_sequence<int, few_columns<S>>{});
}

}  // namespace
}  // namespace chainrule
