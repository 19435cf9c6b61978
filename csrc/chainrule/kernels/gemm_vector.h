// gemm_vector.h - the product of a matrix with contiguous rows and a vector. Floor: kernels.
// Included by gemm.cpp only; anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/gemm_pack.h"

namespace chainrule {
namespace {

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
    if (g.bias) total[group] = total[group] + (g.bias_of_rows ? P::load(g.bias + i) : P::splat(g.bias));
    total[group].scatter(g.c + i * g.c_row_step, g.c_row_step);
  }
}

/// As many rows as fill whole vectors; returns how many these are.
template <class S>
int64_t multiply_by_vector(const Problem<S>& g) {
  constexpr int64_t width = lanes<S>;
  int64_t row = 0;
  for (; row + 2 * width <= g.m; row += 2 * width) multiply_rows_by_vector<S, 2>(g, row);
  for (; row + width <= g.m; row += width) multiply_rows_by_vector<S, 1>(g, row);
  return row;
}

}  // namespace
}  // namespace chainrule
