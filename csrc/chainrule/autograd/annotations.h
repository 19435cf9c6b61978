// annotations.h - what people call tensors and nodes, which module call and which line of theirs made a node. Floor:
// autograd. Names and lines stand in tables beside the tape: what nobody named or asked for costs one bit.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "chainrule/autograd/node.h"

namespace chainrule {

// ---- Names ----
/// Names a tensor, and the node that made it; an empty name takes it back.
void set_name(const Tensor& tensor, std::string name);
std::string name_of(const Tensor& tensor);
/// The name of an output of a node; of a leaf, that of its tensor.
std::string name_of(Node* node, int output);
/// The name of whichever tensor is or was this part of this memory.
std::string name_of(const Storage* storage, const char* data, IntSpan shape);

// ---- Numbers that depend on the unknown size ----
/// A 0-d placeholder that stands for such a number: Note [The unknown size].
Tensor size_literal(DType dtype, Number value);
std::optional<Number> size_literal_of(const Node* node);

// ---- Module calls ----
/// A running or past call of a module. Nodes hold the call they were made in; the module itself is held by nobody.
struct ModuleCall {
  int32_t refs;
  ModuleCall* parent;  ///< the call around it; counted
  void* module;        ///< the binding's weak reference
};
/// How the binding takes back the weak reference of a call that nobody remembers.
void install_module_release(void (*release_module)(void* module));
void release(ModuleCall* call) noexcept;

/// The innermost call of this thread; null outside of modules.
[[gnu::tls_model("initial-exec")]] extern thread_local constinit ModuleCall* current_call;

/// Makes a call the innermost one until the end of the block.
class InModuleCall {
 public:
  explicit InModuleCall(void* module);
  ~InModuleCall();
  InModuleCall(const InModuleCall&) = delete;
  InModuleCall& operator=(const InModuleCall&) = delete;

 private:
  ModuleCall* call_;
};

// ---- Lines of the user's code ----
/// Gives the user's line that is running, "train.py:12".
using LineOf = std::string (*)();
/// From now on every recorded node remembers its line; null: no longer. Returns what was set before.
LineOf remember_lines(LineOf line_of);
std::string line_of(const Node* node);

// ---- For tensor.cpp and node.cpp ----
namespace detail {
extern LineOf running_line;
void note_line(Node* node);
void forget_name(const TensorImpl* tensor) noexcept;
void forget_annotations(const Node* node) noexcept;
/// The tensor of an accumulator is about to die: its name goes to the node.
void inherit_name(Node* node, const TensorImpl* leaf);
}  // namespace detail

}  // namespace chainrule
