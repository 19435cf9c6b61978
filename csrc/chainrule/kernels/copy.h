// copy.h - copies between any strides and dtypes, and filling. Floor: kernels. Compiled once: memory decides.
// Strides count elements and may be 0 or negative. The two operands never overlap.
#pragma once
#include <cstdint>

#include "chainrule/core/dtype.h"
#include "chainrule/core/shape.h"

namespace chainrule {

/// y[p] = x[p] for every position p of `shape`, converted: to an integer truncates and saturates, NaN gives 0
/// (between integers: wraps around); to bool asks whether x is not zero.
void copy_strided(void* y, DType y_dtype, IntSpan y_strides, const void* x, DType x_dtype, IntSpan x_strides,
                  IntSpan shape);

/// y[i] = value, i < n: `integer` when is_integer (no int64 is lost in a double), else `real`, converted as
/// above.
void fill(void* y, DType dtype, int64_t n, double real, int64_t integer, bool is_integer);

}  // namespace chainrule
