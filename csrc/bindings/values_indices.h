// values_indices.h - what max and min along a dim return: a tuple with the names values and indices. Floor: bindings.
#pragma once
#include "tensor_type.h"

namespace chainrule::python {

void create_values_indices(py::module_& m);
PyObject* wrap_values_indices(Tensor values, Tensor indices);

}  // namespace chainrule::python
