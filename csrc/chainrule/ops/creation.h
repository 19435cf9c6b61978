// creation.h - tensors from nothing. Floor: ops. Random ones draw from default_generator(): the same seed gives the
// same numbers for any number of threads.
#pragma once
#include <optional>

#include "chainrule/autograd/tensor.h"
#include "chainrule/core/random.h"

namespace chainrule {

// Sizes are checked: negative or overflowing ones fail.
Tensor empty(IntSpan shape, DType dtype = DType::float32);
Tensor full(IntSpan shape, Number value, DType dtype);
Tensor zeros(IntSpan shape, DType dtype = DType::float32);
Tensor ones(IntSpan shape, DType dtype = DType::float32);
Tensor eye(int64_t rows, std::optional<int64_t> columns = std::nullopt, DType dtype = DType::float32);
/// start, start + step, ... below (above, for a negative step) stop.
Tensor arange(Number start, Number stop, Number step, DType dtype);
Tensor linspace(double start, double stop, int64_t steps, DType dtype = DType::float32);
/// A copy of values in row-major order.
template <class S>
Tensor from_values(std::span<const S> values, IntSpan shape) {
  Tensor result = empty(shape, dtype_for<S>());
  std::copy_n(values.begin(), result.numel(), result.data<S>());
  return result;
}

Tensor rand(IntSpan shape, DType dtype = DType::float32);   ///< uniform on [0, 1)
Tensor randn(IntSpan shape, DType dtype = DType::float32);  ///< standard normal
Tensor randint(int64_t low, int64_t high, IntSpan shape, DType dtype = DType::int64);  ///< in [low, high)
Tensor randperm(int64_t n, DType dtype = DType::int64);

/// In place, without recording.
void uniform_(const Tensor& x, double low, double high);
void normal_(const Tensor& x, double mean, double std);

}  // namespace chainrule
