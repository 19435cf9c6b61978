// file_save.cpp - Graph::save. Floor: graph.
#include <map>
#include <set>
#include <tuple>

#include "chainrule/core/error.h"
#include "chainrule/graph/file.h"
#include "chainrule/graph/file_values.h"
#include "chainrule/graph/safetensors.h"

namespace chainrule {

namespace {

std::string text_json(const std::string& text, std::string_view what) {
  if (!is_utf8(text)) fail(ErrorKind::value, what, "it is " + excerpt(text), "it must be UTF-8");
  return json_string(text);
}

std::string ref_json(Ref ref) { return "[" + std::to_string(ref.node) + "," + std::to_string(ref.output) + "]"; }

// Joins with commas what f gives for each.
template <class Items, class F>
std::string joined(const Items& items, const F& f) {
  std::string text;
  for (bool first = true; const auto& item : items) {
    if (!std::exchange(first, false)) text += ',';
    text += f(item);
  }
  return text;
}

/// Where a tensor's elements stand: two tensors that agree in it are one.
using Memory = std::tuple<const void*, const void*, DType, std::vector<int64_t>, std::vector<int64_t>>;
Memory memory_of(const Tensor& x) {
  return {
      x->storage, x.data(), x.dtype(), {x.shape().begin(), x.shape().end()}, {x.strides().begin(), x.strides().end()}};
}

class GraphWriter {
 public:
  explicit GraphWriter(const Graph& graph) : graph_(graph) {
    for (size_t i = 0; i < graph.nodes().size(); ++i) {
      const std::string& name = graph.nodes()[i].name;
      if (!name.empty() && !names_.insert(name).second)
        fail(ErrorKind::graph, "node " + std::to_string(i), "its name is " + excerpt(name),
             "names must be unique, and an earlier node has this one");
    }
    text_ = "{\"version\":" + std::to_string(graph_file_version) + ",\"nodes\":[";
    for (size_t i = 0; i < graph.nodes().size(); ++i) text_ += (i ? "," : "") + node_json(static_cast<int>(i));
    text_ += "],\"scopes\":[" + joined(graph.scopes(), [](const GraphScope& scope) { return scope_json(scope); }) + "]";
    text_ += ",\"outputs\":{" + outputs_json() + "}}";
  }

  void write(const std::string& path) && {
    write_safetensors(path, std::move(tensors_), {{graph_metadata_key, std::move(text_)}});
  }

 private:
  std::string node_json(int i) {
    const GraphNode& node = graph_.nodes()[i];
    std::string text = "{\"kind\":";
    switch (node.kind) {
      case NodeKind::input: text += "\"input\"" + leaf_json(i, node); break;
      case NodeKind::parameter: text += "\"parameter\"" + leaf_json(i, node); break;
      case NodeKind::constant: text += "\"constant\"" + leaf_json(i, node); break;
      case NodeKind::op: text += "\"op\"" + op_json(node); break;
    }
    if (!node.name.empty()) text += ",\"name\":" + text_json(node.name, "name");
    if (node.scope >= 0) text += ",\"scope\":" + std::to_string(node.scope);
    if (!node.frozen_by.empty()) text += ",\"frozen_by\":" + text_json(node.frozen_by, "frozen_by");
    if (!node.source.empty()) text += ",\"source\":" + text_json(node.source, "source");
    return text + "}";
  }

  std::string leaf_json(int i, const GraphNode& node) {
    std::string text = "," + meta_json(node.outputs[0]);
    if (node.size) return text + ",\"size\":" + size_json(*node.size);
    if (!node.value) return text;
    if (!node.value->storage)
      fail(ErrorKind::graph, "node " + std::to_string(i), "its tensor has no elements", "it must have a value");
    if (node.kind == NodeKind::constant)
      if (const auto scalar = scalar_json(node.value)) return text + ",\"value\":" + *scalar;
    text += ",\"tensor\":" + text_json(stored_name(i, node), "name");
    return text + (node.kind == NodeKind::parameter && node.value.requires_grad() ? ",\"requires_grad\":true" : "");
  }

  static std::string op_json(const GraphNode& node) {
    std::string text =
        ",\"op\":" + json_string(node.op->info->name) + ",\"inputs\":[" + joined(node.inputs, ref_json) + "]";
    if (!node.op->fields.empty()) text += ",\"attributes\":" + attributes_json(*node.op, node.attributes.data());
    return text + ",\"outputs\":[" +
           joined(node.outputs, [](const Meta& meta) { return "{" + meta_json(meta) + "}"; }) + "]";
  }

  static std::string scope_json(const GraphScope& scope) {
    std::string text = "{\"path\":" + text_json(scope.path, "scope") + ",\"type\":" + text_json(scope.type, "scope");
    return text + ",\"parent\":" + (scope.parent < 0 ? "null" : std::to_string(scope.parent)) + "}";
  }

  std::string outputs_json() const {
    std::set<std::string> names;
    return joined(graph_.outputs(), [&](const GraphOutput& output) {
      if (!names.insert(output.name).second)
        fail(ErrorKind::graph, "outputs", excerpt(output.name) + " is there twice", "their names must be unique");
      return text_json(output.name, "output") + ":" + ref_json(output.ref);
    });
  }

  // The name under which the node's tensor is stored: that of the first node that holds it.
  std::string stored_name(int i, const GraphNode& node) {
    const auto [place, is_new] = stored_.try_emplace(memory_of(node.value), node.name);
    std::string& name = place->second;
    if (!is_new) return name;
    if (name.empty() || name == "__metadata__") {  // nobody's, or the format's own
      name = (node.kind == NodeKind::parameter ? "parameter." : "constant.") + std::to_string(i);
      while (!names_.insert(name).second) name += '_';
    }
    tensors_.push_back({name, node.value});
    return name;
  }

  const Graph& graph_;
  std::set<std::string> names_;  ///< of nodes and tensors
  std::map<Memory, std::string> stored_;
  std::vector<FileTensor> tensors_;
  std::string text_;
};

}  // namespace

void Graph::save(const std::string& path) const {
  try {
    GraphWriter(*this).write(path);
  } catch (const Error& error) { throw Error(error.kind(), "save: " + path + ": " + error.what()); }
}

}  // namespace chainrule
