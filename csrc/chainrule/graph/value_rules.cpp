#include "chainrule/graph/value_rules.h"

namespace chainrule {

namespace {

using ValueVjp = Value (*)(const void* op, int k, const Value* gy, std::span<const Value> x, const Value* y);

template <class Op>
constexpr ValueVjp rule_of() {
  if constexpr (differentiable<Op>) return &vjp_erased<Op, Value>;
  else return nullptr;
}
using Textbook = std::string (*)(const void* op, int k);

template <class Op>
constexpr Textbook textbook_of() {
  if constexpr (requires(const Op& op) { op.textbook(0); })
    return [](const void* op, int k) { return static_cast<const Op*>(op)->textbook(k); };
  else return nullptr;
}
template <class List>
struct Table;
template <class... Ops>
struct Table<OpList<Ops...>> {
  static constexpr std::array<ValueVjp, sizeof...(Ops)> rules{rule_of<Ops>()...};
  static constexpr std::array<Textbook, sizeof...(Ops)> textbooks{textbook_of<Ops>()...};
};

}  // namespace

Value value_vjp(const OpRow& op, const void* attributes, int k, const Value* gy, std::span<const Value> x,
                const Value* y) {
  const ValueVjp rule = Table<AllOps>::rules[op.id];
  return rule ? rule(attributes, k, gy, x, y) : Value{};
}

std::string textbook(const OpRow& op, const void* attributes, int k) {
  const Textbook found = Table<AllOps>::textbooks[op.id];
  return found ? found(attributes, k) : "";
}

}  // namespace chainrule
