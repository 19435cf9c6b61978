// graph_run.cpp - Graph.forward and Graph.backward, and both a node at a time. Floor: bindings.
// A small graph runs in less time than pybind11 takes to call a function, so these are plain C functions, and the
// keywords of a call are looked up once for as long as the same call is made.
#include <pybind11/stl.h>

#include <algorithm>

#include "chainrule/core/error.h"
#include "dtypes.h"
#include "graph_object.h"

namespace chainrule::python {

namespace {

GraphObject& graph_of(PyObject* self) {
  void* graph = reinterpret_cast<py::detail::instance*>(self)->get_value_and_holder().value_ptr();
  if (!graph) fail(ErrorKind::graph, "graph", "a Graph whose __init__ was not called", "call super().__init__() first");
  return *static_cast<GraphObject*>(graph);
}

// ---- Feeds ----

// A tensor of the input's dtype, whatever the user has: a number, lists, an array.
Tensor tensor_for(PyObject* value, const Meta& meta) {
  static const py::object convert = *new py::object(py::module_::import("chainrule").attr("as_tensor"));
  const auto converted = [&] { return convert(py::handle(value), owned(dtype_object(meta.dtype))).cast<Tensor>(); };
  Tensor tensor = is_tensor(value) ? share(value) : converted();
  static_cast<void>(tensor.data());  // fails for a placeholder
  return tensor;
}

// A Python int that a double holds exactly.
std::optional<double> small_integer(PyObject* value) {
  if (!PyLong_CheckExact(value)) return std::nullopt;
  int overflow = 0;
  const long long whole = PyLong_AsLongLongAndOverflow(value, &overflow);
  constexpr long long exact = 1LL << 53;
  if (overflow || whole > exact || whole < -exact) return std::nullopt;
  return static_cast<double>(whole);
}

// Tells the unknown size from the inputs that have it; all must agree.
int64_t size_of_feeds(const GraphObject& self, std::span<const int> inputs, std::span<const Tensor> values) {
  std::optional<int64_t> n;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const Shape& wanted = self.graph().nodes()[static_cast<size_t>(inputs[k])].outputs[0].shape;
    if (static_cast<size_t>(wanted.size()) != values[k].shape().size())
      fail(ErrorKind::shape, "forward",
           self.labels()[static_cast<size_t>(inputs[k])] + " of shape " + to_string(values[k].shape()),
           "the graph was assembled for shape " + to_string(wanted));
    for (int d = 0; d < wanted.size(); ++d) {
      const SizeInN size = in_terms_of_n(wanted[d]);
      if (size.is_known()) continue;
      const int64_t found = (values[k].size(d) - size.plus) / size.times;
      if (n && *n != found)
        fail(ErrorKind::shape, "forward",
             self.labels()[static_cast<size_t>(inputs[k])] + " of shape " + to_string(values[k].shape()) +
                 ", where N is " + std::to_string(*n) + " by the inputs before it",
             "all inputs must agree on the unknown size", "the input is " + to_string(wanted));
      n = found;
    }
  }
  return n.value_or(0);
}

const std::vector<int>& inputs_named(GraphObject& self, PyObject* keywords) {
  if (self.last_keywords.ptr() == keywords) return self.last_inputs;
  std::vector<int> inputs;
  for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k)
    inputs.push_back(self.find_input(PyTuple_GET_ITEM(keywords, k)));
  self.last_keywords = py::reinterpret_borrow<py::object>(keywords);
  return self.last_inputs = inputs;
}

// Of a frozen value that is neither fed nor kept up to date, beside others that are no longer what they were: what the
// user should know. Nothing was computed from a placeholder.
void warn_of_frozen(GraphObject& self, std::span<const int> fed, PyObject* const* values) {
  const std::vector<GraphNode>& nodes = self.graph().nodes();
  const auto is_new = [&](int i) {
    const Tensor& own = nodes[static_cast<size_t>(i)].value;
    if (!own) return false;
    if (own->storage->version != nodes[static_cast<size_t>(i)].version) return true;
    const auto at = std::ranges::find(fed, i) - fed.begin();
    return at < std::ssize(fed) && !(is_tensor(values[at]) && share(values[at])->storage == own->storage);
  };
  int frozen = -1, changed = -1;
  for (int i = static_cast<int>(nodes.size()) - 1; i >= 0; --i) {
    const GraphNode& node = nodes[static_cast<size_t>(i)];
    if (node.op) continue;
    if (node.frozen_by.empty()) changed = is_new(i) ? i : changed;
    else if (std::ranges::count(fed, i) == 0 && !is_new(i)) frozen = i;
  }
  if (frozen < 0 || changed < 0) return;
  const GraphNode& node = nodes[static_cast<size_t>(frozen)];
  const std::string &label = self.labels()[static_cast<size_t>(frozen)],
                    &other = self.labels()[static_cast<size_t>(changed)];
  const bool is_input = node.kind == NodeKind::input;
  const std::string text =
      "forward: a new value of " + other + ", while " + (is_input ? label : "a constant") + " of shape " +
      to_string(node.outputs[0].shape) + " stays what it was when the graph was taken: it was computed through " +
      node.frozen_by + ", which no gradient passes, so that the tape does not have it; " +
      (is_input ? "take the graph with cr.trace(fn, ...), or pass " + label + "=..." : "make it from a placeholder");
  if (PyErr_WarnEx(PyExc_RuntimeWarning, text.c_str(), 1) < 0) throw py::error_already_set();
  self.has_frozen = false;  // once is enough
}

// The program with its inputs in place. An input that is not named has its own value, or none.
Program& feed(GraphObject& self, PyObject* const* values, PyObject* keywords) {
  const std::vector<int>& inputs = inputs_named(self, keywords);
  const std::vector<GraphNode>& nodes = self.graph().nodes();
  if (self.has_frozen) [[unlikely]]
    warn_of_frozen(self, inputs, values);
  if (!self.has_unknown_size) {
    Program& program = self.program(0);
    if (inputs.size() < self.inputs().size()) program.forget_feeds();
    for (size_t k = 0; k < inputs.size(); ++k) {
      const Meta& meta = nodes[static_cast<size_t>(inputs[k])].outputs[0];
      if (PyFloat_CheckExact(values[k]) && meta.shape.empty()) program.feed(inputs[k], PyFloat_AS_DOUBLE(values[k]));
      else if (const auto whole = small_integer(values[k]); whole && is_floating(meta.dtype) && meta.shape.empty())
        program.feed(inputs[k], *whole);
      else program.feed(inputs[k], tensor_for(values[k], meta));
    }
    return program;
  }
  std::vector<Tensor> tensors;
  for (size_t k = 0; k < inputs.size(); ++k)
    tensors.push_back(tensor_for(values[k], nodes[static_cast<size_t>(inputs[k])].outputs[0]));
  Program& program = self.program(size_of_feeds(self, inputs, tensors));
  program.forget_feeds();
  for (size_t k = 0; k < inputs.size(); ++k) program.feed(inputs[k], tensors[k]);
  return program;
}

void refuse_positional(Py_ssize_t count, const char* op) {
  if (count > 0)
    fail(ErrorKind::dtype, op, std::to_string(count) + " positional arguments", "inputs are given by name",
         "write forward(x=...)");
}

// A run that fails leaves no values: some would be of it, the others of the run before.
const Program& run(GraphObject& self, PyObject* const* values, PyObject* keywords) {
  try {
    Program& program = feed(self, values, keywords);
    program.forward();
    return program;
  } catch (...) {
    self.forget_run();
    throw;
  }
}

// forward(**feeds) -> {name: value}
PyObject* forward(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    GraphObject& self = graph_of(object);
    refuse_positional(count, "forward");
    const GraphObject::Running running(self);
    self.begin_pass("forward");
    const Program& program = run(self, args, keywords);
    py::object outputs = owned(PyDict_New());
    for (size_t k = 0; k < self.graph().outputs().size(); ++k) {
      const py::object value = owned(wrap(program.value(self.graph().outputs()[k].ref)));
      if (PyDict_SetItem(outputs.ptr(), self.output_name(k), value.ptr()) < 0) throw py::error_already_set();
    }
    return outputs.release().ptr();
  });
}

// ---- Backward ----

std::string text_of(PyObject* o, const char* what) { return text_from(o, "backward", what); }

Ref output_of(const GraphObject& self, PyObject* of) {
  const auto& outputs = self.graph().outputs();
  if (of && of != Py_None) {
    for (size_t k = 0; k < outputs.size(); ++k)
      if (self.output_name(k) == of) return outputs[k].ref;
    return self.find_output(text_of(of, "an output"), "backward");
  }
  if (outputs.size() != 1)
    fail(ErrorKind::value, "backward", "a graph with " + std::to_string(outputs.size()) + " outputs and no name of one",
         "gradients are those of one output", "write backward(\"" + (outputs.empty() ? "L" : outputs[0].name) + "\")");
  return outputs[0].ref;
}

struct BackwardCall {
  Ref of;
  std::vector<int> wrt;
  Tensor seed;
};

std::vector<int> nodes_named(const GraphObject& self, PyObject* names) {
  std::vector<int> nodes;
  if (PyUnicode_Check(names)) return {self.find_node(text_of(names, "a name"), "backward").node};
  if (!py::isinstance<py::iterable>(names))
    fail(ErrorKind::dtype, "backward", "wrt is a " + type_name(names), "it must be a name or a list of names");
  for (const py::handle name : py::reinterpret_borrow<py::iterable>(names)) {
    const Ref ref = self.find_node(text_of(name.ptr(), "a name"), "backward");
    if (ref.output != 0)
      fail(ErrorKind::value, "backward", text_of(name.ptr(), "a name"), "wrt takes first outputs of nodes only");
    nodes.push_back(ref.node);
  }
  return nodes;
}

// A dict of the gradients; memory that is shared with another one, or strided, is copied.
PyObject* gradients_object(const GraphObject& self, const Program& program, std::span<const int> wrt) {
  py::object gradients = owned(PyDict_New());
  for (int node : wrt) {
    Tensor gradient = program.take_gradient(node);
    if (!gradient)
      fail(ErrorKind::graph, "backward", "no gradient for " + self.labels()[static_cast<size_t>(node)],
           "the output must depend on it through operations that have a gradient");
    const py::object value = owned(wrap(std::move(gradient)));
    if (PyDict_SetItem(gradients.ptr(), self.name_object(node), value.ptr()) < 0) throw py::error_already_set();
  }
  return gradients.release().ptr();
}

// backward(of=None, wrt=None, gradient=None) -> {name: gradient}
PyObject* backward(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  return guarded([&] {
    GraphObject& self = graph_of(object);
    static constexpr const char* names[] = {"of", "wrt", "gradient"};
    std::array<PyObject*, 3> given{};
    if (count > 3)
      fail(ErrorKind::dtype, "backward", std::to_string(count) + " arguments", "it takes of, wrt and gradient");
    for (Py_ssize_t k = 0; k < count; ++k) given[static_cast<size_t>(k)] = args[k];
    for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k) {
      PyObject* keyword = PyTuple_GET_ITEM(keywords, k);
      size_t i = 0;
      while (i < 3 && PyUnicode_CompareWithASCIIString(keyword, names[i]) != 0) ++i;
      if (i == 3 || given[i])
        fail(ErrorKind::dtype, "backward", "the argument " + text_of(keyword, "a keyword"),
             i == 3 ? "it takes of, wrt and gradient" : "it was given twice");
      given[i] = args[count + k];
    }
    const GraphObject::Running running(self);
    Program& program = self.last("backward");
    const Ref of = output_of(self, given[0]);
    const bool has_wrt = given[1] && given[1] != Py_None;
    const std::vector<int> chosen = has_wrt ? nodes_named(self, given[1]) : std::vector<int>();
    const std::vector<int>& wrt = has_wrt ? chosen : self.leaves_below(of);
    Tensor seed;
    if (given[2] && given[2] != Py_None) seed = tensor_for(given[2], program.graph().meta(of));
    program.backward(of, wrt, seed, false);
    self.begin_pass("backward");  // not where it was refused
    return gradients_object(self, program, wrt);
  });
}

constexpr const char* forward_doc = R"(forward(**feeds: Any) -> dict[str, Tensor]

Computes the outputs for these inputs.

Args:
    **feeds: A value for each input, by name: a Tensor of the input's shape and dtype, or a number, list or array that
        makes one. An input that has a value of its own (in a graph taken from a result) may be left out.

Returns:
    The outputs by name. The values of all nodes can be read with value() until the next forward.

Raises:
    ValueError: A name is not that of an input, an input has no value, or a shape differs.
    TypeError: A dtype differs.
    RuntimeError: A value is a placeholder.
    RuntimeWarning: There is a new value of something, beside a mask, an index or the like that was computed when the
        graph was taken from the tape and is not on it.

Example:
    >>> with cr.Graph() as g:
    ...     x, w = g.inputs("x w")
    ...     y = w * x
    >>> g.outputs(y=y).forward(x=2, w=3)
    {'y': tensor(6.)}
)";
constexpr const char* backward_doc =
    R"(backward(of: str | None = None, wrt: str | Iterable[str] | None = None, gradient: Any = None) -> dict[str, Tensor]

Computes the gradients of an output at the values of the last forward.

Args:
    of: The name of an output or node; may be left out when there is one output.
    wrt: Names of inputs, parameters or other nodes; all inputs and parameters that `of` depends on if left out.
    gradient: What to weight the elements of `of` by, of its shape; 1 if left out, for one element only.

Returns:
    The gradients by name. Nothing is added to any .grad, and a second call gives the same numbers.

Raises:
    RuntimeError: forward() has not run, a value was changed after it, or `of` does not depend on what is asked for.
    ValueError: A name is not that of a node.

Example:
    >>> with cr.Graph() as g:
    ...     x, w = g.inputs("x w")
    ...     y = w * x
    >>> outputs = g.outputs(y=y).forward(x=2, w=3)
    >>> g.backward("y")
    {'x': tensor(3.), 'w': tensor(2.)}
)";

PyMethodDef methods[] = {{"forward", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(forward)),
                          METH_FASTCALL | METH_KEYWORDS, forward_doc},
                         {"backward", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(backward)),
                          METH_FASTCALL | METH_KEYWORDS, backward_doc}};

// ---- A node at a time ----

void begin_forward(py::object object, const py::dict& feeds) {
  GraphObject& self = graph_of(object.ptr());
  const GraphObject::Running running(self);
  self.begin_pass("forward_steps");
  std::vector<PyObject*> values;
  py::tuple keywords(feeds.size());
  size_t k = 0;
  for (const auto& [name, value] : feeds) {
    keywords[k++] = name;
    values.push_back(value.ptr());
  }
  Program& program = feed(self, values.data(), keywords.ptr());
  program.forget_results();
  program.begin_forward();
}

void run_node(GraphObject& self, int node) {
  const GraphObject::Running running(self);
  Program& program = self.last("forward_steps");
  for (Ref x : program.graph().nodes().at(static_cast<size_t>(node)).inputs)
    if (!program.value(x))
      fail(ErrorKind::graph, "forward_steps", "a node before its inputs",
           "nodes run after what they are computed from");
  program.run_node(node);
}

// The nodes that backward will visit, in its order.
std::vector<int> begin_backward(GraphObject& self, const py::object& of, const py::object& gradient) {
  const GraphObject::Running running(self);
  Program& program = self.last("backward_steps");
  const Ref ref = output_of(self, of.ptr());
  Tensor seed;
  if (!gradient.is_none()) seed = tensor_for(gradient.ptr(), program.graph().meta(ref));
  program.begin_backward(ref, self.leaves_below(ref), seed, true);
  self.begin_pass("backward_steps");
  return {program.backward_order().begin(), program.backward_order().end()};
}

std::vector<Tensor> run_node_backward(GraphObject& self, int node) {
  const GraphObject::Running running(self);
  return self.last("backward_steps").run_node_backward(self.checked(node, 0).node);
}

Tensor gradient_of(GraphObject& self, int node, int output) {
  const Ref ref = self.checked(node, output);
  if (!self.has_run()) return Tensor();
  const GraphObject::Running running(self);
  return self.last("gradient").gradient(ref);
}

}  // namespace

void add_graph_methods(py::handle graph_type) {
  auto* type = reinterpret_cast<PyTypeObject*>(graph_type.ptr());
  for (PyMethodDef& method : methods) graph_type.attr(method.ml_name) = owned(PyDescr_NewMethod(type, &method));
  const auto add = [&](const char* name, auto function) {
    graph_type.attr(name) = py::cpp_function(function, py::name(name), py::is_method(graph_type));
  };
  add("_begin_forward", &begin_forward);
  add("_run_node", &run_node);
  add("_last_pass", [](const GraphObject& self) { return self.last_pass(); });
  add("_begin_backward", &begin_backward);
  add("_run_node_backward", &run_node_backward);
  add("_gradient", &gradient_of);
}

}  // namespace chainrule::python
