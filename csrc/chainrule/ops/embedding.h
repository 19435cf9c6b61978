// embedding.h - rows of a table chosen by number. Floor: ops.
#pragma once
#include "chainrule/ops/indexing.h"

namespace chainrule {

/// weight (rows, ...), index any shape, int64: weight[index]. The row padding_idx, if not negative, gets no gradient.
struct Embedding {
  int64_t padding_idx = -1;
  static constexpr OpInfo info{
      .name = "embedding", .inputs = {"weight", "index"}, .doc = "Rows of weight chosen by index, weight[index]."};
  static constexpr std::tuple fields{Field{"padding_idx", &Embedding::padding_idx}};
  std::string textbook(int) const {
    return padding_idx < 0 ? scattered_text : "scatter(gy * [index != padding_idx], index)";
  }
  static constexpr Saves saves{.inputs = 0b10};
  Meta infer(const Meta& weight, const Meta& index) const;
  void forward(const Tensor& weight, const Tensor& index, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& weight, const T& index, const T&) const {
    Shape counted(index.shape());
    for (int d = counted.size(); d < static_cast<int>(gy.shape().size()); ++d) counted.push_back(1);
    const T kept = select(not_equal(T::call(Reshape{counted}, index), padding_idx), gy, 0);
    const T inputs[] = {kept, index};
    return T::call_many(IndexZeros{Shape(weight.shape())}, std::span<const T>(inputs));
  }
  void backward(unsigned owed, const Tensor& gy, const Tensor& weight, const Tensor& index, const Tensor& y,
                Tensor* gx) const;
};

}  // namespace chainrule
