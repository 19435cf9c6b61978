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

inline constexpr int64_t one_thread_elements = 1 << 16;  ///< below, one thread is done before others have begun
/// The same in one call of the kernel, for a dense y of fewer elements; `a` says where the inputs are.
void forward_one_run(const OpRow& row, const void* op, DType dtype, ForwardArguments& a, const Tensor& y);

/// What a fused backward pass reads of an input or of y.
struct Operand {
  const void* data = nullptr;     ///< null where no rule reads it
  const int64_t* dims = nullptr;  ///< sizes, then strides; null: dense and of the shape of gy
  int ndim = 0;
  DType dtype = DType::float32;
  IntSpan sizes() const { return {dims, static_cast<size_t>(ndim)}; }
  IntSpan strides() const { return {dims + ndim, static_cast<size_t>(ndim)}; }
};
/// Gradients for the inputs whose bit is set in `owed`, each with the shape of gy, in one pass. One of them takes the
/// memory of gy when nobody else holds it.
void backward_elementwise(const OpRow& row, const void* op, Tensor gy, std::span<const Operand> inputs,
                          const Operand& y, unsigned owed, Tensor* gx);
/// sum += more, of the same shape; sum is exclusively ours.
void add_in_place(const Tensor& sum, const Tensor& more);
/// Nobody else holds this tensor or its memory, which is dense: it may be overwritten.
inline bool exclusively_ours(const Tensor& t) {
  return t->refs == 1 && t->storage->refs == 1 && t.is_contiguous() && !t->storage->release;
}

// ---- Instruction sets ----
const Kernels& active_kernels();
int active_level();  ///< 2, 3 or 4: x86-64-v2, -v3, -v4
int best_level();  ///< the highest this CPU runs
void force_level(int level);
/// The level of "x86-64-v3", "v3" or "3"; fails for anything else, and for what this CPU does not have.
int level_named(std::string_view name, std::string_view who);

}  // namespace chainrule
