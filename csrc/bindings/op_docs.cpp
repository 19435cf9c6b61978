#include "op_docs.h"

#include <cstdio>
#include <limits>
#include <vector>

#include "chainrule/graph/formula.h"

namespace chainrule::python {

namespace {

// Inputs that are not called x, or a and b.
constexpr struct {
  std::string_view op;
  const char* names[3];
} named_inputs[] = {
    {"where", {"condition", "a", "b"}},          {"gather", {"x", "index", nullptr}},
    {"scatter_zeros", {"x", "index", nullptr}},  {"linear", {"x", "weight", "bias"}},
    {"layer_norm", {"x", "weight", "bias"}},     {"scaled_dot_product_attention", {"query", "key", "value"}},
    {"embedding", {"weight", "index", nullptr}}, {"cross_entropy", {"logits", "target", nullptr}}};

std::vector<std::string> input_names(const OpRow& row) {
  for (const auto& named : named_inputs)
    if (named.op == row.info->name) return {named.names, named.names + row.inputs};
  if (row.inputs == 1) return {"x"};
  if (row.inputs == 2) return {"a", "b"};
  return {"a", "b", "c"};
}

std::string written(double value) {
  if (value == std::numeric_limits<double>::infinity()) return "float('inf')";
  if (value == -std::numeric_limits<double>::infinity()) return "-float('inf')";
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

// "dim: int = -1"
std::string field_parameter(const FieldRow& field, void* attributes) {
  const std::string name = field.name;
  const void* value = field.at(attributes);
  switch (field.kind) {
    case FieldKind::boolean: return name + ": bool = " + (*static_cast<const bool*>(value) ? "True" : "False");
    case FieldKind::integer: return name + ": int = " + std::to_string(*static_cast<const int64_t*>(value));
    case FieldKind::real: return name + ": float = " + written(*static_cast<const double*>(value));
    case FieldKind::shape: return name + ": int | Sequence[int] = ()";
    default: return name + ": dtype";
  }
}

const char* input_text(const OpRow& row, size_t k) {
  if (!row.elementwise) return "a tensor; see above for its shape.";
  if (row.mask_input && k == 0) return "any shape, bool.";
  switch (row.info->domain) {
    case Domain::real: return "any shape; integers and bools become float32.";
    case Domain::number: return "any shape, any dtype but bool.";
    default: return "any shape and dtype.";
  }
}

std::string indented(std::string_view text) {
  std::string result;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) result.append("    ").append(text.substr(begin, end - begin)).append("\n");
    begin = end + 1;
  }
  return result;
}

}  // namespace

std::string op_signature(const OpRow& row) {
  std::string text = std::string(row.info->name) + "(";
  if (row.inputs == variadic) {
    text += "*tensors: Tensor | Sequence[Tensor]";
  } else {
    const auto names = input_names(row);
    for (size_t k = 0; k < names.size(); ++k) {
      const bool number_too = row.elementwise && row.inputs > 1 && !(row.mask_input && k == 0);
      text += (k ? ", " : "") + names[k] + (number_too ? ": Tensor | float" : ": Tensor");
      if (names[k] == "bias" && row.id == id_of<Linear>) text += " | None = None";
    }
  }
  alignas(16) std::byte attributes[max_attribute_bytes];
  row.construct(attributes);
  for (const FieldRow& field : row.fields) text += ", " + field_parameter(field, attributes);
  return text + (row.outputs == 2 ? ") -> ValuesIndices" : ") -> Tensor");
}

std::string op_doc(const OpRow& row) {
  std::string text = std::string(row.info->doc) + "\n";
  if (row.elementwise) {
    text += "\nArgs:\n";
    const auto names = input_names(row);
    for (size_t k = 0; k < names.size(); ++k) text += "    " + names[k] + ": " + input_text(row, k) + "\n";
    for (const FieldRow& field : row.fields) text += std::string("    ") + field.name + ": an attribute of the op.\n";
    text += std::string("\nReturns:\n    ") +
            (row.inputs > 1 ? "The shape the inputs broadcast to" : "The shape of x") +
            (row.mask_output ? ", bool; no gradient.\n" : ", the dtype the inputs promote to.\n");
    const std::string gradient = gradient_formula(row);
    if (!gradient.empty()) text += "\nGradient:\n" + indented(gradient);
  }
  if (row.info->example[0]) text += "\nExample:\n" + indented(row.info->example);
  return text;
}

}  // namespace chainrule::python
