// rows.cpp - softmax, log_softmax and logsumexp of rows, float32 and float64. Compiled once per level. Floor: kernels.
// The largest element is subtracted before exp. -inf and +inf give what PyTorch gives: softmax and log_softmax of a row
// of -inf only, or with +inf, hold NaN; its logsumexp is -inf, or +inf. Bits depend only on the row and its length:
// the last, partial vector is padded, so that every lane sees the same instructions.
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
    // exp of -infinity is the padding's zero, but -infinity - shift is NaN where shift is infinite: then all is NaN.
    const Wide<S> e = exp(load_padded(at, step, count, S(-infinity)) - subtracted);
    if (terms) store_first(e, terms + j, count);
    return e;
  });
}

template <class S>
inline S log_of(S x) {
  return log(Wide<S>::splat(&x))[0];
}

// ---- Forward -------------------------------------------------------------------------------------------------------

/// Rows that are not dense are first copied to where the result goes; a block of rows together, since neighbouring
/// rows often share cache lines. Calls row(y, x) for each.
template <class S, class Row>
inline void for_each_dense_row(void* y, const Rows& r, const Row& row) {
  constexpr int64_t block = 64 / static_cast<int64_t>(sizeof(S));
  S* out = static_cast<S*>(y);
  const S* x = static_cast<const S*>(r.x);
  if (r.column_step == 1) {
    for (int64_t i = 0; i < r.rows; ++i) row(out + i * r.columns, x + i * r.row_step);
    return;
  }
  for (int64_t begin = 0; begin < r.rows; begin += block) {
    const int64_t end = r.rows - begin < block ? r.rows : begin + block;
    for (int64_t j = 0; j < r.columns; ++j)
      for (int64_t i = begin; i < end; ++i) out[i * r.columns + j] = x[i * r.row_step + j * r.column_step];
    for (int64_t i = begin; i < end; ++i) row(out + i * r.columns, out + i * r.columns);
  }
}

template <class S>
void softmax(void* out, const Rows& r) {
  for_each_dense_row<S>(out, r, [&](S* y, const S* x) {
    const S sum = sum_of_exp(x, r.columns, 1, largest(x, r.columns, 1), y);
    const Wide<S> divisor = Wide<S>::splat(&sum);
    map_row(y, r.columns, [&](Wide<S> e) { return e / divisor; }, y);
  });
}

template <class S>
void log_softmax(void* out, const Rows& r) {
  for_each_dense_row<S>(out, r, [&](S* y, const S* x) {
    const S shift = largest(x, r.columns, 1);
    const S log_sum = log_of(sum_of_exp<S>(x, r.columns, 1, shift, nullptr));
    const Wide<S> first = Wide<S>::splat(&shift), second = Wide<S>::splat(&log_sum);
    map_row(y, r.columns, [&](Wide<S> v) { return (v - first) - second; }, x);
  });
}

template <class S>
void logsumexp(void* y, const Rows& r, bool) {
  for (int64_t i = 0; i < r.rows; ++i) {
    const S* x = static_cast<const S*>(r.x) + i * r.row_step;
    S shift = largest(x, r.columns, r.column_step);
    if (shift == S(infinity) || shift == S(-infinity)) shift = 0;  // the sum is then infinite or zero by itself
    static_cast<S*>(y)[i] = log_of(sum_of_exp<S>(x, r.columns, r.column_step, shift, nullptr)) + shift;
  }
}

// ---- Backward ------------------------------------------------------------------------------------------------------

template <class S>
inline Wide<S> load_or_zero(const S* x, int64_t count) {
  return count == lanes<S> ? Wide<S>::load(x) : load_padded(x, 1, count, S(0));
}

template <class S>
void softmax_backward(void* gx, const void* gy, const void* y, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    const S* g = static_cast<const S*>(gy) + i * columns;
    const S* p = static_cast<const S*>(y) + i * columns;
    const S dot = sum_terms<S>(columns, [&](int64_t j, int64_t count) {
      return load_or_zero(g + j, count) * load_or_zero(p + j, count);
    });
    const Wide<S> mean = Wide<S>::splat(&dot);
    map_row(static_cast<S*>(gx) + i * columns, columns, [&](Wide<S> a, Wide<S> b) { return b * (a - mean); }, g, p);
  }
}

template <class S>
void log_softmax_backward(void* gx, const void* gy, const void* y, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    const S* g = static_cast<const S*>(gy) + i * columns;
    const S* log_p = static_cast<const S*>(y) + i * columns;
    const S total = sum_terms<S>(columns, [&](int64_t j, int64_t count) { return load_or_zero(g + j, count); });
    const Wide<S> sum = Wide<S>::splat(&total);
    map_row(static_cast<S*>(gx) + i * columns, columns, [&](Wide<S> a, Wide<S> b) { return a - exp(b) * sum; }, g,
            log_p);
  }
}

}  // namespace

template <>
RowKernels row_kernels<level>() {
  return {.softmax = {&softmax<float>, &softmax<double>},
          .log_softmax = {&log_softmax<float>, &log_softmax<double>},
          .softmax_backward = {&softmax_backward<float>, &softmax_backward<double>},
          .log_softmax_backward = {&log_softmax_backward<float>, &log_softmax_backward<double>},
          .logsumexp = {&logsumexp<float>, &logsumexp<double>}};
}

}  // namespace chainrule
