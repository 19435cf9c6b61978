// reductions_sum.h - sums over the columns of Rows. Floor: kernels; included by reductions.cpp only.
// The order of summation depends on the number of columns, and on whether the rows are neighbours in memory
// (row_step 1, column_step not 1): never on the other rows, so a caller may split the rows as it likes.
#pragma once
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/pairwise.h"

namespace chainrule {
namespace {

constexpr int row_accumulators = 8;    // independent sums in flight: they hide the latency of an addition
constexpr int row_block_steps = 8;     // vectors that each of them adds before it joins the tree
constexpr int column_block = 32;       // columns added one after the other before they join the tree
constexpr int neighbour_vectors = 8;   // vectors of neighbouring rows summed side by side

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
    sum = reduce_add(partial[0]);
  }
  Wrapping<S> rest = 0;
  for (; j < columns; ++j) rest = rest + static_cast<Wrapping<S>>(x[j * step]);
  return static_cast<S>(static_cast<Wrapping<S>>(sum) + rest);
}

// Each lane sums one row. Every lane does the same whatever N and `vectors` are.
template <class S, int N, int vectors>
inline void sum_of_neighbours(S* y, const S* x, int64_t columns, int64_t column_step, bool accumulate) {
  using P = Pack<S, N>;
  PairwiseSum<S, N, vectors> tree;
  P sum[vectors];
  for (int64_t begin = 0; begin < columns; begin += column_block) {
    const int64_t end = columns - begin < column_block ? columns : begin + column_block;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[v] = P::load(x + begin * column_step + v * N);
    for (int64_t j = begin + 1; j < end; ++j)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[v] = sum[v] + P::load(x + j * column_step + v * N);
    tree.add(sum);
  }
  tree.total(sum);
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    if (accumulate) sum[v] = P::load(y + v * N) + sum[v];
    sum[v].store(y + v * N);
  }
}

template <class S>
void sum(void* y, const Rows& r, bool accumulate) {
  S* out = static_cast<S*>(y);
  const S* x = static_cast<const S*>(r.x);
  constexpr int width = lanes<S>;
  int64_t i = 0;
  if (r.row_step == 1 && r.column_step != 1) {
    for (; i + width * neighbour_vectors <= r.rows; i += width * neighbour_vectors)
      sum_of_neighbours<S, width, neighbour_vectors>(out + i, x + i, r.columns, r.column_step, accumulate);
    for (; i + width <= r.rows; i += width)
      sum_of_neighbours<S, width, 1>(out + i, x + i, r.columns, r.column_step, accumulate);
    for (; i < r.rows; ++i) sum_of_neighbours<S, 1, 1>(out + i, x + i, r.columns, r.column_step, accumulate);
    return;
  }
  for (; i < r.rows; ++i) {
    const S row_sum = sum_of_row(x + i * r.row_step, r.columns, r.column_step);
    out[i] =
        accumulate ? static_cast<S>(static_cast<Wrapping<S>>(out[i]) + static_cast<Wrapping<S>>(row_sum)) : row_sum;
  }
}

}  // namespace
}  // namespace chainrule
