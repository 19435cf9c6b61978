// conversion.h - copies: into another dtype, or into dense memory of their own. Floor: ops.
#pragma once
#include "chainrule/ops/structured.h"

namespace chainrule {

struct Cast {
  DType dtype = DType::float32;
  static constexpr OpInfo info{.name = "cast", .doc = "x in another dtype; floats are truncated towards 0."};
  static constexpr std::tuple fields{Field{"dtype", &Cast::dtype}};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const { return {dtype, x.shape}; }
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T& x, const T&) const { return T::call(Cast{x.dtype()}, gy); }
};

struct Clone {
  static constexpr OpInfo info{.name = "clone", .doc = "A copy in dense memory of its own."};
  static constexpr Saves saves{};
  Meta infer(const Meta& x) const { return x; }
  void forward(const Tensor& x, Tensor& y) const;
  template <class T> T vjp(wrt<0>, const T& gy, const T&, const T&) const { return gy; }
};

struct Detach {
  static constexpr OpInfo info{.name = "detach", .doc = "The same value, through which no gradient flows."};
  Meta infer(const Meta& x) const { return x; }
  Tensor view(const Tensor& x) const { return x.alias(); }
};

}  // namespace chainrule
