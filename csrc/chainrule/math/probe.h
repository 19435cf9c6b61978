// probe.h - facts read off an op's formulas at compile time, by running them with T = Uses. Floor: math.
// How many inputs, is the result a mask, and for each gradient rule: does it exist, which values does it read,
// is it just gy? So what the tape must save is derived from the formula and never declared beside it.
#pragma once
#include "chainrule/math/op.h"

namespace chainrule {

struct UsesMask {
  using symbolic = void;
  unsigned bits = 0;
  friend constexpr UsesMask operator|(UsesMask a, UsesMask b) { return {a.bits | b.bits}; }
  friend constexpr UsesMask operator&(UsesMask a, UsesMask b) { return {a.bits | b.bits}; }
};

/// The set of formula arguments that a value was computed from.
struct Uses {
  using symbolic = void;
  using Mask = UsesMask;
  unsigned bits = 0;
  bool is_gy = false;  ///< this is gy itself, untouched

  constexpr Uses constant(Number) const { return {}; }
  template <class Op, class... A>
  static constexpr auto call(const Op&, const A&... arguments);
};

/// Bits of Uses: bit k is input k.
inline constexpr unsigned uses_output = 1u << 30;
inline constexpr unsigned uses_gradient = 1u << 31;

template <class Op>
struct Signature {
  static constexpr Uses value{};
  static constexpr UsesMask mask{};
  static constexpr int inputs = [] {
    if (requires(Op op) { op.forward(value); }) return 1;
    if (requires(Op op) { op.forward(value, value); }) return 2;
    if (requires(Op op) { op.forward(mask, value); }) return 2;
    if (requires(Op op) { op.forward(mask, value, value); }) return 3;
    return 0;
  }();
  static_assert(inputs > 0, "an elementwise op needs forward(T), forward(T, T) or forward(mask, T, T)");
  static constexpr bool mask_input = inputs == 3;
  static constexpr bool mask_output = [] {
    if constexpr (inputs == 1) return std::is_same_v<decltype(Op{}.forward(value)), UsesMask>;
    else if constexpr (inputs == 2) return std::is_same_v<decltype(Op{}.forward(value, value)), UsesMask>;
    else return false;
  }();
};

/// Ops whose shape rule is broadcasting and whose forward is a formula over T.
template <class Op>
concept Elementwise = requires(const Op& op, Uses t, UsesMask m) {
  requires requires { op.forward(t); } || requires { op.forward(t, t); } || requires { op.forward(m, t, t); };
};

/// Calls the gradient rule for input K. An op of one input may leave the tag out.
template <int K, class Op, class... A>
concept HasVjp = requires(const Op& op, const A&... a) { op.vjp(wrt<K>{}, a...); } ||
                 (K == 0 && requires(const Op& op, const A&... a) { op.vjp(a...); });
template <int K, class Op, class... A>
constexpr auto call_vjp(const Op& op, const A&... a) {
  if constexpr (requires { op.vjp(wrt<K>{}, a...); }) return op.vjp(wrt<K>{}, a...);
  else return op.vjp(a...);
}

struct VjpFacts {
  bool exists = false;
  bool is_gy = false;  ///< the gradient is gy itself: nothing to compute
  unsigned bits = 0;   ///< what the rule reads
};

template <class Op, int K>
constexpr VjpFacts vjp_facts() {
  constexpr Uses gy{uses_gradient, true}, y{uses_output, false};
  auto run = [&](auto... x) constexpr -> VjpFacts {
    if constexpr (HasVjp<K, Op, Uses, decltype(x)..., Uses>) {
      const Uses gx = call_vjp<K>(Op{}, gy, x..., y);
      return {true, gx.is_gy, gx.bits};
    } else {
      return {};
    }
  };
  if constexpr (Signature<Op>::mask_output) return {};
  else if constexpr (Signature<Op>::inputs == 1) return run(Uses{1});
  else if constexpr (Signature<Op>::inputs == 2) return run(Uses{1}, Uses{2});
  else return run(UsesMask{1}, Uses{2}, Uses{4});
}

/// Everything that any gradient rule of the op reads.
template <class Op>
constexpr unsigned all_vjp_bits() {
  return []<int... K>(std::integer_sequence<int, K...>) {
    return (vjp_facts<Op, K>().bits | ... | 0u);
  }(std::make_integer_sequence<int, Signature<Op>::inputs>{});
}

/// A missing gradient rule is an error at build, naming the op by the instantiation.
template <class Op>
constexpr bool every_input_has_a_rule() {
  return []<int... K>(std::integer_sequence<int, K...>) {
    return (... && (vjp_facts<Op, K>().exists || (K == 0 && Signature<Op>::mask_input)));
  }(std::make_integer_sequence<int, Signature<Op>::inputs>{});
}

template <class Op, class... A>
constexpr auto Uses::call(const Op&, const A&... arguments) {
  if constexpr (Signature<Op>::mask_output) return UsesMask{(arguments.bits | ...)};
  else return Uses{(arguments.bits | ...)};
}

}  // namespace chainrule
