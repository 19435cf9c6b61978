// layer_norm.h - normalization over trailing dims, with a weight and a bias. Floor: ops.
#pragma once
#include "chainrule/ops/reductions.h"

namespace chainrule {

/// x (..., *shape), weight and bias (*shape): their shape says which dims are normalized.
struct LayerNorm {
  double eps = 1e-5;
  static constexpr OpInfo info{.name = "layer_norm",
                               .inputs = {"x", "weight", "bias"},
                               .doc = "(x - mean) / sqrt(var + eps) * weight + bias over the trailing dims of weight."};
  static constexpr std::tuple fields{Field{"eps", &LayerNorm::eps}};
  std::string textbook(int k) const {
    const std::string s = "s = sqrt(mean((x - mean(x, trailing)) ** 2, trailing) + eps)\n";
    const std::string x_hat = "x_hat = (x - mean(x, trailing)) / s\n";
    if (k == 1) return s + x_hat + "sum(gy * x_hat, leading)";
    const std::string g = "g = gy * weight\n";
    return k ? "" : s + x_hat + g + "(g - mean(g, trailing) - x_hat * mean(g * x_hat, trailing)) / s";
  }
  static constexpr Saves saves{.inputs = 0b011};
  Meta infer(const Meta& x, const Meta& weight, const Meta& bias) const;
  void forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) const;

  static Shape trailing_dims(int count) {
    Shape dims;
    for (int d = -count; d < 0; ++d) dims.push_back(d);
    return dims;
  }
  template <class T>
  struct Parts {
    Shape dims;
    T normalized, scale;
  };
  template <class T>
  Parts<T> parts(const T& x, const T& weight) const {
    const Shape dims = trailing_dims(static_cast<int>(weight.shape().size()));
    const T centered = x - T::call(Mean{dims, true}, x);
    const T scale = 1 / sqrt(T::call(Mean{dims, true}, square(centered)) + eps);
    return {dims, centered * scale, scale};
  }
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T& weight, const T&, const T&) const {
    const Parts<T> p = parts(x, weight);
    const T g = gy * weight;
    const T along = T::call(Mean{p.dims, true}, g * p.normalized);
    return p.scale * (g - T::call(Mean{p.dims, true}, g) - p.normalized * along);
  }
  template <class T> T vjp(wrt<1>, const T& gy, const T& x, const T& weight, const T&, const T&) const {
    return sum_to_shape(gy * parts(x, weight).normalized, weight.shape());
  }
  template <class T> T vjp(wrt<2>, const T& gy, const T&, const T& weight, const T&, const T&) const {
    return sum_to_shape(gy, weight.shape());
  }
  /// All of them in one pass over the rows.
  void backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                const Tensor& y, Tensor* gx) const;
};

}  // namespace chainrule
