// elementwise_comparison.cpp - kernels of the formulas in math/comparison.h. Compiled once per level.
#include "chainrule/kernels/elementwise.h"

namespace chainrule {

template <>
std::span<const ElementwiseKernel> elementwise_kernels<level, ComparisonOps>() {
  return FamilyTable<ComparisonOps>::kernels;
}

}  // namespace chainrule
