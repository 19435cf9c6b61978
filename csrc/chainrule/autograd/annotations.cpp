#include "chainrule/autograd/annotations.h"

#include <array>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "chainrule/core/allocator.h"

namespace chainrule {

namespace {

struct NodeNotes {
  std::array<std::string, max_outputs> names;
  std::string line;
  std::optional<Number> size_literal;
};

// As old as the process: tensors may die after the tables would.
struct Tables {
  std::mutex mutex;
  std::unordered_map<const TensorImpl*, std::string> tensors;
  std::unordered_map<const Node*, NodeNotes> nodes;
};
Tables& tables() {
  static Tables* const all = new Tables;
  return *all;
}

void (*release_module)(void* module) = nullptr;

template <class Change>
void annotate(Node* node, const Change& change) {
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  change(all.nodes[node]);
  node->annotated = true;
}

std::string lookup(const TensorImpl* tensor) {
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  const auto found = all.tensors.find(tensor);
  return found == all.tensors.end() ? "" : found->second;
}

}  // namespace

[[gnu::tls_model("initial-exec")]] thread_local constinit ModuleCall* current_call = nullptr;

void set_name(const Tensor& tensor, std::string name) {
  if (tensor->node && !tensor.is_leaf())
    annotate(tensor->node, [&](NodeNotes& notes) { notes.names[tensor->output] = name; });
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  tensor->named = !name.empty();
  if (name.empty()) all.tensors.erase(tensor.get());
  else all.tensors[tensor.get()] = std::move(name);
}

std::string name_of(const Tensor& tensor) { return tensor->named ? lookup(tensor.get()) : ""; }

std::string name_of(Node* node, int output) {
  if (node->is_leaf() && node->leaf) return node->leaf->named ? lookup(node->leaf) : "";
  if (!node->annotated) return "";
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  return all.nodes[node].names[static_cast<size_t>(output)];
}

std::string name_of(const Storage* storage, const char* data, IntSpan shape) {
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  for (const auto& [tensor, name] : all.tensors)
    if (tensor->storage == storage && tensor->data == data && same(tensor->sizes(), shape)) return name;
  return "";
}

Tensor size_literal(DType dtype, Number value) {
  const Tensor literal = Tensor::placeholder({dtype, {}});
  annotate(literal->node, [&](NodeNotes& notes) { notes.size_literal = value; });
  return literal;
}

std::optional<Number> size_literal_of(const Node* node) {
  if (!node->annotated) return std::nullopt;
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  return all.nodes[node].size_literal;
}

void install_module_release(void (*function)(void* module)) { release_module = function; }

void release(ModuleCall* call) noexcept {
  while (call && --call->refs == 0) {
    ModuleCall* parent = call->parent;
    if (release_module) release_module(call->module);
    free_small(small_blocks(), call, sizeof(ModuleCall));
    call = parent;
  }
}

InModuleCall::InModuleCall(void* module)
    : call_(new (allocate_small(small_blocks(), sizeof(ModuleCall))) ModuleCall{1, current_call, module}) {
  if (call_->parent) ++call_->parent->refs;
  current_call = call_;
}
InModuleCall::~InModuleCall() {
  current_call = call_->parent;
  release(call_);
}

LineOf remember_lines(LineOf line_of) { return std::exchange(detail::running_line, line_of); }

std::string line_of(const Node* node) {
  if (!node->annotated) return "";
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  return all.nodes[node].line;
}

namespace detail {

LineOf running_line = nullptr;

void note_line(Node* node) {
  std::string line = running_line();
  if (!line.empty()) annotate(node, [&](NodeNotes& notes) { notes.line = std::move(line); });
}

void forget_name(const TensorImpl* tensor) noexcept {
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  all.tensors.erase(tensor);
}

void forget_annotations(const Node* node) noexcept {
  Tables& all = tables();
  const std::lock_guard lock(all.mutex);
  all.nodes.erase(node);
}

void inherit_name(Node* node, const TensorImpl* leaf) {
  annotate(node, [name = lookup(leaf)](NodeNotes& notes) { notes.names[0] = name; });
}

}  // namespace detail

}  // namespace chainrule
