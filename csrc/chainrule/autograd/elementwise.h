// elementwise.h - runs elementwise kernels over tensors: promotion, broadcasting, strides, threads. Floor: autograd.
#pragma once
#include "chainrule/autograd/op_row.h"
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {

/// The dtype an op computes in, by PyTorch's rules: 0-d operands count only when their category is higher.
DType computation_dtype(const OpRow& row, std::span<const Meta> inputs);
void infer_elementwise(const OpRow& row, std::span<const Meta> inputs, Meta* output);

/// y = op(inputs); the inputs (but a mask) share one dtype and broadcast to the shape of y, which may be strided.
void forward_elementwise(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, const Tensor& y);

/// Gradients for the inputs whose bit is set in `owed`, each with the shape of gy, in one pass. An input or y may be
/// empty or hollow where no rule reads it.
void backward_elementwise(const OpRow& row, const void* op, const Tensor& gy, std::span<const Tensor> inputs,
                          const Tensor& y, unsigned owed, Tensor* gx);

// ---- Instruction sets ----
const Kernels& active_kernels();
int active_level();   ///< 2, 3 or 4: x86-64-v2, -v3, -v4
int best_level();     ///< the highest this CPU runs
void force_level(int level);
/// The level of "x86-64-v3", "v3" or "3"; fails for anything else, and for what this CPU does not have.
int level_named(std::string_view name, std::string_view who);

}  // namespace chainrule
