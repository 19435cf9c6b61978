// reductions_sum.h - sums over the columns of Rows. Floor: kernels; included by reductions.cpp only.
// The order of summation depends on the number of columns, and on whether the rows are neighbours in memory
// (row_step 1, column_step not 1): never on the other rows, so a caller may split the rows as it likes.
#pragma once
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/neighbours.h"

namespace chainrule {
namespace {

constexpr int row_accumulators = 8;    // independent sums in flight: they hide the latency of an addition
constexpr int row_block_steps = 8;     // vectors that each of them adds before it joins the tree

// Integers wrap around; in C++ only the unsigned ones do.
template <class S>
using Wrapping = typename ArithmeticType<S>::type;

template <class S>
inline Pack<S, lanes<S>> load_columns(const S* x, int64_t step) {
  if (step == 1) return Pack<S, lanes<S>>::load(x);
  return Pack<S, lanes<S>>::gather(x, step);
}

// Lanes add up vectors; vectors join the tree; the columns that fill no vector come last.
template <class S>
inline S sum_of_row(const S* x, int64_t columns, int64_t step) {
  using P = Pack<S, lanes<S>>;
  constexpr int64_t width = lanes<S>, block = width * row_accumulators * row_block_steps;
  int64_t j = 0;
  S sum = 0;
  if (columns >= width) {
    PairwiseSum<S, lanes<S>, 1> tree;
    P partial[1];
    for (; j + block <= columns; j += block) {
      P lane_sums[row_accumulators];
#pragma GCC unroll 8
      for (int v = 0; v < row_accumulators; ++v) lane_sums[v] = load_columns(x + (j + v * width) * step, step);
      for (int64_t at = j + row_accumulators * width; at < j + block; at += row_accumulators * width)
#pragma GCC unroll 8
        for (int v = 0; v < row_accumulators; ++v)
          lane_sums[v] = lane_sums[v] + load_columns(x + (at + v * width) * step, step);
#pragma GCC unroll 3
      for (int distance = row_accumulators / 2; distance > 0; distance /= 2)
#pragma GCC unroll 4
        for (int v = 0; v < distance; ++v) lane_sums[v] = lane_sums[v] + lane_sums[v + distance];
      partial[0] = lane_sums[0];
      tree.add(partial);
    }
    if (j + width <= columns) {
      partial[0] = load_columns(x + j * step, step);
      for (j += width; j + width <= columns; j += width) partial[0] = partial[0] + load_columns(x + j * step, step);
      tree.add(partial);
    }
    tree.total(partial);
    if (has_masked_memory && step == 1 && j < columns) {
      partial[0] = partial[0] + load_first<S, lanes<S>>(x + j, columns - j);
      j = columns;
    }
    sum = reduce_add(partial[0]);
  }
  Wrapping<S> rest = 0;
  for (; j < columns; ++j) rest = rest + static_cast<Wrapping<S>>(x[j * step]);
  return static_cast<S>(static_cast<Wrapping<S>>(sum) + rest);
}

template <class S>
void sum(void* y, const Rows& r, bool accumulate) {
  S* out = static_cast<S*>(y);
  const S* x = static_cast<const S*>(r.x);
  if (r.row_step == 1 && r.column_step != 1 && r.columns > 0)
    return fold_neighbours<Addition>(out, x, r.rows, r.columns, r.column_step, accumulate);
  for (int64_t i = 0; i < r.rows; ++i) {
    const S row_sum = sum_of_row(x + i * r.row_step, r.columns, r.column_step);
    out[i] =
        accumulate ? static_cast<S>(static_cast<Wrapping<S>>(out[i]) + static_cast<Wrapping<S>>(row_sum)) : row_sum;
  }
}

}  // namespace
}  // namespace chainrule
