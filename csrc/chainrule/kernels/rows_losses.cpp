// rows_losses.cpp - cross entropy and squared error, and their gradients in one pass, float32 and float64. Compiled
// once per level. Floor: kernels.
#include "chainrule/kernels/rows.h"

namespace chainrule {
namespace {

template <class S>
void cross_entropy(void* loss, const Rows& logits, const Targets& targets) {
  const S* const x = static_cast<const S*>(logits.x);
  logsumexp_of_rows<S>(logits, [&](int64_t i, S log_sum) {
    const int64_t label = targets.at[i * targets.step];
    static_cast<S*>(loss)[i] = label == targets.ignored ? S(0) : log_sum - x[i * logits.row_step + label];
  });
}

template <class S>
void cross_entropy_backward(void* gx, const void* scale, int64_t scale_step, const Rows& logits,
                            const Targets& targets) {
  for (int64_t i = 0; i < logits.rows; ++i) {
    const S* x = static_cast<const S*>(logits.x) + i * logits.row_step;
    S* const y = static_cast<S*>(gx) + i * logits.columns;
    const S* const factor = static_cast<const S*>(scale) + i * scale_step;
    const int64_t label = targets.at[i * targets.step];
    if (label == targets.ignored) {  // whatever its logits hold
      map_row(y, logits.columns, [](Wide<S>) { return Wide<S>(0); }, x);
      continue;
    }
    const S sum = sum_of_exp<true>(x, logits.columns, largest(x, logits.columns), y);
    const Divider<Wide<S>> divide{Wide<S>::splat(&sum)};
    const Wide<S> scaled = Wide<S>::splat(factor);
    map_row(y, logits.columns, [&](Wide<S> e) { return scaled * divide(e); }, y);
    y[label] -= *factor;
  }
}

template <class S>
void squared_error(void* sum, const void* a, const void* b, int64_t n) {
  *static_cast<S*>(sum) = sum_terms<S>(n, [&](int64_t j, auto pack) CR_INLINE_BODY {
    const Wide<S> difference = pack.load(static_cast<const S*>(a) + j) - pack.load(static_cast<const S*>(b) + j);
    return difference * difference;
  });
}

template <class S>
void scaled_difference(void* gx, const void* scale, const void* a, const void* b, int64_t n) {
  const Wide<S> factor = Wide<S>::splat(static_cast<const S*>(scale));
  map_row(
      static_cast<S*>(gx), n, [&](Wide<S> x, Wide<S> y) { return factor * (x - y); }, static_cast<const S*>(a),
      static_cast<const S*>(b));
}

}  // namespace

template <>
LossKernels loss_kernels<level>() {
  return {.cross_entropy = {&cross_entropy<float>, &cross_entropy<double>},
          .cross_entropy_backward = {&cross_entropy_backward<float>, &cross_entropy_backward<double>},
          .squared_error = {&squared_error<float>, &squared_error<double>},
          .scaled_difference = {&scaled_difference<float>, &scaled_difference<double>}};
}

}  // namespace chainrule
