// interop.h - memory shared with NumPy and whoever else speaks the buffer protocol. Floor: bindings.
#pragma once
#include <string_view>

#include "tensor_type.h"

namespace chainrule::python {

/// Does the object offer its memory? (NumPy arrays and scalars, memoryview, bytes, array.array; not our tensors.)
bool has_buffer(PyObject* o);
/// A tensor on the object's own memory, which stays alive with it. Fails for what cannot be shared.
Tensor share_buffer(PyObject* o, std::string_view op);
/// A tensor with a copy of the object's elements; any strides, read-only or not.
Tensor copy_buffer(PyObject* o, std::string_view op);

/// A tensor with a copy of raw bytes, read as row-major elements.
Tensor tensor_from_bytes(PyObject* buffer, DType dtype, IntSpan shape, std::string_view op);

/// Fails with a hint when a tensor's memory must not leave the graph.
void require_exportable(const Tensor& x, std::string_view op);

/// Calls `give_back` under the GIL; nothing when the interpreter is gone.
template <class F>
void with_gil(const F& give_back) {
  if (!Py_IsInitialized()) return;
  const PyGILState_STATE state = PyGILState_Ensure();
  give_back();
  PyGILState_Release(state);
}

}  // namespace chainrule::python
