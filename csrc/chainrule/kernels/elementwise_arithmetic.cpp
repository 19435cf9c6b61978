// elementwise_arithmetic.cpp - kernels of the formulas in math/arithmetic.h. Compiled once per level.
#include "chainrule/kernels/elementwise.h"

namespace chainrule {

template <>
std::span<const ElementwiseKernel> elementwise_kernels<level, ArithmeticOps>() {
  return FamilyTable<ArithmeticOps>::kernels;
}

}  // namespace chainrule
