#include "chainrule/graph/program.h"

#include <algorithm>

#include "chainrule/autograd/elementwise.h"
#include "chainrule/autograd/small_list.h"
#include "chainrule/core/error.h"
#include "chainrule/graph/formula.h"
#include "chainrule/ops/reductions.h"

namespace chainrule {

namespace {

// Memory for a result: what the last run used, unless somebody holds it.
void prepare(Tensor& result, const Meta& meta) {
  const bool is_plain = result && !result->node && !result->requires_grad && !result->grad && !result->named;
  if (!is_plain || !exclusively_ours(result)) result = Tensor::empty(meta);
}

}  // namespace

Program::Program(Graph graph) : graph_(std::move(graph)) {
  size_t slots = 0;
  for (int i = 0; i < static_cast<int>(graph_.nodes().size()); ++i) {
    const GraphNode& node = graph_.nodes()[static_cast<size_t>(i)];
    first_slot_.push_back(slots);
    slots += node.outputs.size();
    (node.op ? ops_ : leaves_).push_back(i);
    const bool is_own = node.op ? !node.op->view : !node.value;
    if (is_own)
      for (const Meta& meta : node.outputs)
        bytes_ += static_cast<double>(numel_of(meta.shape)) * static_cast<double>(size_of(meta.dtype));
  }
  values_.resize(slots);
  for (int i : leaves_) values_[slot({i, 0})] = graph_.nodes()[static_cast<size_t>(i)].value;
  versions_.resize(leaves_.size());
  owed_.resize(graph_.nodes().size());
}

std::string Program::label(int node) const { return labels_of(graph_)[static_cast<size_t>(node)]; }

void Program::feed(int node, const Tensor& value) {
  has_run_ = false;
  static_cast<void>(value.data());  // fails for a placeholder
  const GraphNode& input = graph_.nodes()[static_cast<size_t>(node)];
  const Meta& meta = input.outputs[0];
  if (!same(value.shape(), meta.shape))
    fail(ErrorKind::shape, "forward", label(node) + " of shape " + to_string(value.shape()),
         "the graph was assembled for shape " + to_string(meta.shape));
  if (value.dtype() != meta.dtype)
    fail(ErrorKind::dtype, "forward", label(node) + " of dtype " + name_of(value.dtype()),
         std::string("the graph was assembled for ") + name_of(meta.dtype), "convert it with .to(...)");
  values_[slot({node, 0})] = value;
}

void Program::feed(int node, double value) {
  has_run_ = false;
  const Meta& meta = graph_.nodes()[static_cast<size_t>(node)].outputs[0];
  Tensor& held = values_[slot({node, 0})];
  if (meta.dtype == DType::float32 && meta.shape.empty() && held && exclusively_ours(held)) {
    *held.data<float>() = static_cast<float>(value);
    return;
  }
  feed(node, Tensor::full(meta.dtype, {}, value));
}

void Program::forget_feeds() {
  has_run_ = false;
  for (int i : leaves_) {
    const GraphNode& node = graph_.nodes()[static_cast<size_t>(i)];
    if (node.kind == NodeKind::input) values_[slot({i, 0})] = node.value;
  }
}

void Program::begin_forward() {
  has_run_ = false;
  gradients_.clear();
  result_versions_.clear();
  for (size_t k = 0; k < leaves_.size(); ++k) {
    const Tensor& value = values_[slot({leaves_[k], 0})];
    if (!value) {
      const GraphNode& node = graph_.nodes()[static_cast<size_t>(leaves_[k])];
      fail(ErrorKind::value, "forward", "no value for " + label(leaves_[k]), "every input needs one",
           node.name.empty()
               ? "keep the tensor, or the module it belongs to, in a variable until the graph is taken, and take "
                 "the graph before backward() frees the tape"
               : "pass " + node.name + "=...");
    }
    versions_[k] = value->storage->version;
  }
  has_run_ = ops_.empty();
  for (int i : ops_)  // a view would hold the memory it looks at
    if (graph_.nodes()[static_cast<size_t>(i)].op->view) values_[slot({i, 0})] = Tensor();
}

void Program::forget_results() {
  has_run_ = false;
  gradients_.clear();
  for (int i : ops_)
    for (size_t k = 0; k < graph_.nodes()[static_cast<size_t>(i)].outputs.size(); ++k)
      values_[slot({i, static_cast<int>(k)})] = Tensor();
}

void Program::forward() {
  begin_forward();
  for (int i : ops_) run_node(i);
  if (ops_.empty()) note_results();
}

void Program::run_node(int i) {
  const GraphNode& node = graph_.nodes()[static_cast<size_t>(i)];
  if (!node.op) return;
  const OpRow& row = *node.op;
  Tensor* out = &values_[slot({i, 0})];
  if (row.elementwise) {
    std::array<const Tensor*, max_operands> x;
    for (size_t k = 0; k < node.inputs.size(); ++k) x[k] = &values_[slot(node.inputs[k])];
    prepare(out[0], node.outputs[0]);
    forward_elementwise(row, node.attributes.data(), {x.data(), node.inputs.size()}, out[0]);
  } else if (!row.view || !(out[0] = row.view(node.attributes.data(), values_[slot(node.inputs[0])]))) {
    SmallList<Tensor, max_operands> x(node.inputs.size());
    for (size_t k = 0; k < node.inputs.size(); ++k) x[k] = values_[slot(node.inputs[k])];
    for (size_t k = 0; k < node.outputs.size(); ++k) prepare(out[k], node.outputs[k]);
    row.forward(node.attributes.data(), x, out);
  }
  if (i == ops_.back()) note_results();
}

// ---- Backward ----

void Program::plan_backward(Ref of, std::span<const int> wrt) {
  if (of == of_ && std::ranges::equal(wrt, wrt_)) return;
  of_ = of;
  wrt_.assign(wrt.begin(), wrt.end());
  order_.clear();
  const std::vector<GraphNode>& nodes = graph_.nodes();
  std::vector<char> leads(nodes.size()), reached(nodes.size());
  for (int i : wrt) leads[static_cast<size_t>(i)] = 1;
  asked_ = leads;
  for (size_t i = 0; i < nodes.size(); ++i) {
    owed_[i] = 0;
    for (size_t k = 0; k < nodes[i].inputs.size(); ++k) {
      const Ref x = nodes[i].inputs[k];
      if (!leads[static_cast<size_t>(x.node)] || !is_floating(graph_.meta(x).dtype) || !nodes[i].op->vjp) continue;
      owed_[i] |= 1u << std::min<size_t>(k, 31);
      leads[i] = 1;
    }
  }
  reached[static_cast<size_t>(of.node)] = 1;
  for (int i = of.node; i >= 0; --i) {
    const size_t at = static_cast<size_t>(i);
    if (!reached[at]) continue;
    for (Ref x : nodes[at].inputs) reached[static_cast<size_t>(x.node)] = 1;
    if (owed_[at]) order_.push_back(i);
  }
}

// A node whose value was changed in place after forward: a leaf, or a result that was given out. -1: there is none.
int Program::first_changed() const {
  for (size_t k = 0; k < leaves_.size(); ++k)
    if (values_[slot({leaves_[k], 0})]->storage->version != versions_[k]) return leaves_[k];
  for (size_t k = 0; k < result_versions_.size(); ++k)
    if (values_[slot(graph_.outputs()[k].ref)]->storage->version != result_versions_[k])
      return graph_.outputs()[k].ref.node;
  return -1;
}

void Program::check_unchanged() const {
  const int changed = first_changed();
  if (changed >= 0)
    fail(ErrorKind::graph, "backward", label(changed) + " was changed after forward read it",
         "a gradient is that of the values of the last forward", "run forward again");
}

void Program::note_results() {
  result_versions_.clear();
  for (const GraphOutput& output : graph_.outputs())
    result_versions_.push_back(values_[slot(output.ref)]->storage->version);
  has_run_ = true;
}

void Program::begin_backward(Ref of, std::span<const int> wrt, const Tensor& seed, bool keep) {
  if (!has_run_)
    fail(ErrorKind::graph, "backward", "a graph that has not run forward",
         "gradients need the values of a forward pass", "call forward(...) first");
  check_unchanged();
  const Meta& meta = graph_.meta(of);
  if (!is_floating(meta.dtype))
    fail(ErrorKind::dtype, "backward", std::string("an output of dtype ") + name_of(meta.dtype),
         "only floating outputs have gradients");
  if (!seed && numel_of(meta.shape) != 1)
    fail(ErrorKind::graph, "backward", "an output of shape " + to_string(meta.shape),
         "only an output with one element has an implied gradient of 1", "pass gradient=, or reduce it with .sum()");
  if (seed && !same(seed.shape(), meta.shape))
    fail(ErrorKind::shape, "backward",
         "gradient of shape " + to_string(seed.shape()) + " for an output of shape " + to_string(meta.shape),
         "they must be equal");
  plan_backward(of, wrt);
  keep_ = keep;
  seed_ = seed;
  gradients_.assign(values_.size(), Tensor());
  gradients_[slot(of)] = !seed                        ? Tensor::full(meta.dtype, meta.shape, 1)
                         : seed.dtype() == meta.dtype ? seed
                                                      : installed().cast(seed, meta.dtype);
}

void Program::backward(Ref of, std::span<const int> wrt, const Tensor& seed, bool keep) {
  const GradMode unrecorded(false);
  begin_backward(of, wrt, seed, keep);
  try {
    for (int i : order_) backward_of(i, nullptr);
  } catch (...) {
    gradients_.clear();
    throw;
  }
}

std::vector<Tensor> Program::run_node_backward(int node) {
  if (gradients_.empty() || !keep_)
    fail(ErrorKind::graph, "backward_steps", "a node of a pass that is over",
         "another forward or backward forgets the gradients of the one before", "begin again");
  const GradMode unrecorded(false);
  std::vector<Tensor> shown(graph_.nodes()[static_cast<size_t>(node)].inputs.size());
  backward_of(node, &shown);
  return shown;
}

Tensor Program::gradient(Ref ref) {
  if (gradients_.empty()) return Tensor();
  if (!has_run_) return Tensor();
  if (!keep_ && first_changed() < 0) backward(of_, std::vector<int>(wrt_), Tensor(seed_), true);
  return gradients_[slot(ref)];
}

Tensor Program::take_gradient(int node) const {
  const Tensor& gradient = gradients_[slot({node, 0})];
  if (!gradient || (exclusively_ours(gradient) && !keep_)) return gradient;
  const GradMode unrecorded(false);
  return installed().contiguous_copy(gradient);
}

void Program::give(Ref to, Tensor gradient) {
  Tensor& sum = gradients_[slot(to)];
  if (!sum) {
    sum = std::move(gradient);
  } else if (exclusively_ours(sum) && !keep_) {
    add_in_place(sum, gradient);
  } else {
    sum = installed().add(sum, gradient);
  }
}

void Program::backward_of(int i, std::vector<Tensor>* shown) {
  const GraphNode& node = graph_.nodes()[static_cast<size_t>(i)];
  std::array<Tensor, max_outputs> gy;
  bool any = false;
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    Tensor& gathered = gradients_[slot({i, static_cast<int>(k)})];
    gy[k] = keep_ || asked_[static_cast<size_t>(i)] ? gathered : std::move(gathered);
    any |= static_cast<bool>(gy[k]);
  }
  if (!any) return;
  const unsigned owed = owed_[static_cast<size_t>(i)];
  SmallList<Tensor, max_operands> gx(node.inputs.size());
  if (node.op->elementwise) backward_of_elementwise(node, owed, std::move(gy[0]), &gx[0]);
  else backward_of_structured(node, owed, {gy.data(), node.outputs.size()}, {gx.data(), gx.size()});
  for (size_t k = 0; k < node.inputs.size(); ++k) {
    if (!gx[k]) continue;
    if (node.op->elementwise) gx[k] = installed().sum_to_shape(gx[k], graph_.meta(node.inputs[k]).shape);
    if (shown) (*shown)[k] = gx[k];
    give(node.inputs[k], std::move(gx[k]));
  }
}

void Program::backward_of_elementwise(const GraphNode& node, unsigned owed, Tensor gy, Tensor* gx) const {
  const OpRow& row = *node.op;
  unsigned computed = 0;
  for (size_t k = 0; k < node.inputs.size(); ++k) {
    if (!(owed >> k & 1) || !row.vjp_of_input[k].exists) continue;
    if (row.vjp_of_input[k].is_gy) gx[k] = gy;
    else computed |= 1u << k;
  }
  if (!computed) return;
  const auto operand = [&](const Tensor& x) -> Operand {
    const bool like_gy = x.is_contiguous() && same(x.shape(), gy.shape());
    return {x.data(), like_gy ? nullptr : x.shape().data(), x.ndim(), x.dtype()};
  };
  std::array<Operand, max_operands> x;
  for (size_t k = 0; k < node.inputs.size(); ++k) x[k] = operand(values_[slot(node.inputs[k])]);
  const int self = static_cast<int>(&node - graph_.nodes().data());
  const Operand y = operand(values_[slot({self, 0})]);
  backward_elementwise(row, node.attributes.data(), std::move(gy), {x.data(), node.inputs.size()}, y, computed, gx);
}

void Program::backward_of_structured(const GraphNode& node, unsigned owed, std::span<Tensor> gy,
                                     std::span<Tensor> gx) const {
  const OpRow& row = *node.op;
  const int self = static_cast<int>(&node - graph_.nodes().data());
  std::array<Tensor, max_outputs> y;
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    y[k] = values_[slot({self, static_cast<int>(k)})];
    if (!gy[k] && is_floating(node.outputs[k].dtype))
      gy[k] = Tensor::zeros(node.outputs[k].dtype, node.outputs[k].shape);
  }
  SmallList<Tensor, max_operands> x(node.inputs.size());
  for (size_t k = 0; k < node.inputs.size(); ++k) x[k] = values_[slot(node.inputs[k])];
  std::array<Tensor, max_outputs> all_gy;
  std::ranges::copy(gy, all_gy.begin());
  if (row.backward) row.backward(node.attributes.data(), owed, all_gy.data(), x, y.data(), gx.data());
  for (size_t k = 0; k < node.inputs.size(); ++k)
    if ((owed >> std::min<size_t>(k, 31) & 1) && !gx[k] && is_floating(x[k].dtype()))
      gx[k] = row.vjp(node.attributes.data(), static_cast<int>(k), all_gy.data(), x, y.data());
}

}  // namespace chainrule
