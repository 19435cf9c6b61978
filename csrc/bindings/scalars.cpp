#include "scalars.h"

#include <cstring>

#include "chainrule/autograd/annotations.h"
#include "chainrule/core/error.h"

namespace chainrule::python {

namespace {

bool has_length(PyObject* o) {
  const PyTypeObject* type = Py_TYPE(o);
  return (type->tp_as_mapping && type->tp_as_mapping->mp_length) ||
         (type->tp_as_sequence && type->tp_as_sequence->sq_length);
}

bool starts_with(PyObject* o, const char* prefix) {
  return std::strncmp(Py_TYPE(o)->tp_name, prefix, std::strlen(prefix)) == 0;
}

}  // namespace

bool is_open_size(PyObject* o) { return !PyLong_Check(o) && starts_with(o, "UnknownSize"); }

int64_t int64_from(PyObject* o, std::string_view op) {
  const py::object index = owned(is_open_size(o) ? PyObject_GetAttrString(o, "_value") : PyNumber_Index(o));
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0) fail(ErrorKind::value, op, "the integer " + std::string(py::str(index)), "it must fit in 64 bits");
  return value;
}

std::optional<Scalar> scalar_from(PyObject* o, std::string_view op) {
  if (PyFloat_Check(o)) return Scalar{Number(PyFloat_AS_DOUBLE(o))};
  if (PyBool_Check(o)) return Scalar{Number(o == Py_True ? 1 : 0), true};
  if (PyLong_Check(o)) return Scalar{Number(int64_from(o, op))};
  if (is_tensor(o) || has_length(o) || starts_with(o, "numpy.complex")) return std::nullopt;
  if (starts_with(o, "numpy.bool")) return Scalar{Number(PyObject_IsTrue(o)), true};
  if (PyIndex_Check(o)) return Scalar{Number(int64_from(o, op)), false, is_open_size(o)};
  const PyNumberMethods* numbers = Py_TYPE(o)->tp_as_number;
  if (!numbers || !numbers->nb_float) return std::nullopt;
  const double value = PyFloat_AsDouble(o);
  if (value == -1.0 && PyErr_Occurred()) throw py::error_already_set();
  return Scalar{Number(value)};
}

Tensor constant_beside(const Tensor& tensor, const Scalar& scalar) {
  if (scalar.is_bool && tensor.dtype() == DType::boolean) return Tensor::full(DType::boolean, {}, scalar.value);
  if (scalar.is_size) return size_literal(tensor.constant(1).dtype(), scalar.value);
  return tensor.constant(scalar.value);
}

void require_power(const Tensor& base, const Tensor& exponent) {
  if (!is_floating(base.dtype()) && !is_floating(exponent.dtype()) && exponent.item_integer() < 0)
    fail(ErrorKind::value, "pow", "an integer tensor to the power " + std::to_string(exponent.item_integer()),
         "integers have no negative powers", "convert with .float()");
}

}  // namespace chainrule::python
