// reductions_sum.h - sums over the columns of Rows. Floor: kernels; included by reductions.cpp only.
// The order of summation depends on the number of columns, and on whether the rows are neighbours in memory
// (row_step 1, column_step not 1): never on the other rows, so a caller may split the rows as it likes.
#pragma once
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/neighbours.h"

namespace chainrule {
namespace {

constexpr int row_accumulators = 8;  // independent sums of a row in flight: they hide the latency of an addition
constexpr int row_block_steps = 8;   // vectors that each of them adds before it joins the tree
constexpr int64_t prefetched_bytes = 8192;  // how far ahead of its reading a dense row is asked for, across its end

// Integers wrap around; in C++ only the unsigned ones do.
template <class S>
using Wrapping = typename ArithmeticType<S>::type;

template <class S, bool dense>
CR_INLINE Pack<S, lanes<S>> load_columns(const S* x, int64_t step) {
  if constexpr (dense) return Pack<S, lanes<S>>::load(x);
  else return Pack<S, lanes<S>>::gather(x, step);
}

/// The sum of `vectors` whole vectors, in as many running sums as there are vectors for.
template <class S, bool dense>
CR_INLINE Pack<S, lanes<S>> sum_of_vectors(const S* x, int64_t step, int64_t vectors) {
  using P = Pack<S, lanes<S>>;
  constexpr int64_t width = lanes<S>, n = row_accumulators;
  P sums[n];
  if (vectors < n) {
    sums[0] = load_columns<S, dense>(x, step);
    for (int64_t v = 1; v < vectors; ++v) sums[0] = sums[0] + load_columns<S, dense>(x + v * width * step, step);
    return sums[0];
  }
#pragma GCC unroll 8
  for (int64_t v = 0; v < n; ++v) sums[v] = load_columns<S, dense>(x + v * width * step, step);
  int64_t at = n;
  for (; at + n <= vectors; at += n)
#pragma GCC unroll 8
    for (int64_t v = 0; v < n; ++v) {
      const S* p = x + (at + v) * width * step;
      if constexpr (dense) __builtin_prefetch(reinterpret_cast<const char*>(p) + prefetched_bytes);
      sums[v] = sums[v] + load_columns<S, dense>(p, step);
    }
  for (int64_t v = 0; at < vectors; ++v, ++at) sums[v] = sums[v] + load_columns<S, dense>(x + at * width * step, step);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// Blocks of vectors join the tree; the columns that fill no vector come last.
template <class S, bool dense>
inline S sum_of_row(const S* x, int64_t columns, int64_t step) {
  using P = Pack<S, lanes<S>>;
  constexpr int64_t width = lanes<S>, block = row_accumulators * row_block_steps;
  const int64_t vectors = columns / width;
  S result = 0;
  int64_t j = vectors * width;
  if (vectors > 0) {
    P total[1];
    if (vectors <= block) {
      total[0] = sum_of_vectors<S, dense>(x, step, vectors);
    } else {
      PairwiseSum<S, lanes<S>, 1> tree;
      for (int64_t at = 0; at < vectors; at += block) {
        total[0] = sum_of_vectors<S, dense>(x + at * width * step, step, vectors - at < block ? vectors - at : block);
        tree.add(total);
      }
      tree.total(total);
    }
    if (has_masked_memory && dense && j < columns) {
      total[0] = total[0] + load_first<S, lanes<S>>(x + j, columns - j);
      j = columns;
    }
    result = reduce_add(total[0]);
  }
  Wrapping<S> rest = 0;
  for (; j < columns; ++j) rest = rest + static_cast<Wrapping<S>>(x[j * step]);
  return static_cast<S>(static_cast<Wrapping<S>>(result) + rest);
}

template <class S>
void sum(void* y, const Rows& r, bool accumulate) {
  S* out = static_cast<S*>(y);
  const S* x = static_cast<const S*>(r.x);
  if (r.row_step == 1 && r.column_step != 1 && r.columns > 0)
    return fold_neighbours<Addition>(out, x, r.rows, r.columns, r.column_step, accumulate);
  for (int64_t i = 0; i < r.rows; ++i) {
    const S* row = x + i * r.row_step;
    const S sum = r.column_step == 1 ? sum_of_row<S, true>(row, r.columns, 1)
                                     : sum_of_row<S, false>(row, r.columns, r.column_step);
    out[i] = accumulate ? static_cast<S>(static_cast<Wrapping<S>>(out[i]) + static_cast<Wrapping<S>>(sum)) : sum;
  }
}

}  // namespace
}  // namespace chainrule
