#include "chainrule/graph/kept.h"

#include <algorithm>
#include <array>

namespace chainrule {

namespace {

// What record() in autograd/node.cpp keeps of an op whose inputs in `owed` are owed gradients.
struct KeptByOp {
  unsigned reads = 0;  // bits of Uses
  const OpRow& op;
  bool input(size_t k, bool is_owed) const {
    return !is_owed || (reads >> std::min<size_t>(k, 29) & 1);  // what is owed none is kept to show the graph
  }
  bool output(int k) const { return op.elementwise ? (reads & uses_output) != 0 : (op.saves.output >> k & 1) != 0; }
};

class Keeper {
 public:
  explicit Keeper(const Graph& graph) : graph_(graph), outputs_(graph.nodes().size()) {}

  std::vector<Ref> run(std::span<const int> wrt) {
    for (int i : wrt) output({i, 0}).owed = is_floating(graph_.meta({i, 0}).dtype);
    for (int i = 0; i < count(); ++i) visit(i);
    for (const GraphOutput& result : graph_.outputs()) output(result.ref).reached = true;
    for (int i = count() - 1; i >= 0; --i) keep_inputs_and_outputs(i);
    std::vector<Ref> kept;
    for (int i = 0; i < count(); ++i)
      for (int k = 0; k < max_outputs; ++k)
        if (output({i, k}).kept && graph_.nodes()[static_cast<size_t>(i)].op) kept.push_back({i, k});
    return kept;
  }

 private:
  struct Output {
    Tensor strided;  // without memory: what a view of it would share
    Ref memory;  // the output it is a view of, or itself
    bool owed = false;     // it is part of the tape: it leads from a leaf that requires a gradient
    bool reached = false;  // something still leads to it: what was detached is gone from the tape
    bool kept = false;
  };

  int count() const { return static_cast<int>(outputs_.size()); }

  Output& output(Ref ref) { return outputs_[static_cast<size_t>(ref.node)][static_cast<size_t>(ref.output)]; }
  void keep(Ref ref) { output(output(ref).memory).kept = true; }

  void visit(int i) {
    const GraphNode& node = graph_.nodes()[static_cast<size_t>(i)];
    for (int k = 0; k < static_cast<int>(node.outputs.size()); ++k) {
      output({i, k}).strided = Tensor::hollow(node.outputs[static_cast<size_t>(k)]);
      output({i, k}).memory = {i, k};
    }
    if (!node.op) return;
    const OpRow& op = *node.op;
    if (op.view)
      if (Tensor view = op.view(node.attributes.data(), output(node.inputs[0]).strided)) {
        output({i, 0}).strided = std::move(view);
        output({i, 0}).memory = output(node.inputs[0]).memory;
      }
    const bool is_recorded = op.vjp && std::ranges::any_of(node.inputs, [this](Ref x) { return output(x).owed; });
    for (int k = 0; k < static_cast<int>(node.outputs.size()); ++k)
      output({i, k}).owed = is_recorded && is_floating(node.outputs[static_cast<size_t>(k)].dtype);
  }

  void keep_inputs_and_outputs(int i) {
    const GraphNode& node = graph_.nodes()[static_cast<size_t>(i)];
    const bool is_on_tape =
        std::ranges::any_of(outputs_[static_cast<size_t>(i)], [](const Output& y) { return y.owed && y.reached; });
    if (!node.op || !is_on_tape) return;
    KeptByOp kept{node.op->saves.inputs & (uses_output - 1), *node.op};
    if (node.op->elementwise)
      for (size_t k = 0; k < node.inputs.size(); ++k)
        if (output(node.inputs[k]).owed) kept.reads |= node.op->vjp_of_input[k].bits;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      output(node.inputs[k]).reached = true;
      if (kept.input(k, output(node.inputs[k]).owed)) keep(node.inputs[k]);
    }
    for (int k = 0; k < static_cast<int>(node.outputs.size()); ++k)
      if (kept.output(k)) keep({i, k});
  }

  const Graph& graph_;
  std::vector<std::array<Output, max_outputs>> outputs_;
};

}  // namespace

std::vector<Ref> kept_for_backward(const Graph& graph, std::span<const int> wrt) { return Keeper(graph).run(wrt); }

}  // namespace chainrule
