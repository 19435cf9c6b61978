#include "chainrule/graph/formula.h"

#include <charconv>

#include "chainrule/graph/value_rules.h"

namespace chainrule {

namespace {

// The shortest text that reads back as the same number.
std::string number_text(const Tensor& value) {
  if (!is_floating(value.dtype())) return std::to_string(value.item_integer());
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value.item()).ptr;
  return {text, end};
}

std::string write(const Graph& graph, Ref ref, int around) {
  const GraphNode& node = graph.nodes()[ref.node];
  if (node.kind == NodeKind::constant) return number_text(node.value);
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
