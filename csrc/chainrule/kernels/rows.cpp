// rows.cpp - softmax, log_softmax, logsumexp and cross entropy of rows, float32 and float64. Compiled once per level.
// Floor: kernels. The largest element is subtracted before exp. -inf and +inf give what PyTorch gives: softmax and
// log_softmax of a row of -inf only, or with +inf, hold NaN; its logsumexp is -inf, or +inf. A NaN need not be looked
// for: its exponential makes the sum NaN. Dense rows are worked on one at a time in three passes over the first level
// cache; rows that are neighbours in memory (softmax over dim 0) many at a time, a lane each, in memory order.
// Bits never depend on the other rows.
#include "chainrule/kernels/rows.h"
#include "chainrule/kernels/neighbours.h"

namespace chainrule {
namespace {

// ---- Rows that are neighbours: strips of them in memory order --------------------------------------------------

/// Of one strip. Longer ones would not stay in the second level cache from pass to pass, shorter ones would read
/// memory in pieces too small for it.
constexpr int64_t row_strip_bytes = 2048;

template <class S>
struct Strips {
  static constexpr int64_t length = row_strip_bytes / static_cast<int64_t>(sizeof(S));
  S shift[length], sum[length];
};

/// f(i, rows) for packs of n rows.
template <class S, class F>
CR_INLINE void for_packs(int64_t n, const F& f) {
  constexpr int64_t width = lanes<S>;
  int64_t i = 0;
  for (; i + width <= n; i += width) f(i, RowPack<S, false>{width});
  if (i < n) f(i, RowPack<S, true>{n - i});
}

struct LargestNumber {
  template <class P>
  static P pick(P a, P b) {
    return select(b > a, b, a);
  }
};

/// Calls strip(first row, rows in it) for all rows.
template <class S, class F>
inline void for_strips(int64_t rows, const F& strip) {
  for (int64_t i = 0; i < rows; i += Strips<S>::length)
    strip(i, rows - i < Strips<S>::length ? rows - i : Strips<S>::length);
}

/// strips.shift = the largest of each row; NaN or not.
template <class S>
inline void find_shifts(Strips<S>& strips, const S* x, int64_t n, const Rows& r) {
  fold_neighbours<LargestNumber>(strips.shift, x, n, r.columns, r.column_step, false);
}

/// strips.sum = sum over the columns of term(offset, i, rows). Long sums in blocks, then those: the error stays small.
template <class S, class Term>
CR_INLINE void sum_strip(S* sum, int64_t n, const Rows& r, const Term& term) {
  S block[Strips<S>::length];
  for_packs<S>(n, [&](int64_t i, auto rows) { rows.store(Wide<S>(0), sum + i); });
  for (int64_t begin = 0; begin < r.columns; begin += column_block) {
    const int64_t end = r.columns - begin < column_block ? r.columns : begin + column_block;
    for_packs<S>(n, [&](int64_t i, auto rows) { rows.store(Wide<S>(0), block + i); });
    for (int64_t j = begin; j < end; ++j)
      for_packs<S>(n, [&](int64_t i, auto rows) CR_INLINE_BODY {
        rows.store(rows.load(block + i) + term(j * r.column_step + i, i, rows), block + i);
      });
    for_packs<S>(n, [&](int64_t i, auto rows) { rows.store(rows.load(sum + i) + rows.load(block + i), sum + i); });
  }
}

/// y = f(offset, i, rows) for every element of a strip.
template <class S, class F>
CR_INLINE void map_strip(S* y, int64_t n, const Rows& r, const F& f) {
  for (int64_t j = 0; j < r.columns; ++j)
    for_packs<S>(n, [&](int64_t i, auto rows)
                        CR_INLINE_BODY { rows.store(f(j * r.column_step + i, i, rows), y + j * r.column_step + i); });
}

// ---- Forward ----------------------------------------------------------------------------------------------

template <class S>
void softmax_of_neighbours(S* out, const Rows& r) {
  Strips<S> strips;
  for_strips<S>(r.rows, [&](int64_t first, int64_t n) {
    const S* x = static_cast<const S*>(r.x) + first;
    S* y = out + first;
    find_shifts(strips, x, n, r);
    sum_strip(strips.sum, n, r, [&](int64_t at, int64_t i, auto rows) CR_INLINE_BODY {
      const Wide<S> e = exp(rows.load(x + at) - rows.load(strips.shift + i));
      rows.store(e, y + at);
      return e;
    });
    for_packs<S>(n, [&](int64_t i, auto rows) { rows.store(1 / rows.load(strips.sum + i), strips.shift + i); });
    map_strip(y, n, r, [&](int64_t at, int64_t i, auto rows) CR_INLINE_BODY {
      Divider<Wide<S>> divide{1};
      divide.divisor = rows.load(strips.sum + i);
      divide.inverse = rows.load(strips.shift + i);
      return divide(rows.load(y + at));
    });
  });
}

template <class S>
void softmax(void* out, const Rows& r) {
  if (are_neighbours(r)) return softmax_of_neighbours(static_cast<S*>(out), r);
  for (int64_t i = 0; i < r.rows; ++i) {
    const S* x = static_cast<const S*>(r.x) + i * r.row_step;
    S* y = static_cast<S*>(out) + i * r.row_step;
    const S sum = sum_of_exp<true>(x, r.columns, largest(x, r.columns), y);
    const Divider<Wide<S>> divide{Wide<S>::splat(&sum)};
    map_row(y, r.columns, divide, y);
  }
}

template <class S>
void log_softmax(void* out, const Rows& r) {
  if (are_neighbours(r)) {
    Strips<S> strips;
    return for_strips<S>(r.rows, [&](int64_t first, int64_t n) {
      const S* x = static_cast<const S*>(r.x) + first;
      find_shifts(strips, x, n, r);
      sum_strip(strips.sum, n, r, [&](int64_t at, int64_t i, auto rows) CR_INLINE_BODY {
        return exp(rows.load(x + at) - rows.load(strips.shift + i));
      });
      for_packs<S>(n, [&](int64_t i, auto rows) { rows.store(log(rows.load(strips.sum + i)), strips.sum + i); });
      map_strip(static_cast<S*>(out) + first, n, r, [&](int64_t at, int64_t i, auto rows) {
        return (rows.load(x + at) - rows.load(strips.shift + i)) - rows.load(strips.sum + i);
      });
    });
  }
  for (int64_t i = 0; i < r.rows; ++i) {
    const S* x = static_cast<const S*>(r.x) + i * r.row_step;
    const S shift = largest(x, r.columns);
    const S log_sum = log_of(sum_of_exp<false, S>(x, r.columns, shift, nullptr));
    const Wide<S> first = Wide<S>::splat(&shift), second = Wide<S>::splat(&log_sum);
    map_row(static_cast<S*>(out) + i * r.row_step, r.columns, [&](Wide<S> v) { return (v - first) - second; }, x);
  }
}

template <class S>
void logsumexp(void* out, const Rows& r, bool) {
  S* const y = static_cast<S*>(out);
  if (are_neighbours(r) && r.columns > 0) {
    Strips<S> strips;
    return for_strips<S>(r.rows, [&](int64_t first, int64_t n) {
      const S* x = static_cast<const S*>(r.x) + first;
      find_shifts(strips, x, n, r);
      for_packs<S>(
          n, [&](int64_t i, auto rows) { rows.store(finite_or_zero(rows.load(strips.shift + i)), strips.shift + i); });
      sum_strip(strips.sum, n, r, [&](int64_t at, int64_t i, auto rows) CR_INLINE_BODY {
        return exp(rows.load(x + at) - rows.load(strips.shift + i));
      });
      for_packs<S>(n, [&](int64_t i, auto rows) {
        rows.store(log(rows.load(strips.sum + i)) + rows.load(strips.shift + i), y + first + i);
      });
    });
  }
  logsumexp_of_rows<S>(r, [&](int64_t i, S value) { y[i] = value; });
}

// ---- Backward ---------------------------------------------------------------------------------------------

/// gx[j] = rule.gradient(gy[j], y[j], sum over j of rule.term(gy[j], y[j])).
template <class S, class Rule>
void row_backward(void* gx, const Rows& r, const void* y) {
  if (are_neighbours(r)) {
    Strips<S> strips;
    return for_strips<S>(r.rows, [&](int64_t first, int64_t n) {
      const S* g = static_cast<const S*>(r.x) + first;
      const S* v = static_cast<const S*>(y) + first;
      sum_strip(strips.sum, n, r,
                [&](int64_t at, int64_t, auto rows) { return Rule::term(rows.load(g + at), rows.load(v + at)); });
      map_strip(static_cast<S*>(gx) + first, n, r, [&](int64_t at, int64_t i, auto rows) CR_INLINE_BODY {
        return Rule::gradient(rows.load(g + at), rows.load(v + at), rows.load(strips.sum + i));
      });
    });
  }
  for (int64_t i = 0; i < r.rows; ++i) {
    const S* g = static_cast<const S*>(r.x) + i * r.row_step;
    const S* v = static_cast<const S*>(y) + i * r.row_step;
    const S total = sum_terms<S>(
        r.columns, [&](int64_t j, auto pack) CR_INLINE_BODY { return Rule::term(pack.load(g + j), pack.load(v + j)); });
    const Wide<S> sum = Wide<S>::splat(&total);
    map_row(
        static_cast<S*>(gx) + i * r.row_step, r.columns,
        [&](Wide<S> a, Wide<S> b) { return Rule::gradient(a, b, sum); }, g, v);
  }
}

struct SoftmaxRule {
  template <class P>
  static P term(P gy, P y) {
    return gy * y;
  }
  template <class P>
  static P gradient(P gy, P y, P sum) {
    return y * (gy - sum);
  }
};
struct LogSoftmaxRule {
  template <class P>
  static P term(P gy, P) {
    return gy;
  }
  template <class P>
  static P gradient(P gy, P y, P sum) {
    return gy - exp(y) * sum;
  }
};

}  // namespace

template <>
RowKernels row_kernels<level>() {
  return {.softmax = {&softmax<float>, &softmax<double>},
          .log_softmax = {&log_softmax<float>, &log_softmax<double>},
          .softmax_backward = {&row_backward<float, SoftmaxRule>, &row_backward<double, SoftmaxRule>},
          .log_softmax_backward = {&row_backward<float, LogSoftmaxRule>, &row_backward<double, LogSoftmaxRule>},
          .logsumexp = {&logsumexp<float>, &logsumexp<double>}};
}

}  // namespace chainrule
