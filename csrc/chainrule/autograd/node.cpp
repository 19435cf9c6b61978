// node.cpp - life of a tape node: made, recorded, freed. Everything here is iterative: a chain of a million nodes
// dies without touching the stack limit.
#include "chainrule/autograd/node.h"

#include <cstring>
#include <new>

#include "chainrule/core/allocator.h"
#include "chainrule/core/error.h"

namespace chainrule {

// Note [Saved values are aliases]
// A node never holds the tensor it saves, only another view of its storage: the tensor may come to own this node, by
// a change in place or through the .grad that create_graph gives it, and counting would never free such a cycle. The
// edge knows where the value came from, so nothing is lost.

namespace {

thread_local uint64_t last_sequence = 0;
thread_local Node* dying = nullptr;  // nodes whose last reference went, linked through `leaf`
thread_local bool draining = false;

void release_if(TensorImpl* impl) noexcept {
  if (impl) release(impl);
}

void destroy(Node* node) noexcept {
  for (Edge& edge : node->edges()) {
    release_if(edge.saved);
    if (edge.node) release(edge.node);
  }
  for (NodeOutput& output : node->outputs()) {
    release_if(output.saved);
    release_if(output.grad);
  }
  if (node->block_bytes <= small_limit) free_small(small_blocks(), node, node->block_bytes);
  else ::operator delete(node);
}

unsigned reads_of(const OpRow& row, std::span<const Tensor* const> inputs) {
  if (!row.elementwise) return row.saves.inputs & (uses_output - 1);
  unsigned bits = 0;
  for (size_t k = 0; k < inputs.size(); ++k)
    if ((*inputs[k])->requires_grad) bits |= row.vjp_of_input[k].bits;
  return bits;
}

}  // namespace

Node* new_node(const OpRow* row, const void* op, size_t input_count, int output_count) {
  const size_t attribute_bytes = row ? static_cast<size_t>(row->attribute_bytes) : 0;
  const size_t bytes = sizeof(Node) + static_cast<size_t>(output_count) * sizeof(NodeOutput) +
                       input_count * sizeof(Edge) + attribute_bytes;
  void* block = bytes <= small_limit ? allocate_small(small_blocks(), bytes) : ::operator new(bytes);
  Node* node = new (block) Node{};
  node->refs = 1;
  node->op = row;
  node->input_count = static_cast<uint32_t>(input_count);
  node->output_count = static_cast<uint8_t>(output_count);
  node->block_bytes = static_cast<uint32_t>(bytes);
  std::memset(static_cast<void*>(node->outputs().data()), 0, node->outputs().size_bytes() + node->edges().size_bytes());
  if (attribute_bytes) std::memcpy(node->attributes(), op, attribute_bytes);
  return node;
}

void release(Node* node) noexcept {
  if (--node->refs != 0) return;
  node->leaf = reinterpret_cast<TensorImpl*>(dying);
  dying = node;
  if (draining) return;
  draining = true;
  while (dying) {
    Node* next = dying;
    dying = reinterpret_cast<Node*>(next->leaf);
    destroy(next);
  }
  draining = false;
}

void free_saved(Node* node) {
  for (Edge& edge : node->edges()) {
    if (!edge.saved || !edge.saved->storage) continue;  // shapes may stay: a later pass still needs them
    node->freed = true;
    const Tensor value(edge.saved);
    edge.saved = value.hollow().take();
  }
  for (NodeOutput& output : node->outputs()) {
    if (!output.saved || !output.saved->storage) continue;
    node->freed = true;
    const Tensor value(output.saved);
    output.saved = value.hollow().take();
  }
}

Node* gradient_node(TensorImpl* tensor) {
  if (!tensor->node) {
    tensor->node = new_node(nullptr, nullptr, 0, 1);
    tensor->node->leaf = tensor;
  }
  ++tensor->node->refs;
  return tensor->node;
}

void record(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
  Node* node = new_node(&row, op, inputs.size(), row.outputs);
  const unsigned reads = reads_of(row, inputs);
  uint64_t sequence = last_sequence;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const Tensor& x = *inputs[k];
    Edge& edge = node->edges()[k];
    if (x->requires_grad) {
      edge.node = gradient_node(x.get());
      edge.output = x->output;
      sequence = std::max(sequence, edge.node->sequence);
    }
    const unsigned bit = 1u << std::min<size_t>(k, 29);
    if (reads & bit) {
      edge.saved = x.alias().take();  // Note [Saved values are aliases]
      edge.version = x->storage->version;
    } else if (!row.elementwise || !same(x.shape(), outputs[0].shape())) {
      edge.saved = x.hollow().take();
    }
  }
  node->sequence = last_sequence = sequence + 1;
  for (int k = 0; k < row.outputs; ++k) {
    NodeOutput& slot = node->outputs()[k];
    Tensor& y = outputs[k];
    if (row.elementwise ? (reads & uses_output) != 0 : (row.saves.output >> k & 1) != 0) {
      slot.saved = y.alias().take();
      slot.version = y->storage->version;
    } else if (!row.elementwise) {
      slot.saved = y.hollow().take();
    }
    if (!is_floating(y.dtype())) continue;
    y->requires_grad = true;
    y->output = static_cast<uint8_t>(k);
    y->node = node;
    ++node->refs;
  }
  release(node);
}

}  // namespace chainrule
