// node.h - one op on the tape: (op, attributes, inputs), plus what its gradient rules read. Floor: autograd.
// A node is one block: header, outputs, edges, attribute bytes, shapes of what it saved. Its sequence number is larger
// than those of all nodes it takes inputs from; the backward pass needs nothing else to visit nodes in the right order.
#pragma once
#include "chainrule/autograd/op_row.h"
#include "chainrule/autograd/tensor.h"

namespace chainrule {

/// What a node keeps of an input or output: see Note [Saved values hold storage, not tensors].
struct Saved {
  enum class Kind : uint8_t {
    nothing,
    meta,  ///< dtype and shape
    value,  ///< a rule reads it
    held,  ///< no rule reads it, but nothing else leads to it: a graph taken from the tape shows it
  };

  Storage* storage;  ///< counted, when kind is value or held
  char* data;
  uint32_t version;  ///< of the storage when it was saved
  uint32_t dims;  ///< where in the node's block sizes and strides stand, in words; 0: the output's sizes, dense
  DType dtype;
  uint8_t ndim;
  bool contiguous;
  Kind kind;
  uint8_t output;  ///< of an edge: which output of its node the input is
};

struct Edge {
  Node* node;  ///< where the gradient goes; null when the input needs none
  Saved saved;  ///< the input's value, when a rule reads it; its meta, when only its shape or dtype is needed
  int output() const { return saved.output; }
};

struct NodeOutput {
  TensorImpl* grad;  ///< gradient gathered so far, during a backward pass
  TensorImpl* retainer;  ///< not counted: the tensor that asked for retain_grad(), while it lives
  Saved saved;  ///< likewise for the output
};

struct ModuleCall;

struct Node {
  int32_t refs;
  uint32_t input_count;
  uint32_t block_bytes;
  uint8_t output_count;
  bool queued : 1;  ///< waits in the heap of a backward pass
  bool freed : 1;  ///< its saved values are gone
  bool captured : 1;  ///< grad() was asked for one of its outputs
  bool needed : 1;  ///< leads to a captured node
  bool annotated : 1;  ///< has an entry in annotations.cpp
  const OpRow* op;  ///< null in the accumulator of a leaf
  uint64_t sequence;
  TensorImpl* leaf;  ///< not counted: the leaf of an accumulator, while it lives
  ModuleCall* call;  ///< the module call it was made in; null outside of modules

  bool is_leaf() const { return op == nullptr; }
  const char* name() const { return op ? op->info->name : "leaf"; }
  std::span<NodeOutput> outputs() { return {reinterpret_cast<NodeOutput*>(this + 1), output_count}; }
  std::span<Edge> edges() { return {reinterpret_cast<Edge*>(outputs().data() + output_count), input_count}; }
  void* attributes() { return edges().data() + input_count; }

  bool has_shape_of_output(const Saved& saved) const { return saved.dims == 0; }
  IntSpan sizes(const Saved& saved) const { return {words() + saved.dims, saved.ndim}; }
  IntSpan strides(const Saved& saved) const { return {words() + saved.dims + saved.ndim, saved.ndim}; }

 private:
  const int64_t* words() const { return reinterpret_cast<const int64_t*>(this); }
};

void destroy(Node* node) noexcept;  ///< when nobody holds it any more
inline void release(Node* node) noexcept {
  if (--node->refs == 0) destroy(node);
}
/// Drops the saved values of a node whose backward has run; shapes stay.
void free_saved(Node* node);
/// Has what a gradient rule reads been changed in place since?
inline bool is_changed(const Saved& saved) {
  return saved.kind == Saved::Kind::value && saved.storage->version != saved.version;
}
/// Fails unless all saved values are there and unchanged. `output_shape` is for the message.
void check_saved(Node* node, IntSpan output_shape);
/// A saved value or meta as a tensor without history; empty when nothing was saved. `shape` is that of the output.
Tensor tensor_of(const Node* node, const Saved& saved, IntSpan shape);
/// The accumulator of a leaf that has none yet; the leaf holds it.
Node* make_accumulator(TensorImpl* leaf);
/// What a gradient for `tensor` goes to: the node that made it, or its leaf accumulator. Adds a reference.
inline Node* gradient_node(TensorImpl* tensor) {
  Node* node = tensor->node ? tensor->node : make_accumulator(tensor);
  ++node->refs;
  return node;
}

/// Puts a new node under the outputs of an op that has just run.
void record(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs);
/// The same for an elementwise op on floating tensors with values, all dense and of the shape of y, or scalars: there
/// are no sizes to write down.
void record_dense(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, const Tensor& y);

}  // namespace chainrule
