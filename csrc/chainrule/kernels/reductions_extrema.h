// reductions_extrema.h - maximum, minimum, argmax and argmin over the columns of Rows, all dtypes. Floor:
// kernels; included by reductions.cpp only. A row with NaN has the extremum NaN; the position is that of the
// first NaN, else of the first of equals. No result depends on the case by which it is found, but for the
// sign of an extremum of zeros.
#pragma once
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/neighbours.h"

namespace chainrule {
namespace {

struct Largest {
  template <class P>
  static P pick(P a, P b) {
    return max_or_nan(a, b);
  }
  template <class S>
  static S pick_lane(S a, S b) {
    return a > b || a != a ? a : b;
  }
  template <class P>
  static auto of_lanes(P a) {
    return reduce_max(a);
  }
};
struct Smallest {
  template <class P>
  static P pick(P a, P b) {
    return min_or_nan(a, b);
  }
  template <class S>
  static S pick_lane(S a, S b) {
    return a < b || a != a ? a : b;
  }
  template <class P>
  static auto of_lanes(P a) {
    return reduce_min(a);
  }
};

template <class S, int N>
inline Pack<S, N> load_stepped(const S* x, int64_t step) {
  if (step == 1) return Pack<S, N>::load(x);
  return Pack<S, N>::gather(x, step);
}

// ---- Extrema ----------------------------------------------------------------------------------------------

template <class Which, class S>
inline S extremum_of_row(const S* x, int64_t columns, int64_t step) {
  constexpr int64_t width = lanes<S>, unrolled = 4 * width;
  const auto at = [=](int64_t j) { return load_stepped<S, lanes<S>>(x + j * step, step); };
  if (columns < width) {
    S best = x[0];
    for (int64_t j = 1; j < columns; ++j) best = Which::pick_lane(best, x[j * step]);
    return best;
  }
  auto best = at(0);
  int64_t j = width;
  if (columns >= unrolled) {
    auto best1 = at(width), best2 = at(2 * width), best3 = at(3 * width);
    for (j = unrolled; j + unrolled <= columns; j += unrolled) {
      best = Which::pick(best, at(j));
      best1 = Which::pick(best1, at(j + width));
      best2 = Which::pick(best2, at(j + 2 * width));
      best3 = Which::pick(best3, at(j + 3 * width));
    }
    best = Which::pick(Which::pick(best, best1), Which::pick(best2, best3));
  }
  for (; j + width <= columns; j += width) best = Which::pick(best, at(j));
  return Which::of_lanes(Which::pick(best, at(columns - width)));  // seeing a column twice changes nothing
}

/// Each lane has a row of its own.
template <class Which, class S, int N, int vectors>
inline void extrema_of_neighbours(Pack<S, N> (&best)[vectors], const S* x, int64_t columns, int64_t column_step) {
  using P = Pack<S, N>;
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) best[v] = P::load(x + v * N);
  for (int64_t j = 1; j < columns; ++j)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) best[v] = Which::pick(best[v], P::load(x + j * column_step + v * N));
}

template <class Which, class S>
void extremum(void* y, const Rows& r, bool accumulate) {
  S* out = static_cast<S*>(y);
  const S* x = static_cast<const S*>(r.x);
  if (r.row_step == 1 && r.column_step != 1)
    return fold_neighbours<Which>(out, x, r.rows, r.columns, r.column_step, accumulate);
  for (int64_t i = 0; i < r.rows; ++i) {
    const S best = extremum_of_row<Which>(x + i * r.row_step, r.columns, r.column_step);
    out[i] = accumulate ? Which::pick_lane(out[i], best) : best;
  }
}

// ---- Positions: the extremum first, then the first column that holds it -----------------------------------

// NaN among the columns means that the extremum is NaN, which nothing equals: then the first NaN is the
// answer.
template <class P>
inline auto holds(P x, P best) {
  return equal(x, best) | isnan(x);
}

template <class Which, class S>
inline int64_t position_in_row(const S* x, int64_t columns, int64_t step) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  const S best_lane = extremum_of_row<Which>(x, columns, step);
  const P best = P::splat(&best_lane);
  int64_t j = 0;
  while (j + width <= columns && !any(holds(load_stepped<S, width>(x + j * step, step), best))) j += width;
  while (j + 1 < columns && x[j * step] == x[j * step] && x[j * step] != best_lane) ++j;
  return j;
}

template <class Which, class S>
inline void positions_of_neighbours(int64_t* index, const S* x, int64_t columns, int64_t column_step) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  P best[1];
  extrema_of_neighbours<Which>(best, x, columns, column_step);
  auto missing = equal(P(0), P(0));
  for (int64_t j = 0; j < columns && any(missing); ++j) {
    const auto found = holds(P::load(x + j * column_step), best[0]) & missing;
    if (!any(found)) continue;
    missing = missing & ~found;
    for (int lane = 0; lane < width; ++lane)
      if (found.raw[lane]) index[lane] = j;
  }
}

template <class Which, class S>
void position_of_extremum(int64_t* index, const Rows& r) {
  const S* x = static_cast<const S*>(r.x);
  constexpr int width = lanes<S>;
  int64_t i = 0;
  if (r.row_step == 1 && r.column_step != 1)
    for (; i + width <= r.rows; i += width) positions_of_neighbours<Which>(index + i, x + i, r.columns, r.column_step);
  for (; i < r.rows; ++i) index[i] = position_in_row<Which>(x + i * r.row_step, r.columns, r.column_step);
}

}  // namespace
}  // namespace chainrule
