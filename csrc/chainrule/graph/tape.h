// tape.h - the graph that a result was computed by, read off the tape. Floor: graph.
// It serves what was run eagerly and what was assembled from placeholders alike: both leave the same nodes.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "chainrule/autograd/annotations.h"
#include "chainrule/graph/graph.h"

namespace chainrule {

struct NamedTensor {
  std::string name;
  Tensor tensor;
  bool is_parameter = false;  ///< a parameter or buffer of a module, whether or not it requires gradients
};

struct TapeOptions {
  std::vector<NamedTensor> outputs;  ///< at least one; an empty name means that of the tensor, or "output"
  /// Become the first nodes, in this order; a placeholder that is reached and not among them is an error.
  std::vector<NamedTensor> inputs;
  std::vector<NamedTensor> names;  ///< what tensors are called besides the names they have themselves
  /// Name of a module inside the module of the call around it (null: outside), and its type.
  std::function<std::pair<std::string, std::string>(void* module, void* parent)> describe;
  /// What the module calls this tensor of its own; empty if it is not its own.
  std::function<std::string(void* module, const Tensor& tensor)> attribute = {};
};

/// Leaves that require gradients become parameters, other tensors inputs that keep their value, numbers constants.
Graph graph_from_tape(const TapeOptions& options);

}  // namespace chainrule
