// graph.h - the graph as data: nodes of (op, attributes, inputs) that can be built, run and differentiated. Floor:
// graph. The vocabulary is that of eager execution, and so are the shape rules and the gradient rules: Value is the T
// that records a formula as nodes. Nodes stand in topological order: an input's number is smaller than its consumer's.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "chainrule/ops/op_table.h"

namespace chainrule {

class Graph;

/// One output of one node.
struct Ref {
  int node = -1;
  int output = 0;
  bool operator==(const Ref&) const = default;
};

/// A node's output, as the T of a formula: calling an op on Values adds a node.
struct Value {
  using symbolic = void;
  using Mask = Value;

  Graph* graph = nullptr;
  Ref ref;

  Shape shape() const;  ///< a copy: the nodes move as the graph grows
  DType dtype() const;
  Value constant(Number number) const;
  template <class Op, class... A>
  static Value call(const Op& op, const A&... inputs) {
    const Value list[] = {inputs...};
    return call_id(id_of<Op>, &op, list);
  }
  template <class Op>
  static Value call_many(const Op& op, std::span<const Value> inputs) {
    return call_id(id_of<Op>, &op, inputs);
  }
  static Value call_id(int id, const void* op, std::span<const Value> inputs);
};

enum class NodeKind : uint8_t {
  input,      ///< fed at each run; its value, if it has one, is taken when nothing is fed
  parameter,  ///< a tensor the graph shares with its owner: changing one changes the other
  constant,
  op,
};

struct GraphNode {
  NodeKind kind = NodeKind::op;
  const OpRow* op = nullptr;  ///< null unless kind is op
  alignas(8) std::array<char, max_attribute_bytes> attributes{};
  std::vector<Ref> inputs;
  std::vector<Meta> outputs;
  std::string name;    ///< unique in the graph; empty where nobody gave one
  Tensor value;        ///< of a parameter, a constant, an input with a default
  std::optional<int64_t> size;  ///< of a constant that depends on the unknown size, in place of its value
  int scope = -1;      ///< the module call that made it: a place in Graph::scopes
  std::string source;  ///< the user's line that made it, "train.py:12"; empty where it was not recorded
  uint32_t version = 0;  ///< of the value's memory when the graph was taken
  /// Of an input or constant whose value was computed off the tape from tensors that the graph may change: the op that
  /// computed it. The value is right for those that the graph was taken with. Note [Unrecorded results].
  std::string frozen_by;
};

/// A call of a module.
struct GraphScope {
  std::string path;  ///< "net.0"
  std::string type;  ///< "Linear"
  int parent = -1;  ///< the call around it, an earlier place in Graph::scopes
};

struct GraphOutput {
  std::string name;
  Ref ref;
};

class Graph {
 public:
  Value input(std::string name, const Meta& meta);
  Value parameter(std::string name, const Tensor& value);
  Value constant(const Tensor& value);
  /// A 0-d constant; it may depend on the unknown size.
  Value constant(DType dtype, Number number);
  /// Adds a node; shapes and dtypes are inferred, so a mismatch fails here, before any value exists.
  Ref add(const OpRow& op, const void* attributes, std::vector<Ref> inputs);

  void add_output(std::string name, Ref ref);  ///< fails when there is one of that name
  int add_scope(GraphScope scope);  ///< its place in scopes()
  /// What a node is beside its op: `scope` is a place in scopes(), or -1.
  void annotate(int node, std::string name, int scope = -1, std::string source = {});
  GraphNode& node(int i) { return nodes_[static_cast<size_t>(i)]; }  ///< to set its name or value

  const std::vector<GraphNode>& nodes() const { return nodes_; }
  const std::vector<GraphScope>& scopes() const { return scopes_; }
  const std::vector<GraphOutput>& outputs() const { return outputs_; }
  const Meta& meta(Ref ref) const;
  Value value(Ref ref) { return {this, ref}; }

  /// The same graph where the unknown size is n; its nodes keep their numbers.
  Graph at_size(int64_t n) const;
  bool has_unknown_size() const;

  /// The values of `outputs` for these inputs, in the order in which the inputs were made.
  std::vector<Tensor> run(std::span<const Tensor> inputs, std::span<const Ref> outputs) const;
  /// Adds the nodes of d(of)/d(wrt) and returns them; an empty Value where `of` does not depend on wrt.
  std::vector<Value> differentiate(Ref of, std::span<const Ref> wrt);
  /// A graph of these gradients as its outputs, by name, with the same inputs. Fails where there is no gradient.
  Graph gradients(Ref of, std::span<const Ref> wrt, std::span<const std::string> names) const;

  void save(const std::string& path) const;  ///< graph/file.h
  static Graph load(const std::string& path);  ///< graph/file.h

 private:
  friend class GraphReader;
  std::vector<char> depends_on(std::span<const Ref> roots, int last) const;
  Graph without_unused() const;

  std::vector<GraphNode> nodes_;
  std::vector<GraphScope> scopes_;
  std::vector<GraphOutput> outputs_;
};

}  // namespace chainrule
