// Every op of the table in one graph, with its gradients: saved, loaded, and run with the same bits.
#include "chainrule/graph/file_values.h"
#include "chainrule/ops/op_rules.h"
#include "files.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

// The inputs that an elementwise op takes are tried in turn: not all take floats.
void add_elementwise(Graph& graph, const OpRow& row, std::span<const Value> candidates, const Value& mask) {
  alignas(8) char attributes[max_attribute_bytes] = {};
  row.construct(attributes);
  for (const Value& x : candidates) {
    std::vector<Ref> inputs(static_cast<size_t>(row.inputs), x.ref);
    if (row.mask_input) inputs[0] = mask.ref;
    try {
      graph.add(row, attributes, inputs);
      return;
    } catch (const Error&) {}
  }
  FAIL("no inputs for ", row.info->name);
}

struct EveryOp {
  Graph graph;
  Value x, square_matrix, mask, index, images;
  std::vector<Tensor> feeds;

  EveryOp() {
    default_generator().manual_seed(3);
    x = graph.input("x", {DType::float64, Shape{2, 3}});
    square_matrix = graph.parameter("square", rand(Shape{1, 3, 3}, DType::float64));
    mask = graph.constant(from_values<uint8_t>(std::vector<uint8_t>{1, 0, 1, 1, 0, 0}, Shape{2, 3}));
    index = graph.constant(from_values<int64_t>(std::vector<int64_t>{1, 0}, Shape{2}));
    images = graph.parameter("images", rand(Shape{1, 2, 5, 6}, DType::float64));
    const Value whole[] = {x, graph.constant(full(Shape{2, 3}, 3, DType::int64)), mask};
    for (const OpRow& row : op_table())
      if (row.elementwise) add_elementwise(graph, row, whole, mask);
    add_views();
    add_reductions();
    add_indexing();
    add_layers();
    feeds = {rand(Shape{2, 3}, DType::float64)};
  }

  template <class Op, class... A>
  void op(const Op& attributes, const A&... inputs) {
    Value::call(attributes, inputs...);
  }
  template <class Op>
  void op_many(const Op& attributes, std::initializer_list<Value> inputs) {
    Value::call_many(attributes, std::span<const Value>(inputs.begin(), inputs.size()));
  }

  void add_views() {
    op(Cast{DType::int32}, x);
    op(Cast{DType::float32}, x);
    op(Clone{}, x);
    op(Detach{}, x);
    op(Reshape{{3, 1, 2}}, x);
    op(Permute{{1, 0}}, x);
    op(Expand{{4, 2, 3}}, x);
    op(Select{1, -1}, x);
    op(Slice{1, 0, 3, 2}, x);
    op(EmbedSlice{1, 2, 2, 7}, x);
  }
  void add_reductions() {
    op(Sum{{1}, true}, x);
    op(Sum{}, x);
    op(Mean{{0, 1}}, x);
    op(Amax{{0}}, x);
    op(Amin{}, x);
    op(Max{1, true}, x);
    op(Min{0}, x);
    op(Argmax{1}, x);
    op(Argmin{0, true}, x);
    op(Var{{1}, 0, true}, x);
    op(Softmax{1}, x);
    op(LogSoftmax{0}, x);
    op(LogSumExp{{1}}, x);
  }
  void add_indexing() {
    const Value at = graph.constant(zeros(Shape{2, 3}, DType::int64));
    op_many(Cat{1}, {x, x, x});
    op(Gather{1}, x, at);
    op(ScatterZeros{0, {4, 3}}, x, at);
    op_many(Index{}, {x, index});
    op_many(IndexZeros{{5, 3}}, {x, index});
    op(Embedding{0}, x, index);
  }
  void add_layers() {
    op(Matmul{}, x, square_matrix);
    const Value weight = graph.parameter("weight", rand(Shape{4, 3}, DType::float64));
    const Value bias = graph.parameter("bias", rand(Shape{4}, DType::float64));
    const Value scale = graph.parameter("scale", rand(Shape{3}, DType::float64));
    op(Linear{}, x, weight, bias);
    const Value kernel = graph.parameter("kernel", rand(Shape{4, 1, 3, 2}, DType::float64));
    const Value y = Value::call(Conv2d{{2, 1}, {1, 0}, {1, 2}, 2}, images, kernel, bias);
    op(Conv2dInput{{5, 6}, {2, 1}, {1, 0}, {1, 2}, 2}, y, kernel);
    op(Conv2dWeight{{3, 2}, {2, 1}, {1, 0}, {1, 2}, 2}, y, images);
    op(MaxPool2d{{2, 3}, {2, 1}, {1, 1}, {1, 1}, true}, images);
    op(CrossEntropy{1, true}, x, index);
    op(MseLoss{}, x, x);
    op(LayerNorm{0.01}, x, scale, scale);
    op(Tril{-1}, x);
    op(ScaledDotProductAttention{true, 0.3}, square_matrix, square_matrix, square_matrix);
  }
};

void check_same_run(const Graph& a, const Graph& b, std::span<const Tensor> feeds) {
  std::vector<Ref> all;
  for (size_t i = 0; i < a.nodes().size(); ++i)
    for (size_t k = 0; k < a.nodes()[i].outputs.size(); ++k) all.push_back({static_cast<int>(i), static_cast<int>(k)});
  const std::vector<Tensor> x = a.run(feeds, all), y = b.run(feeds, all);
  for (size_t i = 0; i < x.size(); ++i) {
    const GraphNode& node = a.nodes()[static_cast<size_t>(all[i].node)];
    CAPTURE((node.op ? node.op->info->name : node.name.c_str()));
    CHECK(bits_of(x[i]) == bits_of(y[i]));
  }
}

}  // namespace

TEST_CASE("every op comes back with its attributes and gives the same bits") {
  const EveryOp every;
  const TemporaryFolder folder;
  every.graph.save(folder.path("g"));
  const Graph loaded = Graph::load(folder.path("g"));
  std::vector<char> seen(op_table().size());
  REQUIRE(loaded.nodes().size() == every.graph.nodes().size());
  for (size_t i = 0; i < loaded.nodes().size(); ++i) {
    const GraphNode &a = every.graph.nodes()[i], &b = loaded.nodes()[i];
    REQUIRE(a.op == b.op);
    if (!a.op) continue;
    seen[static_cast<size_t>(a.op->id)] = 1;
    CHECK(attributes_json(*a.op, a.attributes.data()) == attributes_json(*b.op, b.attributes.data()));
  }
  for (const OpRow& row : op_table()) CHECK_MESSAGE(seen[static_cast<size_t>(row.id)], row.info->name);
  check_same_run(every.graph, loaded, every.feeds);
}

TEST_CASE("the gradients of every op, as nodes, come back and give the same bits") {
  EveryOp every;
  Graph& graph = every.graph;
  std::vector<Ref> outputs;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const GraphNode& node = graph.nodes()[i];
    if (node.op && node.op->vjp && is_floating(node.outputs[0].dtype)) outputs.push_back({static_cast<int>(i), 0});
  }
  REQUIRE(outputs.size() > 60);
  const Ref wrt[] = {every.x.ref, every.images.ref, every.square_matrix.ref};
  int found = 0;
  for (const Ref ref : outputs)
    for (const Value& gradient : graph.differentiate(Value::call(Sum{}, graph.value(ref)).ref, wrt))
      found += gradient.graph != nullptr;
  CHECK(found >= static_cast<int>(outputs.size()));
  const TemporaryFolder folder;
  graph.save(folder.path("g"));
  check_same_run(graph, Graph::load(folder.path("g")), every.feeds);
}
