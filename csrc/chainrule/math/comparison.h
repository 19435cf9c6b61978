// comparison.h - comparisons, logic, and what chooses by them: maximum, minimum, where, clamp. Floor: math.
// A comparison gives a mask: a bool tensor, without a gradient. NaN compares false, so select() sends it to its
// last branch; the formulas are written so that this is the right one.
#pragma once
#include <limits>

#include "chainrule/math/probe.h"

namespace chainrule {

struct Gt {
  static constexpr OpInfo info{.name = "gt",
                               .doc = "a > b.",
                               .example = R"(
>>> cr.tensor([1., 2.]) > 1
tensor([False,  True]))",
                               .infix = ">",
                               .precedence = 2,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) { return a > b; }
};
struct Ge {
  static constexpr OpInfo info{.name = "ge",
                               .doc = "a >= b.",
                               .example = R"(
>>> cr.tensor([1., 2.]) >= 2
tensor([False,  True]))",
                               .infix = ">=",
                               .precedence = 2,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) { return a >= b; }
};
struct Lt {
  static constexpr OpInfo info{.name = "lt",
                               .doc = "a < b.",
                               .example = R"(
>>> cr.tensor([1., 2.]) < 2
tensor([ True, False]))",
                               .infix = "<",
                               .precedence = 2,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) { return a < b; }
};
struct Le {
  static constexpr OpInfo info{.name = "le",
                               .doc = "a <= b.",
                               .example = R"(
>>> cr.tensor([1., 2.]) <= 1
tensor([ True, False]))",
                               .infix = "<=",
                               .precedence = 2,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) { return a <= b; }
};
struct Eq {
  static constexpr OpInfo info{.name = "eq",
                               .doc = "a == b.",
                               .example = R"(
>>> cr.tensor([1., 2.]) == 2
tensor([False,  True]))",
                               .infix = "==",
                               .precedence = 2,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) { return equal(a, b); }
};
struct Ne {
  static constexpr OpInfo info{.name = "ne",
                               .doc = "a != b.",
                               .example = R"(
>>> cr.tensor([1., 2.]) != 2
tensor([ True, False]))",
                               .infix = "!=",
                               .precedence = 2,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) { return not_equal(a, b); }
};
struct IsNan {
  static constexpr OpInfo info{.name = "isnan",
                               .doc = "True where x is not a number.",
                               .example = R"(
>>> cr.isnan(cr.tensor([1., float("nan")]))
tensor([False,  True]))",
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& x) { return isnan(x); }
};

struct LogicalNot {
  static constexpr OpInfo info{.name = "logical_not",
                               .doc = "True where x is 0.",
                               .example = R"(
>>> ~cr.tensor([True, False])
tensor([False,  True]))",
                               .infix = "~",
                               .precedence = 7,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& x) { return equal(x, 0); }
};
struct LogicalAnd {
  static constexpr OpInfo info{.name = "logical_and",
                               .doc = "True where neither a nor b is 0.",
                               .example = R"(
>>> cr.tensor([True, False]) & cr.tensor([True, True])
tensor([ True, False]))",
                               .infix = "&",
                               .precedence = 4,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) {
    return not_equal(a, 0) & not_equal(b, 0);
  }
};
struct LogicalOr {
  static constexpr OpInfo info{.name = "logical_or",
                               .doc = "True where a or b is not 0.",
                               .example = R"(
>>> cr.tensor([True, False]) | cr.tensor([True, True])
tensor([True, True]))",
                               .infix = "|",
                               .precedence = 3,
                               .domain = Domain::any};
  template <class T> static constexpr mask_t<T> forward(const T& a, const T& b) {
    return not_equal(a, 0) | not_equal(b, 0);
  }
};

struct Maximum {
  static constexpr OpInfo info{.name = "maximum",
                               .doc = "The larger of a and b, NaN if either is; ties share the gradient.",
                               .example = R"(
>>> cr.maximum(cr.tensor([1., 5.]), cr.tensor([3., 4.]))
tensor([3., 5.]))",
                               .domain = Domain::any};
  template <class T> static constexpr T forward(const T& a, const T& b) { return select((a > b) | isnan(a), a, b); }
  template <class T> static constexpr T vjp(wrt<0>, const T& gy, const T& a, const T& b, const T&) {
    return select(equal(a, b), gy * 0.5, select(a < b, 0, gy));
  }
  template <class T> static constexpr T vjp(wrt<1>, const T& gy, const T& a, const T& b, const T&) {
    return select(equal(a, b), gy * 0.5, select(a > b, 0, gy));
  }
};
struct Minimum {
  static constexpr OpInfo info{.name = "minimum",
                               .doc = "The smaller of a and b, NaN if either is; ties share the gradient.",
                               .example = R"(
>>> cr.minimum(cr.tensor([1., 5.]), cr.tensor([3., 4.]))
tensor([1., 4.]))",
                               .domain = Domain::any};
  template <class T> static constexpr T forward(const T& a, const T& b) { return select((a < b) | isnan(a), a, b); }
  template <class T> static constexpr T vjp(wrt<0>, const T& gy, const T& a, const T& b, const T&) {
    return select(equal(a, b), gy * 0.5, select(a > b, 0, gy));
  }
  template <class T> static constexpr T vjp(wrt<1>, const T& gy, const T& a, const T& b, const T&) {
    return select(equal(a, b), gy * 0.5, select(a < b, 0, gy));
  }
};

struct Where {
  static constexpr OpInfo info{.name = "where",
                               .inputs = {"condition", "a", "b"},
                               .doc = "a where condition is true, else b.",
                               .example = R"(
>>> x = cr.tensor([-1., 2.])
>>> cr.where(x > 0, x, 0.1 * x)
tensor([-0.1000,  2.0000]))",
                               .domain = Domain::any};
  template <class T> static constexpr T forward(const mask_t<T>& condition, const T& a, const T& b) {
    return select(condition, a, b);
  }
  template <class T>
  static constexpr T vjp(wrt<1>, const T& gy, const mask_t<T>& condition, const T&, const T&, const T&) {
    return select(condition, gy, 0);
  }
  template <class T>
  static constexpr T vjp(wrt<2>, const T& gy, const mask_t<T>& condition, const T&, const T&, const T&) {
    return select(condition, 0, gy);
  }
};

struct Clamp {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  static constexpr OpInfo info{.name = "clamp",
                               .doc = "x kept within [min, max]; the gradient passes at the bounds.",
                               .example = R"(
>>> cr.clamp(cr.tensor([-2., 0.5, 3.]), min=0, max=1)
tensor([0.0000, 0.5000, 1.0000]))",
                               .domain = Domain::number};
  static constexpr std::tuple fields{Field{"min", &Clamp::min}, Field{"max", &Clamp::max}};
  template <class T> constexpr T forward(const T& x) const {
    const T raised = select(x < min, min, x);
    return select(raised > max, max, raised);
  }
  template <class T> constexpr T vjp(const T& gy, const T& x, const T&) const {
    return select((x < min) | (x > max), 0, gy);
  }
};

using ComparisonOps =
    OpList<Gt, Ge, Lt, Le, Eq, Ne, IsNan, LogicalNot, LogicalAnd, LogicalOr, Maximum, Minimum, Where, Clamp>;

template <Symbolic T> constexpr mask_t<T> operator>(const T& a, const T& b) { return T::call(Gt{}, a, b); }
template <Symbolic T> constexpr mask_t<T> operator>(const T& a, Number b) { return T::call(Gt{}, a, a.constant(b)); }
template <Symbolic T> constexpr mask_t<T> operator>=(const T& a, const T& b) { return T::call(Ge{}, a, b); }
template <Symbolic T> constexpr mask_t<T> operator>=(const T& a, Number b) { return T::call(Ge{}, a, a.constant(b)); }
template <Symbolic T> constexpr mask_t<T> operator<(const T& a, const T& b) { return T::call(Lt{}, a, b); }
template <Symbolic T> constexpr mask_t<T> operator<(const T& a, Number b) { return T::call(Lt{}, a, a.constant(b)); }
template <Symbolic T> constexpr mask_t<T> operator<=(const T& a, const T& b) { return T::call(Le{}, a, b); }
template <Symbolic T> constexpr mask_t<T> operator<=(const T& a, Number b) { return T::call(Le{}, a, a.constant(b)); }
template <Symbolic T> constexpr mask_t<T> equal(const T& a, const T& b) { return T::call(Eq{}, a, b); }
template <Symbolic T> constexpr mask_t<T> equal(const T& a, Number b) { return T::call(Eq{}, a, a.constant(b)); }
template <Symbolic T> constexpr mask_t<T> not_equal(const T& a, const T& b) { return T::call(Ne{}, a, b); }
template <Symbolic T> constexpr mask_t<T> not_equal(const T& a, Number b) { return T::call(Ne{}, a, a.constant(b)); }
template <Symbolic T> constexpr mask_t<T> isnan(const T& x) { return T::call(IsNan{}, x); }
template <Symbolic T>
  requires std::same_as<mask_t<T>, T>
constexpr T operator&(const T& a, const T& b) {
  return T::call(LogicalAnd{}, a, b);
}
template <Symbolic T>
  requires std::same_as<mask_t<T>, T>
constexpr T operator|(const T& a, const T& b) {
  return T::call(LogicalOr{}, a, b);
}
template <Symbolic T> constexpr T maximum(const T& a, const T& b) { return T::call(Maximum{}, a, b); }
template <Symbolic T> constexpr T minimum(const T& a, const T& b) { return T::call(Minimum{}, a, b); }
template <Symbolic T> constexpr T clamp(const T& x, double min, double max) { return T::call(Clamp{min, max}, x); }
template <Symbolic T> constexpr T select(const mask_t<T>& m, const T& a, const T& b) {
  return T::call(Where{}, m, a, b);
}
template <Symbolic T> constexpr T select(const mask_t<T>& m, const T& a, Number b) {
  return T::call(Where{}, m, a, a.constant(b));
}
template <Symbolic T> constexpr T select(const mask_t<T>& m, Number a, const T& b) {
  return T::call(Where{}, m, b.constant(a), b);
}

}  // namespace chainrule
