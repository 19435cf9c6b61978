// value_rules.h - the gradient rules of all ops with T = Value. Floor: graph.
#pragma once
#include "chainrule/autograd/elementwise.h"
#include "chainrule/graph/graph.h"
#include "chainrule/ops/op_rules.h"

namespace chainrule {

/// The nodes of the gradient for input k; an empty Value where there is none.
Value value_vjp(const OpRow& op, const void* attributes, int k, const Value* gy, std::span<const Value> x,
                const Value* y);

}  // namespace chainrule
