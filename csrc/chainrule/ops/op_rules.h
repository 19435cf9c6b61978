// op_rules.h - calls the templates of an op's struct through plain function pointers. Floor: ops.
// The one place where op types meet type-erased attributes; ops/ uses it with T = Tensor, graph/ with T = Value.
#pragma once
#include <array>
#include <vector>

#include "chainrule/math/probe.h"
#include "chainrule/ops/attention.h"
#include "chainrule/ops/convolution.h"
#include "chainrule/ops/embedding.h"
#include "chainrule/ops/extrema.h"
#include "chainrule/ops/layer_norm.h"
#include "chainrule/ops/linear_algebra.h"
#include "chainrule/ops/losses.h"
#include "chainrule/ops/pooling.h"

namespace chainrule {

/// Number of inputs, read off forward (elementwise) or infer (structured).
template <class Op>
inline constexpr int input_count = [] {
  if constexpr (Elementwise<Op>) return Signature<Op>::inputs;
  else if constexpr (requires(Op op, Meta m) { op.infer(m); }) return 1;
  else if constexpr (requires(Op op, Meta m) { op.infer(m, m); }) return 2;
  else if constexpr (requires(Op op, Meta m) { op.infer(m, m, m); }) return 3;
  else {
    static_assert(requires(Op op, Args<Meta> m) { op.infer(m); }, "a structured op needs infer()");
    return variadic;
  }
}();

/// Calls f(wrt<0>{}, wrt<1>{}, ...), one tag per input.
template <int N, class F>
constexpr decltype(auto) with_inputs(F&& f) {
  return [&]<int... K>(std::integer_sequence<int, K...>) -> decltype(auto) {
    return f(wrt<K>{}...);
  }(std::make_integer_sequence<int, N>{});
}

template <class Op>
auto infer_with(const Op& op, std::span<const Meta> x) {
  if constexpr (input_count<Op> == variadic) return op.infer(x);
  else return with_inputs<input_count<Op>>([&](auto... k) { return op.infer(x[k]...); });
}

template <class R>
inline constexpr int output_count_of = 1;
template <size_t N>
inline constexpr int output_count_of<std::array<Meta, N>> = N;
template <class Op>
inline constexpr int output_count = [] {
  if constexpr (Elementwise<Op>) return 1;
  else return output_count_of<decltype(infer_with(std::declval<Op>(), {}))>;
}();

template <class Op>
inline constexpr bool differentiable = [] {
  if constexpr (Elementwise<Op>) return !Signature<Op>::mask_output;
  else return requires { Op::saves; };
}();

/// Calls the rule for input K if there is one.
template <int K, class Op, class T>
T one_vjp(const Op& op, const T* gy, std::span<const T> x, const T* y) {
  return with_inputs<input_count<Op>>([&](auto... j) -> T {
    if constexpr (Elementwise<Op>) {
      if constexpr (vjp_facts<Op, K>().exists) return call_vjp<K>(op, gy[0], x[j]..., y[0]);
    } else if constexpr (output_count<Op> == 2) {
      const std::array<T, 2> gys{gy[0], gy[1]}, ys{y[0], y[1]};
      if constexpr (requires { op.vjp(wrt<K>{}, gys, x[j]..., ys); }) return op.vjp(wrt<K>{}, gys, x[j]..., ys);
    } else {
      if constexpr (requires { op.vjp(wrt<K>{}, gy[0], x[j]..., y[0]); }) return op.vjp(wrt<K>{}, gy[0], x[j]..., y[0]);
    }
    return T();
  });
}

/// The op whose attribute bytes these are; null serves where it has none.
template <class Op>
const Op& op_at(const void* bytes) {
  static constexpr Op without_attributes{};
  if constexpr (std::is_empty_v<Op>) return without_attributes;
  else return *static_cast<const Op*>(bytes);
}

/// Gradient for input k, from the attribute bytes.
template <class Op, class T>
T vjp_erased(const void* bytes, int k, const T* gy, std::span<const T> x, const T* y) {
  const Op& op = op_at<Op>(bytes);
  if constexpr (input_count<Op> == variadic) {
    return op.template vjp<T>(k, gy[0], x, y[0]);
  } else {
    T gradient;
    with_inputs<input_count<Op>>([&](auto... j) {
      auto rule = [&]<int K>(wrt<K>) {
        if (k == K) gradient = one_vjp<K, Op, T>(op, gy, x, y);
      };
      (rule(j), ...);
    });
    return gradient;
  }
}

}  // namespace chainrule
