// formula.h - formulas from the same rules that compute: of a graph, of a node, of its derivatives. Floor: graph.
#pragma once
#include <string>
#include <vector>

#include "chainrule/graph/graph.h"

namespace chainrule {

/// What each node is called: its name, the number of a constant, or its op with a count: "mul", "mul_2". All but those
/// of constants differ.
std::vector<std::string> labels_of(const Graph& graph);

/// One value written in terms of the graph's inputs, infix where the op has an operator: "gy * (1 - y * y)".
std::string formula(const Graph& graph, Ref ref);

/// A formula as a graph of its own, whose inputs are called as the labels say.
struct Formula {
  Graph graph;
  Ref root;  ///< node -1: there is none
  std::vector<int> upstream = {};  ///< the inputs that stand for the gradient of the node's result
};
/// A node in terms of its inputs: "w1 * x".
Formula formula_of_node(const Graph& graph, int node, const std::vector<std::string>& labels);
/// How the result of a node changes with its input k: of an elementwise op the partial derivative, "2 * r"; of others
/// the rule that takes the gradient gy of the result to that of the input, "gy @ b.mT".
Formula formula_of_derivative(const Graph& graph, int node, int k, const std::vector<std::string>& labels);

/// That rule as one writes it by hand, where it does not read well; see Note [Gradients as on a blackboard].
std::string textbook_of_derivative(const Graph& graph, int node, int k);

/// The same value with less: what can be computed from constants is, what multiplies by 1 or adds 0 goes.
Ref simplify(Graph& graph, Ref root);

/// The gradient rules of an elementwise op, a line each: "gx = gy * (1 - y * y)". Empty for other ops.
std::string gradient_formula(const OpRow& op);

}  // namespace chainrule
