// from_python.cpp - two walks over a nest: the first finds shape and dtype, the second writes the elements, converting
// as it goes. Both stop at max_dims, so a list that contains itself is an error like any other.
#include "from_python.h"

#include <cmath>
#include <limits>
#include <vector>

#include "chainrule/autograd/annotations.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/creation.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"
#include "interop.h"
#include "scalars.h"

namespace chainrule::python {

namespace {

bool is_text(PyObject* o) { return PyUnicode_Check(o) || PyBytes_Check(o) || PyByteArray_Check(o); }

bool is_sequence(PyObject* o) {
  if (PyList_Check(o) || PyTuple_Check(o)) return true;
  if (is_text(o) || PyDict_Check(o)) return false;
  if (is_tensor(o)) return impl_of(o)->ndim > 0;
  const PyTypeObject* type = Py_TYPE(o);
  return PySequence_Check(o) &&
         ((type->tp_as_sequence && type->tp_as_sequence->sq_length) ||
          (type->tp_as_mapping && type->tp_as_mapping->mp_length)) &&
         PySequence_Size(o) >= 0;
}

class Nest {
 public:
  Nest(PyObject* data, std::string_view op) : op_(op) {
    find_shape(data);
    find_dtype(data, 0);
  }

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_.value_or(DType::float32); }

  void write(PyObject* data, const Tensor& to) {
    dispatch(to.dtype(), [&]<class S>() {
      S* next = to.data<S>();
      write_elements(data, 0, next);
    });
  }

 private:
  // Along the first element of each level; find_dtype checks that the others agree.
  void find_shape(PyObject* data) {
    PyErr_Clear();
    py::object level = py::reinterpret_borrow<py::object>(data);
    while (is_sequence(level.ptr())) {
      if (shape_.size() == max_dims)
        fail(ErrorKind::shape, op_, "a list nested more than " + std::to_string(max_dims) + " deep",
             "a tensor has at most " + std::to_string(max_dims) + " dimensions");
      const Py_ssize_t size = PySequence_Size(level.ptr());
      if (size < 0) throw py::error_already_set();
      shape_.push_back(size);
      if (size == 0) return;
      level = owned(PySequence_GetItem(level.ptr(), 0));
    }
    PyErr_Clear();
  }

  std::string place() const {
    std::string text = "data";
    for (int64_t i : path_) text += "[" + std::to_string(i) + "]";
    return text;
  }

  void check_level(PyObject* data, int depth) const {
    const bool wants_sequence = depth < shape_.size();
    if (wants_sequence != is_sequence(data)) {
      PyErr_Clear();
      fail(ErrorKind::shape, op_,
           place() + (wants_sequence ? " is a " + type_name(data) + ", its neighbours are lists"
                                     : " is a list, its neighbours are not"),
           "all lists of one level must have the same shape");
    }
    if (wants_sequence && PySequence_Size(data) != shape_[depth])
      fail(ErrorKind::shape, op_,
           place() + " has length " + std::to_string(PySequence_Size(data)) + ", its neighbours have length " +
               std::to_string(shape_[depth]),
           "all lists of one level must have the same length");
  }

  void find_dtype(PyObject* data, int depth) {
    if (PyFloat_CheckExact(data) && depth == shape_.size()) return promote_with(DType::float32);
    check_level(data, depth);
    if (depth == shape_.size()) return promote_with(element_dtype(data));
    const py::object items = owned(PySequence_Fast(data, "a sequence"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
      path_.push_back(i);
      find_dtype(PySequence_Fast_GET_ITEM(items.ptr(), i), depth + 1);
      path_.pop_back();
    }
  }

  void promote_with(DType dtype) { dtype_ = dtype_ ? promote(*dtype_, dtype) : dtype; }

  DType element_dtype(PyObject* o) const {
    if (PyBool_Check(o)) return DType::boolean;
    if (PyLong_Check(o)) return DType::int64;
    if (is_tensor(o)) return impl_of(o)->dtype;
    if (!is_text(o) && has_buffer(o)) return copy_buffer(o, op_).dtype();  // a NumPy scalar
    const auto scalar = is_text(o) ? std::nullopt : scalar_from(o, op_);
    if (!scalar)
      fail(ErrorKind::dtype, op_, (path_.empty() ? "data" : place()) + " is a " + type_name(o),
           "elements must be numbers or bools");
    return scalar->is_bool ? DType::boolean : scalar->value.is_integer ? DType::int64 : DType::float32;
  }

  Number element(PyObject* o) const {
    if (is_tensor(o)) {
      const Borrowed x(o);
      return is_floating(x->dtype()) ? Number(x->item()) : Number(x->item_integer());
    }
    const auto scalar = scalar_from(o, op_);
    if (!scalar) fail(ErrorKind::dtype, op_, "a " + type_name(o), "elements must be numbers or bools");
    if (scalar->is_size)
      fail(ErrorKind::graph, op_, "the size " + size_text(scalar->value.integer) + " among the elements",
           "N is not known before the graph runs, so a list that holds it has no values yet",
           "multiply or divide a tensor by it, or make one of it alone and stack() them");
    return scalar->value;
  }

  template <class S>
  S converted(Number value) const {
    if constexpr (std::is_same_v<S, uint8_t>) {
      return value.is_integer ? value.integer != 0 : value.real != 0;
    } else if constexpr (std::is_floating_point_v<S>) {
      return static_cast<S>(value.real);
    } else {
      constexpr double limit = sizeof(S) == 4 ? 0x1p31 : 0x1p63;
      const bool fits = value.is_integer ? value.integer == static_cast<S>(value.integer)
                                         : std::trunc(value.real) >= -limit && std::trunc(value.real) < limit;
      if (!fits)
        fail(ErrorKind::value, op_, value.is_integer ? std::to_string(value.integer) : std::to_string(value.real),
             std::string("it must fit in ") + name_of(dtype_for<S>()));
      return value.is_integer ? static_cast<S>(value.integer) : static_cast<S>(value.real);
    }
  }

  template <class S>
  void write_elements(PyObject* data, int depth, S*& next) {
    check_level(data, depth);  // again: __index__ and the like may have changed a list
    if (depth == shape_.size()) {
      *next++ = converted<S>(element(data));
      return;
    }
    const py::object items = owned(PySequence_Fast(data, "a sequence"));
    if (PySequence_Fast_GET_SIZE(items.ptr()) != shape_[depth]) check_level(items.ptr(), depth);
    for (Py_ssize_t i = 0; i < shape_[depth]; ++i)
      write_elements(PySequence_Fast_GET_ITEM(items.ptr(), i), depth + 1, next);
  }

  std::string_view op_;
  Shape shape_;
  std::optional<DType> dtype_;
  std::vector<int64_t> path_;
};

Tensor from_nest(PyObject* data, std::optional<DType> dtype, std::string_view op) {
  Nest nest(data, op);
  const DType target = dtype.value_or(nest.dtype());
  checked_numel(nest.shape(), size_of(target), op);
  Tensor result = Tensor::empty(target, nest.shape());
  nest.write(data, result);
  return result;
}

}  // namespace

Tensor tensor_from(PyObject* data, std::optional<DType> dtype, std::string_view op) {
  const GradMode unrecorded(false);
  if (is_tensor(data)) {
    const Tensor x = share(data);
    return dtype && *dtype != x.dtype() ? cast(x, *dtype) : Tensor::call(Clone{}, x);
  }
  if (PyList_Check(data) || PyTuple_Check(data) || PyFloat_Check(data) || PyLong_Check(data))
    if (!has_buffer(data)) return from_nest(data, dtype, op);
  if (!is_text(data) && has_buffer(data)) {
    const Tensor copied = copy_buffer(data, op);
    return dtype ? cast(copied, *dtype) : copied;
  }
  const py::handle object(data);
  if (!PyType_Check(data) && py::hasattr(object, "__array__"))
    return tensor_from(py::object(object.attr("__array__")()).ptr(), dtype, op);
  if (is_open_size(data)) return size_literal(dtype.value_or(DType::int64), int64_from(data, op));
  if (is_sequence(data) || scalar_from(data, op)) return from_nest(data, dtype, op);
  fail(ErrorKind::dtype, op, "a " + type_name(data), "it takes numbers, lists of numbers, arrays and tensors");
}

}  // namespace chainrule::python
