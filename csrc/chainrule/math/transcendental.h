// transcendental.h - exp, log, sin, cos: formula, derivative, callable name. Floor: math.
#pragma once
#include "chainrule/math/probe.h"

namespace chainrule {

struct Exp {
  static constexpr OpInfo info{.name = "exp", .doc = "Exponential, e ** x.", .example = R"(
>>> cr.exp(cr.tensor([0., 1.]))
tensor([1.0000, 2.7183]))"};
  template <class T> static constexpr T forward(const T& x) { return exp(x); }
  template <class T> static constexpr T vjp(const T& gy, const T&, const T& y) { return gy * y; }
};

struct Log {
  static constexpr OpInfo info{.name = "log", .doc = "Natural logarithm; -inf at 0, NaN below.", .example = R"(
>>> cr.log(cr.tensor([1., 10.]))
tensor([0.0000, 2.3026]))"};
  template <class T> static constexpr T forward(const T& x) { return log(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) { return gy / x; }
};

struct Sin {
  static constexpr OpInfo info{.name = "sin", .doc = "Sine of x in radians.", .example = R"(
>>> cr.sin(cr.tensor([0., 1.]))
tensor([0.0000, 0.8415]))"};
  template <class T> static constexpr T forward(const T& x) { return sin(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) { return gy * cos(x); }
};

struct Cos {
  static constexpr OpInfo info{.name = "cos", .doc = "Cosine of x in radians.", .example = R"(
>>> cr.cos(cr.tensor([0., 1.]))
tensor([1.0000, 0.5403]))"};
  template <class T> static constexpr T forward(const T& x) { return cos(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) { return -gy * sin(x); }
};

using TranscendentalOps = OpList<Exp, Log, Sin, Cos>;

template <Symbolic T> constexpr T exp(const T& x) { return T::call(Exp{}, x); }
template <Symbolic T> constexpr T log(const T& x) { return T::call(Log{}, x); }
template <Symbolic T> constexpr T sin(const T& x) { return T::call(Sin{}, x); }
template <Symbolic T> constexpr T cos(const T& x) { return T::call(Cos{}, x); }

}  // namespace chainrule
