// op_docs.h - signature and docstring of an op, derived from its row. Floor: bindings.
#pragma once
#include <string>
#include <vector>

#include "chainrule/autograd/op_row.h"

namespace chainrule::python {

struct InputName {
  std::string name;
  bool optional;
};
/// What the inputs of an op are called; of one that takes any number of them, nothing.
std::vector<InputName> input_names(const OpRow& row);
/// "clamp(x: Tensor, min: float = -inf, max: float = inf) -> Tensor"
std::string op_signature(const OpRow& row);
/// What stands below the signature: meaning, arguments, result, gradient, example.
std::string op_doc(const OpRow& row);

}  // namespace chainrule::python
