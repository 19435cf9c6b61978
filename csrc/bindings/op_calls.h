// op_calls.h - what is done to the inputs of an op before it runs. Floor: bindings.
#pragma once
#include <vector>

#include "chainrule/autograd/tensor.h"

namespace chainrule::python {

/// Casts what the ops themselves want uniform: tensors to join to their common dtype, int32 indices to int64.
void conform_inputs(int id, std::vector<Tensor>& inputs);

}  // namespace chainrule::python
