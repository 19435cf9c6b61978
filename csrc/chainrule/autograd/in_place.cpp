#include "chainrule/autograd/in_place.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/autograd/node.h"
#include "chainrule/core/error.h"
#include "chainrule/kernels/copy.h"

namespace chainrule {

namespace {

// Is x a view, through recorded view ops, of a leaf that requires gradients?
bool views_a_leaf(const Tensor& x) {
  if (x.is_leaf()) return true;
  const Node* node = x->node;
  while (node && !node->is_leaf() && node->op->view) node = const_cast<Node*>(node)->edges()[0].node;
  return node && node->is_leaf() && node->leaf && node->leaf->storage == x->storage;
}

void check_writable(const Tensor& x, const Tensor& other, std::string_view name) {
  for (const Tensor* tensor : {&x, &other})
    if (tensor->is_placeholder())
      fail(ErrorKind::graph, name, "a placeholder, which has no value yet", "what has no memory cannot change in place",
           "use the out-of-place operation");
  if (grad_enabled() && x.requires_grad() && (x.is_leaf() || views_a_leaf(x)))
    fail(ErrorKind::graph, name,
         x.is_leaf() ? "a leaf that requires gradients" : "a view of a leaf that requires gradients",
         "a leaf cannot change while gradients are recorded", "use `with no_grad():`");
  for (int d = 0; d < x.ndim(); ++d)
    if (x.numel() > 1 && x.size(d) > 1 && x.strides()[d] == 0)
      fail(ErrorKind::graph, name, "an expanded tensor of shape " + to_string(x.shape()),
           "several of its elements share one memory cell", "clone() it first");
  if (!same(broadcast_shapes(x.shape(), other.shape(), name), x.shape()))
    fail(ErrorKind::shape, name, "shapes " + to_string(x.shape()) + " and " + to_string(other.shape()),
         "the other operand must broadcast to the shape of the tensor that is changed");
}

bool overlaps(const Tensor& a, const Tensor& b) {
  return a->storage == b->storage &&
         (a.data() != b.data() || !same(a.strides(), b.strides()) || !same(a.shape(), b.shape()));
}

// After the elements have changed: count it, and give x the history of `result` (empty: none).
void adopt(const Tensor& x, const Tensor& result, const char* name) {
  Storage& storage = *x->storage;
  note_change(storage, name);
  if (!grad_enabled()) return;
  Node* old = x->node;
  if (x->retains_grad && old) old->outputs()[x->output].retainer = nullptr;
  x->retains_grad = false;
  if (old && old->leaf == x.get()) old->leaf = nullptr;  // a frozen leaf: its accumulator must not outlive the link
  const bool recorded = result && result->requires_grad;
  const bool had_history = x->requires_grad;
  x->node = recorded ? gradient_node(result.get()) : nullptr;
  x->output = recorded ? result->output : 0;
  x->requires_grad = recorded;
  x->version = storage.version;
  if (recorded || had_history) storage.recorded_version = storage.version;
  if (old) release(old);
}

// Does a gradient rule that will run read the value that is about to be overwritten?
bool reads_old_value(const OpRow& row, const Tensor& x, const Tensor& other) {
  const auto reads = [&](int k, const Tensor& input) {
    return input.requires_grad() && (row.vjp_of_input[k].bits & 1u) != 0;
  };
  return grad_enabled() && (reads(0, x) || reads(1, other));
}

// x as it was before the change, with its history: what the recorded op takes as its input.
Tensor before_change(const Tensor& x, bool keep_value) {
  Tensor old = keep_value ? installed().contiguous_copy(x) : x.alias();
  old->requires_grad = x->requires_grad;
  old->version = old->storage == x->storage ? x->version : 0;
  old->output = x->output;
  old->node = x->node;
  if (old->node) ++old->node->refs;
  return old;
}

// Note [Unrecorded results]: what is computed from one is one.
void pass_mark(const Tensor& from, const Tensor& to) {
  if (grad_enabled() && from.is_unrecorded() && !to.requires_grad()) to->storage->unrecorded_op = from.unrecorded_op();
}

}  // namespace

void run_in_place(const OpRow& row, const void* op, const Tensor& x, const Tensor& other, const char* name) {
  check_writable(x, other, name);
  if (grad_enabled()) {
    check_not_stale(x, name);
    check_not_stale(other, name);
  }
  const Meta metas[] = {x.meta(), other.meta()};
  const DType dtype = computation_dtype(row, metas);
  if (info(dtype).category > info(x.dtype()).category)
    fail(ErrorKind::dtype, name, std::string(name_of(dtype)) + " into " + name_of(x.dtype()),
         "the result must fit the dtype of the tensor that is changed", "use the out-of-place operation");
  const bool recording = grad_enabled() && (x.requires_grad() || other.requires_grad());
  const Tensor old = before_change(x, reads_old_value(row, x, other));
  // A node that saved x itself would be held by x.
  Tensor operand = other.get() == x.get() ? old : other;
  if (other.dtype() != dtype) operand = installed().cast(other, dtype);
  const Tensor* inputs[] = {&old, &operand};
  if (dtype != x.dtype() || overlaps(x, other)) {
    Tensor result[max_outputs];
    run(row, op, inputs, result);
    copy_in_place(x, result[0], name);
    return;
  }
  Tensor result = x.alias();
  if (recording) record(row, op, inputs, &result);
  forward_elementwise(row, op, inputs, x);
  adopt(x, result, name);
  pass_mark(other, x);
  if (recording)
    x->node->outputs()[0].saved.version = x->storage->version;  // a saved output is the value after the change
}

void copy_in_place(const Tensor& x, const Tensor& source, const char* name) {
  check_writable(x, source, name);
  Tensor values = source;
  if (source->storage == x->storage) {
    if (source.get() == x.get()) return;
    if (overlaps(x, source)) values = installed().contiguous_copy(source);
  }
  Tensor recorded;
  if (grad_enabled() && source.requires_grad())  // expand, also to the same shape: x gets a node of its own
    recorded =
        installed().expand(source.dtype() == x.dtype() ? source : installed().cast(source, x.dtype()), x.shape());
  const Shape strides = broadcast_strides(values.shape(), values.strides(), x.shape());
  copy_strided(x.data(), x.dtype(), x.strides(), values.data(), values.dtype(), strides, x.shape());
  adopt(x, recorded, name);
  const bool is_whole = x->storage == &x->own;
  if (is_whole && grad_enabled()) x->storage->unrecorded_op = no_op;
  pass_mark(source, x);
}

}  // namespace chainrule
