// indexing.h - choosing elements by integer arrays, and joining tensors. Floor: ops.
// They come in adjoint pairs, each one's gradient rule calling the other: gather / scatter_zeros, index / index_zeros.
#pragma once
#include "chainrule/ops/views.h"

namespace chainrule {

/// zeros of `shape` with y[..., index[p], ...] += x[p] along dim: the adjoint of Gather.
struct ScatterZeros {
  int64_t dim = 0;
  Shape shape;
  static constexpr OpInfo info{.name = "scatter_zeros",
                               .inputs = {"x", "index"},
                               .doc = "Adds x into zeros at index along dim: the adjoint of gather.",
                               .internal = true};
  static constexpr std::tuple fields{Field{"dim", &ScatterZeros::dim}, Field{"shape", &ScatterZeros::shape}};
  static constexpr Saves saves{.inputs = 0b10};
  Meta infer(const Meta& x, const Meta& index) const;
  void forward(const Tensor& x, const Tensor& index, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T&, const T& index, const T&) const;
};

struct Gather {
  int64_t dim = 0;
  static constexpr OpInfo info{.name = "gather",
                               .inputs = {"x", "index"},
                               .doc = "y[p] = x[p with p[dim] = index[p]] for every position p of index."};
  static constexpr std::tuple fields{Field{"dim", &Gather::dim}};
  std::string textbook(int) const { return scattered_text; }
  static constexpr Saves saves{.inputs = 0b10};
  Meta infer(const Meta& x, const Meta& index) const;
  void forward(const Tensor& x, const Tensor& index, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T& index, const T&) const {
    return T::call(ScatterZeros{dim, Shape(x.shape())}, gy, index);
  }
};
template <class T>
T ScatterZeros::vjp(wrt<0>, const T& gy, const T&, const T& index, const T&) const {
  return T::call(Gather{dim}, gy, index);
}

/// Inputs: x, then one integer array per leading dim of x; the arrays broadcast together.
struct Index {
  static constexpr OpInfo info{.name = "index", .doc = "x[i0, i1, ...] for integer arrays on the leading dims."};
  std::string textbook(int) const { return "scatter(gy, *indices)"; }
  static constexpr Saves saves{.inputs = ~1u};
  Meta infer(Args<Meta> inputs) const;
  void forward(Args<Tensor> inputs, Tensor& y) const;
  template <class T> T vjp(int k, const T& gy, Args<T> inputs, const T&) const;
};

/// zeros of `shape` with y[i0, i1, ...] += x: the adjoint of Index.
struct IndexZeros {
  Shape shape;
  static constexpr OpInfo info{
      .name = "index_zeros", .doc = "Adds x into zeros at integer arrays: the adjoint of index.", .internal = true};
  static constexpr std::tuple fields{Field{"shape", &IndexZeros::shape}};
  static constexpr Saves saves{.inputs = ~1u};
  Meta infer(Args<Meta> inputs) const;
  void forward(Args<Tensor> inputs, Tensor& y) const;
  template <class T> T vjp(int k, const T& gy, Args<T> inputs, const T&) const;
};

/// The same indices on another first input.
template <class Op, class T>
T call_with_indices(const Op& op, const T& x, Args<T> inputs) {
  std::vector<T> arguments(inputs.begin(), inputs.end());
  arguments[0] = x;
  return T::call_many(op, arguments);
}
template <class T>
T Index::vjp(int k, const T& gy, Args<T> inputs, const T&) const {
  return k == 0 ? call_with_indices(IndexZeros{Shape(inputs[0].shape())}, gy, inputs) : T();
}
template <class T>
T IndexZeros::vjp(int k, const T& gy, Args<T> inputs, const T&) const {
  return k == 0 ? call_with_indices(Index{}, gy, inputs) : T();
}

struct Cat {
  int64_t dim = 0;
  static constexpr OpInfo info{.name = "cat", .doc = "Tensors joined along an existing dim."};
  static constexpr std::tuple fields{Field{"dim", &Cat::dim}};
  static constexpr Saves saves{};
  Meta infer(Args<Meta> tensors) const;
  void forward(Args<Tensor> tensors, Tensor& y) const;
  template <class T> T vjp(int k, const T& gy, Args<T> tensors, const T&) const {
    const int at = normalize_dim(dim, static_cast<int>(gy.shape().size()), info.name);
    int64_t start = 0;
    for (int i = 0; i < k; ++i) start += tensors[i].shape()[at];
    return T::call(Slice{at, start, start + tensors[k].shape()[at], 1}, gy);
  }
};

}  // namespace chainrule
