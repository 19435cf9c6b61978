// formula.h - formulas as text, from the same rules that compute. Floor: graph.
#pragma once
#include <string>

#include "chainrule/graph/graph.h"

namespace chainrule {

/// One value written in terms of the graph's inputs, infix where the op has an operator: "gy * (1 - y * y)".
std::string formula(const Graph& graph, Ref ref);

/// The gradient rules of an elementwise op, a line each: "gx = gy * (1 - y * y)". Empty for other ops.
std::string gradient_formula(const OpRow& op);

}  // namespace chainrule
