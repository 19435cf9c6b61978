#include "tensor_type.h"

#include <structmember.h>

#include <cstring>
#include <new>
#include <stdexcept>
#include <vector>

#include "chainrule/core/error.h"
#include "interpreter_lock.h"
#include "module.h"

namespace chainrule::python {

PyTypeObject* tensor_type = nullptr;

namespace {

// Objects of the exact type that were freed, ready for the next result.
constexpr int free_list_capacity = 256;
PyTensor* free_list[free_list_capacity];
int free_count = 0;

PyTensor* as_tensor(PyObject* o) { return reinterpret_cast<PyTensor*>(o); }

void hold(PyObject* self, Tensor tensor) {
  as_tensor(self)->impl = tensor.take();
  impl_of(self)->wrapper = self;
}

void let_go(PyObject* self) {
  TensorImpl* impl = std::exchange(as_tensor(self)->impl, nullptr);
  if (!impl) return;
  if (impl->wrapper == self) impl->wrapper = nullptr;
  release(impl);
}

// The tensor goes first: callbacks of weak references must not find a dying object through it.
void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  let_go(self);
  if (as_tensor(self)->weak_references) PyObject_ClearWeakRefs(self);
  if (type == tensor_type && free_count < free_list_capacity) free_list[free_count++] = as_tensor(self);
  else type->tp_free(self);
  Py_DECREF(type);
}

// Tensor(x), from which every subclass starts.
PyObject* new_tensor(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&] {
    PyObject* source = PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : nullptr;
    if (!source || !is_tensor(source) || (kwargs && PyDict_GET_SIZE(kwargs)))
      fail(ErrorKind::dtype, "Tensor",
           source ? "a " + type_name(source) : std::to_string(PyTuple_GET_SIZE(args)) + " arguments",
           "it is made from one Tensor", "use chainrule.tensor(data)");
    Tensor alias = share(source).alias();
    PyObject* self = checked(type->tp_alloc(type, 0));
    hold(self, std::move(alias));
    return self;
  });
}

Py_hash_t identity_hash(PyObject* self) {
  const auto address = reinterpret_cast<size_t>(self);
  return static_cast<Py_hash_t>(address >> 4);
}

constexpr const char* tensor_doc = R"(An array of one dtype that remembers how it was computed.

Made by chainrule.tensor and its relatives. Tensor(x) is an alias of x without its history, which is what a subclass
starts from.

Args:
    tensor: Any shape and dtype; the memory is shared.

Returns:
    A leaf of the same shape and dtype.

Example:
    >>> x = cr.tensor([1., 2.], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
)";

PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weak_references), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyObject* exception_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::dtype: return PyExc_TypeError;
    case ErrorKind::index: return PyExc_IndexError;
    case ErrorKind::graph: return PyExc_RuntimeError;
    case ErrorKind::memory: return PyExc_MemoryError;
    case ErrorKind::missing_file: return PyExc_FileNotFoundError;
    case ErrorKind::file: return PyExc_OSError;
    default: return PyExc_ValueError;
  }
}

}  // namespace

PyObject* wrap(Tensor tensor) {
  auto* known = static_cast<PyObject*>(tensor->wrapper);
  if (known && Py_REFCNT(known) > 0) return new_reference(known);
  PyObject* self;
  if (free_count > 0) [[likely]] {
    PyTensor* reused = free_list[--free_count];
    self = PyObject_Init(reinterpret_cast<PyObject*>(reused), tensor_type);
    reused->weak_references = nullptr;
  } else {
    self = checked(tensor_type->tp_alloc(tensor_type, 0));
  }
  hold(self, std::move(tensor));
  return self;
}

PyObject* wrap_or_none(Tensor tensor) {
  if (!tensor) Py_RETURN_NONE;
  return wrap(std::move(tensor));
}

void rebind(PyObject* tensor, Tensor other) {
  release_when_idle(share(tensor));  // a loop of another thread may be reading it
  let_go(tensor);
  hold(tensor, std::move(other));
}

std::string text_from(PyObject* str, std::string_view op, std::string_view what) {
  if (!PyUnicode_Check(str))
    fail(ErrorKind::dtype, op, std::string(what) + " that is a " + type_name(str), "it must be a str");
  Py_ssize_t bytes = 0;
  if (const char* text = PyUnicode_AsUTF8AndSize(str, &bytes)) return {text, static_cast<size_t>(bytes)};
  PyErr_Clear();
  const py::object shown = owned(PyObject_ASCII(str));
  fail(ErrorKind::value, op, std::string(what) + " " + PyUnicode_AsUTF8(shown.ptr()),
       "it must be text; half of a surrogate pair is none");
}

void set_error() noexcept {
  try {
    throw;
  } catch (py::error_already_set& error) { error.restore(); } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const Error& error) {
    // The name of a file may be any bytes.
    PyObject* text = PyUnicode_DecodeUTF8(error.what(), static_cast<Py_ssize_t>(std::strlen(error.what())), "replace");
    if (text) PyErr_SetObject(exception_of(error.kind()), text);
    Py_XDECREF(text);
  } catch (const std::bad_alloc&) {
    PyErr_SetString(PyExc_MemoryError, "allocate: the system has no memory left; free tensors or use smaller ones");
  } catch (const std::length_error&) {
    PyErr_SetString(PyExc_MemoryError, "allocate: a list longer than memory; use smaller sizes");
  } catch (const std::exception& error) { PyErr_SetString(PyExc_SystemError, error.what()); } catch (...) {
    PyErr_SetString(PyExc_SystemError, "an unknown C++ exception");
  }
}

void create_tensor_type(py::module_& m) {
  std::vector<PyType_Slot> slots{{Py_tp_new, reinterpret_cast<void*>(new_tensor)},
                                 {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                                 {Py_tp_hash, reinterpret_cast<void*>(identity_hash)},
                                 {Py_tp_members, members},
                                 {Py_tp_doc, const_cast<char*>(tensor_doc)}};
  for (const auto group : {number_slots(), indexing_slots(), interop_slots(), property_slots()})
    slots.insert(slots.end(), group.begin(), group.end());
  slots.push_back({0, nullptr});
  PyType_Spec spec{"chainrule.Tensor", sizeof(PyTensor), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots.data()};
  tensor_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&spec)));
  const py::handle type(reinterpret_cast<PyObject*>(tensor_type));
  m.add_object("Tensor", type);
  m.attr("__all__").cast<py::list>().append("Tensor");
  // NumPy's scalars and arrays leave operators with a Tensor to the Tensor.
  py::setattr(type, "__array_priority__", py::float_(1000.0));
  py::register_exception_translator([](std::exception_ptr pending) {
    try {
      if (pending) std::rethrow_exception(pending);
    } catch (const Error&) { set_error(); } catch (const InternalError&) {
      set_error();
    }
  });
}

}  // namespace chainrule::python
