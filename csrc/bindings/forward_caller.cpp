// forward_caller.cpp - what runs when a module is called: forward, and nothing else unless there are hooks or an error.
// Floor: bindings. A type of its own and not a Python method, because a model calls a dozen modules in every step, and
// a method that passes *args and **kwargs on costs several times the op inside.
#include <array>
#include <cstring>
#include <vector>

#include "chainrule/autograd/annotations.h"
#include "module.h"
#include "tensor_type.h"

namespace chainrule::python {

namespace {

struct Names {
  PyObject* forward = PyUnicode_InternFromString("forward");
  PyObject* hooks = PyUnicode_InternFromString("_forward_hooks");
  PyObject* pre_hooks = PyUnicode_InternFromString("_forward_pre_hooks");
  PyObject* call_with_hooks = PyUnicode_InternFromString("_call_with_hooks");
  PyObject* add_path = PyUnicode_InternFromString("_add_path");
};
const Names* names = nullptr;

// The name of a type without its module.
const char* short_name(const PyTypeObject* type) {
  const char* dot = std::strrchr(type->tp_name, '.');
  return dot ? dot + 1 : type->tp_name;
}

// -1 with an error set: only Module.__init__ makes the dicts of hooks.
int has_hooks(PyObject* self) {
  for (PyObject* name : {names->hooks, names->pre_hooks}) {
    PyObject* hooks = PyObject_GetAttr(self, name);
    if (!hooks) {
      if (PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Format(PyExc_AttributeError,
                     "%s: it was called before Module.__init__(), which makes a module ready for calls; "
                     "call super().__init__() first",
                     short_name(Py_TYPE(self)));
      return -1;
    }
    const int any = PyObject_IsTrue(hooks);
    Py_DECREF(hooks);
    if (any != 0) return any;
  }
  return 0;
}

PyObject* call_forward(PyObject* self, PyObject* args, PyObject* keywords) {
  constexpr Py_ssize_t few = 8;
  const Py_ssize_t count = PyTuple_GET_SIZE(args);
  if (keywords || count >= few) {
    PyObject* forward = PyObject_GetAttr(self, names->forward);
    PyObject* result = forward ? PyObject_Call(forward, args, keywords) : nullptr;
    Py_XDECREF(forward);
    return result;
  }
  std::array<PyObject*, few> list{self};
  for (Py_ssize_t i = 0; i < count; ++i) list[static_cast<size_t>(i) + 1] = PyTuple_GET_ITEM(args, i);
  return PyObject_VectorcallMethod(names->forward, list.data(), static_cast<size_t>(count) + 1, nullptr);
}

// Lets the module say in the message of the pending exception where in the model it was raised.
void tell_where(PyObject* self) {
  if (!PyErr_ExceptionMatches(PyExc_Exception)) return;
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  PyObject* done = PyObject_CallMethodOneArg(self, names->add_path, value);
  if (!done) PyErr_Clear();  // the error itself matters more
  Py_XDECREF(done);
  PyErr_Restore(type, value, traceback);
}

PyObject* call(PyObject* self, PyObject* args, PyObject* keywords) {
  const int hooked = has_hooks(self);
  if (hooked < 0) return nullptr;
  PyObject* const weak = PyWeakref_NewRef(self, nullptr);
  if (!weak) return nullptr;
  const InModuleCall in_call(weak);
  PyObject* result;
  if (hooked) {
    const py::dict none;
    result = PyObject_CallMethodObjArgs(self, names->call_with_hooks, args, keywords ? keywords : none.ptr(), nullptr);
  } else {
    result = call_forward(self, args, keywords);
  }
  if (!result) [[unlikely]]
    tell_where(self);
  return result;
}

constexpr const char* doc = R"(Calling an object of this type runs its forward, with the hooks around it.

The base of nn.Module, which says what hooks are (_call_with_hooks) and how an error learns where it happened (_add_path).
)";

}  // namespace

void add_forward_caller(py::module_& m) {
  names = new Names;  // as old as the process
  install_module_release([](void* weak) { Py_DECREF(static_cast<PyObject*>(weak)); });
  PyType_Slot slots[] = {
      {Py_tp_call, reinterpret_cast<void*>(&call)}, {Py_tp_doc, const_cast<char*>(doc)}, {0, nullptr}};
  PyType_Spec spec{"chainrule._C.ForwardCaller", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  m.add_object("ForwardCaller", owned(PyType_FromSpec(&spec)));
}

}  // namespace chainrule::python
