// linear_algebra.h - matrix products. Floor: ops. Matrices: a (..., m, k), b (..., k, n).
#pragma once
#include "chainrule/ops/reductions.h"

namespace chainrule {

/// x with its last two dims swapped.
template <class T>
T transposed(const T& x) {
  const int ndim = static_cast<int>(x.shape().size());
  return T::call(Permute::swap(ndim, ndim - 2, ndim - 1), x);
}

struct Matmul {
  static constexpr OpInfo info{.name = "matmul",
                               .doc = "Matrix product of the last two dims; the others broadcast.",
                               .infix = "@",
                               .precedence = 6};
  static constexpr Saves saves{.inputs = 0b11};
  Meta infer(const Meta& a, const Meta& b) const;
  void forward(const Tensor& a, const Tensor& b, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& a, const T& b, const T&) const {
    return sum_to_shape(T::call(Matmul{}, gy, transposed(b)), a.shape());
  }
  template <class T> T vjp(wrt<1>, const T& gy, const T& a, const T& b, const T&) const {
    return sum_to_shape(T::call(Matmul{}, transposed(a), gy), b.shape());
  }
  /// The same without views, and without sums where a and b have all the batches.
  void backward(unsigned owed, const Tensor& gy, const Tensor& a, const Tensor& b, const Tensor& y, Tensor* gx) const;
};

/// x (..., in) @ weight (out, in) transposed + bias (out,), in one pass.
struct Linear {
  static constexpr OpInfo info{.name = "linear", .inputs = {"x", "weight", "bias?"}, .doc = "x @ weight.T + bias."};
  static constexpr Saves saves{.inputs = 0b011};
  Meta infer(const Meta& x, const Meta& weight, const Meta& bias) const;
  void forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) const;
  /// All leading dims as one.
  template <class T>
  static T as_rows(const T& x) {
    const Shape shape(x.shape());
    const int64_t last = shape.back();
    int64_t rows = 1;
    for (int i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    return T::call(Reshape{{rows, last}}, x);
  }
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T& weight, const T&, const T&) const {
    return T::call(Reshape{Shape(x.shape())}, T::call(Matmul{}, as_rows(gy), weight));
  }
  template <class T> T vjp(wrt<1>, const T& gy, const T& x, const T&, const T&, const T&) const {
    return T::call(Matmul{}, transposed(as_rows(gy)), as_rows(x));
  }
  template <class T> T vjp(wrt<2>, const T& gy, const T&, const T&, const T&, const T&) const {
    return T::call(Sum{{0}, false}, as_rows(gy));
  }
  /// The same without views.
  void backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                const Tensor& y, Tensor* gx) const;
};

}  // namespace chainrule
