#include "sizes.h"

#include "tensor_type.h"

namespace chainrule::python {

PyObject* size_object(int64_t size) {
  if (is_known(size)) [[likely]]
    return checked(PyLong_FromLongLong(size));
  const py::object type = py::module_::import("chainrule.graphs.sizes").attr("UnknownSize");
  return type(size, size_text(size)).release().ptr();
}

PyObject* sizes_object(IntSpan sizes) {
  py::object tuple = owned(PyTuple_New(static_cast<Py_ssize_t>(sizes.size())));
  for (size_t i = 0; i < sizes.size(); ++i)
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), size_object(sizes[i]));
  return tuple.release().ptr();
}

}  // namespace chainrule::python
