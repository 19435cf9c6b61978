// optimizers.cpp - one optimizer step over one parameter, float32 and float64. Compiled once per level.
// Floor: kernels. The formulas, in the order in which torch.optim applies them; scalars are computed in
// double and rounded once.
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/neighbours.h"

namespace chainrule {
namespace {

/// update(i, pack): a pack of elements from i on, whole or, at the end, the first few lanes of one.
template <class S, class Update>
inline void for_each_pack(int64_t n, const Update& update) {
  constexpr int64_t width = lanes<S>;
  int64_t i = 0;
  for (; i + width <= n; i += width) update(i, RowPack<S, false>{width});
  if (i < n) update(i, RowPack<S, true>{n - i});
}

template <class S>
void sgd(void* parameter, const void* gradient, void* momentum_buffer, bool first, int64_t n, const SgdSettings& s) {
  S* const parameters = static_cast<S*>(parameter);
  const S* const gradients = static_cast<const S*>(gradient);
  S* const buffers = static_cast<S*>(momentum_buffer);
  for_each_pack<S>(n, [=](int64_t i, auto pack) {
    using P = Pack<S, lanes<S>>;
    const P p = pack.load(parameters + i);
    P g = pack.load(gradients + i);
    if (s.maximize) g = -g;
    if (s.weight_decay != 0) g = fma(p, s.weight_decay, g);
    if (s.momentum != 0) {
      const P buffer = first ? g : fma(g, 1 - s.dampening, pack.load(buffers + i) * s.momentum);
      pack.store(buffer, buffers + i);
      g = s.nesterov ? fma(buffer, s.momentum, g) : buffer;
    }
    pack.store(fma(g, -s.lr, p), parameters + i);
  });
}

/// torch.lerp: from `a` to `b`, exact at the end that is nearer.
template <class P>
inline P lerp(P a, P b, double weight) {
  return weight < 0.5 && weight > -0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}

template <class S>
void adam(void* parameter, const void* gradient, void* exp_avg, void* exp_avg_sq, void* max_exp_avg_sq, int64_t step,
          int64_t n, const AdamSettings& s) {
  S* const parameters = static_cast<S*>(parameter);
  const S* const gradients = static_cast<const S*>(gradient);
  S* const means = static_cast<S*>(exp_avg);
  S* const squares = static_cast<S*>(exp_avg_sq);
  S* const largest_squares = static_cast<S*>(max_exp_avg_sq);
  const double steps = static_cast<double>(step);
  const double minus_step_size = -(s.lr / (1 - __builtin_pow(s.beta1, steps)));
  const double inverse_root = 1 / __builtin_sqrt(1 - __builtin_pow(s.beta2, steps));
  for_each_pack<S>(n, [=](int64_t i, auto pack) {
    using P = Pack<S, lanes<S>>;
    P p = pack.load(parameters + i);
    P g = pack.load(gradients + i);
    if (s.maximize) g = -g;
    if (s.weight_decay != 0) {
      if (s.decoupled) p = p * (1 - s.lr * s.weight_decay);
      else g = fma(p, s.weight_decay, g);
    }
    const P mean = lerp(pack.load(means + i), g, 1 - s.beta1);
    P square = pack.load(squares + i) * s.beta2 + (1 - s.beta2) * g * g;
    pack.store(mean, means + i);
    pack.store(square, squares + i);
    if (largest_squares) {
      square = max_or_nan(pack.load(largest_squares + i), square);
      pack.store(square, largest_squares + i);
    }
    const P denominator = sqrt(square) * inverse_root + s.eps;
    pack.store(p + minus_step_size * mean / denominator, parameters + i);
  });
}

}  // namespace

template <>
OptimizerKernels optimizer_kernels<level>() {
  return {.sgd = {&sgd<float>, &sgd<double>}, .adam = {&adam<float>, &adam<double>}};
}

}  // namespace chainrule
