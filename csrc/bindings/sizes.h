// sizes.h - sizes as Python sees them: ints, and where a size is not known yet an int that says so. Floor: bindings.
#pragma once
#include <pybind11/pybind11.h>

#include "chainrule/core/shape.h"

namespace chainrule::python {

/// A new reference: an int, or a chainrule.graphs.sizes.UnknownSize.
PyObject* size_object(int64_t size);
/// A new reference: a tuple of them.
PyObject* sizes_object(IntSpan sizes);

}  // namespace chainrule::python
