// op_table.h - one row per op, every cell derived from the op's struct, and handed down to autograd. Floor: ops.
#pragma once
#include <span>
#include <string_view>

#include "chainrule/autograd/op_row.h"

namespace chainrule {

std::span<const OpRow> op_table();
/// The row of that name; fails naming the nearest when there is none.
const OpRow& op_named(std::string_view name);
/// Hands the table to autograd; including this header is enough.
bool install_ops();

namespace detail {
inline const bool ops_installed = install_ops();
}

}  // namespace chainrule
