// reductions.h - ops that fold dims away: sums, extrema, variance. Floor: ops.
// An empty `dim` means all of them. Ties: amax and amin share the gradient, max and min give it to the first.
#pragma once
#include "chainrule/ops/conversion.h"
#include "chainrule/ops/views.h"

namespace chainrule {

/// Shape after reducing `dim`; the reduced dims stay as 1 with keepdim.
Shape reduced(IntSpan shape, IntSpan dim, bool keepdim, std::string_view op);
/// How many elements go into one.
int64_t reduced_count(IntSpan shape, IntSpan dim, std::string_view op);

/// A reduced tensor with its dims put back as 1, so that it broadcasts against x.
template <class T>
T with_kept_dims(const T& reduced_tensor, const T& x, IntSpan dim, std::string_view op) {
  const Shape kept = reduced(x.shape(), dim, true, op);
  return same(reduced_tensor.shape(), kept) ? reduced_tensor : T::call(Reshape{kept}, reduced_tensor);
}

struct Sum {
  Shape dim;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "sum", .doc = "Sum over dim; bools and int32 add up as int64."};
  static constexpr std::tuple fields{Field{"dim", &Sum::dim}, Field{"keepdim", &Sum::keepdim}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const {
    return T::call(Expand{Shape(x.shape())}, with_kept_dims(gy, x, dim, info.name));
  }
};

template <class T>
T sum_to_shape(const T& x, IntSpan shape) {
  if (same(x.shape(), shape)) return x;
  const Shape target(shape);
  const int lead = static_cast<int>(x.shape().size()) - target.size();
  Sum sum{{}, true};
  for (int i = 0; i < lead + target.size(); ++i)
    if (i < lead || (target[i - lead] == 1 && x.shape()[i] != 1)) sum.dim.push_back(i);
  const T total = sum.dim.empty() ? x : T::call(sum, x);
  return same(total.shape(), target) ? total : T::call(Reshape{target}, total);
}

struct Mean {
  Shape dim;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "mean", .doc = "Arithmetic mean over dim."};
  static constexpr std::tuple fields{Field{"dim", &Mean::dim}, Field{"keepdim", &Mean::keepdim}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const {
    // No element receives the gradient of a mean over none: any divisor will do, but 0 would make 0 / 0.
    const int64_t count = std::max<int64_t>(1, reduced_count(x.shape(), dim, info.name));
    return T::call(Expand{Shape(x.shape())}, with_kept_dims(gy, x, dim, info.name) / static_cast<double>(count));
  }
};

/// The gradient of amax and amin: shared by all elements that equal the result.
template <class T>
T shared_by_ties(const T& gy, const T& x, const T& y, IntSpan dim, std::string_view op) {
  const T hit = T::call(Cast{x.dtype()}, equal(x, with_kept_dims(y, x, dim, op)));
  const Shape dims = dim.empty() ? Shape() : Shape(dim);
  return hit * (with_kept_dims(gy, x, dim, op) / T::call(Sum{dims, true}, hit));
}

/// How that is written; see Note [Gradients as on a blackboard].
inline constexpr const char* shared_by_ties_text = "gy * [x == y] / sum([x == y], dim)";

struct Amax {
  Shape dim;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "amax", .doc = "Largest value over dim; ties share the gradient."};
  static constexpr std::tuple fields{Field{"dim", &Amax::dim}, Field{"keepdim", &Amax::keepdim}};
  static constexpr Saves saves{.inputs = 1, .output = 1};
  std::string textbook(int) const { return shared_by_ties_text; }
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T& y) const {
    return shared_by_ties(gy, x, y, dim, info.name);
  }
};
struct Amin {
  Shape dim;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "amin", .doc = "Smallest value over dim; ties share the gradient."};
  static constexpr std::tuple fields{Field{"dim", &Amin::dim}, Field{"keepdim", &Amin::keepdim}};
  static constexpr Saves saves{.inputs = 1, .output = 1};
  std::string textbook(int) const { return shared_by_ties_text; }
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T& y) const {
    return shared_by_ties(gy, x, y, dim, info.name);
  }
};

struct Argmax {
  int64_t dim = -1;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "argmax",
                               .doc = "Position of the largest value along dim, the first of equals."};
  static constexpr std::tuple fields{Field{"dim", &Argmax::dim}, Field{"keepdim", &Argmax::keepdim}};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
};
struct Argmin {
  int64_t dim = -1;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "argmin",
                               .doc = "Position of the smallest value along dim, the first of equals."};
  static constexpr std::tuple fields{Field{"dim", &Argmin::dim}, Field{"keepdim", &Argmin::keepdim}};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
};

struct Var {
  Shape dim;
  int64_t correction = 1;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "var", .doc = "Variance over dim: sum((x - mean) ** 2) / (n - correction)."};
  static constexpr std::tuple fields{Field{"dim", &Var::dim}, Field{"correction", &Var::correction},
                                     Field{"keepdim", &Var::keepdim}};
  static constexpr Saves saves{.inputs = 1};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  /// n - correction, at least 0 as in PyTorch.
  double degrees_of_freedom(IntSpan shape) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const {
    const T centred = x - T::call(Mean{dim, true}, x);
    return with_kept_dims(gy, x, dim, info.name) * (centred * 2 / degrees_of_freedom(x.shape()));
  }
};

}  // namespace chainrule
