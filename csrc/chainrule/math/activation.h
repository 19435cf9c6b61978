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

struct Erf {
  static constexpr OpInfo info{
      .name = "erf", .doc = "Error function, 2 / sqrt(pi) times the integral of exp(-t**2).", .example = R"(
>>> cr.erf(cr.tensor([0., 1.]))
tensor([0.0000, 0.8427]))"};
  template <class T> static constexpr T forward(const T& x) { return erf(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) {
    return gy * (1.1283791670955126 * exp(-(x * x)));  // 2 / sqrt(pi)
  }
};

struct NormalPdf {
  static constexpr OpInfo info{
      .name = "normal_pdf", .doc = "Density of the standard normal distribution.", .internal = true};
  template <class T> static constexpr T forward(const T& x) { return normal_pdf(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T& y) { return -gy * (x * y); }
};

struct Ndtr {
  static constexpr OpInfo info{
      .name = "ndtr", .doc = "Distribution function of the standard normal distribution.", .example = R"(
>>> cr.ndtr(cr.tensor([-1., 0., 1.]))
tensor([0.1587, 0.5000, 0.8413]))"};
  template <class T> static constexpr T forward(const T& x) { return ndtr(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) { return gy * normal_pdf(x); }
};

// The derivative of gelu. A kernel has gelu(x) at hand and needs no second ndtr (see simd_normal.h), hence the tape
// must save both; the symbolic roles want a formula of x alone, whose derivatives are right at 0 too.
template <Symbolic T> constexpr T gelu_slope(const T& x, const T&) { return ndtr(x) + x * normal_pdf(x); }
constexpr Uses gelu_slope(const Uses& x, const Uses& y) { return {x.bits | y.bits}; }

struct Gelu {
  static constexpr OpInfo info{.name = "gelu", .doc = "Gaussian error linear unit, x * ndtr(x).", .example = R"(
>>> cr.gelu(cr.tensor([-1., 0., 1.]))
tensor([-0.1587,  0.0000,  0.8413]))"};
  template <class T> static constexpr T forward(const T& x) { return gelu(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T& y) { return gy * gelu_slope(x, y); }
};

// 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), written as x sigmoid(2 u): the left tail keeps digits.
struct GeluTanh {
  static constexpr double linear = 1.5957691216057308, cubic = linear * 0.044715;
  static constexpr OpInfo info{.name = "gelu_tanh", .doc = "The tanh approximation of gelu.", .example = R"(
>>> cr.gelu_tanh(cr.tensor([-1., 0., 1.]))
tensor([-0.1588,  0.0000,  0.8412]))"};
  template <class T> static constexpr T forward(const T& x) { return x * sigmoid(x * (linear + cubic * (x * x))); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) {
    const T square = select(abs(x) < 100, x * x, 10000);  // past that the sigmoid is 0 or 1: 0 times infinity is NaN
    const T s = sigmoid(x * (linear + cubic * square));
    return gy * (s + x * (s * (1 - s)) * (linear + 3 * cubic * square));
  }
};

struct Silu {
  static constexpr OpInfo info{.name = "silu", .doc = "Sigmoid linear unit, x * sigmoid(x).", .example = R"(
>>> cr.silu(cr.tensor([-1., 0., 1.]))
tensor([-0.2689,  0.0000,  0.7311]))"};
  template <class T> static constexpr T forward(const T& x) { return x * sigmoid(x); }
  template <class T> static constexpr T vjp(const T& gy, const T& x, const T&) {
    return gy * (sigmoid(x) * (1 + x * (1 - sigmoid(x))));
  }
};

using ActivationOps = OpList<Relu, Tanh, Sigmoid, Erf, NormalPdf, Ndtr, Gelu, GeluTanh, Silu>;

template <Symbolic T> constexpr T relu(const T& x) { return T::call(Relu{}, x); }
template <Symbolic T> constexpr T tanh(const T& x) { return T::call(Tanh{}, x); }
template <Symbolic T> constexpr T sigmoid(const T& x) { return T::call(Sigmoid{}, x); }
template <Symbolic T> constexpr T erf(const T& x) { return T::call(Erf{}, x); }
template <Symbolic T> constexpr T normal_pdf(const T& x) { return T::call(NormalPdf{}, x); }
template <Symbolic T> constexpr T ndtr(const T& x) { return T::call(Ndtr{}, x); }
template <Symbolic T> constexpr T gelu(const T& x) { return T::call(Gelu{}, x); }
template <Symbolic T> constexpr T gelu_tanh(const T& x) { return T::call(GeluTanh{}, x); }
template <Symbolic T> constexpr T silu(const T& x) { return T::call(Silu{}, x); }

}  // namespace chainrule
