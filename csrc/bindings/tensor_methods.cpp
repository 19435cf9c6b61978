// tensor_methods.cpp - methods of Tensor that ask, convert and copy. Floor: bindings.
#include "arguments.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"
#include "dtypes.h"
#include "interop.h"
#include "module.h"
#include "sizes.h"

namespace chainrule::python {

namespace {

PyObject* integer(int64_t value) { return size_object(value); }

// All of them as a tuple, or the one of a dim.
PyObject* one_or_all(const Arguments& a, IntSpan values) {
  if (a.has(1)) return integer(values[normalize_dim(a.integer(1), static_cast<int>(values.size()), a.op())]);
  return sizes_object(values);
}

PyObject* element(const Tensor& x, const char* data) {
  switch (x.dtype()) {
    case DType::float32: return checked(PyFloat_FromDouble(*reinterpret_cast<const float*>(data)));
    case DType::float64: return checked(PyFloat_FromDouble(*reinterpret_cast<const double*>(data)));
    case DType::int64: return checked(PyLong_FromLongLong(*reinterpret_cast<const int64_t*>(data)));
    case DType::int32: return checked(PyLong_FromLong(*reinterpret_cast<const int32_t*>(data)));
    default: return PyBool_FromLong(*reinterpret_cast<const uint8_t*>(data));
  }
}

// At most max_dims deep.
PyObject* nested_list(const Tensor& x, int dim, const char* data) {
  if (dim == x.ndim()) return element(x, data);
  py::object list = owned(PyList_New(x.size(dim)));
  const int64_t step = x.strides()[dim] * size_of(x.dtype());
  for (int64_t i = 0; i < x.size(dim); ++i) PyList_SET_ITEM(list.ptr(), i, nested_list(x, dim + 1, data + i * step));
  return list.release().ptr();
}

PyObject* item(const Arguments& a) {
  const Tensor x = a.tensor(0);
  if (x.numel() != 1)
    fail(ErrorKind::value, a.op(), "a tensor of shape " + to_string(x.shape()),
         "only a tensor with one element is a number", "use tolist()");
  return element(x, x.data<char>());
}

// The object itself when nothing changes, as PyTorch does.
PyObject* converted(const Arguments& a, DType dtype) {
  const Tensor x = a.tensor(0);
  return x.dtype() == dtype ? new_reference(a[0]) : wrap(cast(x, dtype));
}

// x.to(dtype), x.to(other), x.to("cpu"), x.to(dtype=..., copy=True)
PyObject* to(const Arguments& a) {
  DType dtype = a.tensor(0).dtype();
  for (int i = 1; i <= 3; ++i) {
    if (!a.has(i)) continue;
    if (is_tensor(a[i])) {
      dtype = a.tensor(i).dtype();
    } else if (PyUnicode_Check(a[i])) {
      if (PyUnicode_CompareWithASCIIString(a[i], "cpu") != 0)
        fail(ErrorKind::value, "to", "device '" + std::string(py::str(py::handle(a[i]))) + "'",
             "chainrule computes on the CPU", "use 'cpu'");
    } else if (!PyBool_Check(a[i])) {
      dtype = a.dtype(i);
    }
  }
  const bool copies = a.boolean(4, false) && a.tensor(0).dtype() == dtype;
  return copies ? wrap(Tensor::call(Clone{}, a.tensor(0))) : converted(a, dtype);
}

PyObject* contiguous_method(const Arguments& a) {
  const Tensor x = a.tensor(0);
  return x.is_contiguous() ? new_reference(a[0]) : wrap(contiguous(x));
}

PyObject* requires_grad_method(const Arguments& a) {
  a.tensor(0).requires_grad_(a.boolean(1, true));
  return new_reference(a[0]);
}

int64_t storage_offset(const Tensor& x) { return (x.data<char>() - x->storage->data) / size_of(x.dtype()); }

void require_leaf(const Tensor& x, const char* op) {
  if (!x.is_leaf())
    fail(ErrorKind::graph, op, "the result of a recorded operation, of shape " + to_string(x.shape()),
         "only leaves can be copied with their history", "call .detach() first, or .clone() inside the graph");
}

// copy.deepcopy: a new leaf, its gradient included; memo keeps one copy of an object one.
PyObject* deepcopy(const Arguments& a) {
  const Tensor x = a.tensor(0);
  const py::handle memo(a[1]);
  const py::object key = owned(PyLong_FromVoidPtr(a[0]));
  const py::object known = memo.attr("get")(key);
  if (!known.is_none()) return py::object(known).release().ptr();
  require_leaf(x, "deepcopy");
  Tensor copy = installed().contiguous_copy(x);
  copy.requires_grad_(x.requires_grad());
  if (const Tensor grad = x.grad()) copy.set_grad(installed().contiguous_copy(grad));
  const py::object result = owned(wrap(std::move(copy)));
  memo[key] = result;
  return py::object(result).release().ptr();
}

// pickle: bytes, dtype, shape; see frombuffer.
PyObject* reduce(const Arguments& a) {
  const Tensor x = a.tensor(0);
  require_leaf(x, "pickle");
  const Tensor dense = contiguous(x.alias());
  const py::bytes data(dense.data<char>(), static_cast<size_t>(dense.numel() * size_of(dense.dtype())));
  py::tuple shape(dense.shape().size());
  for (size_t i = 0; i < shape.size(); ++i) shape[i] = py::int_(dense.shape()[i]);
  const py::object dtype = owned(dtype_object(x.dtype()));
  const py::object rebuild = py::module_::import("chainrule._C").attr("_rebuild");
  return py::make_tuple(rebuild, py::make_tuple(data, dtype, shape, x.requires_grad())).release().ptr();
}

PyObject* format(const Arguments& a) {
  const Tensor x = a.tensor(0);
  if (x.ndim() > 0 || x.requires_grad()) {
    if (PyUnicode_GetLength(a[1]) == 0) return checked(PyObject_Str(a[0]));
    if (x.ndim() > 0)
      fail(ErrorKind::dtype, "format", "a format for a tensor of shape " + to_string(x.shape()),
           "only 0-d tensors take one", "format x.item() or the elements of x.tolist()");
  }
  return checked(PyObject_Format(owned(element(x, x.data<char>())).ptr(), a[1]));
}

constexpr Function table[] = {
    {"size(input: Tensor, dim: int | None = None) -> Any", R"(The shape as a tuple, or the size of one dim.

Example:
    >>> cr.zeros(2, 3).size()
    (2, 3)
    >>> cr.zeros(2, 3).size(-1)
    3
)",
     [](const Arguments& a) { return one_or_all(a, a.tensor(0).shape()); }, Scope::method},
    {"stride(input: Tensor, dim: int | None = None) -> Any",
     R"(The distance in memory, in elements, between neighbours along each dim, or one dim.

Example:
    >>> cr.zeros(2, 3).stride()
    (3, 1)
)",
     [](const Arguments& a) { return one_or_all(a, a.tensor(0).strides()); }, Scope::method},
    {"dim(input: Tensor) -> int", R"(The number of dims.

Example:
    >>> cr.zeros(2, 3).dim()
    2
)",
     [](const Arguments& a) { return integer(a.tensor(0).ndim()); }, Scope::method},
    {"numel(input: Tensor) -> int", R"(The number of elements.

Example:
    >>> cr.zeros(2, 3).numel()
    6
)",
     [](const Arguments& a) { return integer(a.tensor(0).numel()); }},
    {"nelement(input: Tensor) -> int", R"(The number of elements.

Example:
    >>> cr.zeros(2, 3).nelement()
    6
)",
     [](const Arguments& a) { return integer(a.tensor(0).numel()); }, Scope::method},
    {"element_size(input: Tensor) -> int", R"(Bytes of one element.

Example:
    >>> cr.zeros(2).element_size()
    4
)",
     [](const Arguments& a) { return integer(size_of(a.tensor(0).dtype())); }, Scope::method},
    {"storage_offset(input: Tensor) -> int", R"(Where in its memory the first element lies, in elements.

Example:
    >>> cr.arange(5)[2:].storage_offset()
    2
)",
     [](const Arguments& a) { return integer(storage_offset(a.tensor(0))); }, Scope::method},
    {"data_ptr(input: Tensor) -> int", R"(The address of the first element.

Example:
    >>> x = cr.zeros(2)
    >>> x.data_ptr() == x.detach().data_ptr()
    True
)",
     [](const Arguments& a) { return checked(PyLong_FromVoidPtr(a.tensor(0).data())); }, Scope::method},
    {"is_contiguous(input: Tensor) -> bool", R"(Whether the elements lie in memory in row-major order without gaps.

Example:
    >>> cr.zeros(2, 3).T.is_contiguous()
    False
)",
     [](const Arguments& a) { return PyBool_FromLong(a.tensor(0).is_contiguous()); }, Scope::method},
    {"contiguous(input: Tensor) -> Tensor", R"(The tensor itself if it is contiguous, else a contiguous copy.

Example:
    >>> cr.zeros(2, 3).T.contiguous().stride()
    (2, 1)
)",
     &contiguous_method, Scope::method},
    {"is_floating_point(input: Tensor) -> bool", R"(Whether the dtype is float32 or float64.

Example:
    >>> cr.zeros(2).is_floating_point()
    True
)",
     [](const Arguments& a) { return PyBool_FromLong(is_floating(a.tensor(0).dtype())); }},
    {"item(input: Tensor) -> Any", R"(The value of a tensor with one element as a Python number.

Raises:
    ValueError: There is not exactly one element.

Example:
    >>> cr.tensor([2.5]).item()
    2.5
)",
     &item, Scope::method},
    {"tolist(input: Tensor) -> Any", R"(The elements as nested lists of Python numbers; a number for a 0-d tensor.

Example:
    >>> cr.tensor([[1, 2], [3, 4]]).tolist()
    [[1, 2], [3, 4]]
)",
     [](const Arguments& a) {
       const Tensor x = a.tensor(0);
       return nested_list(x, 0, x.data<char>());
     },
     Scope::method},
    {"to(input: Tensor, target: dtype | Tensor | str | None = None, dtype: dtype | None = None, "
     "device: str | None = None, copy: bool = False) -> Tensor",
     R"(The tensor in another dtype, itself if nothing changes.

Args:
    input: Any shape and dtype.
    target: A dtype, a tensor whose dtype is meant, or 'cpu'.
    dtype: A dtype.
    device: 'cpu'.
    copy: Whether to copy also when the dtype is the same.

Raises:
    ValueError: The device is not 'cpu'.

Example:
    >>> cr.tensor([1.75, -2.5]).to(cr.int64)
    tensor([ 1, -2])
)",
     &to, Scope::method},
    {"type_as(input: Tensor, other: Tensor) -> Tensor", R"(The tensor in the dtype of another one.

Example:
    >>> cr.tensor([1.5]).type_as(cr.tensor([2]))
    tensor([1])
)",
     [](const Arguments& a) { return converted(a, a.tensor(1).dtype()); }, Scope::method},
    {"float(input: Tensor) -> Tensor", "As float32.\n\nExample:\n    >>> cr.tensor([1]).float()\n    tensor([1.])\n",
     [](const Arguments& a) { return converted(a, DType::float32); }, Scope::method},
    {"double(input: Tensor) -> Tensor",
     "As float64.\n\nExample:\n    >>> cr.tensor([1]).double()\n    tensor([1.], dtype=chainrule.float64)\n",
     [](const Arguments& a) { return converted(a, DType::float64); }, Scope::method},
    {"int(input: Tensor) -> Tensor",
     "As int32.\n\nExample:\n    >>> cr.tensor([1.5]).int()\n    tensor([1], dtype=chainrule.int32)\n",
     [](const Arguments& a) { return converted(a, DType::int32); }, Scope::method},
    {"long(input: Tensor) -> Tensor", "As int64.\n\nExample:\n    >>> cr.tensor([1.5]).long()\n    tensor([1])\n",
     [](const Arguments& a) { return converted(a, DType::int64); }, Scope::method},
    {"bool(input: Tensor) -> Tensor",
     "As bool: whether an element is not 0.\n\nExample:\n    >>> cr.tensor([0., 2.]).bool()\n    tensor([False,  True])\n",
     [](const Arguments& a) { return converted(a, DType::boolean); }, Scope::method},
    {"clone(input: Tensor) -> Tensor", R"(A copy in memory of its own; gradients flow through it.

Example:
    >>> x = cr.ones(2)
    >>> x.clone().zero_()
    tensor([0., 0.])
    >>> x
    tensor([1., 1.])
)",
     [](const Arguments& a) { return wrap(Tensor::call(Clone{}, a.tensor(0))); }},
    {"detach(input: Tensor) -> Tensor", R"(The same memory without history: gradients do not flow through it.

Example:
    >>> cr.ones(2, requires_grad=True).detach().requires_grad
    False
)",
     [](const Arguments& a) { return wrap(detach(a.tensor(0))); }, Scope::method},
    {"requires_grad_(input: Tensor, requires_grad: bool = True) -> Tensor",
     R"(Sets requires_grad and returns the tensor.

Raises:
    TypeError: The dtype is not floating.
    RuntimeError: False for what a recorded operation made.

Example:
    >>> cr.ones(2).requires_grad_()
    tensor([1., 1.], requires_grad=True)
)",
     &requires_grad_method, Scope::method},
    {"retain_grad(input: Tensor) -> None",
     R"(Lets backward() keep the gradient of this result in .grad, as it does for leaves.

Raises:
    RuntimeError: The tensor does not require gradients.

Example:
    >>> y = cr.ones(2, requires_grad=True) * 2
    >>> y.retain_grad()
    >>> y.sum().backward()
    >>> y.grad
    tensor([1., 1.])
)",
     [](const Arguments& a) {
       a.tensor(0).retain_grad();
       return py::none().release().ptr();
     },
     Scope::method},
    {"__deepcopy__(input: Tensor, memo: dict[int, Any]) -> Tensor", "For copy.deepcopy; leaves only.", &deepcopy,
     Scope::method},
    {"__reduce_ex__(input: Tensor, protocol: Any) -> tuple[Any, ...]", "For pickle; leaves only.", &reduce,
     Scope::method},
    {"__format__(input: Tensor, format_spec: str) -> str", "A 0-d tensor is formatted as its value.", &format,
     Scope::method},
    {"_rebuild(buffer: bytes, dtype: dtype, shape: Sequence[int], requires_grad: bool) -> Tensor",
     "What unpickling a tensor calls.",
     [](const Arguments& a) {
       Tensor result = tensor_from_bytes(a[0], a.dtype(1), a.integers(2), a.op());
       result.requires_grad_(a.boolean(3, false));
       return wrap(std::move(result));
     },
     Scope::function},
};

}  // namespace

void add_tensor_methods(py::module_& m) { add_table<table>(m); }

}  // namespace chainrule::python
