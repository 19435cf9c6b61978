#include "values_indices.h"

namespace chainrule::python {

namespace {

PyTypeObject* type = nullptr;
PyStructSequence_Field fields[] = {{"values", "the largest or smallest elements"},
                                   {"indices", "their positions along the dim, int64"},
                                   {nullptr, nullptr}};
PyStructSequence_Desc description{"chainrule.ValuesIndices", "What max and min along a dim return.", fields, 2};

}  // namespace

void create_values_indices(py::module_& m) {
  type = PyStructSequence_NewType(&description);
  if (!type) throw py::error_already_set();
  m.add_object("ValuesIndices", reinterpret_cast<PyObject*>(type));
}

PyObject* wrap_values_indices(Tensor values, Tensor indices) {
  py::object result = owned(PyStructSequence_New(type));
  PyStructSequence_SetItem(result.ptr(), 0, wrap(std::move(values)));
  PyStructSequence_SetItem(result.ptr(), 1, wrap(std::move(indices)));
  return result.release().ptr();
}

}  // namespace chainrule::python
