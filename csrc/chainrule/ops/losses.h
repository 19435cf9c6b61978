// losses.h - cross entropy and mean squared error. Floor: ops. Weights and other reductions are composites.
#pragma once
#include "chainrule/ops/indexing.h"
#include "chainrule/ops/normalization.h"

namespace chainrule {

struct CrossEntropy {
  int64_t ignore_index = -100;
  bool mean = false;
  static constexpr OpInfo info{
      .name = "cross_entropy",
      .inputs = {"logits", "target"},
      .doc =
          "-log softmax(logits)[target] for logits (n, classes), target (n,) int64; 0 at ignore_index. With "
          "mean, the mean over the rows that are not ignored."};
  static constexpr std::tuple fields{Field{"ignore_index", &CrossEntropy::ignore_index},
                                     Field{"mean", &CrossEntropy::mean}};
  std::string textbook(int) const {
    return mean ? "n = 'the number of rows whose target is not {ignore_index}; the others get 0'\n"
                  "gy / n * (softmax(logits, 1) - onehot(target, 1))"
                : "diag(gy) @ (softmax(logits, 1) - onehot(target, 1))";
  }
  static constexpr Saves saves{.inputs = 0b11};
  Meta infer(const Meta& logits, const Meta& target) const;
  void forward(const Tensor& logits, const Tensor& target, Tensor& y) const;
  // No row receives the gradient of a mean over none: any divisor will do, but 0 would make 0 / 0.
  template <class T> static T count_of(const T& counted) {
    const T count = T::call(Sum{}, counted);
    return select(equal(count, 0), 1, count);
  }
  /// gy * (softmax(logits) - one_hot(target)), rows to ignore being 0.
  template <class T> T vjp(wrt<0>, const T& gy, const T& logits, const T& target, const T&) const {
    const Shape rows{logits.shape()[0]}, column{logits.shape()[0], 1};
    const T counted = not_equal(target, ignore_index);
    const T each = mean ? T::call(Expand{rows}, gy / count_of(T::call(Cast{logits.dtype()}, counted))) : gy;
    const T scale = T::call(Reshape{column}, select(counted, each, 0));
    const T position = T::call(Reshape{column}, select(counted, target, 0));
    const T one_hot = T::call(ScatterZeros{1, Shape(logits.shape())}, scale, position);
    const T gradient = scale * T::call(Softmax{1}, logits) - one_hot;
    return select(T::call(Reshape{column}, counted), gradient, 0);  // an ignored row may hold NaN
  }
  /// The same in one pass.
  void backward(unsigned owed, const Tensor& gy, const Tensor& logits, const Tensor& target, const Tensor& y,
                Tensor* gx) const;
};

struct MseLoss {
  static constexpr OpInfo info{
      .name = "mse_loss", .inputs = {"input", "target"}, .doc = "Mean of (input - target) ** 2 over all elements."};
  static constexpr Saves saves{.inputs = 0b11};
  Meta infer(const Meta& input, const Meta& target) const;
  void forward(const Tensor& input, const Tensor& target, Tensor& y) const;
  template <class T> static T gradient(const T& gy, const T& a, const T& b) {
    // No element receives the gradient of a mean over none: any divisor will do, but 0 would make 0 / 0.
    const int64_t count = std::max<int64_t>(1, numel_of(a.shape()));
    return gy * 2 / static_cast<double>(count) * (a - b);
  }
  template <class T> T vjp(wrt<0>, const T& gy, const T& input, const T& target, const T&) const {
    return gradient(gy, input, target);
  }
  template <class T> T vjp(wrt<1>, const T& gy, const T& input, const T& target, const T&) const {
    return gradient(gy, target, input);
  }
  /// Both in one pass each.
  void backward(unsigned owed, const Tensor& gy, const Tensor& input, const Tensor& target, const Tensor& y,
                Tensor* gx) const;
};

}  // namespace chainrule
