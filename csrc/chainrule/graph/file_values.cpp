#include "chainrule/graph/file_values.h"

#include <bit>
#include <charconv>
#include <cmath>

#include "chainrule/core/error.h"

namespace chainrule {

namespace {

constexpr int64_t size_limit = int64_t{1} << 62;  // beyond it nothing is a size, and times * N + plus could overflow

}  // namespace

// ---- Sizes and other integers ----

std::string size_json(int64_t size) {
  if (size > -size_limit && size < size_limit) {
    const SizeInN n = in_terms_of_n(size);
    if (!n.is_known()) return "{\"N\":" + std::to_string(n.times) + ",\"plus\":" + std::to_string(n.plus) + "}";
  }
  return std::to_string(size);
}

int64_t read_size(const JsonValue& value, std::string_view what) {
  if (value.kind() != JsonKind::object) return value.integer(what);
  JsonFields fields(value, what);
  const SizeInN n{fields.take("N").integer(what), fields.take("plus").integer(what)};
  fields.finish();
  int64_t size;
  const bool overflows =
      __builtin_mul_overflow(n.times, unknown_size, &size) || __builtin_add_overflow(size, n.plus, &size);
  if (overflows || size <= -size_limit || size >= size_limit || n.is_known() || in_terms_of_n(size).times != n.times)
    fail(ErrorKind::value, what, "it is " + std::to_string(n.times) + " * N + " + std::to_string(n.plus),
         "N must have a factor other than 0, and what is added must be much smaller than a batch can be");
  return size;
}

namespace {

std::string sizes_json(IntSpan sizes) {
  std::string text = "[";
  for (size_t d = 0; d < sizes.size(); ++d) text += (d ? "," : "") + size_json(sizes[d]);
  return text + "]";
}

Shape read_sizes(const JsonValue& value, std::string_view what) {
  const JsonItems items = value.items(what);
  if (items.size() > max_dims)
    fail(ErrorKind::shape, what, "it has " + std::to_string(items.size()) + " sizes",
         "there may be at most " + std::to_string(max_dims));
  Shape shape;
  for (const JsonValue item : items) shape.push_back(read_size(item, what));
  return shape;
}

// ---- Reals: JSON has no infinity and no NaN, so those are strings ----

std::string real_json(double value) {
  if (std::isfinite(value)) return json_number(value);
  if (std::isinf(value)) return value < 0 ? "\"-inf\"" : "\"inf\"";
  char bits[16];
  const auto end = std::to_chars(bits, bits + sizeof bits, std::bit_cast<uint64_t>(value), 16).ptr;
  return "\"nan:" + std::string(bits, end) + "\"";
}

double read_real(const JsonValue& value, std::string_view what) {
  if (value.kind() != JsonKind::string) return value.real(what);
  const std::string text = value.string(what);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (text == "inf" || text == "-inf") return text[0] == '-' ? -infinity : infinity;
  uint64_t bits = 0;
  const char* end = text.data() + text.size();
  if (text.starts_with("nan:")) {
    const auto [stop, error] = std::from_chars(text.data() + 4, end, bits, 16);
    const double number = std::bit_cast<double>(bits);
    if (error == std::errc() && stop == end && std::isnan(number)) return number;
  }
  fail(ErrorKind::value, what, "it is " + excerpt(text),
       "it must be a number, \"inf\", \"-inf\", or \"nan:\" with the bits of a NaN in hexadecimal");
}

DType read_dtype(const JsonValue& value, std::string_view what) {
  const std::string name = value.string(what);
  if (const auto dtype = dtype_named(name)) return *dtype;
  fail(ErrorKind::dtype, what, "it is " + excerpt(name), "it must be one of float32, float64, int64, int32, bool");
}

std::string quoted(std::string_view name) { return json_string(name); }

// ---- One attribute ----

std::string field_json(const FieldRow& field, const void* at) {
  switch (field.kind) {
    case FieldKind::boolean: return *static_cast<const bool*>(at) ? "true" : "false";
    case FieldKind::integer: return size_json(*static_cast<const int64_t*>(at));
    case FieldKind::real: return real_json(*static_cast<const double*>(at));
    case FieldKind::shape: return sizes_json(*static_cast<const Shape*>(at));
    case FieldKind::dtype: return quoted(name_of(*static_cast<const DType*>(at)));
    case FieldKind::pair: {
      const Pair& pair = *static_cast<const Pair*>(at);
      return sizes_json(Shape{pair.height, pair.width});
    }
  }
  internal_error("field_json", "a kind of field that files do not know");
}

void read_field(const FieldRow& field, const JsonValue& value, std::string_view what, void* at) {
  switch (field.kind) {
    case FieldKind::boolean: *static_cast<bool*>(at) = value.boolean(what); return;
    case FieldKind::integer: *static_cast<int64_t*>(at) = read_size(value, what); return;
    case FieldKind::real: *static_cast<double*>(at) = read_real(value, what); return;
    case FieldKind::shape: *static_cast<Shape*>(at) = read_sizes(value, what); return;
    case FieldKind::dtype: *static_cast<DType*>(at) = read_dtype(value, what); return;
    case FieldKind::pair: {
      const Shape both = read_sizes(value, what);
      if (both.size() != 2)
        fail(ErrorKind::value, what, "it has " + std::to_string(both.size()) + " numbers",
             "it must have two, height and width");
      *static_cast<Pair*>(at) = {both[0], both[1]};
      return;
    }
  }
  internal_error("read_field", "a kind of field that files do not know");
}

}  // namespace

std::string meta_json(const Meta& meta) {
  return "\"dtype\":" + quoted(name_of(meta.dtype)) + ",\"shape\":" + sizes_json(meta.shape);
}

Meta read_meta(JsonFields& fields) {
  const Meta meta{read_dtype(fields.take("dtype"), "dtype"), read_sizes(fields.take("shape"), "shape")};
  checked_numel(meta.shape, size_of(meta.dtype), "shape");
  return meta;
}

std::string attributes_json(const OpRow& op, const void* attributes) {
  std::string text = "{";
  for (const FieldRow& field : op.fields)
    text += (text.size() > 1 ? "," : "") + quoted(field.name) + ":" +
            field_json(field, field.at(const_cast<void*>(attributes)));
  return text + "}";
}

void read_attributes(const OpRow& op, const JsonValue& value, void* attributes) {
  JsonFields fields(value, "attributes of " + std::string(op.info->name));
  for (const FieldRow& field : op.fields)
    read_field(field, fields.take(field.name), std::string("attribute ") + field.name, field.at(attributes));
  fields.finish();
}

std::optional<std::string> scalar_json(const Tensor& value) {
  if (value.ndim() != 0) return std::nullopt;
  switch (value.dtype()) {
    case DType::boolean: return *value.data<uint8_t>() ? "true" : "false";
    case DType::int64: return std::to_string(*value.data<int64_t>());
    case DType::int32: return std::to_string(*value.data<int32_t>());
    case DType::float64:
      if (!std::isfinite(*value.data<double>())) return std::nullopt;
      return json_number(*value.data<double>());
    case DType::float32:
      if (!std::isfinite(*value.data<float>())) return std::nullopt;
      return json_number(*value.data<float>());
  }
  internal_error("scalar_json", "a dtype that files do not know");
}

Tensor read_scalar(const JsonValue& value, DType dtype) {
  constexpr std::string_view what = "value";
  const Tensor scalar = Tensor::empty(dtype, Shape{});
  switch (dtype) {
    case DType::boolean: *scalar.data<uint8_t>() = value.boolean(what); break;
    case DType::int64: *scalar.data<int64_t>() = value.integer(what); break;
    case DType::float64: *scalar.data<double>() = value.real(what); break;
    case DType::float32: *scalar.data<float>() = value.real32(what); break;
    case DType::int32: {
      const int64_t wide = value.integer(what);
      *scalar.data<int32_t>() = static_cast<int32_t>(wide);
      if (*scalar.data<int32_t>() != wide)
        fail(ErrorKind::value, what, "it is " + std::to_string(wide), "it must fit in 32 bits");
    }
  }
  return scalar;
}

}  // namespace chainrule
