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
template <class S, int columns, int groups>
void multiply_rows_by_columns(const Problem<S>& g, int64_t row) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  const S* const a = g.a + row * g.a_row_step;
  P total[groups][columns];
#pragma GCC unroll 8
  for (int i = 0; i < groups * columns; ++i) total[i / columns][i % columns] = P(0);
  for_each_block(g.k, [&](int64_t begin, int64_t length) {
    P sum[groups][columns];
#pragma GCC unroll 8
    for (int i = 0; i < groups * columns; ++i) sum[i / columns][i % columns] = P(0);
    int64_t p = begin;
    for (; p + width <= begin + length; p += width)
#pragma GCC unroll 4
      for (int group = 0; group < groups; ++group) {
        Vector<S, width> square[width];
        load_transposed(square, a + group * width * g.a_row_step + p, g.a_row_step);
#pragma GCC unroll 32
        for (int q = 0; q < width; ++q)
#pragma GCC unroll 8
          for (int j = 0; j < columns; ++j)
            sum[group][j] =
                fma(P(square[q]), P::splat(g.b + (p + q) * g.b_row_step + j * g.b_column_step), sum[group][j]);
      }
    for (; p < begin + length; ++p)
#pragma GCC unroll 4
      for (int group = 0; group < groups; ++group) {
        const P a_column = P::gather(a + group * width * g.a_row_step + p, g.a_row_step);
#pragma GCC unroll 8
        for (int j = 0; j < columns; ++j)
          sum[group][j] = fma(a_column, P::splat(g.b + p * g.b_row_step + j * g.b_column_step), sum[group][j]);
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

/// As many rows as fill whole vectors; returns how many these are.
template <class S, int columns>
int64_t multiply_by_columns(const Problem<S>& g) {
  constexpr int64_t width = lanes<S>;
  int64_t row = 0;
  if constexpr (columns == 1)
    for (; row + 2 * width <= g.m; row += 2 * width) multiply_rows_by_columns<S, columns, 2>(g, row);
  for (; row + width <= g.m; row += width) multiply_rows_by_columns<S, columns, 1>(g, row);
  return row;
}

/// The same for any number of columns up to few_columns.
template <class S>
int64_t multiply_by_few_columns(const Problem<S>& g) {
  return [&]<int... N>(std::integer_sequence<int, N...>) {
    static constexpr int64_t (*kernels[])(const Problem<S>&) = {&multiply_by_columns<S, N + 1>...};
    return kernels[g.n - 1](g);
  }(std::make_integer_sequence<int, few_columns<S>>{});
}

}  // namespace
}  // namespace chainrule
