// number_slots.cpp - operators on tensors: the hot path from Python. Floor: bindings.
// Two tensors go straight to the op; a Python float is the next cheapest. Foreign operands get NotImplemented, so that
// their own reflected method has its turn.
#include "chainrule/autograd/in_place.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/functional.h"
#include "module.h"
#include "scalars.h"

namespace chainrule::python {

namespace {

PyObject* run_op(int id, std::span<const Tensor* const> inputs) {
  Tensor output;
  run(op_table()[id], nullptr, inputs, &output);
  return wrap(std::move(output));
}

// The other operand as a tensor; empty when it is no number.
Tensor number_operand(PyObject* o, const Tensor& beside, std::string_view op) {
  if (PyFloat_CheckExact(o)) [[likely]]
    return beside.constant(PyFloat_AS_DOUBLE(o));
  const auto scalar = scalar_from(o, op);
  return scalar ? constant_beside(beside, *scalar) : Tensor();
}

PyObject* binary(int id, PyObject* left, PyObject* right) {
  return guarded([&] {
    const bool left_is_tensor = is_tensor(left);
    if (left_is_tensor && is_tensor(right)) [[likely]] {
      const Borrowed a(left), b(right);
      const Tensor* inputs[] = {&*a, &*b};
      return run_op(id, inputs);
    }
    const Borrowed tensor(left_is_tensor ? left : right);
    const Tensor number = number_operand(left_is_tensor ? right : left, *tensor, op_table()[id].info->name);
    if (!number) return new_reference(Py_NotImplemented);
    if (id == id_of<Pow> && left_is_tensor) require_power(*tensor, number);
    const Tensor* inputs[] = {left_is_tensor ? &*tensor : &number, left_is_tensor ? &number : &*tensor};
    return run_op(id, inputs);
  });
}

template <class Op>
PyObject* binary_slot(PyObject* left, PyObject* right) {
  return binary(id_of<Op>, left, right);
}

template <class Op>
PyObject* unary_slot(PyObject* self) {
  return guarded([&] {
    const Borrowed x(self);
    const Tensor* inputs[] = {&*x};
    return run_op(id_of<Op>, inputs);
  });
}

PyObject* positive(PyObject* self) { return new_reference(self); }

bool is_two(PyObject* o) {
  if (PyFloat_CheckExact(o)) return PyFloat_AS_DOUBLE(o) == 2.0;
  return PyLong_CheckExact(o) && PyLong_AsDouble(o) == 2.0;
}

// x ** 2 is by far the most common power, and square is a single multiplication.
PyObject* power(PyObject* base, PyObject* exponent, PyObject* modulus) {
  if (modulus != Py_None) return new_reference(Py_NotImplemented);
  if (is_tensor(base) && is_floating(impl_of(base)->dtype) && is_two(exponent)) return unary_slot<Square>(base);
  PyErr_Clear();
  return binary(id_of<Pow>, base, exponent);
}

PyObject* matrix_multiply(PyObject* left, PyObject* right) {
  if (!is_tensor(left) || !is_tensor(right)) return new_reference(Py_NotImplemented);
  return guarded([&] {
    const Borrowed a(left), b(right);
    return wrap(matmul(*a, *b));
  });
}

template <class Op>
PyObject* in_place_slot(PyObject* self, PyObject* other) {
  return guarded([&] {
    static const std::string name = std::string(Op::info.name) + "_";
    const Borrowed x(self);
    const Tensor operand = is_tensor(other) ? share(other) : number_operand(other, *x, name);
    if (!operand) return new_reference(Py_NotImplemented);
    if (x->is_placeholder() || operand.is_placeholder()) {  // x += 1 as x = x + 1: there is no memory to change
      const Tensor* inputs[] = {&*x, &operand};
      return run_op(id_of<Op>, inputs);
    }
    run_in_place(op_table()[id_of<Op>], nullptr, *x, operand, name.c_str());
    return new_reference(self);
  });
}

PyObject* compare(PyObject* left, PyObject* right, int comparison) {
  static constexpr int ids[] = {id_of<Lt>, id_of<Le>, id_of<Eq>, id_of<Ne>, id_of<Gt>, id_of<Ge>};
  static_assert(Py_LT == 0 && Py_LE == 1 && Py_EQ == 2 && Py_NE == 3 && Py_GT == 4 && Py_GE == 5);
  return binary(ids[comparison], left, right);
}

// ---- Conversion to Python's numbers ----

const Tensor& require_one_element(const Tensor& x, const char* op) {
  if (x.is_placeholder()) static_cast<void>(x.data());  // says that there is no value yet
  if (x.numel() != 1)
    fail(ErrorKind::value, op, "a tensor of shape " + to_string(x.shape()), "only one element can become a number",
         "index it, or reduce it with sum(), max() or the like");
  return x;
}

int truth(PyObject* self) {
  return guarded(-1, [&] {
    const Borrowed x(self);
    return static_cast<int>(require_one_element(*x, "bool").item() != 0);
  });
}

PyObject* to_float(PyObject* self) {
  return guarded([&] {
    const Borrowed x(self);
    return checked(PyFloat_FromDouble(require_one_element(*x, "float").item()));
  });
}

PyObject* to_int(PyObject* self) {
  return guarded([&] {
    const Borrowed x(self);
    require_one_element(*x, "int");
    return checked(is_floating(x->dtype()) ? PyLong_FromDouble(x->item()) : PyLong_FromLongLong(x->item_integer()));
  });
}

PyObject* to_index(PyObject* self) {
  return guarded([&] {
    const Borrowed x(self);
    if (is_floating(x->dtype()))
      fail(ErrorKind::dtype, "index", std::string("a tensor of dtype ") + name_of(x->dtype()),
           "only integers can be used as an index", "convert it with .long()");
    return checked(PyLong_FromLongLong(require_one_element(*x, "index").item_integer()));
  });
}

template <class F>
void* slot(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

std::span<const PyType_Slot> number_slots() {
  static const PyType_Slot slots[] = {
      {Py_nb_add, slot(binary_slot<Add>)},
      {Py_nb_subtract, slot(binary_slot<Sub>)},
      {Py_nb_multiply, slot(binary_slot<Mul>)},
      {Py_nb_true_divide, slot(binary_slot<Div>)},
      {Py_nb_power, slot(power)},
      {Py_nb_matrix_multiply, slot(matrix_multiply)},
      {Py_nb_and, slot(binary_slot<LogicalAnd>)},
      {Py_nb_or, slot(binary_slot<LogicalOr>)},
      {Py_nb_negative, slot(unary_slot<Neg>)},
      {Py_nb_positive, slot(positive)},
      {Py_nb_absolute, slot(unary_slot<Abs>)},
      {Py_nb_invert, slot(unary_slot<LogicalNot>)},
      {Py_nb_inplace_add, slot(in_place_slot<Add>)},
      {Py_nb_inplace_subtract, slot(in_place_slot<Sub>)},
      {Py_nb_inplace_multiply, slot(in_place_slot<Mul>)},
      {Py_nb_inplace_true_divide, slot(in_place_slot<Div>)},
      {Py_nb_bool, slot(truth)},
      {Py_nb_float, slot(to_float)},
      {Py_nb_int, slot(to_int)},
      {Py_nb_index, slot(to_index)},
      {Py_tp_richcompare, slot(compare)},
  };
  return slots;
}

}  // namespace chainrule::python
