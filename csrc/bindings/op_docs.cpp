#include "op_docs.h"

#include <cstdio>
#include <limits>

#include "chainrule/graph/formula.h"

namespace chainrule::python {

std::vector<InputName> input_names(const OpRow& row) {
  std::vector<InputName> names;
  for (int k = 0; k < row.inputs; ++k) {
    const char* given = row.info->inputs[static_cast<size_t>(k)];
    std::string name = given ? given : row.inputs == 1 ? "x" : std::string(1, static_cast<char>('a' + k));
    const bool optional = name.back() == '?';
    if (optional) name.pop_back();
    names.push_back({name, optional});
  }
  return names;
}

namespace {

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
    case FieldKind::pair: {
      const Pair& pair = *static_cast<const Pair*>(value);
      return name + ": int | Sequence[int] = (" + std::to_string(pair.height) + ", " + std::to_string(pair.width) + ")";
    }
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
      text += (k ? ", " : "") + names[k].name + (number_too ? ": Tensor | float" : ": Tensor");
      if (names[k].optional) text += " | None = None";
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
    for (size_t k = 0; k < names.size(); ++k) text += "    " + names[k].name + ": " + input_text(row, k) + "\n";
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
