// structured.h - what every structured op is written with. Floor: ops.
// A structured op is a struct of attributes with infer (shape rule, no data), forward or view, and vjp rules written
// in ops over T: Tensor when run, the graph's Value when the graph is data. `saves` says which values the rules read.
#pragma once
#include <array>
#include <limits>
#include <span>
#include <string>

#include "chainrule/autograd/op_row.h"
#include "chainrule/core/error.h"

namespace chainrule {

/// The inputs of an op that takes any number of them.
template <class T>
using Args = std::span<const T>;

/// The adjoint of broadcasting: sums x over the dims in which `shape` has 1 or nothing. Defined in reductions.h.
template <class T>
T sum_to_shape(const T& x, IntSpan shape);

// Note [Gradients as on a blackboard]
// Where a rule computes something that nobody would write (it spells out positions, masks and copies, or calls an op
// that exists for it alone), its op also has `std::string textbook(int k) const`: what a lecturer writes for the
// gradient of input k; nullptr where the rule itself reads well. It is Python, read by
// python/chainrule/graphs/textbook.py: lines "name = formula" and a last line, the gradient; a line 'name = "words"'
// says what is no formula. Names are those of the inputs and attributes, `y` and `gy` ("y1" is the second output). A
// test compares each with the rule, in numbers.

/// Where gy goes when an op has only chosen elements.
inline constexpr const char* scattered_text = "scatter(gy, index)";

/// Fails unless x is floating: for ops that have no meaning, or no kernel, on integers.
void require_floating(const Meta& x, std::string_view op);
void require_same_dtype(const Meta& a, const Meta& b, std::string_view op);

}  // namespace chainrule
