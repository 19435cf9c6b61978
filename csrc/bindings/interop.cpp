// interop.cpp - the buffer protocol in both directions, and what is built on it: numpy(), __array__, from_numpy().
#include "interop.h"

#include <cstring>
#include <memory>

#include "arguments.h"
#include "chainrule/ops/creation.h"
#include "dtypes.h"
#include "module.h"

namespace chainrule::python {

namespace {

constexpr const char* supported = "supported are float32, float64, int64, int32 and bool, in native byte order";

const char* format_of(DType dtype) {
  constexpr const char* formats[dtype_count] = {"f", "d", "q", "i", "?"};
  return formats[static_cast<int>(dtype)];
}

// ---- Out ----

struct Exported {
  Tensor tensor;
  Py_ssize_t shape[max_dims], strides[max_dims];
};

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  try {
    const Borrowed x(self);
    require_exportable(*x, "buffer");
    if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES && !x->is_contiguous())
      fail(ErrorKind::value, "buffer", "a strided tensor", "the consumer asked for dense memory", "use contiguous()");
    auto exported = std::make_unique<Exported>();
    exported->tensor = *x;
    const Py_ssize_t size = size_of(x->dtype());
    for (int d = 0; d < x->ndim(); ++d) {
      exported->shape[d] = x->size(d);
      exported->strides[d] = x->strides()[d] * size;
    }
    view->buf = x->data();
    view->len = x->numel() * size;
    view->itemsize = size;
    view->readonly = 0;
    view->ndim = x->ndim();
    view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format_of(x->dtype())) : nullptr;
    view->shape = (flags & PyBUF_ND) ? exported->shape : nullptr;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? exported->strides : nullptr;
    view->suboffsets = nullptr;
    view->internal = exported.release();
    view->obj = new_reference(self);
    return 0;
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_BufferError, error.what());
    return -1;
  }
}

void release_buffer(PyObject*, Py_buffer* view) { delete static_cast<Exported*>(view->internal); }

py::object as_array(PyObject* tensor, std::string_view op) {
  require_exportable(*Borrowed(tensor), op);
  const py::object memory = owned(PyMemoryView_FromObject(tensor));
  return py::module_::import("numpy").attr("asarray")(memory);
}

// ---- In ----

struct Buffer {
  Py_buffer view{};
  Buffer(PyObject* o, int flags, std::string_view op) {
    if (PyObject_GetBuffer(o, &view, flags) == 0) return;
    PyErr_Clear();
    fail(ErrorKind::dtype, op, "a " + type_name(o) + " that offers no plain memory", supported,
         "convert it with .astype()");
  }
  ~Buffer() { PyBuffer_Release(&view); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

DType dtype_of(const Py_buffer& view, std::string_view op) {
  std::string_view format = view.format ? view.format : "B";
  const bool swapped = format.starts_with('>') || format.starts_with('!');
  if (!format.empty() && std::strchr("@=<>!|", format[0])) format.remove_prefix(1);
  if (format.size() == 1 && !swapped) {
    const char code = format[0];
    if (code == 'f' && view.itemsize == 4) return DType::float32;
    if (code == 'd' && view.itemsize == 8) return DType::float64;
    if (code == '?') return DType::boolean;
    if (std::strchr("ilq", code) && view.itemsize == 8) return DType::int64;
    if (std::strchr("ilq", code) && view.itemsize == 4) return DType::int32;
  }
  fail(ErrorKind::dtype, op,
       std::string("elements of format '") + (view.format ? view.format : "B") + "' (" + std::to_string(view.itemsize) +
           " bytes)",
       supported, "convert them with .astype()");
}

Shape shape_of(const Py_buffer& view) {
  Shape shape;
  for (int d = 0; d < view.ndim; ++d) shape.push_back(view.shape[d]);
  return shape;
}

PyObject* from_numpy(const Arguments& arguments) { return wrap(share_buffer(arguments[0], "from_numpy")); }

PyObject* from_buffer(const Arguments& arguments) {
  return wrap(tensor_from_bytes(arguments[0], arguments.dtype(1), arguments.integers(2), arguments.op()));
}

PyObject* numpy(const Arguments& arguments) { return as_array(arguments[0], "numpy").release().ptr(); }

// __array__(dtype=None, copy=None) as NumPy 2 defines it.
PyObject* array(const Arguments& arguments) {
  py::object result = as_array(arguments[0], "__array__");
  const bool asks_copy = arguments.has(2) && arguments.boolean(2, false);
  const bool forbids_copy = arguments.has(2) && !asks_copy;
  if (arguments.has(1)) {
    const py::object dtype = py::module_::import("numpy").attr("dtype")(py::handle(arguments[1]));
    if (!dtype.equal(result.attr("dtype"))) {
      if (forbids_copy)
        fail(ErrorKind::value, "__array__", "another dtype with copy=False", "a conversion needs a copy");
      return result.attr("astype")(dtype).release().ptr();
    }
  }
  return (asks_copy ? result.attr("copy")() : result).release().ptr();
}

constexpr Function functions[] = {
    {"from_numpy(array: Any) -> Tensor", R"(A tensor on the memory of a NumPy array: a change of one shows in the other.

Args:
    array: Anything with the buffer protocol; float32, float64, int64, int32 or bool, writable, no negative strides.

Returns:
    A tensor of the same shape, strides and dtype.

Raises:
    TypeError: The dtype is none of those.
    ValueError: The memory is read-only or runs backwards; pass a copy.

>>> import numpy as np
>>> a = np.ones(2, np.float32)
>>> t = cr.from_numpy(a)
>>> a[0] = 5
>>> t
tensor([5., 1.]))",
     from_numpy, Scope::function},
    {"frombuffer(buffer: Any, dtype: dtype, shape: int | Sequence[int]) -> Tensor",
     R"(A tensor with a copy of raw bytes, read as row-major elements in native byte order.

Args:
    buffer: bytes, bytearray, memoryview or the like.
    dtype: Of the elements.
    shape: Its elements times their size must be the number of bytes.

Raises:
    ValueError: The number of bytes does not match.

>>> cr.frombuffer(b"\x01\x00\x00\x00\x02\x00\x00\x00", dtype=cr.int32, shape=(2,))
tensor([1, 2], dtype=chainrule.int32))",
     from_buffer, Scope::function},
    {"numpy(input: Tensor) -> Any", R"(The tensor as a NumPy array on the same memory.

Raises:
    RuntimeError: The tensor requires gradients; detach() it first.

>>> cr.ones(2).numpy()
array([1., 1.], dtype=float32))",
     numpy, Scope::method},
    {"__array__(input: Tensor, dtype: Any = None, copy: bool | None = None) -> Any",
     R"(What numpy.asarray() calls when it does not use the buffer protocol.

>>> import numpy as np
>>> np.asarray(cr.ones(2)).sum().item()
2.0)",
     array, Scope::method},
};

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

void require_exportable(const Tensor& x, std::string_view op) {
  if (x.requires_grad())
    fail(ErrorKind::graph, op, "a tensor that requires gradients",
         "changes to memory that is shared could not be recorded", "call .detach() first");
}

bool has_buffer(PyObject* o) { return PyObject_CheckBuffer(o) && !is_tensor(o); }

Tensor share_buffer(PyObject* o, std::string_view op) {
  if (!PyObject_CheckBuffer(o))
    fail(ErrorKind::dtype, op, "a " + type_name(o), "it must be a NumPy array", "use tensor() for Python data");
  auto buffer = std::make_unique<Buffer>(o, PyBUF_FORMAT | PyBUF_STRIDES, op);
  const Py_buffer& view = buffer->view;
  const DType dtype = dtype_of(view, op);
  if (view.readonly)
    fail(ErrorKind::value, op, "a read-only array", "shared memory must be writable", "pass a .copy()");
  const Shape shape = shape_of(view);
  Shape strides;
  for (int d = 0; d < view.ndim; ++d) {
    if (view.strides[d] < 0 || view.strides[d] % view.itemsize != 0)
      fail(ErrorKind::value, op, "an array with strides of " + std::to_string(view.strides[d]) + " bytes",
           "negative or uneven strides cannot be shared", "pass a .copy()");
    strides.push_back(view.strides[d] / view.itemsize);
  }
  auto give_back = [](void* owner) { with_gil([&] { delete static_cast<Buffer*>(owner); }); };
  Tensor result = Tensor::wrap(dtype, shape, strides, view.buf, give_back, buffer.get());
  buffer.release();
  return result;
}

Tensor copy_buffer(PyObject* o, std::string_view op) {
  Buffer buffer(o, PyBUF_FORMAT | PyBUF_STRIDES, op);
  Tensor result = empty(shape_of(buffer.view), dtype_of(buffer.view, op));
  if (result.numel() && PyBuffer_ToContiguous(result.data(), &buffer.view, buffer.view.len, 'C') != 0)
    throw py::error_already_set();
  return result;
}

Tensor tensor_from_bytes(PyObject* o, DType dtype, IntSpan shape, std::string_view op) {
  checked_numel(shape, size_of(dtype), op);
  Tensor result = empty(shape, dtype);
  const Buffer buffer(o, PyBUF_SIMPLE, op);
  const int64_t bytes = result.numel() * size_of(dtype);
  if (buffer.view.len != bytes)
    fail(ErrorKind::value, op,
         std::to_string(buffer.view.len) + " bytes for shape " + to_string(shape) + " of " + name_of(dtype),
         "there must be " + std::to_string(bytes));
  if (bytes) std::memcpy(result.data(), buffer.view.buf, static_cast<size_t>(bytes));
  if (dtype == DType::boolean)
    for (int64_t i = 0; i < bytes; ++i) result.data<uint8_t>()[i] = result.data<uint8_t>()[i] != 0;
  return result;
}

std::span<const PyType_Slot> interop_slots() {
  static const PyType_Slot slots[] = {{Py_bf_getbuffer, slot(get_buffer)}, {Py_bf_releasebuffer, slot(release_buffer)}};
  return slots;
}

void add_interop(py::module_& m) { add_table<functions>(m); }

}  // namespace chainrule::python
