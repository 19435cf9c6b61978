// node.h - one op on the tape: (op, attributes, inputs), plus what its gradient rules read. Floor: autograd.
// A node is one block: header, outputs, edges, attribute bytes. Its sequence number is larger than those of all
// nodes it takes inputs from; the backward pass needs nothing else to visit nodes in the right order.
#pragma once
#include "chainrule/autograd/op_row.h"
#include "chainrule/autograd/tensor.h"

namespace chainrule {

struct Edge {
  Node* node;         ///< where the gradient goes; null when the input needs none
  TensorImpl* saved;  ///< the input, when a rule reads its value; hollow, when only its shape or dtype is needed
  uint32_t version;   ///< of the saved value's storage when it was saved
  uint8_t output;     ///< which output of `node` the input is
};

struct NodeOutput {
  TensorImpl* grad;      ///< gradient gathered so far, during a backward pass
  TensorImpl* saved;     ///< alias of the output (without history: no cycle), when a rule reads it
  TensorImpl* retainer;  ///< not counted: the tensor that asked for retain_grad(), while it lives
  uint32_t version;
};

struct Node {
  int32_t refs;
  uint32_t input_count;
  uint32_t block_bytes;
  uint8_t output_count;
  bool queued;          ///< waits in the heap of a backward pass
  bool freed;           ///< its saved values are gone
  bool captured;        ///< grad() was asked for one of its outputs
  bool needed;          ///< leads to a captured node
  const OpRow* op;      ///< null in the accumulator of a leaf
  uint64_t sequence;
  TensorImpl* leaf;     ///< not counted: the leaf of an accumulator, while it lives

  bool is_leaf() const { return op == nullptr; }
  const char* name() const { return op ? op->info->name : "leaf"; }
  std::span<NodeOutput> outputs() { return {reinterpret_cast<NodeOutput*>(this + 1), output_count}; }
  std::span<Edge> edges() { return {reinterpret_cast<Edge*>(outputs().data() + output_count), input_count}; }
  void* attributes() { return edges().data() + input_count; }
};

/// A node with one reference and empty slots; attributes are copied from `op`.
Node* new_node(const OpRow* row, const void* op, size_t input_count, int output_count);
void release(Node* node) noexcept;
/// Drops the saved values of a node whose backward has run.
void free_saved(Node* node);
/// What a gradient for `tensor` goes to: the node that made it, or its leaf accumulator. Adds a reference.
Node* gradient_node(TensorImpl* tensor);

/// Puts a new node under the outputs of an op that has just run. `needs_grad`: bit k for input k (inputs past 31
/// are asked directly).
void record(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs);

}  // namespace chainrule
