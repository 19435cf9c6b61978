#include "chainrule/ops/op_table.h"

#include <algorithm>
#include <new>
#include <numeric>
#include <utility>
#include <vector>

#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"

namespace chainrule {

namespace {

constexpr FieldKind kind_of(const bool*) { return FieldKind::boolean; }
constexpr FieldKind kind_of(const int64_t*) { return FieldKind::integer; }
constexpr FieldKind kind_of(const double*) { return FieldKind::real; }
constexpr FieldKind kind_of(const Shape*) { return FieldKind::shape; }
constexpr FieldKind kind_of(const Pair*) { return FieldKind::pair; }
constexpr FieldKind kind_of(const DType*) { return FieldKind::dtype; }
template <class Op, class V>
constexpr FieldKind kind_of_field(Field<Op, V>) {
  return kind_of(static_cast<const V*>(nullptr));
}

template <class Op, size_t I>
inline constexpr auto field = std::get<I>(fields_of<Op>());

template <class Op, size_t I>
void* field_at(void* op) {
  return &(static_cast<Op*>(op)->*field<Op, I>.member);
}
template <class Op>
struct FieldRows {
  static constexpr size_t count = std::tuple_size_v<decltype(fields_of<Op>())>;
  static constexpr auto rows = []<size_t... I>(std::index_sequence<I...>) {
    return std::array<FieldRow, count>{FieldRow{field<Op, I>.name, kind_of_field(field<Op, I>), &field_at<Op, I>}...};
  }(std::make_index_sequence<count>{});
};

template <class Op>
void infer_erased(const void* op, std::span<const Meta> x, Meta* y) {
  const auto result = infer_with(op_at<Op>(op), x);
  if constexpr (output_count<Op> == 1) y[0] = result;
  else std::copy(result.begin(), result.end(), y);
}

template <class Op>
void forward_erased(const void* bytes, std::span<const Tensor> x, Tensor* y) {
  const Op& op = op_at<Op>(bytes);
  auto into = [&](auto& outputs) {
    if constexpr (input_count<Op> == variadic) op.forward(x, outputs);
    else with_inputs<input_count<Op>>([&](auto... k) { op.forward(x[k]..., outputs); });
  };
  if constexpr (output_count<Op> == 1) {
    into(y[0]);
  } else {
    std::array<Tensor, 2> outputs{y[0], y[1]};
    into(outputs);
  }
}

template <class Op>
void backward_erased(const void* bytes, unsigned owed, const Tensor* gy, std::span<const Tensor> x, const Tensor* y,
                     Tensor* gx) {
  with_inputs<input_count<Op>>([&](auto... k) {
    if constexpr (output_count<Op> == 1) op_at<Op>(bytes).backward(owed, gy[0], x[k]..., y[0], gx);
    else op_at<Op>(bytes).backward(owed, std::array{gy[0], gy[1]}, x[k]..., std::array{y[0], y[1]}, gx);
  });
}

template <class Op>
constexpr void check_struct() {
  static_assert(std::is_trivially_copyable_v<Op> && sizeof(Op) <= max_attribute_bytes,
                "attributes must be plain bytes of bounded size");
  static_assert(std::is_empty_v<Op> || FieldRows<Op>::count > 0, "data members must be listed in fields");
  if constexpr (Elementwise<Op> && differentiable<Op>)
    static_assert(every_input_has_a_rule<Op>(), "a vjp rule is missing, or takes the wrong arguments");
}

template <class Op>
constexpr OpRow row_of() {
  check_struct<Op>();
  OpRow row{};
  row.info = &Op::info;
  row.id = id_of<Op>;
  row.inputs = input_count<Op>;
  row.outputs = output_count<Op>;
  row.elementwise = Elementwise<Op>;
  row.attribute_bytes = std::is_empty_v<Op> ? 0 : sizeof(Op);
  row.fields = FieldRows<Op>::rows;
  row.construct = [](void* bytes) { new (bytes) Op{}; };
  if constexpr (differentiable<Op>) row.vjp = &vjp_erased<Op, Tensor>;
  if constexpr (Elementwise<Op>) {
    row.mask_input = Signature<Op>::mask_input;
    row.mask_output = Signature<Op>::mask_output;
    with_inputs<input_count<Op>>([&](auto... k) { ((row.vjp_of_input[k] = vjp_facts<Op, k>()), ...); });
  } else {
    if constexpr (requires { Op::saves; }) row.saves = Op::saves;
    row.infer = &infer_erased<Op>;
    if constexpr (requires { &Op::forward; }) row.forward = &forward_erased<Op>;
    if constexpr (requires { &Op::view; })
      row.view = [](const void* op, const Tensor& x) { return op_at<Op>(op).view(x); };
    if constexpr (requires { &Op::backward; }) row.backward = &backward_erased<Op>;
  }
  return row;
}

// Characters to insert, remove or replace to make one name the other (Levenshtein's distance).
size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row[b.size()];
}

template <class List>
struct Table;
template <class... Ops>
struct Table<OpList<Ops...>> {
  static constexpr std::array<OpRow, sizeof...(Ops)> rows{row_of<Ops>()...};
};

}  // namespace

std::span<const OpRow> op_table() { return Table<AllOps>::rows; }

const OpRow& op_named(std::string_view name) {
  const OpRow* nearest = nullptr;
  size_t least = 0;
  for (const OpRow& row : op_table()) {
    if (name == row.info->name) return row;
    const size_t distance = edits_between(name, row.info->name);
    if (!nearest || distance < least) nearest = &row, least = distance;
  }
  fail(ErrorKind::value, "op", "'" + std::string(name) + "'", "it must be the name of an op of chainrule",
       "the nearest is '" + std::string(nearest->info->name) + "'");
}

bool install_ops() {
  install({.rows = op_table(),
           .cast = [](const Tensor& x, DType dtype) { return cast(x, dtype); },
           .add = [](const Tensor& a, const Tensor& b) { return a + b; },
           .add_row = &op_table()[id_of<Add>],
           .expand = [](const Tensor& x, IntSpan shape) { return Tensor::call(Expand{Shape(shape)}, x); },
           .sum_to_shape = [](const Tensor& x, IntSpan shape) { return sum_to_shape(x, shape); },
           .contiguous_copy =
               [](const Tensor& x) {
                 const GradMode unrecorded(false);
                 return Tensor::call(Clone{}, x);
               }});
  return true;
}

}  // namespace chainrule
