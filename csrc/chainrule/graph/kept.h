// kept.h - which values stay in memory for backward when a graph is run and recorded. Floor: graph.
#pragma once
#include <span>
#include <vector>

#include "chainrule/graph/graph.h"

namespace chainrule {

/// The outputs of ops that the tape keeps when the leaves in `wrt` require gradients. Each memory counts once: a view
/// stands for what it is a view of. Inputs, parameters and constants are there anyway, and not listed. All sizes must
/// be known.
std::vector<Ref> kept_for_backward(const Graph& graph, std::span<const int> wrt);

}  // namespace chainrule
