// kernel_table.cpp - gathers the kernels of one instruction set into its table. Compiled once per level.
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {
namespace {

template <class... Families>
struct FamilyList {};
using Families = FamilyList<ArithmeticOps, TranscendentalOps, ActivationOps, ComparisonOps>;

template <class... F>
Kernels gather(FamilyList<F...>) {
  static_assert((F::size + ...) == ElementwiseOps::size, "a family is missing from the kernel table");
  Kernels kernels{};
  int id = 0;
  auto append = [&](std::span<const ElementwiseKernel> family) {
    for (const ElementwiseKernel& kernel : family) kernels.elementwise[id++] = kernel;
  };
  (append(elementwise_kernels<level, F>()), ...);
  kernels.reductions = reduction_kernels<level>();
  kernels.rows = row_kernels<level>();
  kernels.losses = loss_kernels<level>();
  kernels.optimizers = optimizer_kernels<level>();
  kernels.windows = window_kernels<level>();
  kernels.pooling = pooling_kernels<level>();
  kernels.layer_norm = layer_norm_kernels<level>();
  kernels.attention = attention_kernels<level>();
  for (int dtype = 0; dtype < float_count; ++dtype) kernels.gemm[dtype] = gemm_kernel<level>(all_dtypes[dtype]);
  return kernels;
}

}  // namespace

template <>
const Kernels& kernels_of_level<level>() {
  static const Kernels kernels = gather(Families{});
  return kernels;
}

}  // namespace chainrule
