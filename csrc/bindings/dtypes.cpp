#include "dtypes.h"

#include <string>

#include "module.h"

namespace chainrule::python {

namespace py = pybind11;

namespace {

struct DTypeObject {
  DType dtype;
};

PyObject* objects[dtype_count];

}  // namespace

PyObject* dtype_object(DType dtype) {
  PyObject* object = objects[static_cast<int>(dtype)];
  Py_INCREF(object);
  return object;
}

std::optional<DType> dtype_from(PyObject* o) {
  for (DType dtype : all_dtypes)
    if (o == objects[static_cast<int>(dtype)]) return dtype;
  if (o == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::float32;
  if (o == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::int64;
  if (o == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::boolean;
  return std::nullopt;
}

void add_dtypes(py::module_& m) {
  py::class_<DTypeObject>(m, "dtype", R"(The type of a tensor's elements: float32, float64, int64, int32 or bool.

Example:
    >>> cr.ones(2).dtype
    chainrule.float32
    >>> cr.float64.itemsize
    8
)")
      .def_property_readonly(
          "name", [](const DTypeObject& self) { return name_of(self.dtype); }, "Its name in NumPy.")
      .def_property_readonly(
          "itemsize", [](const DTypeObject& self) { return size_of(self.dtype); }, "Bytes of one element.")
      .def_property_readonly(
          "is_floating_point", [](const DTypeObject& self) { return is_floating(self.dtype); },
          "Whether gradients can flow through it.")
      .def("__repr__", [](const DTypeObject& self) { return std::string("chainrule.") + name_of(self.dtype); })
      .def("__reduce__", [](const DTypeObject& self) { return name_of(self.dtype); });
  auto add = [&](const char* name, const py::object& object) {
    m.attr(name) = object;
    m.attr("__all__").cast<py::list>().append(name);
  };
  for (DType dtype : all_dtypes) {
    py::object object = py::cast(DTypeObject{dtype});
    objects[static_cast<int>(dtype)] = object.ptr();
    add(name_of(dtype), object);
    object.release();
  }
  constexpr std::pair<const char*, DType> aliases[] = {
      {"float", DType::float32}, {"double", DType::float64}, {"long", DType::int64}, {"int", DType::int32}};
  for (const auto& [alias, dtype] : aliases) add(alias, py::reinterpret_steal<py::object>(dtype_object(dtype)));
  m.attr("__all__").cast<py::list>().append("dtype");
}

}  // namespace chainrule::python
