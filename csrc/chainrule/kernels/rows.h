// rows.h - what the kernels of single dense rows share: sums, maxima and maps over the columns, exp of a row, the
// quotient of a row by a number. Floor: kernels; anonymous namespace like simd.h.
// The order of summation depends on the number of columns only.
#pragma once
#include "chainrule/kernels/neighbours.h"
#include "chainrule/kernels/simd_math.h"

namespace chainrule {
namespace {

constexpr double infinity = __builtin_inf();
constexpr int sum_block_vectors = 32;  // vectors added one after the other before they join the tree

template <class S>
using Wide = Pack<S, lanes<S>>;

inline bool are_neighbours(const Rows& r) { return r.row_step == 1 && r.column_step != 1; }

// ---- One dense row ------------------------------------------------------------------------------------------

/// y[j] = f(x[0][j], x[1][j], ...).
template <class S, class F, class... X>
inline void map_row(S* y, int64_t columns, const F& f, const X*... x) {
  constexpr int64_t width = lanes<S>;
  int64_t j = 0;
  for (; j + width <= columns; j += width) f(Wide<S>::load(x + j)...).store(y + j);
  if (j < columns) store_first(f(load_first<S, lanes<S>>(x + j, columns - j)...), y + j, columns - j);
}

/// Sum over j of term(j, rows): the pack of columns from j on, all of them or the first few.
template <class S, class Term>
CR_INLINE S sum_terms(int64_t columns, const Term& term) {
  constexpr int64_t width = lanes<S>;
  PairwiseSum<S, lanes<S>, 1> tree;
  Wide<S> sum[1] = {0};
  int64_t j = 0;
  while (true) {
    Wide<S> other = 0;
    const int64_t rest = columns - j, end = rest < sum_block_vectors * width ? columns : j + sum_block_vectors * width;
    for (; j + 2 * width <= end; j += 2 * width) {
      sum[0] = sum[0] + term(j, RowPack<S, false>{width});
      other = other + term(j + width, RowPack<S, false>{width});
    }
    if (j < end) {
      const int64_t count = end - j < width ? end - j : width;
      sum[0] = sum[0] + term(j, RowPack<S, true>{count});
      if (j + count < end) other = other + term(j + count, RowPack<S, true>{end - j - count});
      j = end;
    }
    sum[0] = sum[0] + other;
    if (columns <= sum_block_vectors * width) break;
    tree.add(sum);
    sum[0] = 0;
    if (j < columns) continue;
    tree.total(sum);
    break;
  }
  return reduce_add(sum[0]);
}

/// The largest element that is not NaN.
template <class S>
inline S largest(const S* x, int64_t columns) {
  constexpr int64_t width = lanes<S>;
  const auto pick = [](Wide<S> best, Wide<S> v) { return select(v > best, v, best); };
  Wide<S> best = -infinity, best1 = best, best2 = best, best3 = best;
  int64_t j = 0;
  for (; j + 4 * width <= columns; j += 4 * width) {
    best = pick(best, Wide<S>::load(x + j));
    best1 = pick(best1, Wide<S>::load(x + j + width));
    best2 = pick(best2, Wide<S>::load(x + j + 2 * width));
    best3 = pick(best3, Wide<S>::load(x + j + 3 * width));
  }
  for (; j + width <= columns; j += width) best = pick(best, Wide<S>::load(x + j));
  if (j < columns) best1 = pick(best1, load_first<S, lanes<S>>(x + j, columns - j, S(-infinity)));
  return reduce_max(pick(pick(best, best1), pick(best2, best3)));
}

// The padding is the shift: exp of something far below would become subnormal, which is slow.
template <class S, bool partial>
CR_INLINE Wide<S> exp_of(const S* x, RowPack<S, partial> columns, Wide<S> shift) {
  if constexpr (partial)
    return keep_first(exp(load_first<S, lanes<S>>(x, columns.count, shift[0]) - shift), columns.count);
  else return exp(Wide<S>::load(x) - shift);
}

/// Sum of exp(x[j] - shift); also stores the terms where asked.
template <bool stored, class S>
inline S sum_of_exp(const S* x, int64_t columns, S shift, S* terms) {
  const Wide<S> subtracted = Wide<S>::splat(&shift);
  return sum_terms<S>(columns, [&](int64_t j, auto pack) CR_INLINE_BODY {
    const Wide<S> e = exp_of(x + j, pack, subtracted);
    if constexpr (stored) pack.store(e, terms + j);
    return e;
  });
}

template <class S>
inline S log_of(S x) {
  return log(Wide<S>::splat(&x))[0];
}

// Lanes where the shift of a logsumexp would be infinite: the sum is then infinite or zero by itself.
template <class P>
inline P finite_or_zero(P shift) {
  return select(equal(abs(shift), infinity), 0, shift);
}

/// Many quotients by one divisor: multiplied by its inverse, and corrected by the remainder where that costs one
/// instruction. As exact as a division for 0 <= x <= divisor.
template <class P>
struct Divider {
  P divisor, inverse;
  explicit Divider(P d) : divisor(d), inverse(1 / d) {}
  P operator()(P x) const {
#if defined(__FMA__)
    const P quotient = x * inverse;
    return fma(fma(-quotient, divisor, x), inverse, quotient);
#else
    return x / divisor;
#endif
  }
};

// Of a row whose largest element is infinite the sum is infinite or zero by itself.
constexpr int64_t logarithms_at_once = 64;

/// take(i, log(sum over j of exp(x(i, j)))) for dense rows; the logarithms a vector at a time.
template <class S, class Take>
inline void logsumexp_of_rows(const Rows& r, const Take& take) {
  S shift[logarithms_at_once], sum[logarithms_at_once];
  for (int64_t first = 0; first < r.rows; first += logarithms_at_once) {
    const int64_t n = r.rows - first < logarithms_at_once ? r.rows - first : logarithms_at_once;
    for (int64_t i = 0; i < n; ++i) {
      const S* x = static_cast<const S*>(r.x) + (first + i) * r.row_step;
      shift[i] = largest(x, r.columns);
      if (shift[i] == S(infinity) || shift[i] == S(-infinity)) shift[i] = 0;
      sum[i] = sum_of_exp<false, S>(x, r.columns, shift[i], nullptr);
    }
    map_row(sum, n, [](Wide<S> s) { return log(s); }, sum);
    for (int64_t i = 0; i < n; ++i) take(first + i, sum[i] + shift[i]);
  }
}

}  // namespace
}  // namespace chainrule
