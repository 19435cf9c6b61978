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

// The common case: floating operands of one dtype that have one shape or are scalars. False when it is not.
bool run_uniform(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
  const Tensor* shaped = inputs[0];
  if (row.mask_input || !is_floating(shaped->dtype())) return false;
  for (const Tensor* x : inputs.subspan(1)) {
    if (x->dtype() != shaped->dtype()) return false;
    if (x->ndim() == 0 || same(x->shape(), shaped->shape())) continue;
    if (shaped->ndim() != 0) return false;
    shaped = x;
  }
  outputs[0] = Tensor::empty_like(*shaped, row.mask_output ? DType::boolean : shaped->dtype());
  forward_elementwise(row, op, inputs, outputs[0]);
  return true;
}

void run_elementwise(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
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

void run_with_casts(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, DType to,
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

void run_structured(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
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
void run_without_value(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
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
void note_unrecorded(const OpRow& row, Tensor* outputs) {
  for (int k = 0; k < row.outputs; ++k) {
    const bool owns_memory = outputs[k]->storage == &outputs[k]->own;
    if (owns_memory) outputs[k]->storage->unrecorded_op = static_cast<int16_t>(row.id);
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
  bool wants_grad = false, without_value = false, unrecorded = false;
  for (const Tensor* x : inputs) {
    wants_grad |= (*x)->requires_grad;
    without_value |= !(*x)->storage;
    if (!recording || !(*x)->storage) continue;
    unrecorded |= x->is_unrecorded();
    if (is_stale(*x)) [[unlikely]]
      check_not_stale(*x, row.info->name);
  }
  if (without_value) [[unlikely]]
    return run_without_value(row, op, inputs, outputs);
  if (!row.elementwise) {
    run_structured(row, op, inputs, outputs);
  } else if (!run_uniform(row, op, inputs, outputs)) {
    DType to;
    if (needs_casts(row, inputs, &to)) [[unlikely]]
      return run_with_casts(row, op, inputs, to, outputs);
    run_elementwise(row, op, inputs, outputs);
  }
  if (!recording) return;
  if (wants_grad && row.vjp) record(row, op, inputs, outputs);
  else if (wants_grad || unrecorded) note_unrecorded(row, outputs);
}

Tensor Tensor::call_id(int id, const void* op, std::span<const Tensor* const> inputs) {
  Tensor outputs[max_outputs];
  run(installed().rows[id], op, inputs, outputs);
  return std::move(outputs[0]);
}

}  // namespace chainrule
