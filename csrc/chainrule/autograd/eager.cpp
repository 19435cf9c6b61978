// eager.cpp - running one op on tensors: promote, infer, compute, record. Floor: autograd.
#include <array>

#include "chainrule/autograd/elementwise.h"
#include "chainrule/autograd/node.h"
#include "chainrule/autograd/small_list.h"
#include "chainrule/core/error.h"

namespace chainrule {

namespace {

Installed rows_from_above{};

bool is_stale(const Tensor& x) { return x->storage && x->storage->recorded_version > x->version; }

// What one look at each input tells of them all; where their elements are, it writes into `a`.
struct Inputs {
  bool want_grad = false, have_values = true, stale = false;
  int16_t unrecorded_op = no_op;  // Note [Unrecorded results]: the first
  bool uniform = true;  // floating, of one dtype, and of one shape or scalars
  bool dense = true;  // those that are not scalars
  const TensorImpl* shaped = nullptr;  // the first that is not a scalar
};

inline Inputs look_at(std::span<const Tensor* const> inputs, ForwardArguments& a) {
  Inputs seen;
  if (inputs.empty()) return seen;
  const DType dtype = inputs[0]->dtype();
  for (size_t k = 0; k < inputs.size(); ++k) {
    const TensorImpl& x = *inputs[k]->get();
    seen.want_grad |= x.requires_grad;
    seen.have_values &= x.storage != nullptr;
    seen.stale |= is_stale(*inputs[k]);
    if (seen.unrecorded_op == no_op) seen.unrecorded_op = inputs[k]->unrecorded_op();
    seen.uniform &= x.dtype == dtype;
    if (k < max_operands) {
      a.x[k] = x.data;
      a.x_step[k] = x.ndim != 0;
    }
    if (x.ndim == 0) continue;
    seen.dense &= x.contiguous;
    if (!seen.shaped) seen.shaped = &x;
    else seen.uniform &= same_sizes(x, *seen.shaped);
  }
  seen.uniform &= is_floating(dtype);
  return seen;
}

// The common case of an elementwise op.
inline void run_uniform(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, const Inputs& seen,
                        ForwardArguments& a, Tensor* outputs) {
  const DType dtype = inputs[0]->dtype();
  if (!seen.shaped)
    for (int64_t& step : a.x_step) step = 1;
  const TensorImpl& like = seen.shaped ? *seen.shaped : *inputs[0]->get();
  outputs[0] = Tensor::empty(row.mask_output ? DType::boolean : dtype, like.sizes(), like.numel);
  if (seen.dense && like.numel < one_thread_elements) [[likely]]
    forward_one_run(row, op, dtype, a, outputs[0]);
  else forward_elementwise(row, op, inputs, outputs[0]);
}

[[gnu::noinline]] void run_elementwise(const OpRow& row, const void* op, std::span<const Tensor* const> inputs,
                                       Tensor* outputs) {
  std::array<Meta, max_operands> metas;
  for (size_t k = 0; k < inputs.size(); ++k) metas[k] = inputs[k]->meta();
  Meta result;
  infer_elementwise(row, {metas.data(), inputs.size()}, &result);
  outputs[0] = Tensor::empty(result);
  forward_elementwise(row, op, inputs, outputs[0]);
}

// Mixed dtypes never enter a formula: the casts are ops of their own, recorded like any other.
bool needs_casts(const OpRow& row, std::span<const Tensor* const> inputs, DType* to) {
  const DType last = inputs[row.inputs - 1]->dtype();
  bool uniform = is_floating(last);
  for (int k = row.mask_input; k < row.inputs; ++k) uniform &= inputs[k]->dtype() == last;
  if (uniform && !row.mask_input) [[likely]]
    return false;
  std::array<Meta, 3> metas;
  for (int k = 0; k < row.inputs; ++k) metas[k] = inputs[k]->meta();
  *to = computation_dtype(row, {metas.data(), static_cast<size_t>(row.inputs)});
  for (int k = row.mask_input; k < row.inputs; ++k)
    if (inputs[k]->dtype() != *to) return true;
  return false;
}

[[gnu::noinline]] void run_with_casts(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, DType to,
                                      Tensor* outputs) {
  std::array<Tensor, 3> cast;
  std::array<const Tensor*, 3> list{};
  for (int k = 0; k < row.inputs; ++k) {
    const bool is_mask = row.mask_input && k == 0;
    cast[k] = is_mask || inputs[k]->dtype() == to ? *inputs[k] : installed().cast(*inputs[k], to);
    list[k] = &cast[k];
  }
  run(row, op, {list.data(), static_cast<size_t>(row.inputs)}, outputs);
}

[[gnu::noinline]] void run_structured(const OpRow& row, const void* op, std::span<const Tensor* const> inputs,
                                      Tensor* outputs) {
  SmallList<Meta, max_operands> metas(inputs.size());
  SmallList<Tensor, max_operands> tensors(inputs.size());
  for (size_t k = 0; k < inputs.size(); ++k) {
    metas[k] = inputs[k]->meta();
    tensors[k] = *inputs[k];
  }
  std::array<Meta, max_outputs> results;
  row.infer(op, metas, results.data());
  if (row.view && (outputs[0] = row.view(op, tensors[0]))) return;
  for (int k = 0; k < row.outputs; ++k) {
    checked_numel(results[k].shape, size_of(results[k].dtype), row.info->name);
    outputs[k] = Tensor::empty(results[k]);
  }
  row.forward(op, tensors, outputs);
}

// Only sums and multiples of the unknown size can be told from what the shape rules give.
void check_follows(const Shape& shape, const OpRow& row) {
  for (int64_t size : shape)
    if (size > unknown_size / 100 && is_known(size))
      fail(ErrorKind::shape, row.info->name, "a size that is not known yet (N), of which a part would be left over",
           "only multiples of N, with a number added, can be a size", "give the input its whole shape");
}

// Ops on what has no value yet: shapes are inferred and the op is recorded, whether or not gradients are wanted.
[[gnu::noinline]] void run_without_value(const OpRow& row, const void* op, std::span<const Tensor* const> inputs,
                                         Tensor* outputs) {
  DType to;
  if (row.elementwise && needs_casts(row, inputs, &to)) return run_with_casts(row, op, inputs, to, outputs);
  SmallList<Meta, max_operands> metas(inputs.size());
  for (size_t k = 0; k < inputs.size(); ++k) metas[k] = inputs[k]->meta();
  std::array<Meta, max_outputs> results;
  infer(row, op, metas, results.data());
  for (size_t k = 0; k < static_cast<size_t>(row.outputs); ++k) {
    check_follows(results[k].shape, row);
    checked_numel(results[k].shape, size_of(results[k].dtype), row.info->name);
    outputs[k] = Tensor::hollow(results[k]);
  }
  record(row, op, inputs, outputs);
}

// Note [Unrecorded results]
void note_unrecorded(const OpRow& row, int16_t origin, Tensor* outputs) {
  for (int k = 0; k < row.outputs; ++k) {
    const bool owns_memory = outputs[k]->storage == &outputs[k]->own;
    if (owns_memory) outputs[k]->storage->unrecorded_op = origin != no_op ? origin : static_cast<int16_t>(row.id);
    else outputs[k]->detached = true;
  }
}

}  // namespace

void install(const Installed& handed_down) { rows_from_above = handed_down; }
const Installed& installed() { return rows_from_above; }

void check_not_stale(const Tensor& x, std::string_view op) {
  if (is_stale(x)) [[unlikely]]
    fail(ErrorKind::graph, op,
         "an input of shape " + to_string(x.shape()) +
             " shares memory with a tensor that a recorded operation changed in place afterwards",
         "its history no longer describes its value", "take the view again after the change, or compute out of place");
}

void infer(const OpRow& row, const void* op, std::span<const Meta> inputs, Meta* outputs) {
  if (row.elementwise) infer_elementwise(row, inputs, outputs);
  else row.infer(op, inputs, outputs);
}

void run(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
  const bool recording = grad_enabled();
  ForwardArguments a;
  const Inputs seen = look_at(inputs, a);
  if (recording && seen.stale) [[unlikely]]
    for (const Tensor* x : inputs) check_not_stale(*x, row.info->name);
  if (!seen.have_values) [[unlikely]]
    return run_without_value(row, op, inputs, outputs);
  if (!row.elementwise) {
    run_structured(row, op, inputs, outputs);
  } else if (seen.uniform && !row.mask_input) [[likely]] {
    run_uniform(row, op, inputs, seen, a, outputs);
  } else {
    DType to;
    if (needs_casts(row, inputs, &to)) [[unlikely]]
      return run_with_casts(row, op, inputs, to, outputs);
    run_elementwise(row, op, inputs, outputs);
  }
  if (!recording) return;
  if (!seen.want_grad || !row.vjp) {
    if (seen.want_grad || seen.unrecorded_op != no_op) note_unrecorded(row, seen.unrecorded_op, outputs);
  } else if (row.elementwise && seen.uniform && seen.dense && !row.mask_input) {
    record_dense(row, op, inputs, outputs[0]);
  } else {
    record(row, op, inputs, outputs);
  }
}

Tensor Tensor::call_id(int id, const void* op, std::span<const Tensor* const> inputs) {
  Tensor outputs[max_outputs];
  run(installed().rows[id], op, inputs, outputs);
  return std::move(outputs[0]);
}

}  // namespace chainrule
