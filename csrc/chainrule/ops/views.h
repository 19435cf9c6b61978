// views.h - ops that look at the same memory in another way, and the adjoint of slicing. Floor: ops.
// infer() is the shape rule, view() shares storage (empty when the strides do not allow it), vjp() is written in ops.
#pragma once
#include "chainrule/ops/structured.h"

namespace chainrule {

struct Reshape {
  Shape shape;
  static constexpr OpInfo info{.name = "reshape", .doc = "The same elements in row-major order, in another shape."};
  static constexpr std::tuple fields{Field{"shape", &Reshape::shape}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  Tensor view(const Tensor& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const {
    return T::call(Reshape{Shape(x.shape())}, gy);
  }
};

struct Permute {
  Shape dims;
  static constexpr OpInfo info{.name = "permute",
                               .doc = "Dimensions in another order: dim i of the result is dims[i]."};
  static constexpr std::tuple fields{Field{"dims", &Permute::dims}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  Tensor view(const Tensor& x) const;
  Permute inverse() const;
  template <class T> T vjp(wrt<0>, const T& gy, const T&, const T&) const { return T::call(inverse(), gy); }
  /// Swaps two dims of a tensor with ndim dims.
  static Permute swap(int ndim, int dim0, int dim1);
};

struct Expand {
  Shape shape;
  static constexpr OpInfo info{.name = "expand", .doc = "x repeated to a shape it broadcasts to, without a copy."};
  static constexpr std::tuple fields{Field{"shape", &Expand::shape}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  Tensor view(const Tensor& x) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const { return sum_to_shape(gy, x.shape()); }
};

/// zeros of `size` along dim, with x at start, start + step, ...: the adjoint of Slice.
struct EmbedSlice {
  int64_t dim = 0, start = 0, step = 1, size = 1;
  static constexpr OpInfo info{
      .name = "embed_slice", .doc = "Zeros with x in a slice: the adjoint of slice.", .internal = true};
  static constexpr std::tuple fields{Field{"dim", &EmbedSlice::dim}, Field{"start", &EmbedSlice::start},
                                     Field{"step", &EmbedSlice::step}, Field{"size", &EmbedSlice::size}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const;
};

struct Slice {
  int64_t dim = 0, start = 0, stop = std::numeric_limits<int64_t>::max(), step = 1;
  static constexpr OpInfo info{.name = "slice", .doc = "x[start:stop:step] along dim, bounds as Python reads them."};
  static constexpr std::tuple fields{Field{"dim", &Slice::dim}, Field{"start", &Slice::start},
                                     Field{"stop", &Slice::stop}, Field{"step", &Slice::step}};
  std::string textbook(int) const { return "scatter(gy, place)"; }
  static constexpr Saves saves{};
  struct Range {
    int dim;
    int64_t start, length;
  };
  Range range(IntSpan shape) const;
  Meta infer(const Meta& x) const;
  Tensor view(const Tensor& x) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const {
    const Range r = range(x.shape());
    return T::call(EmbedSlice{r.dim, r.start, step, x.shape()[r.dim]}, gy);
  }
};
template <class T>
T EmbedSlice::vjp(wrt<0>, const T& gy, const T& x, const T&) const {
  const int64_t length = x.shape()[normalize_dim(dim, static_cast<int>(x.shape().size()), info.name)];
  return T::call(Slice{dim, start, length == 0 ? start : start + (length - 1) * step + 1, step}, gy);
}

struct Select {
  int64_t dim = 0, index = 0;
  static constexpr OpInfo info{.name = "select", .doc = "x[index] along dim; the dim disappears."};
  static constexpr std::tuple fields{Field{"dim", &Select::dim}, Field{"index", &Select::index}};
  std::string textbook(int) const { return "scatter(gy, place)"; }
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const;
  Tensor view(const Tensor& x) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const {
    const int at = normalize_dim(dim, static_cast<int>(x.shape().size()), info.name);
    const int64_t size = x.shape()[at];
    Shape kept(x.shape());
    kept[at] = 1;
    return T::call(EmbedSlice{at, index < 0 ? index + size : index, 1, size}, T::call(Reshape{kept}, gy));
  }
};

}  // namespace chainrule
