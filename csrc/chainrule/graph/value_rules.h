// value_rules.h - the gradient rules of all ops with T = Value. Floor: graph.
#pragma once
#include "chainrule/autograd/elementwise.h"
#include "chainrule/graph/graph.h"
#include "chainrule/ops/op_rules.h"

namespace chainrule {

/// The nodes of the gradient for input k; an empty Value where there is none.
Value value_vjp(const OpRow& op, const void* attributes, int k, const Value* gy, std::span<const Value> x,
                const Value* y);
/// The gradient for input k as one writes it by hand, where the rule does not read well; see Note [Gradients as on a
/// blackboard]. Empty where it does.
std::string textbook(const OpRow& op, const void* attributes, int k);

}  // namespace chainrule
