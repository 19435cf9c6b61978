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

void drop_value(Saved& saved) noexcept {
  if (saved.kind < Saved::Kind::value) return;
  saved.kind = Saved::Kind::meta;
  release(saved.storage);
}

void take_apart(Node* node) noexcept {
  for (Edge& edge : node->edges()) {
    drop_value(edge.saved);
    if (edge.node) release(edge.node);
  }
  for (NodeOutput& output : node->outputs()) {
    drop_value(output.saved);
    if (output.grad) [[unlikely]]
      release(output.grad);
  }
  if (node->call) release(node->call);
  if (node->annotated) [[unlikely]]
    detail::forget_annotations(node);
  if (node->block_bytes <= small_limit) free_small(small_blocks(), node, node->block_bytes);
  else ::operator delete(node);
}

// Header, outputs and edges cleared; attributes copied; `dim_words` of room behind them.
inline Node* new_node(const OpRow* row, const void* op, size_t input_count, int output_count, size_t dim_words) {
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

  void save(Saved& saved, const TensorImpl& x, Saved::Kind kind, bool like_output, uint8_t output = 0) {
    if (!x.storage) [[unlikely]]
      kind = Saved::Kind::meta;
    saved.storage = x.storage;
    saved.data = x.data;
    saved.dtype = x.dtype;
    saved.ndim = x.ndim;
    saved.contiguous = x.contiguous;
    saved.kind = kind;
    saved.output = output;
    saved.dims = like_output ? 0 : static_cast<uint32_t>(next_);
    if (kind >= Saved::Kind::value) {
      ++x.storage->refs;
      saved.version = x.storage->version;
    }
    if (like_output) return;
    const int64_t* from = reinterpret_cast<const int64_t*>(&x + 1);
    int64_t* to = reinterpret_cast<int64_t*>(node_) + next_;
    const size_t words = 2 * size_t{x.ndim};
    for (size_t i = 0; i < words; ++i) to[i] = from[i];
    next_ += words;
  }

 private:
  Node* node_;
  size_t next_;
};

}  // namespace

void destroy(Node* node) noexcept {
  node->leaf = reinterpret_cast<TensorImpl*>(dying);
  dying = node;
  if (draining) return;
  draining = true;
  while (dying) {
    Node* next = dying;
    dying = reinterpret_cast<Node*>(next->leaf);
    take_apart(next);
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

namespace {

[[noreturn]] void fail_changed(Node* node, const Saved& saved, IntSpan output_shape, const std::string& what) {
  const Storage& storage = *saved.storage;
  const std::string shape = to_string(node->has_shape_of_output(saved) ? output_shape : node->sizes(saved));
  fail(ErrorKind::graph, "backward",
       what + " of " + node->name() + ", of shape " + shape + ", was changed in place by " + storage.changed_by +
           " after it was saved (version " + std::to_string(storage.version) + ", saved at " +
           std::to_string(saved.version) + ")",
       "a value that backward needs must not change", "use the out-of-place operation, or clone() before the change");
}

}  // namespace

void check_saved(Node* node, IntSpan output_shape) {
  if (node->freed)
    fail(ErrorKind::graph, "backward", std::string("the saved values of ") + node->name() + " are gone",
         "a graph runs backward once unless it is retained", "call the first backward with retain_graph=True");
  for (size_t k = 0; k < node->input_count; ++k)
    if (is_changed(node->edges()[k].saved)) [[unlikely]]
      fail_changed(node, node->edges()[k].saved, output_shape, "input " + std::to_string(k));
  for (NodeOutput& output : node->outputs())
    if (is_changed(output.saved)) [[unlikely]]
      fail_changed(node, output.saved, output_shape, "the output");
}

Node* make_accumulator(TensorImpl* leaf) {
  leaf->node = new_node(nullptr, nullptr, 0, 1, 0);
  leaf->node->outputs()[0] = {};
  leaf->node->leaf = leaf;
  return leaf->node;
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
    const TensorImpl& x = *inputs[k]->get();
    if (row.elementwise) {
      if (x.requires_grad) plan.reads |= row.vjp_of_input[k].bits;
      if (x.contiguous && same_sizes(x, *outputs[0].get())) {
        plan.like_output |= 1u << k;
        continue;
      }
    }
    plan.dim_words += 2 * size_t{x.ndim};
  }
  for (int k = 0; k < row.outputs; ++k)
    if (!is_like_output(row, outputs[k])) plan.dim_words += 2 * outputs[k].shape().size();
  return plan;
}

// Where and for whom a node was made; the reference of whoever made it is given back.
inline void sign(Node* node) {
  if (current_call) {
    node->call = current_call;
    ++current_call->refs;
  }
  if (detail::running_line) [[unlikely]]
    detail::note_line(node);
  release(node);
}

inline void save_dense(Saved& saved, const TensorImpl& x, Saved::Kind kind, uint32_t dims, uint8_t output) {
  x.storage->refs += kind >= Saved::Kind::value;
  saved = {x.storage, x.data, x.storage->version, dims, x.dtype, x.ndim, x.contiguous, kind, output};
}

}  // namespace

void record_dense(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, const Tensor& output) {
  using Kind = Saved::Kind;
  Node* node = new_node(&row, op, inputs.size(), 1, 0);
  TensorImpl& y = *output.get();
  constexpr uint32_t scalar_dims = 1;  // any place but 0, which is for the output's sizes: a scalar has none to read
  unsigned reads = 0;
  for (size_t k = 0; k < inputs.size(); ++k)
    if (inputs[k]->requires_grad()) reads |= row.vjp_of_input[k].bits;
  uint64_t sequence = last_sequence;
  Edge* edge = node->edges().data();
  for (size_t k = 0; k < inputs.size(); ++k, ++edge) {
    TensorImpl& x = *inputs[k]->get();
    Kind kind = Kind::held;
    edge->node = nullptr;
    if (x.requires_grad) {
      edge->node = gradient_node(&x);
      sequence = std::max(sequence, edge->node->sequence);
      kind = Kind::meta;
    }
    if (reads >> k & 1) kind = Kind::value;
    save_dense(edge->saved, x, kind, x.ndim == y.ndim ? 0 : scalar_dims, edge->node ? x.output : 0);
  }
  node->sequence = last_sequence = sequence + 1;
  NodeOutput& slot = node->outputs()[0];
  slot.grad = slot.retainer = nullptr;
  save_dense(slot.saved, y, reads & uses_output ? Kind::value : Kind::meta, 0, 0);
  y.requires_grad = true;
  y.node = node;
  ++node->refs;
  sign(node);
}

void record(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, Tensor* outputs) {
  using Kind = Saved::Kind;
  const Recording plan = chainrule::plan(row, inputs, outputs);
  Node* node = new_node(&row, op, inputs.size(), row.outputs, plan.dim_words);
  Saver saver(node, static_cast<size_t>(row.attribute_bytes));
  uint64_t sequence = last_sequence;
  Edge* edge = node->edges().data();
  for (size_t k = 0; k < inputs.size(); ++k, ++edge) {
    TensorImpl& x = *inputs[k]->get();
    edge->node = nullptr;
    if (x.requires_grad || inputs[k]->is_placeholder()) {
      edge->node = gradient_node(&x);
      sequence = std::max(sequence, edge->node->sequence);
    }
    const bool is_read = (plan.reads >> std::min<size_t>(k, 29) & 1) != 0;
    const bool like_output = k < 32 && (plan.like_output >> k & 1) != 0;
    // What leads on is not kept, but for a leaf of a graph that is assembled: its owner may go before the graph is
    // read.
    const bool leads_on = edge->node && !(x.storage && !outputs[0]->storage);
    saver.save(edge->saved, x,
               is_read    ? Kind::value
               : leads_on ? Kind::meta
                          : Kind::held,
               like_output, edge->node ? x.output : 0);
  }
  node->sequence = last_sequence = sequence + 1;
  for (int k = 0; k < row.outputs; ++k) {
    NodeOutput& slot = node->outputs()[k];
    TensorImpl& y = *outputs[k].get();
    slot.grad = slot.retainer = nullptr;
    const bool is_read = row.elementwise ? (plan.reads & uses_output) != 0 : (row.saves.output >> k & 1) != 0;
    saver.save(slot.saved, y, is_read ? Kind::value : Kind::meta, is_like_output(row, outputs[k]));
    if (!is_floating(y.dtype) && y.storage) {
      y.storage->unrecorded_op = static_cast<int16_t>(row.id);
      continue;
    }
    y.requires_grad = is_floating(y.dtype);
    y.output = static_cast<uint8_t>(k);
    y.node = node;
    ++node->refs;
  }
  sign(node);
}

}  // namespace chainrule
