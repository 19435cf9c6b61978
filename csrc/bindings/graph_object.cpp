#include "graph_object.h"

#include <pybind11/stl.h>

#include <algorithm>

#include "chainrule/autograd/annotations.h"
#include "chainrule/core/error.h"
#include "chainrule/graph/file.h"
#include "chainrule/graph/formula.h"
#include "chainrule/graph/kept.h"
#include "chainrule/graph/tape.h"
#include "dtypes.h"
#include "module.h"
#include "sizes.h"
#include "user_lines.h"

namespace chainrule::python {

// ---- GraphObject ----

void GraphObject::set(Graph graph) {
  graph_ = std::move(graph);
  labels_ = labels_of(graph_);
  has_unknown_size = graph_.has_unknown_size();
  has_frozen = std::ranges::any_of(graph_.nodes(), [](const GraphNode& node) { return !node.frozen_by.empty(); });
  nodes_.clear(), outputs_.clear(), inputs_.clear(), name_objects_.clear(), output_names_.clear(), programs_.clear();
  last_ = nullptr;
  last_keywords = {};
  leaves_of_ = {};
  const auto object_of = [](const std::string& text) {
    PyObject* name = PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
    PyUnicode_InternInPlace(&name);
    return owned(name);
  };
  for (size_t i = 0; i < labels_.size(); ++i) {
    const NodeKind kind = graph_.nodes()[i].kind;
    name_objects_.push_back(object_of(labels_[i]));
    if (kind != NodeKind::constant) nodes_.try_emplace(labels_[i], Ref{static_cast<int>(i), 0});
    if (kind == NodeKind::input) inputs_.push_back(static_cast<int>(i));
  }
  for (const GraphOutput& output : graph_.outputs()) {
    output_names_.push_back(object_of(output.name));
    outputs_[output.name] = output.ref;
  }
}

Ref GraphObject::find_output(std::string_view name, std::string_view op) const {
  return find(outputs_, nodes_, name, op);
}
Ref GraphObject::find_node(std::string_view name, std::string_view op) const {
  return find(nodes_, outputs_, name, op);
}

Ref GraphObject::find(const Names& first, const Names& then, std::string_view name, std::string_view op) const {
  for (const Names* names : {&first, &then})
    if (const auto found = names->find(std::string(name)); found != names->end()) return found->second;
  require_outputs(op);
  std::string outputs, inputs;
  for (const GraphOutput& output : graph_.outputs()) outputs += (outputs.empty() ? "" : ", ") + output.name;
  for (int i : inputs_) inputs += (inputs.empty() ? "" : ", ") + labels_[static_cast<size_t>(i)];
  fail(ErrorKind::value, op, "the name " + std::string(name), "it must be that of an output or a node of the graph",
       "the outputs are: " + outputs + "; the inputs: " + inputs);
}

int GraphObject::find_input(PyObject* name) const {
  for (int i : inputs_)
    if (name_object(i) == name) return i;
  const std::string text = text_from(name, "forward", "the name");
  const auto found = nodes_.find(text);
  if (found != nodes_.end() && graph_.nodes()[static_cast<size_t>(found->second.node)].kind == NodeKind::input)
    return found->second.node;
  require_outputs("forward");
  std::string inputs;
  for (int i : inputs_) inputs += (inputs.empty() ? "" : ", ") + labels_[static_cast<size_t>(i)];
  fail(ErrorKind::value, "forward", "a value for " + text, "only inputs of the graph can be given one",
       "they are: " + inputs);
}

Program& GraphObject::program(int64_t n) {
  const auto found = programs_.find(n);
  if (found == programs_.end()) {
    auto made = std::make_unique<Program>(has_unknown_size ? graph_.at_size(n) : graph_);
    last_ = made.get();
    programs_[n] = {std::move(made), ++uses_};
    drop_programs();
    return *last_;
  }
  found->second.last_use = ++uses_;
  return *(last_ = found->second.program.get());
}

// A loop may alternate between sizes: batches and the last one, or sentences of any length. Each size has a plan, which
// is small, and the values of its last run, which may not be. The programs used last stay.
void GraphObject::drop_programs() {
  constexpr size_t most = 256, always = 2;
  constexpr double most_bytes = 256 << 20;
  double bytes = 0;
  for (const auto& [n, kept] : programs_) bytes += kept.program->bytes();
  while (programs_.size() > most || (bytes > most_bytes && programs_.size() > always)) {
    const auto oldest =
        std::ranges::min_element(programs_, {}, [](const auto& entry) { return entry.second.last_use; });
    bytes -= oldest->second.program->bytes();
    programs_.erase(oldest);
  }
}

void GraphObject::forget_run() {
  if (last_) last_->forget_results();
}

void GraphObject::require_outputs(std::string_view op) const {
  if (graph_.outputs().empty()) fail(ErrorKind::graph, op, "a graph without outputs", "say outputs(L=...) first");
}

Program& GraphObject::last(std::string_view op) const {
  if (!last_) require_outputs(op);
  if (!last_)
    fail(ErrorKind::graph, op, "a graph that has not run forward", "it needs the values of a forward pass",
         "call forward(...) first");
  return *last_;
}

const std::vector<int>& GraphObject::leaves_below(Ref of) {
  if (of == leaves_of_) return leaves_;
  leaves_of_ = of;
  leaves_.clear();
  std::vector<char> reached(static_cast<size_t>(of.node) + 1);
  reached.back() = 1;
  for (int i = of.node; i >= 0; --i) {
    const GraphNode& node = graph_.nodes()[static_cast<size_t>(i)];
    if (!reached[static_cast<size_t>(i)]) continue;
    if (node.op && !node.op->vjp) continue;  // no gradient passes
    for (Ref x : node.inputs)
      if (is_floating(graph_.meta(x).dtype)) reached[static_cast<size_t>(x.node)] = 1;
  }
  for (int i = 0; i <= of.node; ++i) {
    const NodeKind kind = graph_.nodes()[static_cast<size_t>(i)].kind;
    if (reached[static_cast<size_t>(i)] && (kind == NodeKind::input || kind == NodeKind::parameter))
      leaves_.push_back(i);
  }
  return leaves_;
}

Ref GraphObject::checked(int node, int output) const {
  const int nodes = static_cast<int>(graph_.nodes().size());
  if (node < 0 || node >= nodes)
    fail(ErrorKind::index, "graph", "node " + std::to_string(node), "the graph has " + std::to_string(nodes));
  const int outputs = static_cast<int>(graph_.nodes()[static_cast<size_t>(node)].outputs.size());
  if (output < 0 || output >= outputs)
    fail(ErrorKind::index, "graph", "output " + std::to_string(output) + " of node " + std::to_string(node),
         "it has " + std::to_string(outputs));
  return {node, output};
}

GraphObject::Running::Running(GraphObject& graph) : graph_(graph) {
  if (graph.running_)
    fail(ErrorKind::graph, "graph", "a second call while the graph is running", "its buffers serve one run at a time",
         "give each thread a graph of its own");
  graph.running_ = true;
}

// ---- Reading it from Python ----

namespace {

py::object attribute(const FieldRow& field, const void* attributes) {
  const void* value = field.at(const_cast<void*>(attributes));
  switch (field.kind) {
    case FieldKind::boolean: return py::bool_(*static_cast<const bool*>(value));
    case FieldKind::integer: return owned(size_object(*static_cast<const int64_t*>(value)));
    case FieldKind::real: return py::float_(*static_cast<const double*>(value));
    case FieldKind::shape: return owned(sizes_object(*static_cast<const Shape*>(value)));
    case FieldKind::pair: {
      const Pair& pair = *static_cast<const Pair*>(value);
      return py::make_tuple(pair.height, pair.width);
    }
    case FieldKind::dtype: return owned(dtype_object(*static_cast<const DType*>(value)));
  }
  internal_error("graph", "an attribute of unknown kind");
}

py::dict attributes_of(const GraphNode& node) {
  py::dict attributes;
  if (node.op)
    for (const FieldRow& field : node.op->fields) attributes[field.name] = attribute(field, node.attributes.data());
  return attributes;
}

// The attributes that an op has when nobody says otherwise.
py::dict defaults_of(const std::string& name) {
  const OpRow& op = op_named(name);
  alignas(8) char made[max_attribute_bytes];
  op.construct(made);
  py::dict attributes;
  for (const FieldRow& field : op.fields) attributes[field.name] = attribute(field, made);
  return attributes;
}

// (kind, op, attributes, inputs, shapes, dtypes, name, label, scope, source, frozen_by) of each node, for Python to
// make objects of.
py::list nodes_of(const GraphObject& self) {
  static constexpr const char* kinds[] = {"input", "parameter", "constant", "op"};
  py::list nodes;
  for (size_t i = 0; i < self.graph().nodes().size(); ++i) {
    const GraphNode& node = self.graph().nodes()[i];
    py::list inputs, shapes, dtypes;
    for (Ref x : node.inputs) inputs.append(py::make_tuple(x.node, x.output));
    for (const Meta& meta : node.outputs) {
      shapes.append(owned(sizes_object(meta.shape)));
      dtypes.append(owned(dtype_object(meta.dtype)));
    }
    nodes.append(py::make_tuple(kinds[static_cast<int>(node.kind)], node.op ? node.op->info->name : "",
                                attributes_of(node), py::tuple(inputs), py::tuple(shapes), py::tuple(dtypes), node.name,
                                self.labels()[i], node.scope, node.source, node.frozen_by));
  }
  return nodes;
}

py::list scopes_of(const GraphObject& self) {
  py::list scopes;
  for (const GraphScope& scope : self.graph().scopes())
    scopes.append(py::make_tuple(scope.path, scope.type, scope.parent));
  return scopes;
}

py::dict outputs_of(const GraphObject& self) {
  py::dict outputs;
  for (const GraphOutput& output : self.graph().outputs())
    outputs[py::str(output.name)] = py::make_tuple(output.ref.node, output.ref.output);
  return outputs;
}

// A formula as nested tuples: ("label", text), ("number", text), ("upstream", "gy") or (op, attributes, arguments...).
py::object expression(const Formula& formula) {
  if (formula.root.node < 0) return py::none();
  const std::vector<std::string> labels = labels_of(formula.graph);
  std::vector<py::object> made(static_cast<size_t>(formula.root.node) + 1);
  for (size_t i = 0; i < made.size(); ++i) {
    const GraphNode& node = formula.graph.nodes()[i];
    if (!node.op) {
      const bool is_upstream = std::ranges::count(formula.upstream, static_cast<int>(i)) > 0;
      const char* kind = node.kind == NodeKind::constant ? "number" : is_upstream ? "upstream" : "label";
      made[i] = py::make_tuple(kind, labels[i]);
      continue;
    }
    py::list parts;
    parts.append(node.op->info->name);
    parts.append(attributes_of(node));
    for (Ref x : node.inputs) parts.append(made[static_cast<size_t>(x.node)]);
    made[i] = py::tuple(parts);
  }
  return made[static_cast<size_t>(formula.root.node)];
}

int checked_node(const GraphObject& self, int node) { return self.checked(node, 0).node; }

// ---- Making one ----

std::vector<NamedTensor> named_tensors(const py::list& list) {
  std::vector<NamedTensor> named;
  for (const py::handle item : list) {
    const auto [name, tensor, is_parameter] = item.cast<std::tuple<py::object, Tensor, bool>>();
    named.push_back({text_from(name.ptr(), "graph", "the name"), tensor, is_parameter});
  }
  return named;
}

py::object referent(void* weak_reference) {
  if (!weak_reference) return py::none();
  return py::reinterpret_borrow<py::object>(PyWeakref_GetObject(static_cast<PyObject*>(weak_reference)));
}

void read_tape(GraphObject& self, const py::list& outputs, const py::list& inputs, const py::list& names,
               const py::object& describe) {
  const GraphObject::Running running(self);
  TapeOptions options{named_tensors(outputs), named_tensors(inputs), named_tensors(names), nullptr, nullptr};
  options.describe = [&](void* module, void* parent) {
    return describe(referent(module), referent(parent)).cast<std::pair<std::string, std::string>>();
  };
  options.attribute = [&](void* module, const Tensor& tensor) {
    return describe.attr("attribute")(referent(module), tensor).cast<std::string>();
  };
  self.set(graph_from_tape(options));
}

// The graph of the gradients of `of`; what an output does not need goes, but for the inputs.
void set_gradients(GraphObject& self, const GraphObject& source, const py::object& of, const py::list& wrt) {
  std::vector<Ref> refs;
  std::vector<std::string> names;
  for (const py::handle name : wrt) {
    names.push_back(text_from(name.ptr(), "grad", "a name in wrt"));
    if (std::ranges::count(names, names.back()) > 1)
      fail(ErrorKind::value, "grad", "wrt names " + names.back() + " twice", "each gradient is one output");
    refs.push_back(source.find_node(names.back(), "grad"));
  }
  if (names.empty()) fail(ErrorKind::value, "grad", "wrt is empty", "it must name what to differentiate by");
  self.set(source.graph().gradients(source.find_output(text_from(of.ptr(), "grad", "an output"), "grad"), refs, names));
  self.has_frozen = self.has_frozen && source.has_frozen;  // a warning given once is enough
}

// The same graph, with these values in place of those that its nodes have.
void set_copy(GraphObject& self, const GraphObject& source, const std::vector<std::pair<int, Tensor>>& values) {
  Graph copy = source.graph();
  for (const auto& [i, value] : values) {
    GraphNode& node = copy.node(source.checked(i, 0).node);
    const bool was_changed = node.value && node.value->storage->version != node.version;
    node.value = value;
    node.version = value->storage->version - (was_changed ? 1 : 0);
  }
  self.set(std::move(copy));
}

// (node, value) of what has one before anything runs.
py::list own_values(const GraphObject& self) {
  py::list values;
  for (size_t i = 0; i < self.graph().nodes().size(); ++i)
    if (const Tensor& value = self.graph().nodes()[i].value) values.append(py::make_tuple(i, value));
  return values;
}

Tensor placeholder(const py::object& dtype, const std::vector<int64_t>& shape) {
  const std::optional<DType> type = dtype_from(dtype.ptr());
  if (!type)
    fail(ErrorKind::dtype, "input", "the dtype " + std::string(py::repr(dtype)), "it must be a chainrule dtype");
  checked_numel(shape, size_of(*type), "input");
  return Tensor::placeholder({*type, Shape(shape)});
}

// (node, output) of what stays in memory for backward; without `wrt`, for the gradients of the parameters that require
// them or, in a graph without parameters, of the inputs.
py::list kept_of(const GraphObject& self, std::vector<int> wrt) {
  for (int i : wrt) checked_node(self, i);
  if (wrt.empty()) {
    bool has_parameters = false;
    for (size_t i = 0; i < self.graph().nodes().size(); ++i) {
      const GraphNode& node = self.graph().nodes()[i];
      if (node.kind != NodeKind::parameter) continue;
      has_parameters = true;
      if (node.value->requires_grad) wrt.push_back(static_cast<int>(i));
    }
    if (!has_parameters) wrt.assign(self.inputs().begin(), self.inputs().end());
  }
  py::list kept;
  for (Ref ref : kept_for_backward(self.graph(), wrt)) kept.append(py::make_tuple(ref.node, ref.output));
  return kept;
}

Tensor value_of(GraphObject& self, int node, int output) {
  const Ref ref = self.checked(node, output);
  if (!self.has_run()) return self.graph().nodes()[static_cast<size_t>(node)].value;
  const GraphObject::Running running(self);
  return self.last("value").value(ref);
}

}  // namespace

void add_graph(py::module_& m) {
  py::class_<GraphObject> type(m, "Graph", "The graph as data: what chainrule.Graph is built on.");
  type.def(py::init<>())
      .def("_read_tape", &read_tape)
      .def("_set_gradients", &set_gradients)
      .def("_set_copy", &set_copy)
      .def("_own_values", &own_values)
      .def("_is_stale",
           [](const GraphObject& self) { return self.has_run() && self.last("explain").first_changed() >= 0; })
      .def("_set_at_size",
           [](GraphObject& self, const GraphObject& source, int64_t n) { self.set(source.graph().at_size(n)); })
      .def("_kept", &kept_of)
      .def("_nodes", &nodes_of)
      .def("_scopes", &scopes_of)
      .def("_outputs", &outputs_of)
      .def("_value", &value_of)
      .def("_save", [](const GraphObject& self, const std::string& path) { self.graph().save(path); })
      .def("_load", [](GraphObject& self, const std::string& path) { self.set(Graph::load(path)); })
      .def("_expression",
           [](const GraphObject& self, int node) {
             return expression(formula_of_node(self.graph(), checked_node(self, node), self.labels()));
           })
      .def("_derivative",
           [](const GraphObject& self, int node, int k) {
             return expression(formula_of_derivative(self.graph(), checked_node(self, node), k, self.labels()));
           })
      .def("_textbook", [](const GraphObject& self, int node, int k) {
        return textbook_of_derivative(self.graph(), checked_node(self, node), k);
      });
  add_graph_methods(type);
  m.def("_placeholder", &placeholder, "A tensor of this dtype and shape that has no value yet.");
  m.def("_remember_lines", [](bool on) { return remember_lines(on ? &user_line : nullptr) != nullptr; });
  m.def("_is_placeholder", [](const Tensor& x) { return x.is_placeholder(); });
  m.def("_op_defaults", &defaults_of);
  m.def("_size", [](int64_t size) { return owned(size_object(size)); });
  m.attr("unknown_size") = unknown_size;
}

}  // namespace chainrule::python
