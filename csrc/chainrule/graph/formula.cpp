#include "chainrule/graph/formula.h"

#include <charconv>
#include <map>
#include <set>

#include "chainrule/graph/value_rules.h"

namespace chainrule {

namespace {

// The shortest text that reads back as the same number.
std::string number_text(const Tensor& value) {
  if (!is_floating(value.dtype())) return std::to_string(value.item_integer());
  char text[32];
  const double number = value.item();
  const auto end = value.dtype() == DType::float32
                       ? std::to_chars(text, text + sizeof text, static_cast<float>(number)).ptr
                       : std::to_chars(text, text + sizeof text, number).ptr;
  return {text, end};
}

std::string constant_text(const GraphNode& node) {
  if (node.size) return size_text(*node.size);
  return node.value.numel() == 1 ? number_text(node.value) : "constant" + to_string(node.value.shape());
}

std::string write(const Graph& graph, Ref ref, int around) {
  const GraphNode& node = graph.nodes()[ref.node];
  if (node.kind == NodeKind::constant) return constant_text(node);
  if (!node.op) return node.name;
  const OpInfo& info = *node.op->info;
  std::string text;
  if (!info.infix) {
    text = std::string(info.name) + "(";
    for (size_t k = 0; k < node.inputs.size(); ++k) text += (k ? ", " : "") + write(graph, node.inputs[k], 0);
    for (const FieldRow& field : node.op->fields) {
      void* at = field.at(const_cast<char*>(node.attributes.data()));
      text += std::string(", ") + field.name;
      if (field.kind == FieldKind::real)
        text += "=" + number_text(Tensor::full(DType::float64, {}, *static_cast<double*>(at)));
    }
    return text + ")";
  }
  if (node.inputs.size() == 1) text = info.infix + write(graph, node.inputs[0], info.precedence);
  else
    text = write(graph, node.inputs[0], info.precedence) + " " + info.infix + " " +
           write(graph, node.inputs[1], info.precedence + 1);
  return info.precedence < around ? "(" + text + ")" : text;
}

}  // namespace

std::string formula(const Graph& graph, Ref ref) { return write(graph, ref, 0); }

std::vector<std::string> labels_of(const Graph& graph) {
  std::set<std::string> used;
  for (const GraphNode& node : graph.nodes())
    if (!node.name.empty()) used.insert(node.name);
  std::map<std::string, int> counts;
  std::map<std::pair<const void*, std::string>, std::string> arrays;  // constants, by memory and layout
  std::vector<std::string> labels;
  for (const GraphNode& node : graph.nodes()) {
    std::string label = node.name;
    if (label.empty() && node.kind == NodeKind::constant) {
      label = constant_text(node);
      if (!node.size && node.value.numel() != 1) {
        std::string& known =
            arrays[{node.value.data(), to_string(node.value.shape()) + to_string(node.value.strides())}];
        for (int count = 2; known.empty(); ++count) {
          if (used.insert(label).second) known = label;
          else label = "constant_" + std::to_string(count) + to_string(node.value.shape());
        }
        label = known;
      }
    } else if (label.empty()) {
      const std::string kind = node.op ? node.op->info->name : node.kind == NodeKind::input ? "input" : "parameter";
      do {
        const int count = ++counts[kind];
        label = count == 1 ? kind : kind + "_" + std::to_string(count);
      } while (!used.insert(label).second);
    }
    labels.push_back(std::move(label));
  }
  return labels;
}

namespace {

// Outputs after the first are told apart as in Python: "max[1]".
std::string output_label(const std::vector<std::string>& labels, Ref ref) {
  const std::string& label = labels[static_cast<size_t>(ref.node)];
  return ref.output == 0 ? label : label + "[" + std::to_string(ref.output) + "]";
}

// The inputs of a node as inputs of a formula; constants stay what they are. Scalars where shapes do not matter.
std::vector<Value> inputs_of_formula(Graph& formula, const Graph& graph, const GraphNode& node,
                                     const std::vector<std::string>& labels) {
  std::vector<Value> inputs;
  for (Ref ref : node.inputs) {
    const GraphNode& from = graph.nodes()[static_cast<size_t>(ref.node)];
    const Meta meta = node.op->elementwise ? Meta{graph.meta(ref).dtype, {}} : graph.meta(ref);
    const bool is_number = from.kind == NodeKind::constant && from.value && from.value.ndim() == 0;
    if (is_number) inputs.push_back(formula.constant(from.value));
    else inputs.push_back(formula.input(output_label(labels, ref), meta));
  }
  return inputs;
}

std::vector<Ref> refs_of(const std::vector<Value>& values) {
  std::vector<Ref> refs;
  for (const Value& value : values) refs.push_back(value.ref);
  return refs;
}

}  // namespace

Formula formula_of_node(const Graph& graph, int i, const std::vector<std::string>& labels) {
  Formula formula;
  const GraphNode& node = graph.nodes()[static_cast<size_t>(i)];
  if (!node.op) return formula;
  const std::vector<Value> x = inputs_of_formula(formula.graph, graph, node, labels);
  formula.root = formula.graph.add(*node.op, node.attributes.data(), refs_of(x));
  return formula;
}

Formula formula_of_derivative(const Graph& graph, int i, int k, const std::vector<std::string>& labels) {
  Formula formula;
  const GraphNode& node = graph.nodes()[static_cast<size_t>(i)];
  if (!node.op || !node.op->vjp || k < 0 || k >= static_cast<int>(node.inputs.size())) return formula;
  Graph& to = formula.graph;
  const std::vector<Value> x = inputs_of_formula(to, graph, node, labels);
  std::vector<Value> y, gy;
  for (size_t j = 0; j < node.outputs.size(); ++j) {
    const Meta& meta = node.outputs[j];
    const Meta seen = node.op->elementwise ? Meta{meta.dtype, {}} : meta;
    y.push_back(to.input(output_label(labels, {i, static_cast<int>(j)}), seen));
    gy.push_back(node.op->elementwise ? to.constant(meta.dtype, 1) : to.input("gy", seen));
    if (!node.op->elementwise) formula.upstream.push_back(gy.back().ref.node);
  }
  const Value gx = value_vjp(*node.op, node.attributes.data(), k, gy.data(), x, y.data());
  if (gx.graph) formula.root = simplify(to, gx.ref);
  return formula;
}

std::string textbook_of_derivative(const Graph& graph, int i, int k) {
  const GraphNode& node = graph.nodes()[static_cast<size_t>(i)];
  if (!node.op || !node.op->vjp || k < 0 || k >= static_cast<int>(node.inputs.size())) return "";
  return textbook(*node.op, node.attributes.data(), k);
}

std::string gradient_formula(const OpRow& op) {
  static constexpr const char* names[3][3] = {{"x"}, {"a", "b"}, {"condition", "a", "b"}};
  if (!op.elementwise || !op.vjp) return "";
  Graph graph;
  std::vector<Value> x;
  for (int k = 0; k < op.inputs; ++k)
    x.push_back(graph.input(names[op.inputs - 1][k], {op.mask_input && k == 0 ? DType::boolean : DType::float64, {}}));
  const Value gy = graph.input("gy", {DType::float64, {}}), y = graph.input("y", {DType::float64, {}});
  alignas(8) char attributes[max_attribute_bytes];
  op.construct(attributes);
  std::string text;
  for (int k = 0; k < op.inputs; ++k) {
    if (!op.vjp_of_input[k].exists) continue;
    const Value gx = value_vjp(op, attributes, k, &gy, x, &y);
    text += (text.empty() ? "g" : "\ng") + std::string(names[op.inputs - 1][k]) + " = " + formula(graph, gx.ref);
  }
  return text;
}

}  // namespace chainrule
