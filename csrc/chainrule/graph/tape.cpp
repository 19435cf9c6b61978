#include "chainrule/graph/tape.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "chainrule/core/error.h"

namespace chainrule {

namespace {

// A part of some memory: what a tensor without a node is known by.
struct Place {
  const Storage* storage;
  const char* data;
  std::vector<int64_t> dims;  // sizes and strides
  auto operator<=>(const Place&) const = default;
};

Place place_of(const Tensor& x) {
  Place place{x->storage, x->data, {x.shape().begin(), x.shape().end()}};
  place.dims.insert(place.dims.end(), x.strides().begin(), x.strides().end());
  return place;
}

class Reader {
 public:
  explicit Reader(const TapeOptions& options) : options_(options) {}

  Graph read() {
    collect_names();
    collect_nodes();
    collect_shapes();
    for (const NamedTensor& input : options_.inputs) {
      const Ref ref = add_input(unique(input.name), input.tensor.meta());
      refs_[input.tensor->node] = ref;
    }
    for (Node* node : order_)
      if (!node->is_leaf()) add_op(node);
    for (const NamedTensor& output : options_.outputs) add_output(output);
    note_versions();
    return std::move(graph_);
  }

 private:
  void collect_names();
  void collect_nodes();
  void collect_shapes();
  Shape input_shape(Node* node, const Edge& edge) const;
  std::string unique(std::string name);
  int next_count(const std::string& name) { return ++last_count_.try_emplace(name, 1).first->second; }
  Ref add_input(std::string name, const Meta& meta) { return graph_.input(std::move(name), meta).ref; }
  Ref leaf(Node* node, const Meta& meta, ModuleCall* call);
  Ref held(const Tensor& value, ModuleCall* call);
  std::string name_of_output(Node* node) const;
  Tensor unchanged(const Node* node, const Edge& edge, IntSpan shape) const;
  std::string name_in(ModuleCall* call, const Tensor& value);
  Ref without_value(const Meta& meta);
  void add_op(Node* node);
  void add_output(const NamedTensor& output);
  void note_versions();
  int scope_of(ModuleCall* call);
  Tensor saved_anywhere(Node* leaf);

  const TapeOptions& options_;
  Graph graph_;
  std::vector<Node*> order_;
  std::map<Node*, Ref> refs_;  // of the first output
  std::map<Place, Ref> held_;
  std::map<std::pair<Node*, int>, Shape> shapes_;
  std::map<std::pair<Node*, int>, const NamedTensor*> names_of_nodes_;
  std::map<Place, const NamedTensor*> names_of_places_;
  std::map<ModuleCall*, int> scopes_;
  std::map<Node*, std::pair<Node*, const Edge*>> keepers_;  // of the values of leaves
  std::set<std::string> used_names_, used_paths_;
  std::map<std::string, int> last_count_;  // of names and paths that came more than once
};

void Reader::collect_names() {
  for (const NamedTensor& named : options_.names) {  // the first name of a tensor counts
    const Tensor& x = named.tensor;
    if (x->node) names_of_nodes_.try_emplace({x->node, x->output}, &named);
    if (x->storage) names_of_places_.try_emplace(place_of(x), &named);
  }
}

// All nodes below the outputs; inputs before consumers, as they were made. A chain may be a million nodes long.
void Reader::collect_nodes() {
  std::set<Node*> seen;
  auto reach = [&](Node* node) {
    if (node && seen.insert(node).second) order_.push_back(node);
  };
  for (const NamedTensor& output : options_.outputs) reach(output.tensor->node);
  for (size_t i = 0; i < order_.size(); ++i)
    for (const Edge& edge : order_[i]->edges()) reach(edge.node);
  std::ranges::stable_sort(order_, {}, &Node::sequence);
}

// An elementwise node leaves it to its consumers to say which shape its result has.
void Reader::collect_shapes() {
  for (const NamedTensor& output : options_.outputs)
    if (output.tensor->node) shapes_[{output.tensor->node, output.tensor->output}] = Shape(output.tensor.shape());
  for (size_t i = order_.size(); i-- > 0;)
    for (const Edge& edge : order_[i]->edges())
      if (edge.node) {
        shapes_[{edge.node, edge.output()}] = input_shape(order_[i], edge);
        if (edge.node->is_leaf() && edge.saved.kind >= Saved::Kind::value) keepers_[edge.node] = {order_[i], &edge};
      }
}

Shape Reader::input_shape(Node* node, const Edge& edge) const {
  return node->has_shape_of_output(edge.saved) ? shapes_.at({node, 0}) : Shape(node->sizes(edge.saved));
}

std::string Reader::unique(std::string name) {
  if (name.empty()) return name;
  std::string candidate = name;
  while (!used_names_.insert(candidate).second) candidate = name + "_" + std::to_string(next_count(name));
  return candidate;
}

// The value of a leaf that is gone, if some node keeps it.
Tensor Reader::saved_anywhere(Node* leaf) {
  const auto found = keepers_.find(leaf);
  if (found == keepers_.end()) return Tensor();
  const auto [node, edge] = found->second;
  return tensor_of(node, edge->saved, input_shape(node, *edge));
}

Ref Reader::without_value(const Meta& meta) { return add_input("", meta); }

// Its own name, or else what the caller calls it.
std::string Reader::name_of_output(Node* node) const {
  std::string own = name_of(node, 0);
  if (!own.empty()) return own;
  const auto named = names_of_nodes_.find({node, 0});
  return named == names_of_nodes_.end() ? "" : named->second->name;
}

// A tensor without a name is called by the module that it is first used in: "net.0.weight".
std::string Reader::name_in(ModuleCall* call, const Tensor& value) {
  if (!call || !options_.attribute) return "";
  const std::string attribute = options_.attribute(call->module, value);
  return attribute.empty() ? "" : graph_.scopes()[static_cast<size_t>(scope_of(call))].path + "." + attribute;
}

Ref Reader::leaf(Node* node, const Meta& meta, ModuleCall* call) {
  if (const auto found = refs_.find(node); found != refs_.end()) return found->second;
  if (const auto size = size_literal_of(node)) return refs_[node] = graph_.constant(meta.dtype, *size).ref;
  std::string name = name_of_output(node);
  if (node->leaf && !node->leaf->storage)
    fail(ErrorKind::graph, "graph",
         "a placeholder" + (name.empty() ? "" : " " + name) + " of shape " + to_string(meta.shape) +
             " that belongs to another graph",
         "a graph is assembled from its own placeholders", "make it with input() of this graph");
  const Tensor value = node->leaf ? Tensor::share(node->leaf) : saved_anywhere(node);
  if (name.empty() && value) name = name_in(call, value);
  const Ref ref = value ? graph_.parameter(unique(name), value).ref : without_value(meta);
  return refs_[node] = ref;
}

Ref Reader::held(const Tensor& value, ModuleCall* call) {
  if (value->storage->is_literal) return graph_.constant(value).ref;
  const Place place = place_of(value);
  if (const auto found = held_.find(place); found != held_.end()) return found->second;
  const auto named = names_of_places_.find(place);
  const bool has_name = named != names_of_places_.end();
  std::string name = name_of(value->storage, value->data, value.shape());
  if (name.empty() && has_name) name = named->second->name;
  Ref ref;
  const std::string own = name.empty() ? name_in(call, value) : "";
  if (has_name && named->second->is_parameter) {
    ref = graph_.parameter(unique(name), named->second->tensor).ref;
  } else if (!own.empty()) {
    ref = graph_.parameter(unique(own), value).ref;
  } else if (name.empty() && !options_.inputs.empty()) {  // made on the way, of nothing that is fed
    ref = graph_.constant(value).ref;
  } else {
    ref = add_input(unique(name), value.meta());
    graph_.node(ref.node).value = value;
  }
  const int op = value->storage->unrecorded_op;
  if (op != no_op && graph_.node(ref.node).kind != NodeKind::parameter)
    graph_.node(ref.node).frozen_by = installed().rows[static_cast<size_t>(op)].info->name;
  return held_[place] = ref;
}

// The value of an input as the node read it.
Tensor Reader::unchanged(const Node* node, const Edge& edge, IntSpan shape) const {
  const Tensor value = tensor_of(node, edge.saved, shape);
  const auto named = names_of_places_.find(place_of(value));
  const bool is_buffer = named != names_of_places_.end() && named->second->is_parameter;
  if (edge.saved.storage->version != edge.saved.version && !is_buffer)
    fail(ErrorKind::graph, "graph",
         std::string("an input of ") + node->name() + ", of shape " + to_string(shape) + ", that " +
             edge.saved.storage->changed_by + " changed in place after it was read",
         "the graph would compute with the new value", "take the graph before the change, or clone() the tensor first");
  return value;
}

void Reader::add_op(Node* node) {
  std::vector<Ref> inputs;
  for (Edge& edge : node->edges()) {
    const Shape shape = input_shape(node, edge);
    if (edge.node && !edge.node->is_leaf()) inputs.push_back({refs_.at(edge.node).node, edge.output()});
    else if (edge.node) inputs.push_back(leaf(edge.node, {edge.saved.dtype, shape}, node->call));
    else if (edge.saved.kind >= Saved::Kind::value) inputs.push_back(held(unchanged(node, edge, shape), node->call));
    else inputs.push_back(without_value({edge.saved.dtype, shape}));
  }
  const Ref ref = graph_.add(*node->op, node->attributes(), std::move(inputs));
  refs_[node] = ref;
  GraphNode& added = graph_.node(ref.node);
  added.name = unique(name_of_output(node));
  added.source = line_of(node);
  if (node->call) added.scope = scope_of(node->call);
}

void Reader::add_output(const NamedTensor& output) {
  const Tensor& x = output.tensor;
  const bool is_op = x->node && !x->node->is_leaf();
  const Ref ref = is_op     ? Ref{refs_.at(x->node).node, x->output}
                  : x->node ? leaf(x->node, x.meta(), nullptr)
                            : held(x, nullptr);
  std::string name = output.name.empty() ? graph_.node(ref.node).name : output.name;
  if (name.empty())
    name = options_.outputs.size() == 1 ? "output" : "output_" + std::to_string(graph_.outputs().size());
  GraphNode& node = graph_.node(ref.node);
  if (node.name.empty() && node.kind == NodeKind::op && ref.output == 0) node.name = unique(name);
  graph_.add_output(std::move(name), ref);
}

// Of all values. And what shares the memory of a parameter changes with it: it is not frozen.
void Reader::note_versions() {
  std::set<const Storage*> shared;
  for (const GraphNode& node : graph_.nodes())
    if (node.kind == NodeKind::parameter) shared.insert(node.value->storage);
  for (size_t i = 0; i < graph_.nodes().size(); ++i) {
    GraphNode& node = graph_.node(static_cast<int>(i));
    if (!node.value) continue;
    node.version = node.value->storage->version;
    if (shared.contains(node.value->storage)) node.frozen_by.clear();
  }
}

// The calls around come first, so that a scope stands behind its parent. Two calls of one module are two scopes.
int Reader::scope_of(ModuleCall* call) {
  std::vector<ModuleCall*> calls;
  for (; call && !scopes_.contains(call); call = call->parent) calls.push_back(call);
  int parent = call ? scopes_.at(call) : -1;
  while (!calls.empty()) {
    ModuleCall* inner = calls.back();
    calls.pop_back();
    auto [name, type] = options_.describe
                            ? options_.describe(inner->module, inner->parent ? inner->parent->module : nullptr)
                            : std::pair<std::string, std::string>("module", "Module");
    const std::string path = parent < 0 ? name : graph_.scopes()[static_cast<size_t>(parent)].path + "." + name;
    std::string candidate = path;
    while (!used_paths_.insert(candidate).second) candidate = path + " #" + std::to_string(next_count("#" + path));
    parent = scopes_[inner] = graph_.add_scope({candidate, type, parent});
  }
  return parent;
}

}  // namespace

Graph graph_from_tape(const TapeOptions& options) {
  if (options.outputs.empty())
    fail(ErrorKind::value, "graph", "no outputs", "a graph computes at least one", "say outputs(L=...)");
  return Reader(options).read();
}

}  // namespace chainrule
