// dtypes.h - the objects chainrule.float32 and the like. Floor: bindings. There is one object per dtype.
#pragma once
#include <pybind11/pybind11.h>

#include <optional>

#include "chainrule/core/dtype.h"

namespace chainrule::python {

/// A new reference.
PyObject* dtype_object(DType dtype);
/// A dtype object, or Python's float, int or bool type; nothing for anything else.
std::optional<DType> dtype_from(PyObject* o);

}  // namespace chainrule::python
