#include "chainrule/graph/graph.h"

#include <cmath>
#include <cstring>
#include <map>

#include "chainrule/core/error.h"
#include "chainrule/graph/formula.h"
#include "chainrule/graph/value_rules.h"

namespace chainrule {

Shape Value::shape() const { return graph->meta(ref).shape; }
DType Value::dtype() const { return graph->meta(ref).dtype; }
Value Value::constant(Number number) const { return graph->constant(dtype(), number); }
Value Value::call_id(int id, const void* op, std::span<const Value> inputs) {
  std::vector<Ref> refs;
  for (const Value& x : inputs) refs.push_back(x.ref);
  Graph* graph = inputs[0].graph;
  return {graph, graph->add(op_table()[id], op, std::move(refs))};
}

Value Graph::input(std::string name, const Meta& meta) {
  GraphNode& node = nodes_.emplace_back();
  node.kind = NodeKind::input;
  node.name = std::move(name);
  node.outputs = {meta};
  return {this, {static_cast<int>(nodes_.size()) - 1, 0}};
}
Value Graph::constant(const Tensor& value) {
  GraphNode& node = nodes_.emplace_back();
  node.kind = NodeKind::constant;
  node.value = value;
  node.outputs = {value.meta()};
  return {this, {static_cast<int>(nodes_.size()) - 1, 0}};
}
Value Graph::parameter(std::string name, const Tensor& value) {
  const Value added = input(std::move(name), value.meta());
  nodes_.back().kind = NodeKind::parameter;
  nodes_.back().value = value;
  return added;
}

namespace {

// The number as a size, if it is one that depends on the unknown size.
std::optional<int64_t> unknown_size_in(Number number) {
  if (std::abs(number.real) > 9e15) return std::nullopt;
  const int64_t size = number.is_integer ? number.integer : static_cast<int64_t>(number.real);
  if (is_known(size) || (!number.is_integer && static_cast<double>(size) != number.real)) return std::nullopt;
  return size;
}

}  // namespace

Value Graph::constant(DType dtype, Number number) {
  const Tensor beside = Tensor::hollow(dtype, {});
  const auto size = unknown_size_in(number);
  if (!size) return constant(beside.constant(number));
  const Value added = constant(beside.constant(1));  // of the dtype that it will have
  nodes_.back().value = Tensor();
  nodes_.back().size = size;
  return added;
}

void Graph::add_output(std::string name, Ref ref) {
  for (const GraphOutput& output : outputs_)
    if (output.name == name)
      fail(ErrorKind::value, "graph", "two outputs of the name " + name, "each output needs a name of its own");
  outputs_.push_back({std::move(name), ref});
}
int Graph::add_scope(GraphScope scope) {
  scopes_.push_back(std::move(scope));
  return static_cast<int>(scopes_.size()) - 1;
}
void Graph::annotate(int node, std::string name, int scope, std::string source) {
  nodes_[node].name = std::move(name);
  nodes_[node].scope = scope;
  nodes_[node].source = std::move(source);
}
const Meta& Graph::meta(Ref ref) const { return nodes_[ref.node].outputs[ref.output]; }

Ref Graph::add(const OpRow& op, const void* attributes, std::vector<Ref> inputs) {
  std::vector<Meta> metas;
  for (Ref ref : inputs) metas.push_back(meta(ref));
  if (op.elementwise) {  // mixed dtypes: the casts are nodes of their own, as in eager execution
    Meta result;
    infer_elementwise(op, metas, &result);
    const DType to = computation_dtype(op, metas);
    for (size_t k = op.mask_input; k < inputs.size(); ++k)
      if (metas[k].dtype != to) inputs[k] = Value::call(Cast{to}, value(inputs[k])).ref;
  }
  GraphNode node;
  node.op = &op;
  if (op.attribute_bytes) std::memcpy(node.attributes.data(), attributes, static_cast<size_t>(op.attribute_bytes));
  std::array<Meta, max_outputs> results;
  infer(op, node.attributes.data(), metas, results.data());
  node.inputs = std::move(inputs);
  node.outputs.assign(results.begin(), results.begin() + op.outputs);
  nodes_.push_back(std::move(node));
  return {static_cast<int>(nodes_.size()) - 1, 0};
}

std::vector<Tensor> Graph::run(std::span<const Tensor> inputs, std::span<const Ref> outputs) const {
  std::vector<std::array<Tensor, max_outputs>> values(nodes_.size());
  size_t next_input = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const GraphNode& node = nodes_[i];
    if (node.kind == NodeKind::constant || node.kind == NodeKind::parameter) {
      values[i][0] = node.value;
    } else if (node.kind == NodeKind::input) {
      if (next_input == inputs.size())
        fail(ErrorKind::value, "graph", std::to_string(inputs.size()) + " inputs", "one is needed for " + node.name);
      const Tensor& x = inputs[next_input++];
      if (x.dtype() != node.outputs[0].dtype || !same(x.shape(), node.outputs[0].shape))
        fail(ErrorKind::shape, "graph",
             "input " + node.name + " of shape " + to_string(x.shape()) + " and dtype " + name_of(x.dtype()),
             "it must have shape " + to_string(node.outputs[0].shape) + " and dtype " + name_of(node.outputs[0].dtype));
      values[i][0] = x;
    } else {
      std::vector<const Tensor*> arguments;
      for (Ref ref : node.inputs) arguments.push_back(&values[ref.node][ref.output]);
      chainrule::run(*node.op, node.attributes.data(), arguments, values[i].data());
    }
  }
  std::vector<Tensor> results;
  for (Ref ref : outputs) results.push_back(values[ref.node][ref.output]);
  return results;
}

bool Graph::has_unknown_size() const {
  return std::ranges::any_of(nodes_, [](const GraphNode& node) { return !is_known(node.outputs[0].shape); });
}

namespace {

int64_t at(int64_t size, int64_t n) { return in_terms_of_n(size).at(n); }
Meta at(Meta meta, int64_t n) {
  for (int64_t& size : meta.shape) size = at(size, n);
  return meta;
}
// A slice up to 2 has 2 rows unless N is 1. What was assembled with the 2 would no longer be right.
void check_as_assembled(const GraphNode& node, const std::vector<Meta>& found, int64_t n) {
  for (size_t k = 0; k < found.size(); ++k)
    if (const Shape wanted = at(node.outputs[k], n).shape; !same(found[k].shape, wanted))
      fail(ErrorKind::shape, "graph",
           "N = " + std::to_string(n) + ", for which " + node.op->info->name + " gives shape " +
               to_string(found[k].shape),
           "the graph was assembled for shape " + to_string(wanted),
           "run it with a larger N, or assemble it for this one");
}

// Attributes hold sizes where a shape is asked for.
void set_size(const OpRow& op, void* attributes, int64_t n) {
  for (const FieldRow& field : op.fields) {
    void* value = field.at(attributes);
    if (field.kind == FieldKind::integer) *static_cast<int64_t*>(value) = at(*static_cast<int64_t*>(value), n);
    if (field.kind == FieldKind::shape)
      for (int64_t& size : *static_cast<Shape*>(value)) size = at(size, n);
  }
}

}  // namespace

Graph Graph::at_size(int64_t n) const {
  Graph result;
  for (const GraphNode& node : nodes_) {
    GraphNode copy = node;
    if (node.size) {
      copy.value = Tensor::full(node.outputs[0].dtype, {}, at(*node.size, n));
      copy.size.reset();
    }
    if (node.op) {
      set_size(*node.op, copy.attributes.data(), n);
      result.add(*node.op, copy.attributes.data(), node.inputs);  // the shape rules find the sizes again
      copy.outputs = result.nodes_.back().outputs;
      check_as_assembled(node, copy.outputs, n);
      result.nodes_.back() = std::move(copy);
    } else {
      copy.outputs = {at(node.outputs[0], n)};
      result.nodes_.push_back(std::move(copy));
    }
  }
  result.scopes_ = scopes_;
  result.outputs_ = outputs_;
  return result;
}

// For each node up to `last`: does it lead from one of the roots?
std::vector<char> Graph::depends_on(std::span<const Ref> roots, int last) const {
  std::vector<char> depends(static_cast<size_t>(last) + 1, 0);
  for (Ref root : roots)
    if (root.node <= last) depends[root.node] = 1;
  for (int i = 0; i <= last; ++i)
    for (Ref ref : nodes_[i].inputs) depends[i] |= depends[ref.node];
  return depends;
}

Graph Graph::gradients(Ref of, std::span<const Ref> wrt, std::span<const std::string> names) const {
  if (!is_floating(meta(of).dtype))
    fail(ErrorKind::dtype, "grad", std::string("an output of dtype ") + name_of(meta(of).dtype),
         "only floating outputs have gradients");
  Graph all = *this;
  all.outputs_.clear();
  const std::vector<Value> found = all.differentiate(of, wrt);
  for (size_t k = 0; k < found.size(); ++k) {
    if (!found[k].graph)
      fail(ErrorKind::graph, "grad", "no gradient for " + names[k],
           "the output must depend on it through operations that have a gradient");
    all.add_output(names[k], simplify(all, found[k].ref));
  }
  return all.without_unused();
}

// Inputs stay, so that the same feeds serve; beside a frozen value parameters stay, for it may depend on them.
Graph Graph::without_unused() const {
  std::vector<char> used(nodes_.size());
  for (const GraphOutput& output : outputs_) used[static_cast<size_t>(output.ref.node)] = 1;
  for (size_t i = nodes_.size(); i-- > 0;)
    if (used[i])
      for (Ref x : nodes_[i].inputs) used[static_cast<size_t>(x.node)] = 1;
  bool any_frozen = false;
  for (size_t i = 0; i < nodes_.size(); ++i) any_frozen |= used[i] && !nodes_[i].frozen_by.empty();
  Graph result;
  std::vector<int> place(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodeKind kind = nodes_[i].kind;
    if (!used[i] && kind != NodeKind::input && !(any_frozen && kind == NodeKind::parameter)) continue;
    place[i] = static_cast<int>(result.nodes_.size());
    GraphNode& node = result.nodes_.emplace_back(nodes_[i]);
    for (Ref& x : node.inputs) x.node = place[static_cast<size_t>(x.node)];
  }
  result.scopes_ = scopes_;
  result.outputs_ = outputs_;
  for (GraphOutput& output : result.outputs_) output.ref.node = place[static_cast<size_t>(output.ref.node)];
  return result;
}

std::vector<Value> Graph::differentiate(Ref of, std::span<const Ref> wrt) {
  const std::vector<char> depends = depends_on(wrt, of.node);
  std::map<std::pair<int, int>, Value> gradient;
  auto full = [&](Meta m, double value) {  // m is a copy: adding nodes moves the others
    const Value scalar = constant(m.dtype, value);
    return m.shape.empty() ? scalar : Value::call(Expand{m.shape}, scalar);
  };
  gradient[{of.node, of.output}] = full(meta(of), 1);
  for (int i = of.node; i >= 0; --i) {
    if (!depends[i] || !nodes_[i].op) continue;
    const GraphNode node = nodes_[i];  // a copy: adding nodes moves the others
    std::vector<Value> gy(node.outputs.size()), y(node.outputs.size()), x;
    bool any = false;
    for (int k = 0; k < node.op->outputs; ++k) {
      y[k] = value({i, k});
      const auto found = gradient.find({i, k});
      if (found != gradient.end()) gy[k] = found->second, any = true;
    }
    if (!any) continue;
    for (int k = 0; k < node.op->outputs; ++k)
      if (!gy[k].graph && is_floating(node.outputs[k].dtype)) gy[k] = full(node.outputs[k], 0);
    for (Ref ref : node.inputs) x.push_back(value(ref));
    for (size_t k = 0; k < x.size(); ++k) {
      const Ref ref = node.inputs[k];
      if (!depends[ref.node] || !is_floating(meta(ref).dtype)) continue;
      Value gx = value_vjp(*node.op, node.attributes.data(), static_cast<int>(k), gy.data(), x, y.data());
      if (!gx.graph) continue;
      if (node.op->elementwise) gx = sum_to_shape(gx, Shape(x[k].shape()));
      Value& slot = gradient[{ref.node, ref.output}];
      slot = slot.graph ? slot + gx : gx;
    }
  }
  std::vector<Value> results;
  for (Ref ref : wrt) {
    const auto found = gradient.find({ref.node, ref.output});
    results.push_back(found == gradient.end() ? Value{} : found->second);
  }
  return results;
}

}  // namespace chainrule
