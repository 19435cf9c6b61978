// rows.cpp - softmax, log_softmax and logsumexp of rows, float32 and float64. Compiled once per level. Floor:
// kernels. The largest element is subtracted before exp. -inf and +inf give what PyTorch gives: softmax and
// log_softmax of a row of -inf only, or with +inf, hold NaN; its logsumexp is -inf, or +inf. Long rows are
// worked on one at a time; short rows, and rows that are neighbours in memory, side by side, a lane each.
// Which of the two depends on the number of columns and the steps, so that bits never depend on the other
// rows.
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/pairwise.h"
#include "chainrule/kernels/simd_math.h"

namespace chainrule {
namespace {

constexpr double infinity = __builtin_inf();
constexpr int sum_block_vectors = 16;  // vectors added one after the other before they join the tree

template <class S>
using Wide = Pack<S, lanes<S>>;

template <class S>
inline Wide<S> load_padded(const S* x, int64_t step, int64_t count, S padding) {
  S lane[lanes<S>];
  for (int64_t k = 0; k < lanes<S>; ++k) lane[k] = k < count ? x[k * step] : padding;
  return Wide<S>::load(lane);
}

template <class S>
inline void store_first(Wide<S> value, S* y, int64_t count) {
  S lane[lanes<S>];
  value.store(lane);
  for (int64_t k = 0; k < count; ++k) y[k] = lane[k];
}

template <class S>
inline Wide<S> load_columns(const S* x, int64_t step) {
  if (step == 1) return Wide<S>::load(x);
  return Wide<S>::gather(x, step);
}

/// y[j] = f(x[0][j], x[1][j], ...) for dense rows.
template <class S, class F, class... X>
inline void map_row(S* y, int64_t columns, const F& f, const X*... x) {
  constexpr int64_t width = lanes<S>;
  int64_t j = 0;
  for (; j + width <= columns; j += width) f(Wide<S>::load(x + j)...).store(y + j);
  if (j < columns) store_first(f(load_padded(x + j, 1, columns - j, S(0))...), y + j, columns - j);
}

/// Sum over j of term(j, count): the pack of columns [j, j + count), the lanes from count on adding nothing.
template <class S, class Term>
inline S sum_terms(int64_t columns, const Term& term) {
  constexpr int64_t width = lanes<S>;
  PairwiseSum<S, lanes<S>, 1> tree;
  Wide<S> sum[1];
  for (int64_t begin = 0; begin < columns; begin += sum_block_vectors * width) {
    const int64_t end = columns - begin < sum_block_vectors * width ? columns : begin + sum_block_vectors * width;
    sum[0] = Wide<S>(0);
    int64_t j = begin;
    for (; j + width <= end; j += width) sum[0] = sum[0] + term(j, width);
    if (j < end) sum[0] = sum[0] + term(j, end - j);
    tree.add(sum);
  }
  tree.total(sum);
  return reduce_add(sum[0]);
}

template <class S>
inline S largest(const S* x, int64_t columns, int64_t step) {
  constexpr int64_t width = lanes<S>;
  Wide<S> best = -infinity;
  int64_t j = 0;
  for (; j + width <= columns; j += width) best = max_or_nan(best, load_columns(x + j * step, step));
  if (j < columns) best = max_or_nan(best, load_padded(x + j * step, step, columns - j, S(-infinity)));
  return reduce_max(best);
}

/// Sum of exp(x[j] - shift); also stores the terms where `terms` is not null.
template <class S>
inline S sum_of_exp(const S* x, int64_t columns, int64_t step, S shift, S* terms) {
  constexpr int64_t width = lanes<S>;
  const Wide<S> subtracted = Wide<S>::splat(&shift);
  return sum_terms<S>(columns, [&](int64_t j, int64_t count) {
    const S* at = x + j * step;
    if (count == width) {
      const Wide<S> e = exp(load_columns(at, step) - subtracted);
      if (terms) e.store(terms + j);
      return e;
    }
    // exp of -infinity is the padding's zero, but -infinity - shift is NaN where shift is infinite: then all
    // is NaN.
    const Wide<S> e = exp(load_padded(at, step, count, S(-infinity)) - subtracted);
    if (terms) store_first(e, terms + j, count);
    return e;
  });
}

template <class S>
inline S log_of(S x) {
  return log(Wide<S>::splat(&x))[0];
}

template <class S>
inline Wide<S> load_or_zero(const S* x, int64_t count) {
  return count == lanes<S> ? Wide<S>::load(x) : load_padded(x, 1, count, S(0));
}

// ---- Rows side by side: lane k of every pack belongs to row k ---------------------------------------------

constexpr int64_t short_row = 32;

inline bool side_by_side(const Rows& r) { return r.columns <= short_row || (r.row_step == 1 && r.column_step != 1); }

/// N rows beginning at x; column j of all of them is one pack.
template <class S, int N>
struct Lanes {
  const S* x;
  int64_t row_step, column_step;
  Pack<S, N> operator[](int64_t j) const {
    if (row_step == 1) return Pack<S, N>::load(x + j * column_step);
    return Pack<S, N>::gather(x + j * column_step, row_step);
  }
};

/// Calls work.template operator()<N>(i) for rows [i, i + N).
template <class S, class Work>
inline void for_each_group_of_rows(int64_t rows, const Work& work) {
  int64_t i = 0;
  for (; i + lanes<S> <= rows; i += lanes<S>) work.template operator()<lanes<S>>(i);
  for (; i < rows; ++i) work.template operator()<1>(i);
}

template <class S, int N>
inline Pack<S, N> largest(const Lanes<S, N>& x, int64_t columns) {
  Pack<S, N> best = -infinity;
  for (int64_t j = 0; j < columns; ++j) best = max_or_nan(best, x[j]);
  return best;
}

template <class S, int N, class Term>
inline Pack<S, N> sum_lanes(int64_t columns, const Term& term) {
  PairwiseSum<S, N, 1> tree;
  Pack<S, N> sum[1];
  for (int64_t begin = 0; begin < columns; begin += short_row) {
    const int64_t end = columns - begin < short_row ? columns : begin + short_row;
    sum[0] = term(begin);
    for (int64_t j = begin + 1; j < end; ++j) sum[0] = sum[0] + term(j);
    tree.add(sum);
  }
  tree.total(sum);
  return sum[0];
}

// ---- Forward ----------------------------------------------------------------------------------------------

/// Long rows that are not dense are first copied to where the result goes. Calls row(y, x) for each.
template <class S, class Row>
inline void for_each_dense_row(void* y, const Rows& r, const Row& row) {
  for (int64_t i = 0; i < r.rows; ++i) {
    S* out = static_cast<S*>(y) + i * r.columns;
    const S* x = static_cast<const S*>(r.x) + i * r.row_step;
    if (r.column_step != 1) {
      for (int64_t j = 0; j < r.columns; ++j) out[j] = x[j * r.column_step];
      x = out;
    }
    row(out, x);
  }
}

template <class S>
void softmax(void* out, const Rows& r) {
  if (side_by_side(r)) {
    return for_each_group_of_rows<S>(r.rows, [&]<int N>(int64_t i) {
      const Lanes<S, N> x{static_cast<const S*>(r.x) + i * r.row_step, r.row_step, r.column_step};
      S* y = static_cast<S*>(out) + i * r.columns;
      const Pack<S, N> shift = largest(x, r.columns);
      const Pack<S, N> sum = sum_lanes<S, N>(r.columns, [&](int64_t j) {
        const Pack<S, N> e = exp(x[j] - shift);
        e.scatter(y + j, r.columns);
        return e;
      });
      for (int64_t j = 0; j < r.columns; ++j) (Pack<S, N>::gather(y + j, r.columns) / sum).scatter(y + j, r.columns);
    });
  }
  for_each_dense_row<S>(out, r, [&](S* y, const S* x) {
    const S sum = sum_of_exp(x, r.columns, 1, largest(x, r.columns, 1), y);
    const Wide<S> divisor = Wide<S>::splat(&sum);
    map_row(y, r.columns, [&](Wide<S> e) { return e / divisor; }, y);
  });
}

template <class S>
void log_softmax(void* out, const Rows& r) {
  if (side_by_side(r)) {
    return for_each_group_of_rows<S>(r.rows, [&]<int N>(int64_t i) {
      const Lanes<S, N> x{static_cast<const S*>(r.x) + i * r.row_step, r.row_step, r.column_step};
      S* y = static_cast<S*>(out) + i * r.columns;
      const Pack<S, N> shift = largest(x, r.columns);
      const Pack<S, N> log_sum = log(sum_lanes<S, N>(r.columns, [&](int64_t j) { return exp(x[j] - shift); }));
      for (int64_t j = 0; j < r.columns; ++j) ((x[j] - shift) - log_sum).scatter(y + j, r.columns);
    });
  }
  for_each_dense_row<S>(out, r, [&](S* y, const S* x) {
    const S shift = largest(x, r.columns, 1);
    const S log_sum = log_of(sum_of_exp<S>(x, r.columns, 1, shift, nullptr));
    const Wide<S> first = Wide<S>::splat(&shift), second = Wide<S>::splat(&log_sum);
    map_row(y, r.columns, [&](Wide<S> v) { return (v - first) - second; }, x);
  });
}

template <class S>
void logsumexp(void* out, const Rows& r, bool) {
  if (side_by_side(r)) {
    return for_each_group_of_rows<S>(r.rows, [&]<int N>(int64_t i) {
      const Lanes<S, N> x{static_cast<const S*>(r.x) + i * r.row_step, r.row_step, r.column_step};
      Pack<S, N> shift = largest(x, r.columns);
      shift = select(equal(abs(shift), infinity), 0, shift);  // the sum is then infinite or zero by itself
      const Pack<S, N> sum = sum_lanes<S, N>(r.columns, [&](int64_t j) { return exp(x[j] - shift); });
      (log(sum) + shift).store(static_cast<S*>(out) + i);
    });
  }
  for (int64_t i = 0; i < r.rows; ++i) {
    const S* x = static_cast<const S*>(r.x) + i * r.row_step;
    S shift = largest(x, r.columns, r.column_step);
    if (shift == S(infinity) || shift == S(-infinity)) shift = 0;
    static_cast<S*>(out)[i] = log_of(sum_of_exp<S>(x, r.columns, r.column_step, shift, nullptr)) + shift;
  }
}

// ---- Backward ---------------------------------------------------------------------------------------------

/// gx[j] = rule.gradient(gy[j], y[j], sum over j of rule.term(gy[j], y[j])).
template <class S, class Rule>
void row_backward(void* gx, const void* gy, const void* y, int64_t rows, int64_t columns) {
  const S* const g = static_cast<const S*>(gy);
  const S* const v = static_cast<const S*>(y);
  S* const out = static_cast<S*>(gx);
  if (columns <= short_row) {
    return for_each_group_of_rows<S>(rows, [&]<int N>(int64_t i) {
      const Lanes<S, N> gs{g + i * columns, columns, 1}, vs{v + i * columns, columns, 1};
      const Pack<S, N> sum = sum_lanes<S, N>(columns, [&](int64_t j) { return Rule::term(gs[j], vs[j]); });
      for (int64_t j = 0; j < columns; ++j) Rule::gradient(gs[j], vs[j], sum).scatter(out + i * columns + j, columns);
    });
  }
  for (int64_t at = 0; at < rows * columns; at += columns) {
    const S total = sum_terms<S>(columns, [&](int64_t j, int64_t count) {
      return Rule::term(load_or_zero(g + at + j, count), load_or_zero(v + at + j, count));
    });
    const Wide<S> sum = Wide<S>::splat(&total);
    map_row(out + at, columns, [&](Wide<S> a, Wide<S> b) { return Rule::gradient(a, b, sum); }, g + at, v + at);
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
