// reductions_sum.h - sums over the columns of Rows. Floor: kernels; included by reductions.cpp only.
// The order of summation depends on the number of columns, and on whether the rows are neighbours in memory
// (row_step 1, column_step not 1): never on the other rows, so a caller may split the rows as it likes.
#pragma once
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/neighbours.h"

namespace chainrule {
namespace {

constexpr int row_accumulators = 4;  // independent sums of a row in flight: they hide the latency of an addition
constexpr int row_block_steps = 16;  // vectors that each of them adds before it joins the tree
constexpr int rows_at_once = 4;

// Integers wrap around; in C++ only the unsigned ones do.
template <class S>
using Wrapping = typename ArithmeticType<S>::type;

template <class S>
inline Pack<S, lanes<S>> load_columns(const S* x, int64_t step) {
  if (step == 1) return Pack<S, lanes<S>>::load(x);
  return Pack<S, lanes<S>>::gather(x, step);
}

// Lanes add up vectors; vectors join the tree; the columns that fill no vector come last. Several rows side by side,
// each as if alone: one stream of memory does not reach what the caches can give.
template <class S, int rows>
inline void sum_of_rows(S (&result)[rows], const S* x, int64_t row_step, int64_t columns, int64_t step) {
  using P = Pack<S, lanes<S>>;
  constexpr int64_t width = lanes<S>, block = width * row_accumulators * row_block_steps;
  int64_t j = 0;
  for (int r = 0; r < rows; ++r) result[r] = 0;
  if (columns >= width) {
    PairwiseSum<S, lanes<S>, rows> tree;
    P partial[rows];
    for (; j + block <= columns; j += block) {
      P lane_sums[rows][row_accumulators];
      const auto add = [&](int64_t at, bool first) CR_INLINE_BODY {
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
          for (int v = 0; v < row_accumulators; ++v) {
            const P value = load_columns(x + r * row_step + (at + v * width) * step, step);
            lane_sums[r][v] = first ? value : lane_sums[r][v] + value;
          }
      };
      add(j, true);
      for (int64_t at = j + row_accumulators * width; at < j + block; at += row_accumulators * width) add(at, false);
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r)
        partial[r] = (lane_sums[r][0] + lane_sums[r][2]) + (lane_sums[r][1] + lane_sums[r][3]);
      tree.add(partial);
    }
    if (j + width <= columns) {
      for (int r = 0; r < rows; ++r) partial[r] = load_columns(x + r * row_step + j * step, step);
      for (j += width; j + width <= columns; j += width)
        for (int r = 0; r < rows; ++r) partial[r] = partial[r] + load_columns(x + r * row_step + j * step, step);
      tree.add(partial);
    }
    tree.total(partial);
    const bool masked_rest = has_masked_memory && step == 1 && j < columns;
    for (int r = 0; r < rows; ++r) {
      if (masked_rest) partial[r] = partial[r] + load_first<S, lanes<S>>(x + r * row_step + j, columns - j);
      result[r] = reduce_add(partial[r]);
    }
    if (masked_rest) return;
  }
  for (int r = 0; r < rows; ++r) {
    Wrapping<S> rest = 0;
    for (int64_t k = j; k < columns; ++k) rest = rest + static_cast<Wrapping<S>>(x[r * row_step + k * step]);
    result[r] = static_cast<S>(static_cast<Wrapping<S>>(result[r]) + rest);
  }
}

template <class S>
void sum(void* y, const Rows& r, bool accumulate) {
  S* out = static_cast<S*>(y);
  const S* x = static_cast<const S*>(r.x);
  if (r.row_step == 1 && r.column_step != 1 && r.columns > 0)
    return fold_neighbours<Addition>(out, x, r.rows, r.columns, r.column_step, accumulate);
  int64_t i = 0;
  const auto sum_next = [&]<int rows>(std::integral_constant<int, rows>) {
    S row_sums[rows];
    sum_of_rows(row_sums, x + i * r.row_step, r.row_step, r.columns, r.column_step);
    for (int k = 0; k < rows; ++k, ++i)
      out[i] = accumulate ? static_cast<S>(static_cast<Wrapping<S>>(out[i]) + static_cast<Wrapping<S>>(row_sums[k]))
                          : row_sums[k];
  };
  while (i + rows_at_once <= r.rows) sum_next(std::integral_constant<int, rows_at_once>{});
  while (i < r.rows) sum_next(std::integral_constant<int, 1>{});
}

}  // namespace
}  // namespace chainrule
