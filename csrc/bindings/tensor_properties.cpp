// tensor_properties.cpp - the properties of Tensor, and its repr. Floor: bindings.
#include "chainrule/autograd/annotations.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/format.h"
#include "chainrule/ops/functional.h"
#include "dtypes.h"
#include "module.h"
#include "node_object.h"
#include "sizes.h"

namespace chainrule::python {

namespace {

using Getter = PyObject* (*)(const Tensor& x);

template <Getter get>
PyObject* property(PyObject* self, void*) {
  return guarded([&] { return get(*Borrowed(self)); });
}

PyObject* get_shape(const Tensor& x) { return sizes_object(x.shape()); }
PyObject* get_dtype(const Tensor& x) { return dtype_object(x.dtype()); }
PyObject* get_ndim(const Tensor& x) { return checked(PyLong_FromLong(x.ndim())); }
PyObject* get_device(const Tensor&) { return checked(PyUnicode_InternFromString("cpu")); }
PyObject* get_requires_grad(const Tensor& x) { return PyBool_FromLong(x.requires_grad()); }
PyObject* get_is_leaf(const Tensor& x) { return PyBool_FromLong(x.is_leaf()); }
PyObject* get_grad(const Tensor& x) { return wrap_or_none(x.grad()); }
PyObject* get_grad_fn(const Tensor& x) { return wrap_node(x.is_leaf() ? nullptr : x->node); }
PyObject* get_data(const Tensor& x) { return wrap(detach(x)); }
PyObject* get_version(const Tensor& x) {
  return checked(PyLong_FromUnsignedLong(x.is_placeholder() ? 0 : x->storage->version));
}
PyObject* get_transpose(const Tensor& x) { return wrap(reverse_dims(x)); }
PyObject* get_matrix_transpose(const Tensor& x) { return wrap(matrix_transpose(x)); }

PyObject* get_name(const Tensor& x) {
  const std::string name = name_of(x);
  if (name.empty()) Py_RETURN_NONE;
  return checked(PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
}

int set_name(PyObject* self, PyObject* value, void*) {
  return guarded(-1, [&] {
    if (value && value != Py_None && !PyUnicode_Check(value))
      fail(ErrorKind::dtype, "name", "a " + type_name(value), "it must be a str or None");
    chainrule::set_name(*Borrowed(self), value && value != Py_None ? text_from(value, "name", "the name") : "");
    return 0;
  });
}

int set_requires_grad(PyObject* self, PyObject* value, void*) {
  return guarded(-1, [&] {
    if (!value) fail(ErrorKind::dtype, "requires_grad", "a deletion", "it can only be set");
    const int truth = PyObject_IsTrue(value);
    if (truth < 0) throw py::error_already_set();
    Borrowed(self)->requires_grad_(truth == 1);
    return 0;
  });
}

int set_grad(PyObject* self, PyObject* value, void*) {
  return guarded(-1, [&] {
    if (value && value != Py_None && !is_tensor(value))
      fail(ErrorKind::dtype, "grad", "a " + type_name(value), "it must be a Tensor or None");
    Borrowed(self)->set_grad(value && value != Py_None ? share(value) : Tensor());
    return 0;
  });
}

// x.data = y: the object holds y's memory from now on. Graphs that were recorded with the old value keep that.
int set_data(PyObject* self, PyObject* value, void*) {
  return guarded(-1, [&] {
    if (!value || !is_tensor(value))
      fail(ErrorKind::dtype, "data", value ? "a " + type_name(value) : "a deletion", "it must be a Tensor");
    const Tensor old = share(self);
    if (!old.is_leaf())
      fail(ErrorKind::graph, "data", std::string("the result of ") + old->node->name(),
           "only leaves can take other data", "use copy_() or detach()");
    Tensor alias = share(value).alias();
    alias.requires_grad_(old.requires_grad());
    const Tensor grad = old.grad();
    if (grad && same(grad.shape(), alias.shape()) && grad.dtype() == alias.dtype()) alias.set_grad(grad);
    rebind(self, std::move(alias));
    return 0;
  });
}

PyGetSetDef properties[] = {
    {"shape", property<get_shape>, nullptr, "The size of every dim, a tuple.\n\n>>> cr.zeros(2, 3).shape\n(2, 3)",
     nullptr},
    {"dtype", property<get_dtype>, nullptr, "The type of the elements.\n\n>>> cr.zeros(2).dtype\nchainrule.float32",
     nullptr},
    {"ndim", property<get_ndim>, nullptr, "The number of dims.\n\n>>> cr.zeros(2, 3).ndim\n2", nullptr},
    {"device", property<get_device>, nullptr, "Always 'cpu'.\n\n>>> cr.zeros(2).device\n'cpu'", nullptr},
    {"requires_grad", property<get_requires_grad>, set_requires_grad,
     "Whether operations on it are recorded for gradients; settable on leaves.\n\n"
     ">>> cr.zeros(2).requires_grad\nFalse",
     nullptr},
    {"is_leaf", property<get_is_leaf>, nullptr,
     "Whether no recorded operation made it.\n\n>>> (cr.ones(2, requires_grad=True) * 2).is_leaf\nFalse", nullptr},
    {"grad", property<get_grad>, set_grad,
     "The gradient that backward() has added up, or None; settable.\n\n"
     ">>> x = cr.ones(2, requires_grad=True)\n>>> (x * 3).sum().backward()\n>>> x.grad\ntensor([3., 3.])",
     nullptr},
    {"grad_fn", property<get_grad_fn>, nullptr,
     "The node of the graph that made it; None for a leaf.\n\n"
     ">>> cr.ones(2, requires_grad=True).exp().grad_fn.name\n'exp'",
     nullptr},
    {"data", property<get_data>, set_data,
     "The same memory without history; assigning makes a leaf hold other data.\n\n"
     ">>> cr.ones(2, requires_grad=True).data\ntensor([1., 1.])",
     nullptr},
    {"name", property<get_name>, set_name,
     "What graphs and drawings call it, or None; settable.\n\n>>> cr.tensor(3., name='x').name\n'x'", nullptr},
    {"_version", property<get_version>, nullptr,
     "How often its memory was changed in place.\n\n>>> cr.zeros(2).add_(1)._version\n1", nullptr},
    {"T", property<get_transpose>, nullptr,
     "A view with all dims in reverse order.\n\n>>> cr.zeros(2, 3).T.shape\n(3, 2)", nullptr},
    {"mT", property<get_matrix_transpose>, nullptr,
     "A view with the last two dims swapped.\n\n>>> cr.zeros(4, 2, 3).mT.shape\n(4, 3, 2)", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

std::string placeholder_text(const Tensor& x) {
  const std::string name = name_of(x);
  return "placeholder(" + (name.empty() ? "" : name + ", ") + "shape=" + to_string(x.shape()) +
         ", dtype=" + name_of(x.dtype()) + ")";
}

PyObject* repr(PyObject* self) {
  return guarded([&] {
    const Borrowed x(self);
    const std::string text = x->is_placeholder() ? placeholder_text(*x) : to_string(*x);
    return checked(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
  });
}

}  // namespace

std::span<const PyType_Slot> property_slots() {
  static const PyType_Slot slots[] = {{Py_tp_getset, properties}, {Py_tp_repr, reinterpret_cast<void*>(repr)}};
  return slots;
}

}  // namespace chainrule::python
