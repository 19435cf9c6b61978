// pooling.h - the largest element of every window of an image. Floor: ops.
// Shapes: x (n, channels, h, w) or (channels, h, w).
#pragma once
#include "chainrule/ops/indexing.h"

namespace chainrule {

struct MaxPool2d {
  Pair kernel_size, stride, padding{0, 0}, dilation;
  bool ceil_mode = false;
  static constexpr OpInfo info{.name = "max_pool2d",
                               .doc = "Largest element of every window and its position h * width + w in the plane."};
  static constexpr std::tuple fields{Field{"kernel_size", &MaxPool2d::kernel_size}, Field{"stride", &MaxPool2d::stride},
                                     Field{"padding", &MaxPool2d::padding}, Field{"dilation", &MaxPool2d::dilation},
                                     Field{"ceil_mode", &MaxPool2d::ceil_mode}};
  std::string textbook(int) const { return "scatter(gy, y1)"; }
  static constexpr Saves saves{.output = 0b10};
  std::array<Meta, 2> infer(const Meta& x) const;
  void forward(const Tensor& x, std::array<Tensor, 2>& y) const;
  /// Images as rows: their last two dims joined.
  template <class T>
  static T with_flat_planes(const T& x) {
    Shape shape(x.shape());
    const int last = shape.size() - 1;
    shape[last - 1] *= shape[last];
    shape.erase(last);
    return T::call(Reshape{shape}, x);
  }
  template <class T> T vjp(wrt<0>, const std::array<T, 2>& gy, const T& x, const std::array<T, 2>& y) const {
    const Shape shape(x.shape());
    Shape flat = shape;
    const int last = shape.size() - 1;
    flat[last - 1] *= flat[last];
    flat.erase(last);
    const T scattered = T::call(ScatterZeros{last - 1, flat}, with_flat_planes(gy[0]), with_flat_planes(y[1]));
    return T::call(Reshape{shape}, scattered);
  }
  /// The same in one pass.
  void backward(unsigned owed, const std::array<Tensor, 2>& gy, const Tensor& x, const std::array<Tensor, 2>& y,
                Tensor* gx) const;
};

}  // namespace chainrule
