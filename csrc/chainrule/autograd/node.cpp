// node.cpp - life of a tape node: made, recorded, freed. Everything here is iterative: a chain of a million nodes
// dies without touching the stack limit.
#include "chainrule/autograd/node.h"

#include <cstring>
#include <new>

#include "chainrule/autograd/annotations.h"
#include "chainrule/core/allocator.h"
#include "chainrule/core/error.h"

namespace chainrule {

// Note [Saved values hold storage, not tensors]
// A node never holds the tensor it saves, only its storage and where in it the value stands: the tensor may come to own
// this node, by a change in place or through the .grad that create_graph gives it, and counting would never free such a
// cycle. The edge knows where the value came from, so nothing is lost; and a scalar costs no block of its own.

namespace {

[[gnu::tls_model("initial-exec")]] thread_local constinit uint64_t last_sequence = 0;
[[gnu::tls_model("initial-exec")]] thread_local constinit Node* dying = nullptr;  // linked through `leaf`
[[gnu::tls_model("initial-exec")]] thread_local constinit bool draining = false;

void release_if(TensorImpl* impl) noexcept {
  if (impl) release(impl);
}

void drop_value(Saved& saved) noexcept {
  if (saved.kind < Saved::Kind::value) return;
  saved.kind = Saved::Kind::meta;
  release(saved.storage);
}

void destroy(Node* node) noexcept {
  for (Edge& edge : node->edges()) {
    drop_value(edge.saved);
    if (edge.node) release(edge.node);
  }
  for (NodeOutput& output : node->outputs()) {
    drop_value(output.saved);
    release_if(output.grad);
  }
  if (node->call) release(node->call);
  if (node->annotated) [[unlikely]]
    detail::forget_annotations(node);
  if (node->block_bytes <= small_limit) free_small(small_blocks(), node, node->block_bytes);
  else ::operator delete(node);
}

// Header, outputs and edges cleared; attributes copied; `dim_words` of room behind them.
Node* new_node(const OpRow* row, const void* op, size_t input_count, int output_count, size_t dim_words) {
  const size_t attribute_bytes = row ? static_cast<size_t>(row->attribute_bytes) : 0;
  const size_t fixed =
      sizeof(Node) + static_cast<size_t>(output_count) * sizeof(NodeOutput) + input_count * sizeof(Edge);
  const size_t bytes = fixed + (attribute_bytes + 7) / 8 * 8 + dim_words * sizeof(int64_t);
  void* block = bytes <= small_limit ? allocate_small(small_blocks(), bytes) : ::operator new(bytes);
  Node* node = new (block) Node;
  node->refs = 1;
  node->input_count = static_cast<uint32_t>(input_count);
  node->block_bytes = static_cast<uint32_t>(bytes);
  node->output_count = static_cast<uint8_t>(output_count);
  node->queued = node->freed = node->captured = node->needed = node->annotated = false;
  node->op = row;
  node->sequence = 0;
  node->leaf = nullptr;
  node->call = nullptr;
  if (attribute_bytes) std::memcpy(node->attributes(), op, attribute_bytes);
  return node;
}

// Writes what a node saves, sizes and strides behind its attributes.
class Saver {
 public:
  Saver(Node* node, size_t attribute_bytes)
      : node_(node),
        next_(static_cast<size_t>(static_cast<char*>(node->attributes()) - reinterpret_cast<char*>(node)) / 8 +
              (attribute_bytes + 7) / 8) {}

  void save(Saved& saved, const Tensor& x, Saved::Kind kind, bool like_output) {
    saved.storage = x->storage;
    saved.data = x->data;
    saved.dtype = x.dtype();
    saved.ndim = static_cast<uint8_t>(x.ndim()) & 15;
    saved.contiguous = x.is_contiguous();
    saved.kind = x->storage ? kind : Saved::Kind::meta;
    if (saved.kind >= Saved::Kind::value) {
      ++x->storage->refs;
      saved.version = x->storage->version;
    }
    saved.dims = like_output ? 0 : static_cast<uint32_t>(next_);
    if (like_output) return;
    int64_t* to = reinterpret_cast<int64_t*>(node_) + next_;
    const size_t words = 2 * x.shape().size();
    std::copy_n(x->sizes_data(), words, to);
    next_ += words;
  }

 private:
  Node* node_;
  size_t next_;
};

}  // namespace

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
  const auto drop = [node](Saved& saved) {
    node->freed |= saved.kind == Saved::Kind::value;
    drop_value(saved);
  };
  for (Edge& edge : node->edges()) drop(edge.saved);
  for (NodeOutput& output : node->outputs()) drop(output.saved);
}

Tensor tensor_of(const Node* node, const Saved& saved, IntSpan shape) {
  if (saved.kind == Saved::Kind::nothing) return Tensor();
  const bool like_output = node->has_shape_of_output(saved);
  const IntSpan sizes = like_output ? shape : node->sizes(saved);
  if (saved.kind == Saved::Kind::meta) return Tensor::hollow(saved.dtype, sizes);
  return Tensor::on_storage(saved.storage, saved.data, saved.dtype, sizes,
                            like_output ? IntSpan(contiguous_strides(sizes)) : node->strides(saved));
}

Node* gradient_node(TensorImpl* tensor) {
  if (!tensor->node) {
    tensor->node = new_node(nullptr, nullptr, 0, 1, 0);
    tensor->node->outputs()[0] = {};
    tensor->node->leaf = tensor;
  }
  ++tensor->node->refs;
  return tensor->node;
}

namespace {

// What the rules of an op read, and which inputs are dense and of the output's shape.
struct Recording {
  unsigned reads = 0, like_output = 0;
  size_t dim_words = 0;
};

// The gradient that reaches an elementwise op tells the sizes; what is strided (after a change in place) is written
// down.
bool is_like_output(const OpRow& row, const Tensor& y) { return row.elementwise && y.is_contiguous(); }

Recording plan(const OpRow& row, std::span<const Tensor* const> inputs, const Tensor* outputs) {
  Recording plan;
  plan.reads = row.saves.inputs & (uses_output - 1);
  for (size_t k = 0; k < inputs.size(); ++k) {
    const Tensor& x = *inputs[k];
    if (row.elementwise) {
      if (x->requires_grad) plan.reads |= row.vjp_of_input[k].bits;
      if (x.is_contiguous() && same(x.shape(), outputs[0].shape())) {
        plan.like_output |= 1u << k;
        continue;
      }
    }
    plan.dim_words += 2 * x.shape().size();
  }
  for (int k = 0; k < row.outputs; ++k)
    if (!is_like_output(row, outputs[k])) plan.dim_words += 2 * outputs[k].shape().size();
  return plan;
}

}  // namespace

void record(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
  using Kind = Saved::Kind;
  const Recording plan = chainrule::plan(row, inputs, outputs);
  Node* node = new_node(&row, op, inputs.size(), row.outputs, plan.dim_words);
  Saver saver(node, static_cast<size_t>(row.attribute_bytes));
  uint64_t sequence = last_sequence;
  Edge* edge = node->edges().data();
  for (size_t k = 0; k < inputs.size(); ++k, ++edge) {
    const Tensor& x = *inputs[k];
    edge->node = nullptr;
    edge->output = 0;
    if (x->requires_grad || x.is_placeholder()) {
      edge->node = gradient_node(x.get());
      edge->output = x->output;
      sequence = std::max(sequence, edge->node->sequence);
    }
    const bool is_read = (plan.reads >> std::min<size_t>(k, 29) & 1) != 0;
    const bool like_output = k < 32 && (plan.like_output >> k & 1) != 0;
    // What leads on is not kept, but for a leaf of a graph that is assembled: its owner may go before the graph is
    // read.
    const bool leads_on = edge->node && !(x->storage && !outputs[0]->storage);
    const Kind kind = is_read ? Kind::value : leads_on ? Kind::meta : Kind::held;
    saver.save(edge->saved, x, kind, like_output);
  }
  node->sequence = last_sequence = sequence + 1;
  for (int k = 0; k < row.outputs; ++k) {
    NodeOutput& slot = node->outputs()[k];
    Tensor& y = outputs[k];
    slot.grad = slot.retainer = nullptr;
    const bool is_read = row.elementwise ? (plan.reads & uses_output) != 0 : (row.saves.output >> k & 1) != 0;
    saver.save(slot.saved, y, is_read ? Kind::value : Kind::meta, is_like_output(row, y));
    if (!is_floating(y.dtype()) && y->storage) {
      y->storage->unrecorded_op = static_cast<int16_t>(row.id);
      continue;
    }
    y->requires_grad = is_floating(y.dtype());
    y->output = static_cast<uint8_t>(k);
    y->node = node;
    ++node->refs;
  }
  if (current_call) {
    node->call = current_call;
    ++current_call->refs;
  }
  if (detail::running_line) [[unlikely]]
    detail::note_line(node);
  release(node);
}

}  // namespace chainrule
