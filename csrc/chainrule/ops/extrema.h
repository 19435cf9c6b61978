// extrema.h - max and min along one dim, with their positions: ops of two outputs. Floor: ops.
#pragma once
#include "chainrule/ops/indexing.h"
#include "chainrule/ops/reductions.h"

namespace chainrule {

/// The gradient goes to the position that was chosen.
template <class T>
T to_positions(const T& gy, const T& positions, const T& x, int64_t dim, std::string_view op) {
  const Shape dims{dim};
  return T::call(ScatterZeros{dim, Shape(x.shape())}, with_kept_dims(gy, x, dims, op),
                 with_kept_dims(positions, x, dims, op));
}

struct Max {
  int64_t dim = -1;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "max", .doc = "Largest value along dim and its position, the first of equals."};
  static constexpr std::tuple fields{Field{"dim", &Max::dim}, Field{"keepdim", &Max::keepdim}};
  std::string textbook(int) const { return "gy * onehot(y1, dim)"; }
  static constexpr Saves saves{.output = 0b10};
  std::array<Meta, 2> infer(const Meta& x) const;
  void forward(const Tensor& x, std::array<Tensor, 2>& y) const;
  template <class T> T vjp(wrt<0>, const std::array<T, 2>& gy, const T& x, const std::array<T, 2>& y) const {
    return to_positions(gy[0], y[1], x, dim, info.name);
  }
};

struct Min {
  int64_t dim = -1;
  bool keepdim = false;
  static constexpr OpInfo info{.name = "min", .doc = "Smallest value along dim and its position, the first of equals."};
  static constexpr std::tuple fields{Field{"dim", &Min::dim}, Field{"keepdim", &Min::keepdim}};
  std::string textbook(int) const { return "gy * onehot(y1, dim)"; }
  static constexpr Saves saves{.output = 0b10};
  std::array<Meta, 2> infer(const Meta& x) const;
  void forward(const Tensor& x, std::array<Tensor, 2>& y) const;
  template <class T> T vjp(wrt<0>, const std::array<T, 2>& gy, const T& x, const std::array<T, 2>& y) const {
    return to_positions(gy[0], y[1], x, dim, info.name);
  }
};

}  // namespace chainrule
