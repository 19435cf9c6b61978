// support.h - what several unit tests share: tensors from literals, values out of tensors, errors as text.
#pragma once
#include <doctest/doctest.h>

#include <concepts>
#include <string>
#include <vector>

#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/creation.h"
#include "chainrule/ops/functional.h"

namespace chainrule::testing {

/// What f() complains about; "" when it does not.
template <std::invocable F>
std::string message_of(const F& f, ErrorKind expected) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.kind() == expected);
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline Tensor floats(std::vector<float> values, IntSpan shape) { return from_values<float>(values, shape); }
inline Tensor doubles(std::vector<double> values, IntSpan shape) { return from_values<double>(values, shape); }
inline Tensor scalar(double value) { return full({}, value, DType::float64); }
inline Tensor variable(double value) { return Tensor(scalar(value).requires_grad_()); }

/// The elements in row-major order, whatever the dtype and strides.
inline std::vector<double> values_of(const Tensor& x) {
  const Tensor dense = cast(contiguous(detach(x)), DType::float64);
  return {dense.data<double>(), dense.data<double>() + dense.numel()};
}

/// The levels (2, 3, 4: x86-64-v2 ...) that this CPU runs.
inline std::vector<int> levels() {
  std::vector<int> result;
  for (int level = 2; level <= best_level(); ++level) result.push_back(level);
  return result;
}

inline const Kernels& kernels_at(int level) {
  return level == 4 ? kernels_of_level<4>() : level == 3 ? kernels_of_level<3>() : kernels_of_level<2>();
}

}  // namespace chainrule::testing
