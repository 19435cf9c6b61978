// tensor_type.h - the Python object `chainrule.Tensor`, and how errors become exceptions. Floor: bindings.
// Tensor is a raw heap type: arithmetic on it must not pay for pybind11's class machinery (9 ns against 108). An object
// holds one reference to its TensorImpl, which knows the object (`wrapper`, uncounted): as long as the object lives,
// the same tensor is the same object, wherever it comes back from. Everything runs under the GIL.
#pragma once
#include <pybind11/pybind11.h>

#include <string>

#include "chainrule/autograd/tensor.h"

namespace chainrule::python {

namespace py = pybind11;

struct PyTensor {
  PyObject_HEAD TensorImpl* impl;
  PyObject* weak_references;
};

extern PyTypeObject* tensor_type;

/// Makes the type; slots come from number_slots.cpp, indexing.cpp, interop.cpp and tensor_properties.cpp.
void create_tensor_type(py::module_& m);

inline bool is_tensor(PyObject* o) { return Py_TYPE(o) == tensor_type || PyType_IsSubtype(Py_TYPE(o), tensor_type); }
inline TensorImpl* impl_of(PyObject* tensor) { return reinterpret_cast<PyTensor*>(tensor)->impl; }
inline Tensor share(PyObject* tensor) { return Tensor::share(impl_of(tensor)); }

/// A new reference to the tensor's object, made if there is none.
PyObject* wrap(Tensor tensor);
/// The same, None for an empty tensor.
PyObject* wrap_or_none(Tensor tensor);
/// Lets the object hold another tensor, of which there is no object yet.
void rebind(PyObject* tensor, Tensor other);

/// A Tensor made of the reference that a live Python object holds: nothing is counted.
class Borrowed {
 public:
  explicit Borrowed(PyObject* tensor) : tensor_(impl_of(tensor)) {}
  ~Borrowed() { tensor_.take(); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  const Tensor& operator*() const { return tensor_; }
  const Tensor* operator->() const { return &tensor_; }

 private:
  Tensor tensor_;
};

/// In a catch block: sets the Python exception of the C++ one.
void set_error() noexcept;

/// Runs the body of a C function of Python; an exception becomes a Python error and `failed`.
template <class F, class R>
R guarded(R failed, F&& body) noexcept {
  try {
    return body();
  } catch (...) {
    set_error();
    return failed;
  }
}
template <class F>
PyObject* guarded(F&& body) noexcept {
  return guarded(static_cast<PyObject*>(nullptr), [&]() -> PyObject* { return body(); });
}

/// A new reference that must not be null, or the error that is set.
inline PyObject* checked(PyObject* reference) {
  if (!reference) throw py::error_already_set();
  return reference;
}
inline py::object owned(PyObject* reference) { return py::reinterpret_steal<py::object>(checked(reference)); }
inline PyObject* new_reference(PyObject* o) {
  Py_INCREF(o);
  return o;
}

/// The UTF-8 of a str; fails where it is none, as "op: what '...'".
std::string text_from(PyObject* str, std::string_view op, std::string_view what);

inline std::string type_name(PyObject* o) { return Py_TYPE(o)->tp_name; }

}  // namespace chainrule::python

namespace pybind11::detail {

/// Lets every plain pybind11 function take and return tensors; an empty one is None on the way out.
template <>
struct type_caster<chainrule::Tensor> {
  PYBIND11_TYPE_CASTER(chainrule::Tensor, const_name("Tensor"));
  bool load(handle source, bool) {
    if (!chainrule::python::is_tensor(source.ptr())) return false;
    value = chainrule::python::share(source.ptr());
    return true;
  }
  static handle cast(const chainrule::Tensor& tensor, return_value_policy, handle) {
    return chainrule::python::wrap_or_none(tensor);
  }
};

}  // namespace pybind11::detail
