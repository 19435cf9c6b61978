// file_values.h - the small values of a graph file, each written and read in one place: sizes that may be in terms of
// N, shapes with their dtype, attributes, scalars. Floor: graph.
#pragma once
#include <optional>
#include <string>

#include "chainrule/autograd/op_row.h"
#include "chainrule/graph/json.h"

namespace chainrule {

/// 64, or {"N":1,"plus":0} where it depends on the unknown size.
std::string size_json(int64_t size);
int64_t read_size(const JsonValue& value, std::string_view what);
/// "dtype":"float32","shape":[{"N":1,"plus":0},64]
std::string meta_json(const Meta& meta);
/// Takes the two; fails on sizes that no tensor could have.
Meta read_meta(JsonFields& fields);

/// {"dim":1,"keepdim":false}, every field in the order of the op.
std::string attributes_json(const OpRow& op, const void* attributes);
/// Into bytes that hold the default attributes; every field must be there, and no other.
void read_attributes(const OpRow& op, const JsonValue& value, void* attributes);

/// A 0-d tensor as a number or boolean; nullopt for what is not 0-d, or not finite.
std::optional<std::string> scalar_json(const Tensor& value);
Tensor read_scalar(const JsonValue& value, DType dtype);

}  // namespace chainrule
