// op_calls.cpp - every op of the table as a function of `_C.ops`, and the public elementwise ones as functions of the
// module and methods of Tensor. One caller reads arity and attributes from the row: nothing is written per op.
// Floor: bindings.
#include "op_calls.h"
#include "arguments.h"
#include "chainrule/autograd/small_list.h"
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"
#include "module.h"
#include "op_docs.h"
#include "scalars.h"
#include "values_indices.h"

namespace chainrule::python {

namespace {

struct BoundOp {
  const OpRow* row;
  Signature signature;
};

const BoundOp* bound_ops[AllOps::size];

void set_field(const FieldRow& field, void* attributes, const Arguments& a, int i) {
  void* to = field.at(attributes);
  switch (field.kind) {
    case FieldKind::boolean: *static_cast<bool*>(to) = a.boolean(i, false); break;
    case FieldKind::integer: *static_cast<int64_t*>(to) = a.integer(i); break;
    case FieldKind::real: *static_cast<double*>(to) = a.real(i); break;
    case FieldKind::shape: *static_cast<Shape*>(to) = a.integers(i); break;
    case FieldKind::pair: *static_cast<Pair*>(to) = a.pair(i); break;
    case FieldKind::dtype: *static_cast<DType*>(to) = a.dtype(i); break;
  }
}

// Numbers among the inputs become tensors beside the first tensor that takes part in the arithmetic.
std::vector<Tensor> fixed_inputs(const BoundOp& op, const Arguments& a) {
  const OpRow& row = *op.row;
  std::vector<Tensor> inputs(static_cast<size_t>(row.inputs));
  Tensor beside;
  for (int k = row.inputs - 1; k >= 0; --k)
    if (a[k] && is_tensor(a[k]) && !(row.mask_input && k == 0 && beside)) beside = share(a[k]);
  if (!beside) a.refuse(0, row.inputs == 1 ? "it must be a Tensor" : "at least one operand must be a Tensor");
  for (int k = 0; k < row.inputs; ++k) {
    const bool number_too = row.elementwise && row.inputs > 1 && !(row.mask_input && k == 0);
    const bool may_be_left_out = !op.signature.parameters[static_cast<size_t>(k)].required;
    if (may_be_left_out) inputs[k] = a.tensor_or_empty(k);
    else inputs[k] = number_too ? a.operand(k, beside) : a.tensor(k);
  }
  if (row.id == id_of<Pow> && !is_tensor(a[1])) require_power(inputs[0], inputs[1]);
  return inputs;
}

// f(x, y, z), f([x, y, z]) or f([x, y, z], attribute...); returns how many positional arguments were tensors.
std::vector<Tensor> variadic_inputs(const Arguments& a, size_t* used) {
  const auto rest = a.rest();
  if (rest.empty() && !a[0]) fail(ErrorKind::dtype, a.op(), "no tensors", "it takes any number of them");
  PyObject* first = rest.empty() ? a[0] : rest[0];
  std::vector<Tensor> inputs;
  auto add = [&](PyObject* o) {
    if (!is_tensor(o))
      fail(ErrorKind::dtype, a.op(), "a " + type_name(o) + " among the inputs", "they must be Tensors");
    inputs.push_back(share(o));
  };
  if (PyList_Check(first) || PyTuple_Check(first)) {
    const py::object items = owned(PySequence_Fast(first, ""));
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(items.ptr()); ++k)
      add(PySequence_Fast_GET_ITEM(items.ptr(), k));
    *used = 1;
    if (inputs.empty()) fail(ErrorKind::value, a.op(), "no tensors", "there must be at least one");
  } else {
    for (PyObject* o : rest) add(o);
    *used = rest.size();
  }
  return inputs;
}

}  // namespace

void conform_inputs(int id, std::vector<Tensor>& inputs) {
  auto indices_from = [&](size_t first) {
    for (size_t k = first; k < inputs.size(); ++k)
      if (inputs[k].dtype() == DType::int32) inputs[k] = cast(inputs[k], DType::int64);
  };
  if (id == id_of<Cat> && !inputs.empty()) {
    DType dtype = inputs[0].dtype();
    for (const Tensor& x : inputs) dtype = promote(dtype, x.dtype());
    for (Tensor& x : inputs) x = cast(x, dtype);
  } else if (id == id_of<Gather> || id == id_of<ScatterZeros> || id == id_of<Index> || id == id_of<IndexZeros> ||
             id == id_of<CrossEntropy> || id == id_of<Embedding>) {
    indices_from(1);
  }
}

namespace {

// Where the public spelling takes more than the op itself: -1 in shapes, vectors, a missing bias.
Tensor run_spelled(int id, const void* attributes, std::span<const Tensor> x) {
  switch (id) {
    case id_of<Reshape>: return reshape(x[0], static_cast<const Reshape*>(attributes)->shape);
    case id_of<Expand>: return expand(x[0], static_cast<const Expand*>(attributes)->shape);
    case id_of<Matmul>: return matmul(x[0], x[1]);
    case id_of<Linear>: return linear(x[0], x[1], x[2]);
    case id_of<Conv2d>: return conv2d(x[0], x[1], x[2], *static_cast<const Conv2d*>(attributes));
    case id_of<Index>: return index(x[0], x.subspan(1));
    default: return Tensor();
  }
}

PyObject* run_row(const OpRow& row, const void* attributes, std::span<const Tensor> inputs) {
  if (!row.elementwise)
    if (Tensor result = run_spelled(row.id, attributes, inputs)) return wrap(std::move(result));
  SmallList<const Tensor*, max_operands> list(inputs.size());
  for (size_t k = 0; k < inputs.size(); ++k) list[k] = &inputs[k];
  Tensor outputs[max_outputs];
  run(row, attributes, list, outputs);
  return row.outputs == 1 ? wrap(std::move(outputs[0])) : wrap_values_indices(outputs[0], outputs[1]);
}

PyObject* call_row(const BoundOp& op, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  const OpRow& row = *op.row;
  const Arguments a(op.signature, self, args, count, keywords);
  alignas(16) std::byte attributes[max_attribute_bytes];
  row.construct(attributes);
  const bool any_number = row.inputs == variadic;
  size_t used = 0;
  std::vector<Tensor> inputs = any_number ? variadic_inputs(a, &used) : fixed_inputs(op, a);
  conform_inputs(row.id, inputs);
  const int first = any_number ? 1 : row.inputs;
  for (size_t f = 0; f < row.fields.size(); ++f)
    if (const int i = first + static_cast<int>(f); a.has(i)) set_field(row.fields[f], attributes, a, i);
  // f([x, y], 1): attributes after the sequence arrive with the inputs.
  for (size_t f = 0; any_number && used + f < a.rest().size(); ++f) {
    if (f >= row.fields.size()) fail(ErrorKind::dtype, a.op(), "too many arguments", op.signature.text);
    Arguments shifted(a);
    shifted.set(first + static_cast<int>(f), a.rest()[used + f]);
    set_field(row.fields[f], attributes, shifted, first + static_cast<int>(f));
  }
  return run_row(row, attributes, inputs);
}

// Without attributes and with tensors only, there is nothing to parse.
bool run_plain(const OpRow& row, PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject** result) {
  if (row.attribute_bytes || count + (self != nullptr) != row.inputs) return false;
  std::array<Tensor, max_operands> inputs;
  size_t n = 0;
  const auto take = [&](PyObject* o) {
    if (!is_tensor(o)) return false;
    inputs[n++] = share(o);
    return true;
  };
  if (self && !take(self)) return false;
  for (Py_ssize_t k = 0; k < count; ++k)
    if (!take(args[k])) return false;
  *result = run_row(row, nullptr, {inputs.data(), n});
  return true;
}

template <int id, bool is_method>
PyObject* op_entry(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    PyObject* const first = is_method ? self : nullptr;
    PyObject* result = nullptr;
    if (!keywords && run_plain(*bound_ops[id]->row, first, args, count, &result)) return result;
    return call_row(*bound_ops[id], first, args, count, keywords);
  });
}

template <int id>
void add_op(py::module_& m, py::dict& namespace_of_ops) {
  const OpRow& row = op_table()[id];
  bound_ops[id] = new BoundOp{&row, Signature(op_signature(row))};  // as old as the process
  const Signature& signature = bound_ops[id]->signature;
  const std::string doc = op_doc(row);
  if (row.elementwise && !row.info->internal) {
    publish(m, signature, doc, &op_entry<id, false>, &op_entry<id, true>);
    namespace_of_ops[row.info->name] = m.attr(row.info->name);
  } else {
    namespace_of_ops[row.info->name] =
        new_function(m, signature.name, signature.text + "\n\n" + doc, &op_entry<id, false>);
  }
  namespace_of_ops[row.info->name] =
      owned(PyStaticMethod_New(namespace_of_ops[row.info->name].cast<py::object>().ptr()));
}

PyObject* op_names(const Arguments&) {
  py::list names;
  for (const OpRow& row : op_table()) names.append(row.info->name);
  return names.release().ptr();
}

// How a formula writes an op, (operator or None, its precedence), and whether it works element by element.
py::tuple op_facts(const std::string& name) {
  for (const OpRow& row : op_table())
    if (row.info->name == name) return py::make_tuple(row.info->infix, row.info->precedence, row.elementwise);
  throw py::key_error(name);
}

// What the inputs of an op are called.
py::list op_inputs(const std::string& name) {
  py::list names;
  for (const InputName& input : input_names(op_named(name))) names.append(input.name);
  return names;
}

constexpr Function table[] = {
    {"op_names() -> list[str]", R"(Names of all ops, in the order of their ids.

Example:
    >>> from chainrule import _C
    >>> "tanh" in _C.op_names()
    True
)",
     &op_names, Scope::function},
};

}  // namespace

void add_ops(py::module_& m) {
  create_values_indices(m);
  py::dict names;
  names["__doc__"] = "Every op of the library by name, as graphs and files know it: ops.tanh(x), ops.sum(x, dim=0).";
  names["__module__"] = m.attr("__name__");
  [&]<int... id>(std::integer_sequence<int, id...>) {
    (add_op<id>(m, names), ...);
  }(std::make_integer_sequence<int, AllOps::size>{});
  m.attr("ops") = py::handle(reinterpret_cast<PyObject*>(&PyType_Type))("ops", py::tuple(), names);
  add_table<table>(m);
  m.attr("__all__").attr("remove")("op_names");
  m.def("_op_facts", &op_facts);
  m.def("_op_inputs", &op_inputs);
}

}  // namespace chainrule::python
