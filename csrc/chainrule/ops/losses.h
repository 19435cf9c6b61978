// losses.h - cross entropy, one loss per sample. Floor: ops. Means and weights are composites.
#pragma once
#include "chainrule/ops/indexing.h"
#include "chainrule/ops/normalization.h"

namespace chainrule {

struct CrossEntropy {
  int64_t ignore_index = -100;
  static constexpr OpInfo info{
      .name = "cross_entropy",
      .doc = "-log softmax(logits)[target] for logits (n, classes), target (n,) int64; 0 at ignore_index."};
  static constexpr std::tuple fields{Field{"ignore_index", &CrossEntropy::ignore_index}};
  static constexpr Saves saves{.inputs = 0b11};
  Meta infer(const Meta& logits, const Meta& target) const;
  void forward(const Tensor& logits, const Tensor& target, Tensor& y) const;
  /// gy * (softmax(logits) - one_hot(target)), rows to ignore being 0.
  template <class T> T vjp(wrt<0>, const T& gy, const T& logits, const T& target, const T&) const {
    const Shape column{logits.shape()[0], 1};
    const T counted = not_equal(target, ignore_index);
    const T scale = T::call(Reshape{column}, select(counted, gy, 0));
    const T position = T::call(Reshape{column}, select(counted, target, 0));
    const T one_hot = T::call(ScatterZeros{1, Shape(logits.shape())}, scale, position);
    const T gradient = scale * T::call(Softmax{1}, logits) - one_hot;
    return select(T::call(Reshape{column}, counted), gradient, 0);  // an ignored row may hold NaN
  }
};

}  // namespace chainrule
