// file_load.cpp - Graph::load: a strict reader. Floor: graph. It believes nothing: the nodes are built again through
// Graph::add, with tensors of no elements, and only a graph that is whole gets its values.
#include <map>
#include <set>

#include "chainrule/core/error.h"
#include "chainrule/graph/file.h"
#include "chainrule/graph/file_values.h"
#include "chainrule/graph/safetensors.h"

namespace chainrule {

class GraphReader {
 public:
  explicit GraphReader(const std::string& path) : file_(path) {
    for (const StoredTensor& stored : file_.tensors()) stored_[stored.name] = &stored;
    const auto text = file_.metadata().find(graph_metadata_key);
    if (text == file_.metadata().end())
      fail(ErrorKind::value, "metadata", std::string("no \"") + graph_metadata_key + "\"",
           "the file must have been written by Graph::save", "chainrule.load reads tensors alone");
    read_document(file_.take_metadata(text->first));
    check_all_used();
    fill();
  }
  Graph take() && { return std::move(graph_); }

 private:
  void read_document(std::string text) {
    const JsonDocument document(std::move(text), graph_metadata_key);
    JsonFields fields(document.root(), graph_metadata_key);
    const int64_t version = fields.take("version").integer("version");
    if (version != graph_file_version)
      fail(ErrorKind::value, "version", "it is " + std::to_string(version),
           "this chainrule reads version " + std::to_string(graph_file_version),
           version > graph_file_version ? "the file is newer: update chainrule" : "is the file damaged?");
    const JsonValue nodes = fields.take("nodes"), scopes = fields.take("scopes"), outputs = fields.take("outputs");
    fields.finish();
    read_scopes(scopes);
    for (const JsonValue node : nodes.items("nodes")) {
      const size_t i = graph_.nodes_.size();
      try {
        read_node(node);
      } catch (const Error& error) { throw Error(error.kind(), "node " + std::to_string(i) + ": " + error.what()); }
    }
    for (const auto& [name, ref] : outputs.members("outputs"))
      graph_.add_output(name, read_ref(ref, "output " + excerpt(name)));
  }

  void read_scopes(const JsonValue& scopes) {
    for (const JsonValue value : scopes.items("scopes")) {
      const std::string what = "scope " + std::to_string(graph_.scopes_.size());
      JsonFields fields(value, what);
      GraphScope scope{fields.take("path").string(what), fields.take("type").string(what)};
      const JsonValue parent = fields.take("parent");
      if (parent.kind() != JsonKind::null) scope.parent = read_scope(parent, what + ": parent");
      fields.finish();
      graph_.add_scope(std::move(scope));
    }
  }
  int read_scope(const JsonValue& value, const std::string& what) const {
    const int64_t place = value.integer(what), count = static_cast<int64_t>(graph_.scopes_.size());
    if (place < 0 || place >= count)
      fail(ErrorKind::value, what, "it is " + std::to_string(place),
           "it must be the place of an earlier scope; there are " + std::to_string(count));
    return static_cast<int>(place);
  }

  // An output of a node that is there already, so that nothing can point forward or in a circle.
  Ref read_ref(const JsonValue& value, const std::string& what) const {
    const JsonItems pair = value.items(what);
    if (pair.size() != 2)
      fail(ErrorKind::value, what, "it has " + std::to_string(pair.size()) + " numbers",
           "it must have two: a node and which of its outputs");
    const int64_t node = pair[0].integer(what), output = pair[1].integer(what);
    const std::string arrived = "it is [" + std::to_string(node) + ", " + std::to_string(output) + "]";
    const int64_t count = static_cast<int64_t>(graph_.nodes_.size());
    if (node < 0 || node >= count)
      fail(ErrorKind::value, what, arrived,
           "it must name a node that comes before; there are " + std::to_string(count));
    const int64_t outputs = static_cast<int64_t>(graph_.nodes_[static_cast<size_t>(node)].outputs.size());
    if (output < 0 || output >= outputs)
      fail(ErrorKind::value, what, arrived, "that node has " + std::to_string(outputs) + " outputs");
    return {static_cast<int>(node), static_cast<int>(output)};
  }

  void read_node(const JsonValue& value) {
    JsonFields fields(value, "node");
    const std::string kind = fields.take("kind").string("kind");
    values_.emplace_back();
    if (kind == "op") read_op(fields);
    else if (kind == "input") read_leaf(fields, NodeKind::input);
    else if (kind == "parameter") read_leaf(fields, NodeKind::parameter);
    else if (kind == "constant") read_leaf(fields, NodeKind::constant);
    else fail(ErrorKind::value, "kind", "it is " + excerpt(kind), "it must be input, parameter, constant or op");
    std::string name, source;
    int scope = -1;
    if (const JsonValue* given = fields.find("name")) name = given->string("name");
    if (const JsonValue* given = fields.find("source")) source = given->string("source");
    if (const JsonValue* given = fields.find("scope")) scope = read_scope(*given, "scope");
    fields.finish();
    if (!name.empty() && !names_.insert(name).second)
      fail(ErrorKind::value, "name", "it is " + excerpt(name),
           "names must be unique, and an earlier node has this one");
    graph_.annotate(static_cast<int>(graph_.nodes_.size()) - 1, std::move(name), scope, std::move(source));
  }

  void read_leaf(JsonFields& fields, NodeKind kind) {
    const Meta meta = read_meta(fields);
    GraphNode& node = graph_.nodes_.emplace_back();
    node.kind = kind;
    node.outputs = {meta};
    const JsonValue* tensor = fields.find("tensor");
    const JsonValue* scalar = kind == NodeKind::constant && !tensor ? fields.find("value") : nullptr;
    if (tensor) {
      values_.back().stored = &stored_tensor(tensor->string("tensor"), meta);
    } else if (scalar) {
      if (!meta.shape.empty())
        fail(ErrorKind::value, "value", "it is one number, the shape is " + to_string(meta.shape),
             "the shape must be ()");
      node.value = read_scalar(*scalar, meta.dtype);
    } else if (const JsonValue* size = kind == NodeKind::constant ? fields.find("size") : nullptr) {
      if (!meta.shape.empty())
        fail(ErrorKind::value, "size", "it is one number, the shape is " + to_string(meta.shape),
             "the shape must be ()");
      node.size = read_size(*size, "size");
    } else if (kind != NodeKind::input) {
      fail(ErrorKind::value, "node", "it has no tensor", "only an input may be without a value");
    }
    if (const JsonValue* given = kind == NodeKind::parameter ? nullptr : fields.find("frozen_by"))
      node.frozen_by = op_named(given->string("frozen_by")).info->name;
    const JsonValue* trains = kind == NodeKind::parameter ? fields.find("requires_grad") : nullptr;
    values_.back().requires_grad = trains && trains->boolean("requires_grad");
    if (values_.back().requires_grad && !is_floating(meta.dtype))
      fail(ErrorKind::value, "requires_grad", std::string("the dtype is ") + name_of(meta.dtype),
           "only float32 and float64 have gradients");
  }

  const StoredTensor& stored_tensor(const std::string& name, const Meta& meta) {
    const auto found = stored_.find(name);
    if (found == stored_.end())
      fail(ErrorKind::value, "tensor", excerpt(name) + " is not in the file", "it must be one of the file's tensors");
    const Meta& there = found->second->meta;
    if (there.dtype != meta.dtype || !same(there.shape, meta.shape))
      fail(ErrorKind::value, "tensor",
           excerpt(name) + " has shape " + to_string(there.shape) + " and dtype " + name_of(there.dtype),
           "the node needs shape " + to_string(meta.shape) + " and dtype " + name_of(meta.dtype));
    used_.insert(name);
    return *found->second;
  }

  void read_op(JsonFields& fields) {
    const std::string name = fields.take("op").string("op");
    const OpRow& op = op_named(name.size() > 60 ? excerpt(name) : name);
    std::vector<Ref> inputs;
    for (const JsonValue input : fields.take("inputs").items("inputs"))
      inputs.push_back(read_ref(input, "input " + std::to_string(inputs.size())));
    const bool enough = op.inputs == variadic ? !inputs.empty() : static_cast<int>(inputs.size()) == op.inputs;
    if (!enough)
      fail(ErrorKind::value, name, std::to_string(inputs.size()) + " inputs",
           "it takes " + (op.inputs == variadic ? "at least 1" : std::to_string(op.inputs)));
    alignas(8) char attributes[max_attribute_bytes] = {};
    op.construct(attributes);
    if (!op.fields.empty()) read_attributes(op, fields.take("attributes"), attributes);
    const size_t before = graph_.nodes_.size();
    graph_.add(op, attributes, std::move(inputs));
    if (graph_.nodes_.size() != before + 1)
      fail(ErrorKind::value, name, "inputs of several dtypes", "they must be equal", "a cast is a node of its own");
    check_outputs(op, fields.take("outputs"));
  }

  // What the file says about the outputs, against what the shape rule says.
  void check_outputs(const OpRow& op, const JsonValue& value) const {
    const JsonItems promised = value.items("outputs");
    const std::vector<Meta>& inferred = graph_.nodes_.back().outputs;
    if (promised.size() != inferred.size())
      fail(ErrorKind::value, op.info->name, std::to_string(promised.size()) + " outputs",
           "it has " + std::to_string(inferred.size()));
    for (size_t k = 0; k < inferred.size(); ++k) {
      checked_numel(inferred[k].shape, size_of(inferred[k].dtype), op.info->name);
      JsonFields fields(promised[k], "outputs");
      const Meta meta = read_meta(fields);
      fields.finish();
      if (meta.dtype != inferred[k].dtype || !same(meta.shape, inferred[k].shape))
        fail(
            ErrorKind::value, op.info->name,
            "output " + std::to_string(k) + " has shape " + to_string(meta.shape) + " and dtype " + name_of(meta.dtype),
            "for these inputs it must have shape " + to_string(inferred[k].shape) + " and dtype " +
                name_of(inferred[k].dtype));
    }
  }

  void check_all_used() const {
    for (const auto& [name, stored] : stored_)
      if (!used_.contains(name))
        fail(ErrorKind::value, "tensor", excerpt(name) + " belongs to no node", "the graph must use every tensor");
  }

  // Nodes that shared a tensor share one again; only those that ask for gradients get one that has them.
  void fill() {
    std::map<const StoredTensor*, std::array<Tensor, 2>> tensors;
    for (size_t i = 0; i < values_.size(); ++i) {
      const auto [stored, requires_grad] = values_[i];
      if (!stored) continue;
      auto& [plain, trained] = tensors[stored];
      if (!plain) plain = file_.read(*stored);
      if (requires_grad && !trained) trained = plain.alias(), trained.requires_grad_();
      graph_.nodes_[i].value = requires_grad ? trained : plain;
    }
  }

  struct LaterValue {
    const StoredTensor* stored = nullptr;
    bool requires_grad = false;
  };
  SafetensorsReader file_;
  std::map<std::string, const StoredTensor*> stored_;
  std::set<std::string> names_, used_;  ///< of nodes; of tensors
  std::vector<LaterValue> values_;      ///< one for each node
  Graph graph_;
};

// Whatever an op would complain about, in a file it is damage: one kind of error.
Graph Graph::load(const std::string& path) {
  try {
    return GraphReader(path).take();
  } catch (const Error& error) {
    const bool is_system = error.kind() == ErrorKind::missing_file || error.kind() == ErrorKind::file;
    throw Error(is_system ? error.kind() : ErrorKind::value, "load: " + path + ": " + error.what());
  }
}

}  // namespace chainrule
