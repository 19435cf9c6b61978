// activation.h - the nonlinearities of neural networks: formula, derivative, callable name. Floor: math.
#pragma once
#include "chainrule/math/probe.h"

namespace chainrule {

// NaN must pass through, and goes to the last branch of select: hence "<= 0" and not "> 0".
struct Relu {
  static constexpr OpInfo info{.name = "relu",
                               .doc = "Rectified linear unit, max(x, 0); the gradient at 0 is 0.",
                               .example = R"(
>>> cr.relu(cr.tensor([-1., 0., 2.]))
tensor([0., 0., 2.]))",
                               .domain = Domain::number};
  template <class T> static constexpr T forward(const T& x) { return select(x <= 0, 0, x); }
  template <class T> static constexpr T vjp(const T& gy, const T&, const T& y) { return select(y <= 0, 0, gy); }
};

struct Tanh {
  static constexpr OpInfo info{.name = "tanh", .doc = "Hyperbolic tangent.", .example = R"(
>>> cr.tanh(cr.tensor([0., 1.]))
tensor([0.0000, 0.7616]))"};
  template <class T> static constexpr T forward(const T& x) { return tanh(x); }
  template <class T> static constexpr T vjp(const T& gy, const T&, const T& y) { return gy * (1 - y * y); }
};

struct Sigmoid {
  static constexpr OpInfo info{.name = "sigmoid", .doc = "Logistic function, 1 / (1 + exp(-x)).", .example = R"(
>>> cr.sigmoid(cr.tensor([0., 1.]))
tensor([0.5000, 0.7311]))"};
  template <class T> static constexpr T forward(const T& x) { return sigmoid(x); }
  template <class T> static constexpr T vjp(const T& gy, const T&, const T& y) { return gy * (y * (1 - y)); }
};

using ActivationOps = OpList<Relu, Tanh, Sigmoid>;

template <Symbolic T> constexpr T relu(const T& x) { return T::call(Relu{}, x); }
template <Symbolic T> constexpr T tanh(const T& x) { return T::call(Tanh{}, x); }
template <Symbolic T> constexpr T sigmoid(const T& x) { return T::call(Sigmoid{}, x); }

}  // namespace chainrule
