// engine.h - the backward pass. Floor: autograd.
#pragma once
#include <span>
#include <vector>

#include "chainrule/autograd/tensor.h"

namespace chainrule {

struct BackwardOptions {
  bool retain_graph = false;  ///< keep saved values, so that the graph can run backward again; create_graph implies it
  bool create_graph = false;  ///< record the gradients' own graph, so that they can be differentiated again
  bool allow_unused = true;  ///< gradients(): an input that the roots do not depend on is no error
};

/// Adds the gradients of `roots`, weighted by `seeds` (an empty one stands for 1, scalars only), to the .grad of every
/// leaf and of every tensor with retain_grad(). Nothing is written unless the whole pass succeeds.
void backward(std::span<const Tensor> roots, std::span<const Tensor> seeds, BackwardOptions options = {});
void backward(const Tensor& root, BackwardOptions options = {});

/// The gradients with respect to `inputs` themselves; no .grad is touched, and only nodes that lead to an input run.
/// An input that the roots do not depend on gets an empty Tensor.
std::vector<Tensor> gradients(std::span<const Tensor> roots, std::span<const Tensor> inputs,
                              std::span<const Tensor> seeds, BackwardOptions options = {});

/// Adds each gradient to the .grad of its target; empty gradients are skipped.
void accumulate_gradients(std::span<const Tensor> targets, std::span<const Tensor> gradients, bool create_graph);

}  // namespace chainrule
