// autograd.cpp - gradients, grad mode, the nodes of the tape, optimizer steps. Floor: bindings.
#include "arguments.h"
#include "chainrule/autograd/engine.h"
#include "chainrule/autograd/node.h"
#include "chainrule/core/thread_pool.h"
#include "chainrule/ops/optimizer_steps.h"
#include "module.h"
#include "node_object.h"

namespace chainrule::python {

namespace {

// A tensor or a sequence of tensors.
std::vector<Tensor> one_or_many(const Arguments& arguments, int i) {
  if (is_tensor(arguments[i])) return std::vector{arguments.tensor(i)};
  return arguments.tensors(i);
}

// The same, where None (for all or for one) means the implied gradient of 1.
std::vector<Tensor> seeds_of(const Arguments& arguments, int i, size_t roots) {
  if (!arguments.has(i)) return {};
  std::vector<Tensor> seeds;
  if (is_tensor(arguments[i])) {
    seeds.push_back(arguments.tensor(i));
  } else {
    if (!PyList_Check(arguments[i]) && !PyTuple_Check(arguments[i]))
      arguments.refuse(i, "it must be a Tensor, None or a sequence of them");
    const py::object items = owned(PySequence_Fast(arguments[i], ""));
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(items.ptr()); ++k) {
      PyObject* item = PySequence_Fast_GET_ITEM(items.ptr(), k);
      if (item != Py_None && !is_tensor(item)) arguments.refuse(i, "every item must be a Tensor or None");
      seeds.push_back(item == Py_None ? Tensor() : share(item));
    }
  }
  if (seeds.size() != roots)
    fail(ErrorKind::value, arguments.op(),
         std::to_string(roots) + " outputs and " + std::to_string(seeds.size()) + " gradients for them",
         "there must be one for each");
  return seeds;
}

BackwardOptions options_of(const Arguments& arguments, int retain_graph, int create_graph) {
  BackwardOptions options;
  options.create_graph = arguments.boolean(create_graph, false);
  options.retain_graph = arguments.boolean(retain_graph, options.create_graph);
  return options;
}

// tensor.backward(gradient, retain_graph, create_graph, inputs)
PyObject* tensor_backward(const Arguments& arguments) {
  const UninterruptedLoops keeps_lock;  // Note [The GIL around long loops]
  const Tensor root = arguments.tensor(0);
  if (arguments.none_but_first()) {
    backward(root);
    Py_RETURN_NONE;
  }
  const std::vector<Tensor> seeds = seeds_of(arguments, 1, 1);
  const BackwardOptions options = options_of(arguments, 2, 3);
  if (!arguments.has(4)) {
    backward({&root, 1}, seeds, options);
    Py_RETURN_NONE;
  }
  const std::vector<Tensor> inputs = one_or_many(arguments, 4);
  const std::vector<Tensor> found = gradients({&root, 1}, inputs, seeds, options);
  accumulate_gradients(inputs, found, options.create_graph);
  Py_RETURN_NONE;
}

// grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
PyObject* grad(const Arguments& arguments) {
  const UninterruptedLoops keeps_lock;  // Note [The GIL around long loops]
  const std::vector<Tensor> outputs = one_or_many(arguments, 0), inputs = one_or_many(arguments, 1);
  const std::vector<Tensor> seeds = seeds_of(arguments, 2, outputs.size());
  const bool materialize = arguments.boolean(6, false);
  BackwardOptions options = options_of(arguments, 3, 4);
  options.allow_unused = arguments.boolean(5, materialize);
  const std::vector<Tensor> found = gradients(outputs, inputs, seeds, options);
  py::tuple result(found.size());
  for (size_t k = 0; k < found.size(); ++k) {
    Tensor gradient = found[k];
    if (!gradient && materialize) gradient = Tensor::zeros(inputs[k].dtype(), inputs[k].shape());
    result[k] = py::reinterpret_steal<py::object>(wrap_or_none(gradient));
  }
  return result.release().ptr();
}

PyObject* set_grad_mode(const Arguments& arguments) {
  return PyBool_FromLong(set_grad_enabled(arguments.boolean(0, true)));
}
PyObject* grad_mode(const Arguments&) { return PyBool_FromLong(grad_enabled()); }

// ---- Optimizer steps over Python lists, which are filled at the first step ----

Buffers buffers_of(const Arguments& arguments, int i, size_t count) {
  if (!PyList_Check(arguments[i]) || PyList_GET_SIZE(arguments[i]) != static_cast<Py_ssize_t>(count))
    arguments.refuse(i, "it must be a list as long as the parameters");
  Buffers buffers;
  for (size_t k = 0; k < count; ++k) {
    PyObject* item = PyList_GET_ITEM(arguments[i], static_cast<Py_ssize_t>(k));
    if (item != Py_None && !is_tensor(item)) arguments.refuse(i, "every item must be a Tensor or None");
    buffers.push_back(item == Py_None ? Tensor() : share(item));
  }
  return buffers;
}
void give_back(PyObject* list, const Buffers& buffers) {
  for (size_t k = 0; k < buffers.size(); ++k) {
    const Py_ssize_t at = static_cast<Py_ssize_t>(k);
    if (buffers[k] && PyList_GET_ITEM(list, at) == Py_None) PyList_SetItem(list, at, wrap(buffers[k]));
  }
}

PyObject* sgd(const Arguments& a) {
  const UninterruptedLoops keeps_lock;  // Note [The GIL around long loops]
  const std::vector<Tensor> parameters = a.tensors(0);
  Buffers momentum_buffers = buffers_of(a, 1, parameters.size());
  sgd_step(parameters, momentum_buffers,
           {a.real(2), a.real(3), a.real(4), a.real(5), a.boolean(6, false), a.boolean(7, false)});
  give_back(a[1], momentum_buffers);
  Py_RETURN_NONE;
}

PyObject* adam(const Arguments& a) {
  const UninterruptedLoops keeps_lock;  // Note [The GIL around long loops]
  const std::vector<Tensor> parameters = a.tensors(0);
  const size_t count = parameters.size();
  Buffers averages = buffers_of(a, 1, count), squares = buffers_of(a, 2, count), maxima = buffers_of(a, 3, count);
  if (!PyList_Check(a[4]) || PyList_GET_SIZE(a[4]) != static_cast<Py_ssize_t>(count))
    a.refuse(4, "it must be a list of ints as long as the parameters");
  std::vector<int64_t> steps;
  for (size_t k = 0; k < count; ++k)
    steps.push_back(py::handle(PyList_GET_ITEM(a[4], static_cast<Py_ssize_t>(k))).cast<int64_t>());
  const AdamSettings settings{a.real(5),           a.real(6), a.real(7), a.real(8), a.real(9), a.boolean(11, false),
                              a.boolean(12, false)};
  adam_step(parameters, averages, squares, maxima, steps, a.boolean(10, false), settings);
  give_back(a[1], averages);
  give_back(a[2], squares);
  give_back(a[3], maxima);
  for (size_t k = 0; k < count; ++k)
    PyList_SetItem(a[4], static_cast<Py_ssize_t>(k), checked(PyLong_FromLongLong(steps[k])));
  Py_RETURN_NONE;
}

constexpr Function functions[] = {
    {"backward(input: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, "
     "create_graph: bool = False, inputs: Tensor | Sequence[Tensor] | None = None) -> None",
     R"(Adds the gradients of this tensor to the .grad of the leaves it was computed from.

Args:
    gradient: Weight of each element, of the tensor's shape; may be left out when there is one element.
    retain_graph: Keep what backward needs, to run it again. Default: create_graph.
    create_graph: Record the gradients' own graph, to differentiate them.
    inputs: Only these tensors get a gradient.

Raises:
    RuntimeError: No graph, more than one element without gradient, saved values freed or changed in place.
    ValueError: gradient has another shape.

>>> x = cr.tensor(3., requires_grad=True)
>>> (x ** 2).backward()
>>> x.grad
tensor(6.))",
     tensor_backward, Scope::method},
    {"grad(outputs: Tensor | Sequence[Tensor], inputs: Tensor | Sequence[Tensor], "
     "grad_outputs: Tensor | Sequence[Tensor | None] | None = None, retain_graph: bool | None = None, "
     "create_graph: bool = False, allow_unused: bool = False, materialize_grads: bool = False) -> tuple[Any, ...]",
     R"(The gradients of outputs with respect to inputs; no .grad is touched.

Args:
    outputs: What is differentiated; several are summed.
    inputs: Any tensors with requires_grad, leaves or not.
    grad_outputs: Weight of each output, of its shape; None for scalars.
    retain_graph: Keep what backward needs. Default: create_graph.
    create_graph: Record the gradients' own graph.
    allow_unused: None for an input that the outputs do not depend on, instead of an error.
    materialize_grads: Zeros instead of None.

Returns:
    One tensor per input, of its shape.

>>> x = cr.tensor(2., requires_grad=True)
>>> first, = cr.grad(x ** 3, x, create_graph=True)
>>> cr.grad(first, x)
(tensor(12.),))",
     grad, Scope::function},
    {"set_grad_enabled(mode: bool) -> bool", "Sets whether operations are recorded; returns the mode before.",
     set_grad_mode, Scope::function},
    {"is_grad_enabled() -> bool", R"(Whether operations are recorded on this thread.

>>> with cr.no_grad():
...     cr.is_grad_enabled()
False)",
     grad_mode, Scope::function},
    {"sgd_step(params: list[Tensor], momentum_buffers: list[Tensor | None], lr: float, momentum: float, "
     "dampening: float, weight_decay: float, nesterov: bool, maximize: bool) -> None",
     "One step of stochastic gradient descent over all parameters, in place; parameters without .grad are skipped.",
     sgd, Scope::function},
    {"adam_step(params: list[Tensor], exp_avgs: list[Tensor | None], exp_avg_sqs: list[Tensor | None], "
     "max_exp_avg_sqs: list[Tensor | None], steps: list[int], lr: float, beta1: float, beta2: float, eps: float, "
     "weight_decay: float, amsgrad: bool, maximize: bool, decoupled: bool) -> None",
     "One step of Adam (AdamW, if decoupled) over all parameters, in place; parameters without .grad are skipped.",
     adam, Scope::function},
};

}  // namespace

void add_autograd(py::module_& m) {
  add_node_type(m);
  add_table<functions>(m);
  const py::list names = m.attr("__all__");
  for (const char* hidden : {"set_grad_enabled", "sgd_step", "adam_step"}) names.attr("remove")(hidden);
}

}  // namespace chainrule::python
