// convolution.h - conv2d and its adjoints. Floor: ops.
// A convolution is linear in its input and in its weight, so its gradients are convolutions, too, and the rules of the
// three ops call one another: conv2d(x, weight), conv2d_input(gy, weight), conv2d_weight(gy, x).
// Shapes: x (n, in, h, w) or (in, h, w); weight (out, in / groups, kh, kw); bias (out,); y like x with out channels.
#pragma once
#include "chainrule/ops/reductions.h"

namespace chainrule {

/// What the three ops have in common; the names are PyTorch's.
struct ConvolutionOptions {
  Pair stride, padding{0, 0}, dilation;
  int64_t groups = 1;
};

struct Conv2d {
  Pair stride, padding{0, 0}, dilation;
  int64_t groups = 1;
  static constexpr OpInfo info{
      .name = "conv2d",
      .inputs = {"x", "weight", "bias?"},
      .doc = "Cross-correlation of images (n, in, h, w) with weight (out, in / groups, kh, kw), + bias."};
  static constexpr std::tuple fields{Field{"stride", &Conv2d::stride}, Field{"padding", &Conv2d::padding},
                                     Field{"dilation", &Conv2d::dilation}, Field{"groups", &Conv2d::groups}};
  std::string textbook(int k) const {
    return k == 0 ? "conv_transpose2d(gy, weight)" : k == 1 ? "correlate(x, gy)" : "";
  }
  static constexpr Saves saves{.inputs = 0b011};
  ConvolutionOptions options() const { return {stride, padding, dilation, groups}; }
  Meta infer(const Meta& x, const Meta& weight, const Meta& bias) const;
  void forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T& weight, const T&, const T&) const;
  template <class T> T vjp(wrt<1>, const T& gy, const T& x, const T& weight, const T&, const T&) const;
  template <class T> T vjp(wrt<2>, const T& gy, const T&, const T&, const T&, const T&) const {
    return T::call(Sum{gy.shape().size() == 4 ? Shape{0, 2, 3} : Shape{1, 2}, false}, gy);
  }
  /// The gradients of weight and bias in one pass over gy.
  void backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                const Tensor& y, Tensor* gx) const;
};

/// The gradient of x (with images of `size`) in conv2d(x, weight) for gy.
struct Conv2dInput {
  Pair size, stride, padding{0, 0}, dilation;
  int64_t groups = 1;
  static constexpr OpInfo info{.name = "conv2d_input",
                               .inputs = {"gy", "weight"},
                               .doc = "The gradient of x in conv2d(x, weight), for images of size (h, w).",
                               .internal = true};
  static constexpr std::tuple fields{Field{"size", &Conv2dInput::size}, Field{"stride", &Conv2dInput::stride},
                                     Field{"padding", &Conv2dInput::padding}, Field{"dilation", &Conv2dInput::dilation},
                                     Field{"groups", &Conv2dInput::groups}};
  std::string textbook(int k) const { return k == 0 ? "conv2d(gy, weight)" : "correlate(gy, x0)"; }
  static constexpr Saves saves{.inputs = 0b11};
  ConvolutionOptions options() const { return {stride, padding, dilation, groups}; }
  Meta infer(const Meta& gy, const Meta& weight) const;
  void forward(const Tensor& gy, const Tensor& weight, Tensor& gx) const;
  template <class T> T vjp(wrt<0>, const T& g, const T& gy, const T& weight, const T&) const;
  template <class T> T vjp(wrt<1>, const T& g, const T& gy, const T& weight, const T&) const;
};

/// The gradient of weight (with kernels of `size`) in conv2d(x, weight) for gy.
struct Conv2dWeight {
  Pair size, stride, padding{0, 0}, dilation;
  int64_t groups = 1;
  static constexpr OpInfo info{.name = "conv2d_weight",
                               .inputs = {"gy", "x"},
                               .doc = "The gradient of weight in conv2d(x, weight), for kernels of size (kh, kw).",
                               .internal = true};
  static constexpr std::tuple fields{Field{"size", &Conv2dWeight::size}, Field{"stride", &Conv2dWeight::stride},
                                     Field{"padding", &Conv2dWeight::padding},
                                     Field{"dilation", &Conv2dWeight::dilation},
                                     Field{"groups", &Conv2dWeight::groups}};
  std::string textbook(int k) const { return k == 0 ? "conv2d(x, gy)" : "conv_transpose2d(x0, gy)"; }
  static constexpr Saves saves{.inputs = 0b11};
  ConvolutionOptions options() const { return {stride, padding, dilation, groups}; }
  Meta infer(const Meta& gy, const Meta& x) const;
  void forward(const Tensor& gy, const Tensor& x, Tensor& gw) const;
  template <class T> T vjp(wrt<0>, const T& g, const T& gy, const T& x, const T&) const;
  template <class T> T vjp(wrt<1>, const T& g, const T& gy, const T& x, const T&) const;
};

/// The last two sizes of a shape.
template <class T>
Pair image_size(const T& x) {
  const Shape shape(x.shape());
  return {shape[shape.size() - 2], shape[shape.size() - 1]};
}

template <class T>
T Conv2d::vjp(wrt<0>, const T& gy, const T& x, const T& weight, const T&, const T&) const {
  return T::call(Conv2dInput{image_size(x), stride, padding, dilation, groups}, gy, weight);
}
template <class T>
T Conv2d::vjp(wrt<1>, const T& gy, const T& x, const T& weight, const T&, const T&) const {
  return T::call(Conv2dWeight{image_size(weight), stride, padding, dilation, groups}, gy, x);
}

/// conv2d(x, weight) without a bias.
template <class T>
T convolved(const ConvolutionOptions& o, const T& x, const T& weight) {
  const T no_bias = T::call(Expand{Shape{weight.shape()[0]}}, weight.constant(0));
  return T::call(Conv2d{o.stride, o.padding, o.dilation, o.groups}, x, weight, no_bias);
}
template <class T>
T Conv2dInput::vjp(wrt<0>, const T& g, const T&, const T& weight, const T&) const {
  return convolved(options(), g, weight);
}
template <class T>
T Conv2dInput::vjp(wrt<1>, const T& g, const T& gy, const T& weight, const T&) const {
  return T::call(Conv2dWeight{image_size(weight), stride, padding, dilation, groups}, gy, g);
}
template <class T>
T Conv2dWeight::vjp(wrt<0>, const T& g, const T&, const T& x, const T&) const {
  return convolved(options(), x, g);
}
template <class T>
T Conv2dWeight::vjp(wrt<1>, const T& g, const T& gy, const T& x, const T&) const {
  return T::call(Conv2dInput{image_size(x), stride, padding, dilation, groups}, gy, g);
}

}  // namespace chainrule
