// simplify.cpp - formulas without what cannot matter: constants are folded, neutral elements go.
#include <map>

#include "chainrule/graph/formula.h"

namespace chainrule {

namespace {

// The number of a constant with one element.
std::optional<double> number_of(const GraphNode& node) {
  if (node.kind != NodeKind::constant || !node.value || node.value.numel() != 1) return std::nullopt;
  return node.value.item();
}
bool is(const GraphNode& node, double number) { return number_of(node) == number; }

class Simplifier {
 public:
  explicit Simplifier(Graph& graph) : graph_(graph) {}

  // Nodes stand after their inputs, so one walk is enough; those below the root only.
  Ref run(Ref root) {
    std::vector<char> needed(static_cast<size_t>(root.node) + 1);
    needed.back() = 1;
    for (int i = root.node; i >= 0; --i)
      if (needed[static_cast<size_t>(i)])
        for (Ref x : node(i).inputs) needed[static_cast<size_t>(x.node)] = 1;
    for (int i = 0; i <= root.node; ++i)
      if (needed[static_cast<size_t>(i)] && node(i).op) simplify_node(i);
    return now(root);
  }

 private:
  const GraphNode& node(int i) const { return graph_.nodes()[static_cast<size_t>(i)]; }
  const GraphNode& node(Ref ref) const { return node(ref.node); }
  Ref now(Ref ref) const {
    const auto found = replaced_.find(ref.node);
    if (found == replaced_.end()) return ref;
    return {found->second.node, found->second.output + ref.output};  // more than one only where an op was added again
  }

  void simplify_node(int i) {
    const GraphNode before = node(i);  // a copy: adding nodes moves the others
    std::vector<Ref> inputs;
    bool changed = false, all_constant = before.op->elementwise;
    for (Ref x : before.inputs) {
      inputs.push_back(now(x));
      changed |= !(inputs.back() == x);
      all_constant &= number_of(node(inputs.back())).has_value();
    }
    if (all_constant) {
      replaced_[i] = graph_.constant(computed(before, inputs)).ref;
    } else if (const Ref same = without_neutral(before, inputs); same.node >= 0) {
      replaced_[i] = same;
    } else if (changed) {
      replaced_[i] = graph_.add(*before.op, before.attributes.data(), inputs);
    }
  }

  Tensor computed(const GraphNode& what, const std::vector<Ref>& inputs) const {
    const GradMode unrecorded(false);
    std::vector<const Tensor*> x;
    for (Ref ref : inputs) x.push_back(&node(ref).value);
    Tensor y[max_outputs];
    chainrule::run(*what.op, what.attributes.data(), x, y);
    return y[0];
  }

  // The input that the result equals, if the op does nothing; node -1 if it does something.
  Ref without_neutral(const GraphNode& what, const std::vector<Ref>& x) const {
    const int id = what.op->id;
    const auto keeps = [&](Ref ref) {
      return graph_.meta(ref).dtype == what.outputs[0].dtype && graph_.meta(ref).shape == what.outputs[0].shape;
    };
    Ref same;
    if (id == id_of<Reshape> || id == id_of<Expand> || id == id_of<Cast>) same = x[0];
    else if (id == id_of<Mul> && is(node(x[0]), 1)) same = x[1];
    else if ((id == id_of<Mul> || id == id_of<Div> || id == id_of<Pow>) && is(node(x[1]), 1)) same = x[0];
    else if (id == id_of<Add> && is(node(x[0]), 0)) same = x[1];
    else if ((id == id_of<Add> || id == id_of<Sub>) && is(node(x[1]), 0)) same = x[0];
    else if (id == id_of<LogicalAnd> && (is(node(x[0]), 1) || is(node(x[1]), 0))) same = x[1];
    else if (id == id_of<LogicalAnd> && (is(node(x[1]), 1) || is(node(x[0]), 0))) same = x[0];
    else if (id == id_of<Where>)
      if (const auto condition = number_of(node(x[0]))) same = *condition != 0 ? x[1] : x[2];
    return same.node >= 0 && keeps(same) ? same : Ref{};
  }

  Graph& graph_;
  std::map<int, Ref> replaced_;
};

}  // namespace

Ref simplify(Graph& graph, Ref root) { return Simplifier(graph).run(root); }

}  // namespace chainrule
