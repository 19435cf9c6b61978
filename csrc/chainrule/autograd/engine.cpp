// engine.cpp - the largest sequence number goes next, so each node is visited after all its consumers: no pre-pass, no
// recursion. Leaves come last: an error on the way leaves every .grad as it was.
#include "chainrule/autograd/engine.h"

#include <array>

#include "chainrule/autograd/elementwise.h"
#include "chainrule/autograd/in_place.h"
#include "chainrule/autograd/node.h"
#include "chainrule/autograd/node_queue.h"
#include "chainrule/autograd/small_list.h"
#include "chainrule/core/error.h"

namespace chainrule {

namespace {

void add_to(TensorImpl*& slot, const Tensor& gradient, bool create_graph) {
  Tensor sum(std::exchange(slot, nullptr));
  const bool in_place = !create_graph && exclusively_ours(sum) && sum.dtype() == gradient.dtype();
  if (in_place) add_in_place(sum, gradient);
  else sum = installed().add(sum, gradient);
  slot = sum.take();
}

// The gradients whose bit is set in `owed`, in one call of the kernel: what it reads and writes is dense.
void backward_one_run(Node* node, Tensor gy, unsigned owed, Tensor* gx) {
  const OpRow& row = *node->op;
  const auto read = [](const Saved& saved) { return saved.kind == Saved::Kind::value ? saved.data : nullptr; };
  const DType dtype = gy.dtype();
  BackwardArguments a;
  a.gy = gy.data();
  a.y = read(node->outputs()[0].saved);
  a.gy_step = a.y_step = 1;
  a.n = gy.numel();
  a.rows = 1;
  bool reuse = exclusively_ours(gy);
  const Edge* edge = node->edges().data();
  for (int k = 0; k < row.inputs; ++k, ++edge) {
    a.x[k] = read(edge->saved);
    a.x_step[k] = 1;
    a.gx[k] = nullptr;
    if (!(owed >> k & 1)) continue;
    gx[k] = std::exchange(reuse, false) ? gy : Tensor::empty(dtype, gy.shape(), gy.numel());
    a.gx[k] = gx[k].data();
  }
  active_kernels().elementwise[row.id].backward[static_cast<int>(dtype)](node->attributes(), a);
}

Operand operand_of(const Node* node, const Saved& saved) {
  if (saved.kind != Saved::Kind::value) return {};
  return {saved.data, node->has_shape_of_output(saved) ? nullptr : node->sizes(saved).data(), saved.ndim, saved.dtype};
}

class Pass {
 public:
  explicit Pass(BackwardOptions options) : options_(options), mode_(options.create_graph) {
    options_.retain_graph |= options.create_graph;
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  // Also after an error: no node may keep a half-summed gradient or think it is queued.
  ~Pass() {
    while (Node* node = waiting_.pop()) {
      for (NodeOutput& output : node->outputs()) Tensor(std::exchange(output.grad, nullptr));
      node->queued = false;
      release(node);
    }
    for (Node* node : marked_) {
      node->needed = node->captured = false;
      release(node);
    }
  }

  void seed(const Tensor& root, Tensor gradient) {
    Node* node = gradient_node(root.get());
    if (!restricted_ || node->needed) give(node, root->output, std::move(gradient));
    release(node);
  }

  void run() {
    while (Node* node = waiting_.pop()) {
      node->queued = false;
      const Hold hold{node};
      if (is_plain(node)) propagate_fused(node, Tensor(std::exchange(node->outputs()[0].grad, nullptr)));
      else visit(node);
    }
  }

  // Restricts the pass to nodes that lead to `inputs`, whose gradients are captured instead of accumulated.
  void restrict_to(std::span<const Tensor> roots, std::span<const Tensor> inputs);
  std::vector<Tensor> captured(std::span<const Tensor> inputs) const;
  void commit();

 private:
  struct Hold {
    Node* node;
    ~Hold() { release(node); }
  };
  struct Result {
    Tensor target;  // a leaf or a tensor that retains its gradient
    Tensor gradient;
  };
  struct Capture {
    Node* node;
    int output;
    Tensor gradient;
    bool reached = false;
  };

  void give(Node* node, int output, Tensor gradient) {
    TensorImpl*& slot = node->outputs()[output].grad;
    if (slot) add_to(slot, gradient, options_.create_graph);
    else slot = gradient.take();
    if (node->queued) return;
    node->queued = true;
    ++node->refs;
    waiting_.push(node);
  }

  // Most nodes: nobody but the inputs wants a gradient, and one pass of a kernel gives them all.
  bool is_plain(Node* node) const {
    return !node->is_leaf() && node->op->elementwise && !options_.create_graph && !restricted_ &&
           !node->outputs()[0].retainer;
  }

  void visit(Node* node) {
    std::array<Tensor, max_outputs> gy;
    for (int k = 0; k < node->output_count; ++k) gy[k] = Tensor(std::exchange(node->outputs()[k].grad, nullptr));
    deliver(node, gy);
    if (leads_on(node)) propagate(node, gy);
  }

  void deliver(Node* node, const std::array<Tensor, max_outputs>& gy) {
    for (int k = 0; k < node->output_count; ++k) {
      if (!gy[k]) continue;
      if (restricted_) {
        if (node->captured)
          for (Capture& capture : captures_)
            if (capture.node == node && capture.output == k) capture.gradient = gy[k];
      } else if (TensorImpl* target = node->is_leaf() ? node->leaf : node->outputs()[k].retainer) {
        results_.push_back({Tensor::share(target), gy[k]});
      }
    }
  }

  bool owes(const Edge& edge) const { return edge.node && (!restricted_ || edge.node->needed); }

  // An input of the restricted pass that leads to no other one keeps its saved values: nothing reads them here.
  bool leads_on(Node* node) const {
    return !node->is_leaf() && (!restricted_ || std::ranges::any_of(node->edges(), [&](auto& e) { return owes(e); }));
  }

  void propagate(Node* node, std::array<Tensor, max_outputs>& gy) {
    if (node->op->elementwise && !options_.create_graph) return propagate_fused(node, std::move(gy[0]));
    check_saved(node, (gy[0] ? gy[0] : gy[1]).shape());
    propagate_by_formula(node, gy);
    forget_saved(node);
  }

  // What nobody else holds is about to go as a whole.
  void forget_saved(Node* node) const {
    if (!options_.retain_graph && node->refs > 1) free_saved(node);
  }

  void check_all_reached() const;
  void propagate_fused(Node* node, Tensor gy);
  void propagate_by_formula(Node* node, std::array<Tensor, max_outputs>& gy);

  BackwardOptions options_;
  GradMode mode_;
  bool restricted_ = false;
  // A small graph needs no allocation for its bookkeeping.
  std::array<std::byte, 2048> first_memory_;
  std::pmr::monotonic_buffer_resource memory_{first_memory_.data(), first_memory_.size()};
  NodeQueue waiting_{&memory_};
  std::pmr::vector<Result> results_{&memory_};
  std::vector<Node*> marked_;
  std::vector<Capture> captures_;
};

// First order: the formula fused into one kernel pass that gives every gradient this node owes.
void Pass::propagate_fused(Node* node, Tensor gy) {
  const OpRow& row = *node->op;
  const size_t inputs = static_cast<size_t>(row.inputs);
  Edge* const edges = node->edges().data();
  const Saved& y = node->outputs()[0].saved;
  std::array<Tensor, max_operands> gx;
  unsigned owed = 0;
  bool as_saved = !node->freed && !is_changed(y), dense = y.dims == 0;
  for (size_t k = 0; k < inputs; ++k) {
    const Saved& x = edges[k].saved;
    as_saved &= !is_changed(x);
    dense &= x.kind != Saved::Kind::value || x.dims == 0;
    if (!owes(edges[k]) || !row.vjp_of_input[k].exists) continue;
    if (row.vjp_of_input[k].is_gy) gx[k] = gy;
    else owed |= 1u << k;
  }
  if (!as_saved) [[unlikely]]
    check_saved(node, gy.shape());  // which says what is wrong
  if (!owed) {
    gy = Tensor();  // now the receiver alone may hold it, and add to it in place
  } else if (dense && gy.is_contiguous() && gy.numel() < one_thread_elements) {
    backward_one_run(node, std::move(gy), owed, gx.data());
  } else {
    std::array<Operand, max_operands> x;
    for (size_t k = 0; k < inputs; ++k) x[k] = operand_of(node, edges[k].saved);
    backward_elementwise(row, node->attributes(), std::move(gy), {x.data(), inputs}, operand_of(node, y), owed,
                         gx.data());
  }
  for (size_t k = 0; k < inputs; ++k) {
    if (!gx[k]) continue;
    const Saved& x = edges[k].saved;
    if (!node->has_shape_of_output(x)) gx[k] = installed().sum_to_shape(gx[k], node->sizes(x));
    give(edges[k].node, x.output, std::move(gx[k]));
  }
  forget_saved(node);
}

// A saved value as the formula sees it: with create_graph it leads back to where it came from.
Tensor with_history(Tensor value, const Saved& saved, Node* node, int output, bool create_graph) {
  if (!create_graph || saved.kind != Saved::Kind::value || !node) return value;
  value->requires_grad = true;
  value->output = static_cast<uint8_t>(output);
  value->node = node;
  ++node->refs;
  return value;
}

void Pass::propagate_by_formula(Node* node, std::array<Tensor, max_outputs>& gy) {
  const OpRow& row = *node->op;
  std::array<Tensor, max_outputs> y;
  const Tensor& any_gy = gy[0] ? gy[0] : gy[1];  // only ops with one output leave shapes to be read off it
  for (int k = 0; k < row.outputs; ++k) {
    const Saved& saved = node->outputs()[k].saved;
    const bool has_gradient = is_floating(saved.dtype);
    y[k] = with_history(tensor_of(node, saved, any_gy.shape()), saved, has_gradient ? node : nullptr, k,
                        options_.create_graph);
    if (!gy[k] && has_gradient) gy[k] = Tensor::zeros(saved.dtype, node->sizes(saved));
  }
  const std::span<Edge> edges = node->edges();
  SmallList<Tensor, max_operands> x(edges.size());
  for (size_t k = 0; k < edges.size(); ++k)
    x[k] = with_history(tensor_of(node, edges[k].saved, any_gy.shape()), edges[k].saved, edges[k].node,
                        edges[k].output(), options_.create_graph);
  std::array<Tensor, max_operands> fused;  // an op with more inputs has no backward
  if (!options_.create_graph && row.backward) {
    unsigned owed = 0;
    for (size_t k = 0; k < edges.size(); ++k) owed |= static_cast<unsigned>(owes(edges[k])) << k;
    row.backward(node->attributes(), owed, gy.data(), x, y.data(), fused.data());
  }
  for (size_t k = 0; k < edges.size(); ++k) {
    const Edge& edge = edges[k];
    if (!owes(edge)) continue;
    Tensor gx = k < fused.size() ? std::move(fused[k]) : Tensor();
    if (!gx) gx = row.vjp(node->attributes(), static_cast<int>(k), gy.data(), x, y.data());
    if (!gx) continue;
    if (row.elementwise) gx = installed().sum_to_shape(gx, x[k].shape());
    give(edge.node, edge.output(), std::move(gx));
  }
}

void Pass::check_all_reached() const {
  for (size_t k = 0; k < captures_.size(); ++k)
    if (!captures_[k].reached)
      fail(ErrorKind::graph, "grad", "input " + std::to_string(k) + " is not part of the graph of the outputs",
           "every input must be used", "pass allow_unused=True to get None for it");
}

void Pass::restrict_to(std::span<const Tensor> roots, std::span<const Tensor> inputs) {
  restricted_ = true;
  auto mark = [&](Node* node) {  // takes over the reference
    marked_.push_back(node);
  };
  for (const Tensor& input : inputs) {
    Node* node = gradient_node(input.get());
    node->needed = node->captured = true;
    captures_.push_back({node, input->output, {}, false});
    mark(node);
  }
  std::vector<Node*> reachable;
  for (const Tensor& root : roots) reachable.push_back(root->node ? root->node : nullptr);
  std::erase(reachable, nullptr);
  std::vector<Node*> seen;
  for (Node* node : reachable) {
    if (node->queued) continue;
    node->queued = true;  // borrowed as the visited mark; the heap is still empty
    seen.push_back(node);
  }
  for (size_t i = 0; i < seen.size(); ++i)
    for (const Edge& edge : seen[i]->edges())
      if (edge.node && !edge.node->queued) {
        edge.node->queued = true;
        seen.push_back(edge.node);
      }
  for (Capture& capture : captures_) capture.reached = capture.node->queued;
  for (Node* node : seen) node->queued = false;
  if (!options_.allow_unused) check_all_reached();
  std::sort(seen.begin(), seen.end(), earlier);  // inputs before consumers
  for (Node* node : seen) {
    if (node->needed) continue;
    for (const Edge& edge : node->edges())
      if (edge.node && edge.node->needed) node->needed = true;
    if (!node->needed) continue;
    ++node->refs;
    mark(node);
  }
}

std::vector<Tensor> Pass::captured(std::span<const Tensor> inputs) const {
  std::vector<Tensor> gradients;
  for (size_t k = 0; k < inputs.size(); ++k) gradients.push_back(captures_[k].gradient);
  return gradients;
}

// A stored gradient owns dense memory that nothing else changes: accumulating into it later must touch nobody else.
void accumulate_into(const Tensor& target, Tensor gradient, bool create_graph) {
  const Tensor before = target.grad();
  if (!before) {
    const bool own = gradient.is_contiguous() && gradient->refs == 1 && gradient->storage->refs == 1;
    if (!own && create_graph && gradient.requires_grad())  // a copy with a history: only ops have one
      gradient = installed().add(gradient, Tensor::zeros(gradient.dtype(), {}));
    else if (!own) gradient = installed().contiguous_copy(gradient);
    target.set_grad(std::move(gradient));
  } else if (create_graph || before.requires_grad() || !before.is_contiguous()) {
    target.set_grad(installed().add(before, gradient));
  } else {
    run_in_place(*installed().add_row, nullptr, before, gradient, "backward");
  }
}

void Pass::commit() {
  for (Result& result : results_) accumulate_into(result.target, std::move(result.gradient), options_.create_graph);
}

Tensor seed_for(const Tensor& root, std::span<const Tensor> seeds, size_t k, std::string_view op) {
  if (root.is_placeholder())
    fail(ErrorKind::graph, op, "a placeholder, which has no value yet", "gradients are those of values",
         "run the graph that is being assembled: g.outputs(L=...), g.forward(...), then g.backward(\"L\")");
  if (!root.requires_grad())
    fail(ErrorKind::graph, op, "a tensor of shape " + to_string(root.shape()) + " that has no graph",
         "it must be computed from tensors with requires_grad=True", "is no_grad() active, or was detach() called?");
  if (k < seeds.size() && seeds[k]) {
    if (!same(seeds[k].shape(), root.shape()))
      fail(ErrorKind::shape, op,
           "gradient of shape " + to_string(seeds[k].shape()) + " for a tensor of shape " + to_string(root.shape()),
           "they must be equal");
    return seeds[k].dtype() == root.dtype() ? seeds[k] : installed().cast(seeds[k], root.dtype());
  }
  if (root.numel() != 1)
    fail(ErrorKind::graph, op, "a tensor of shape " + to_string(root.shape()),
         "only a tensor with one element has an implied gradient of 1",
         std::string("pass ") + (op == "grad" ? "grad_outputs" : "gradient") + "=, or reduce it with .sum()");
  return Tensor::full(root.dtype(), root.shape(), 1);
}

void seed_all(Pass& pass, std::span<const Tensor> roots, std::span<const Tensor> seeds, std::string_view op) {
  SmallList<Tensor, 2> checked(roots.size());
  for (size_t k = 0; k < roots.size(); ++k) checked[k] = seed_for(roots[k], seeds, k, op);
  for (size_t k = 0; k < roots.size(); ++k) pass.seed(roots[k], std::move(checked[k]));
}

}  // namespace

void backward(std::span<const Tensor> roots, std::span<const Tensor> seeds, BackwardOptions options) {
  Pass pass(options);
  seed_all(pass, roots, seeds, "backward");
  pass.run();
  pass.commit();
}

void backward(const Tensor& root, BackwardOptions options) { backward({&root, 1}, {}, options); }

std::vector<Tensor> gradients(std::span<const Tensor> roots, std::span<const Tensor> inputs,
                              std::span<const Tensor> seeds, BackwardOptions options) {
  if (inputs.empty()) fail(ErrorKind::value, "grad", "no inputs", "there must be at least one");
  for (size_t k = 0; k < inputs.size(); ++k)
    if (!inputs[k].requires_grad())
      fail(ErrorKind::graph, "grad",
           "input " + std::to_string(k) + " of shape " + to_string(inputs[k].shape()) + " does not require gradients",
           "every input must have requires_grad=True");
  Pass pass(options);
  pass.restrict_to(roots, inputs);
  seed_all(pass, roots, seeds, "grad");
  pass.run();
  return pass.captured(inputs);
}

void accumulate_gradients(std::span<const Tensor> targets, std::span<const Tensor> gradients, bool create_graph) {
  const GradMode mode(create_graph);
  for (size_t k = 0; k < targets.size(); ++k)
    if (gradients[k]) accumulate_into(targets[k], gradients[k], create_graph);
}

}  // namespace chainrule
