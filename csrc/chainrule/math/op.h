// op.h - what an op is: its info, its attributes, and lists of ops. Floor: math. Knows no tensors.
// An op is a plain struct with `info`, optional `fields`, `forward`, and one `vjp` per differentiable input.
// Everything else (kernels, dispatch, backward, bindings, printing, tests) is derived from the lists of ops.
#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace chainrule {

/// Which element types an op computes in; the others are promoted first, or refused.
enum class Domain : uint8_t {
  real,    ///< float32, float64; integers and bools become float32
  number,  ///< also int64, int32; bools are refused
  any,     ///< also bool
};

struct OpInfo {
  const char* name;
  std::array<const char*, 3> inputs = {};  ///< what they are called, if not x, or a and b; one to leave out ends in "?"
  const char* doc;  ///< one line
  const char* example = "";  ///< a runnable example, as doctest reads it
  const char* infix = nullptr;  ///< how a formula writes it, if not as a call
  int precedence = 9;  ///< of the infix operator; 9 binds tightest
  Domain domain = Domain::real;
  bool internal = false;  ///< an adjoint that users meet only inside graphs
};

/// One attribute of an op: its public name and the data member that holds it.
template <class Op, class V>
struct Field {
  const char* name;
  V Op::* member;
};

template <class Op>
constexpr auto fields_of() {
  if constexpr (requires { Op::fields; }) return Op::fields;
  else return std::tuple<>{};
}

template <class... Ops>
struct OpList {
  static constexpr int size = sizeof...(Ops);
};

template <class... Lists>
struct Concat;
template <class... A>
struct Concat<OpList<A...>> {
  using type = OpList<A...>;
};
template <class... A, class... B, class... Rest>
struct Concat<OpList<A...>, OpList<B...>, Rest...> : Concat<OpList<A..., B...>, Rest...> {};

/// Position of Op in a list.
template <class Op, class List>
struct IndexIn;
template <class Op, class... Ops>
struct IndexIn<Op, OpList<Ops...>> {
  static constexpr int value = [] {
    int index = 0;
    (void)((std::is_same_v<Op, Ops> ? false : (++index, true)) && ...);
    return index;
  }();
  static_assert(value < static_cast<int>(sizeof...(Ops)), "this op is not in the list");
};

/// Tag of a gradient rule: vjp(wrt<1>, ...) is the rule for input 1.
template <int K>
using wrt = std::integral_constant<int, K>;

/// A literal in a formula. It keeps its full precision until the element type is known.
struct Number {
  double real = 0;
  int64_t integer = 0;
  bool is_integer = false;

  template <std::floating_point V>
  constexpr Number(V value) : real(value) {}
  template <std::integral V>
  constexpr Number(V value)
      : real(static_cast<double>(value)), integer(static_cast<int64_t>(value)), is_integer(true) {}
};

/// A type that records ops instead of computing lanes: Tensor, the graph's Value, the compile-time probe.
template <class T>
concept Symbolic = requires { typename T::symbolic; };

/// What a comparison of two T gives.
template <class T>
struct MaskOf {
  using type = bool;
};
template <class T>
  requires requires { typename T::Mask; }
struct MaskOf<T> {
  using type = typename T::Mask;
};
template <class T>
using mask_t = typename MaskOf<T>::type;

}  // namespace chainrule
