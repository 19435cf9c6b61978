// arithmetic.h - + - * / ** and their kin: formula, derivative, callable name. Floor: math.
// T is a SIMD pack in a kernel, a Tensor when the gradient must be differentiable again, a graph Value when the
// graph is data, and Uses at compile time. In a rule: gy upstream gradient, y the output.
#pragma once
#include "chainrule/math/probe.h"

namespace chainrule {

struct Neg {
  static constexpr OpInfo info{.name = "neg",
                               .doc = "Negation, -x.",
                               .example = R"(
>>> -cr.tensor([1., -2.])
tensor([-1.,  2.]))",
                               .infix = "-",
                               .precedence = 7,
                               .domain = Domain::number};
  template <class T> static constexpr T forward(const T& x) { return -x; }
  template <class T> static constexpr T vjp(const T& gy, const T&, const T&) { return -gy; }
};

struct Add {
  static constexpr OpInfo info{.name = "add",
                               .doc = "Sum, a + b; of bools the logical or.",
                               .example = R"(
>>> cr.tensor([1., 2.]) + cr.tensor([[10.], [20.]])
tensor([[11., 12.],
        [21., 22.]]))",
                               .infix = "+",
                               .precedence = 5,
                               .domain = Domain::any};
  template <class T> static constexpr T forward(const T& a, const T& b) { return a + b; }
  template <class T> static constexpr T vjp(wrt<0>, const T& gy, const T&, const T&, const T&) { return gy; }
  template <class T> static constexpr T vjp(wrt<1>, const T& gy, const T&, const T&, const T&) { return gy; }
};

struct Sub {
  static constexpr OpInfo info{.name = "sub",
                               .doc = "Difference, a - b.",
                               .example = R"(
>>> cr.tensor([1., 2.]) - 3
tensor([-2., -1.]))",
                               .infix = "-",
                               .precedence = 5,
                               .domain = Domain::number};
  template <class T> static constexpr T forward(const T& a, const T& b) { return a - b; }
  template <class T> static constexpr T vjp(wrt<0>, const T& gy, const T&, const T&, const T&) { return gy; }
  template <class T> static constexpr T vjp(wrt<1>, const T& gy, const T&, const T&, const T&) { return -gy; }
};

struct Mul {
  static constexpr OpInfo info{.name = "mul",
                               .doc = "Product, a * b; of bools the logical and.",
                               .example = R"(
>>> cr.tensor([1., 2.]) * cr.tensor([3., 4.])
tensor([3., 8.]))",
                               .infix = "*",
                               .precedence = 6,
                               .domain = Domain::any};
  template <class T> static constexpr T forward(const T& a, const T& b) { return a * b; }
  template <class T> static constexpr T vjp(wrt<0>, const T& gy, const T&, const T& b, const T&) { return gy * b; }
  template <class T> static constexpr T vjp(wrt<1>, const T& gy, const T& a, const T&, const T&) { return gy * a; }
};

struct Div {
  static constexpr OpInfo info{.name = "div",
                               .doc = "Quotient, a / b; of integers a float.",
                               .example = R"(
>>> cr.tensor([1, 2]) / cr.tensor([2, 4])
tensor([0.5000, 0.5000]))",
                               .infix = "/",
                               .precedence = 6};
  template <class T> static constexpr T forward(const T& a, const T& b) { return a / b; }
  template <class T> static constexpr T vjp(wrt<0>, const T& gy, const T&, const T& b, const T&) { return gy / b; }
  template <class T> static constexpr T vjp(wrt<1>, const T& gy, const T&, const T& b, const T& y) {
    return -gy * y / b;
  }
};

struct Square {
  static constexpr OpInfo info{.name = "square",
                               .doc = "Square, x * x.",
                               .example = R"(
>>> cr.square(cr.tensor([-3., 2.]))
tensor([9., 4.]))",
                               .domain = Domain::number};
  template <class T> static constexpr T forward(const T& x) { return x * x; }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) { return gy * (2 * x); }
};

struct Sqrt {
  static constexpr OpInfo info{
      .name = "sqrt", .doc = "Square root; NaN below 0, the gradient at 0 is infinite.", .example = R"(
>>> cr.sqrt(cr.tensor([4., 9.]))
tensor([2., 3.]))"};
  template <class T> static constexpr T forward(const T& x) { return sqrt(x); }
  template <class T> static constexpr T vjp(const T& gy, const T&, const T& y) { return gy * 0.5 / y; }
};

struct Abs {
  static constexpr OpInfo info{.name = "abs",
                               .doc = "Absolute value; the gradient at 0 is 0.",
                               .example = R"(
>>> cr.abs(cr.tensor([-3., 2.]))
tensor([3., 2.]))",
                               .domain = Domain::number};
  template <class T> static constexpr T forward(const T& x) { return abs(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) {
    return select(x > 0, gy, select(x < 0, -gy, gy * (x * 0)));  // 0 at 0, with a derivative of 0, and NaN at NaN
  }
};

// At the edges: d(a ** 0)/da is 0 also at a = 0, and d(0 ** b)/db is 0 for b >= 0, as in PyTorch.
struct Pow {
  static constexpr OpInfo info{.name = "pow",
                               .doc = "Power, a ** b.",
                               .example = R"(
>>> cr.tensor([2., 3.]) ** cr.tensor([3., 0.5])
tensor([8.0000, 1.7321]))",
                               .infix = "**",
                               .precedence = 8,
                               .domain = Domain::number};
  template <class T> static constexpr T forward(const T& a, const T& b) { return pow(a, b); }
  template <class T> static constexpr T vjp(wrt<0>, const T& gy, const T& a, const T& b, const T&) {
    return select(equal(b, 0), 0, gy * (b * pow(a, b - 1)));
  }
  template <class T> static constexpr T vjp(wrt<1>, const T& gy, const T& a, const T& b, const T& y) {
    return select(equal(a, 0) & (b >= 0), 0, gy * (y * log(a)));
  }
};

using ArithmeticOps = OpList<Neg, Add, Sub, Mul, Div, Square, Sqrt, Abs, Pow>;

// The callable names, for every symbolic T at once.
template <Symbolic T> constexpr T operator-(const T& x) { return T::call(Neg{}, x); }
template <Symbolic T> constexpr T operator+(const T& a, const T& b) { return T::call(Add{}, a, b); }
template <Symbolic T> constexpr T operator+(const T& a, Number b) { return T::call(Add{}, a, a.constant(b)); }
template <Symbolic T> constexpr T operator+(Number a, const T& b) { return T::call(Add{}, b.constant(a), b); }
template <Symbolic T> constexpr T operator-(const T& a, const T& b) { return T::call(Sub{}, a, b); }
template <Symbolic T> constexpr T operator-(const T& a, Number b) { return T::call(Sub{}, a, a.constant(b)); }
template <Symbolic T> constexpr T operator-(Number a, const T& b) { return T::call(Sub{}, b.constant(a), b); }
template <Symbolic T> constexpr T operator*(const T& a, const T& b) { return T::call(Mul{}, a, b); }
template <Symbolic T> constexpr T operator*(const T& a, Number b) { return T::call(Mul{}, a, a.constant(b)); }
template <Symbolic T> constexpr T operator*(Number a, const T& b) { return T::call(Mul{}, b.constant(a), b); }
template <Symbolic T> constexpr T operator/(const T& a, const T& b) { return T::call(Div{}, a, b); }
template <Symbolic T> constexpr T operator/(const T& a, Number b) { return T::call(Div{}, a, a.constant(b)); }
template <Symbolic T> constexpr T operator/(Number a, const T& b) { return T::call(Div{}, b.constant(a), b); }
template <Symbolic T> constexpr T square(const T& x) { return T::call(Square{}, x); }
template <Symbolic T> constexpr T sqrt(const T& x) { return T::call(Sqrt{}, x); }
template <Symbolic T> constexpr T abs(const T& x) { return T::call(Abs{}, x); }
template <Symbolic T> constexpr T pow(const T& a, const T& b) { return T::call(Pow{}, a, b); }
template <Symbolic T> constexpr T pow(const T& a, Number b) { return T::call(Pow{}, a, a.constant(b)); }

}  // namespace chainrule
