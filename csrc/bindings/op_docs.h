// op_docs.h - signature and docstring of an op, derived from its row. Floor: bindings.
#pragma once
#include <string>

#include "chainrule/autograd/op_row.h"

namespace chainrule::python {

/// "clamp(x: Tensor, min: float = -inf, max: float = inf) -> Tensor"
std::string op_signature(const OpRow& row);
/// What stands below the signature: meaning, arguments, result, gradient, example.
std::string op_doc(const OpRow& row);

}  // namespace chainrule::python
