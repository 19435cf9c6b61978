// elementwise_activation.cpp - kernels of the formulas in math/activation.h. Compiled once per level.
#include "chainrule/kernels/elementwise.h"
#include "chainrule/kernels/simd_normal.h"

namespace chainrule {

template <>
std::span<const ElementwiseKernel> elementwise_kernels<level, ActivationOps>() {
  return FamilyTable<ActivationOps>::kernels;
}

}  // namespace chainrule
