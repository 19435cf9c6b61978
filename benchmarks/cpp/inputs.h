// inputs.h - tensors to measure on. Values lie in [0.1, 1.1): inside the domain of every op, no special cases.
#pragma once
#include "chainrule/autograd/engine.h"
#include "chainrule/ops/creation.h"
#include "chainrule/ops/functional.h"

namespace chainrule::benchmarks {

inline Tensor floats(IntSpan shape, DType dtype = DType::float32) {
  Tensor x = empty(shape, dtype);
  uniform_(x, 0.1, 1.1);
  return x;
}
inline Tensor integers(IntSpan shape, int64_t below) { return randint(0, below, shape); }

inline int64_t bytes_of(const Tensor& x) { return x.numel() * size_of(x.dtype()); }

}  // namespace chainrule::benchmarks
