// from_python.h - tensors of nested lists, numbers, and whatever else holds elements. Floor: bindings.
#pragma once
#include <optional>

#include "tensor_type.h"

namespace chainrule::python {

/// A new tensor with the elements of `data`: a number, a nest of lists or tuples (of 0-d tensors and NumPy scalars,
/// too), a Tensor, or an object with a buffer, __dlpack__ or __array__. The dtype is inferred when none is asked for.
Tensor tensor_from(PyObject* data, std::optional<DType> dtype, std::string_view op);

}  // namespace chainrule::python
