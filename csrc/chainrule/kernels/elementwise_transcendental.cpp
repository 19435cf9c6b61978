// elementwise_transcendental.cpp - kernels of the formulas in math/transcendental.h. Compiled once per level.
#include "chainrule/kernels/elementwise.h"

namespace chainrule {

template <>
std::span<const ElementwiseKernel> elementwise_kernels<level, TranscendentalOps>() {
  return FamilyTable<TranscendentalOps>::kernels;
}

}  // namespace chainrule
