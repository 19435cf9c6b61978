// attention.h - scaled dot product attention, and the triangle that its causal mask is made of. Floor: ops.
#pragma once
#include "chainrule/ops/linear_algebra.h"
#include "chainrule/ops/normalization.h"

namespace chainrule {

struct Tril {
  int64_t diagonal = 0;
  static constexpr OpInfo info{.name = "tril",
                               .doc = "The lower triangle of the last two dims, up to a diagonal; zeros above it."};
  static constexpr std::tuple fields{Field{"diagonal", &Tril::diagonal}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T&, const T&) const { return T::call(*this, gy); }
};

/// query (..., L, E), key (..., S, E), value (..., S, V): softmax(scale * query @ key.mT) @ value, (..., L, V). The
/// batch dims are equal. With is_causal, query i sees the keys 0 ... i. The scores are never stored: the rules compute
/// them again.
struct ScaledDotProductAttention {
  bool is_causal = false;
  double scale = 1;
  static constexpr OpInfo info{
      .name = "scaled_dot_product_attention",
      .inputs = {"query", "key", "value"},
      .doc = "softmax(scale * query @ key.mT) @ value, in blocks; is_causal hides later keys."};
  static constexpr std::tuple fields{Field{"is_causal", &ScaledDotProductAttention::is_causal},
                                     Field{"scale", &ScaledDotProductAttention::scale}};
  std::string textbook(int k) const {
    const std::string scores = "scale * query @ key.mT";
    const std::string p = "P = softmax(" + (is_causal ? "causal(" + scores + ")" : scores) + ", -1)\n";
    if (k == 2) return p + "P.mT @ gy";
    const std::string g = "g_P = gy @ value.mT\ng_S = P * (g_P - sum(g_P * P, -1))\n";
    return p + g + (k == 0 ? "scale * g_S @ key" : "scale * g_S.mT @ query");
  }
  static constexpr Saves saves{.inputs = 0b111, .output = 1};
  Meta infer(const Meta& query, const Meta& key, const Meta& value) const;
  void forward(const Tensor& query, const Tensor& key, const Tensor& value, Tensor& y) const;

  template <class T>
  T probabilities(const T& query, const T& key) const {
    T scores = T::call(Matmul{}, query, transposed(key)) * scale;
    if (is_causal) {
      const Shape shape(scores.shape());
      const Shape matrix{shape[shape.size() - 2], shape.back()};
      const T triangle = T::call(Tril{}, T::call(Expand{matrix}, scores.constant(1.0)));
      scores = select(not_equal(triangle, 0), scores, -std::numeric_limits<double>::infinity());
    }
    return T::call(Softmax{-1}, scores);
  }
  template <class T>
  T score_gradient(const T& gy, const T& query, const T& key, const T& value) const {
    const T p = probabilities(query, key), gp = T::call(Matmul{}, gy, transposed(value));
    return p * (gp - T::call(Sum{{-1}, true}, gp * p)) * scale;
  }
  template <class T>
  T vjp(wrt<0>, const T& gy, const T& query, const T& key, const T& value, const T&) const {
    return T::call(Matmul{}, score_gradient(gy, query, key, value), key);
  }
  template <class T>
  T vjp(wrt<1>, const T& gy, const T& query, const T& key, const T& value, const T&) const {
    return T::call(Matmul{}, transposed(score_gradient(gy, query, key, value)), query);
  }
  template <class T>
  T vjp(wrt<2>, const T& gy, const T& query, const T& key, const T&, const T&) const {
    return T::call(Matmul{}, transposed(probabilities(query, key)), gy);
  }
  void backward(unsigned owed, const Tensor& gy, const Tensor& query, const Tensor& key, const Tensor& value,
                const Tensor& y, Tensor* gx) const;
};

}  // namespace chainrule
