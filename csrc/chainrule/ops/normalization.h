// normalization.h - softmax and its logarithms, computed after subtracting the maximum. Floor: ops.
#pragma once
#include "chainrule/ops/reductions.h"

namespace chainrule {

struct Softmax {
  int64_t dim = -1;
  static constexpr OpInfo info{.name = "softmax", .doc = "exp(x) / sum(exp(x)) along dim."};
  static constexpr std::tuple fields{Field{"dim", &Softmax::dim}};
  static constexpr Saves saves{.output = 1};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T&, const T& y) const {
    return y * (gy - T::call(Sum{{dim}, true}, gy * y));
  }
  /// The same in one pass.
  void backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& y, Tensor* gx) const;
};

struct LogSoftmax {
  int64_t dim = -1;
  static constexpr OpInfo info{.name = "log_softmax", .doc = "x - log(sum(exp(x))) along dim."};
  static constexpr std::tuple fields{Field{"dim", &LogSoftmax::dim}};
  static constexpr Saves saves{.output = 1};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T&, const T& y) const {
    return gy - exp(y) * T::call(Sum{{dim}, true}, gy);
  }
  void backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& y, Tensor* gx) const;
};

// Where every x is -inf, so is y; the difference would be NaN, the gradient is 0.
struct LogSumExp {
  Shape dim;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "logsumexp", .doc = "log(sum(exp(x))) over dim."};
  static constexpr std::tuple fields{Field{"dim", &LogSumExp::dim}, Field{"keepdim", &LogSumExp::keepdim}};
  std::string textbook(int) const { return "gy * softmax(x, dim)"; }
  static constexpr Saves saves{.inputs = 1, .output = 1};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T& y) const {
    const T finite = select(equal(y, -std::numeric_limits<double>::infinity()), 0, y);
    return with_kept_dims(gy, x, dim, info.name) * exp(x - with_kept_dims(finite, x, dim, info.name));
  }
};

}  // namespace chainrule
