// format.h - a tensor as text, laid out as PyTorch lays it out. Floor: ops.
#pragma once
#include <string>

#include "chainrule/autograd/tensor.h"

namespace chainrule {

/// "tensor([[1., 2.], [3., 4.]], requires_grad=True)": 4 digits, scientific when the range asks for it, columns
/// aligned, more than 1000 elements summarised, dtype named when it is not the default, grad_fn=<name> for results.
std::string to_string(const Tensor& tensor);

}  // namespace chainrule
