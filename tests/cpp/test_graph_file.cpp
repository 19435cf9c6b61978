// Graph::save and Graph::load: what is saved comes back, bit by bit, structure and weights, and runs the same.
#include "chainrule/graph/file.h"

#include <sys/resource.h>

#include <bit>
#include <csignal>
#include <cstdlib>
#include <limits>

#include "chainrule/graph/json.h"
#include "chainrule/graph/safetensors.h"
#include "chainrule/ops/op_rules.h"
#include "files.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

std::string saved(const Graph& graph) {
  const TemporaryFolder folder;
  graph.save(folder.path("g"));
  return bytes_in(folder.path("g"));
}
Graph reloaded(const Graph& graph) {
  const TemporaryFolder folder;
  graph.save(folder.path("g"));
  return Graph::load(folder.path("g"));
}

// Everything but values: those are compared as bits.
void check_same_structure(const Graph& a, const Graph& b) {
  REQUIRE(a.nodes().size() == b.nodes().size());
  for (size_t i = 0; i < a.nodes().size(); ++i) {
    const GraphNode &x = a.nodes()[i], &y = b.nodes()[i];
    CAPTURE(i);
    CHECK(x.kind == y.kind);
    CHECK(x.op == y.op);
    CHECK(x.inputs == y.inputs);
    CHECK((x.name == y.name && x.scope == y.scope && x.source == y.source));
    REQUIRE(x.outputs.size() == y.outputs.size());
    for (size_t k = 0; k < x.outputs.size(); ++k) {
      CHECK(x.outputs[k].dtype == y.outputs[k].dtype);
      CHECK(same(x.outputs[k].shape, y.outputs[k].shape));
    }
    REQUIRE(static_cast<bool>(x.value) == static_cast<bool>(y.value));
    if (x.value) CHECK(bits_of(x.value) == bits_of(y.value));
  }
  REQUIRE(a.outputs().size() == b.outputs().size());
  for (size_t k = 0; k < a.outputs().size(); ++k)
    CHECK((a.outputs()[k].name == b.outputs()[k].name && a.outputs()[k].ref == b.outputs()[k].ref));
  CHECK(saved(a) == saved(b));
}

void check_same_values(const Graph& a, const Graph& b, std::span<const Tensor> feeds) {
  std::vector<Ref> all;
  for (size_t i = 0; i < a.nodes().size(); ++i)
    for (size_t k = 0; k < a.nodes()[i].outputs.size(); ++k) all.push_back({static_cast<int>(i), static_cast<int>(k)});
  const GradMode unrecorded(false);
  const std::vector<Tensor> x = a.run(feeds, all), y = b.run(feeds, all);
  for (size_t i = 0; i < x.size(); ++i) {
    CAPTURE(i);
    CHECK(bits_of(x[i]) == bits_of(y[i]));
  }
}

// A model that is trained: x (4, 3) -> linear -> tanh -> linear, mean squared error, gradients of all parameters.
struct Model {
  Graph graph;
  std::vector<Tensor> feeds;

  Model() {
    default_generator().manual_seed(7);
    const Value x = graph.input("x", {DType::float32, Shape{4, 3}});
    const Value target = graph.input("target", {DType::float32, Shape{4, 2}});
    const int net = graph.add_scope({"net", "Sequential"}), first = graph.add_scope({"net.0", "Linear", net});
    std::vector<Value> p;
    for (auto [name, shape] : {std::pair{"net.0.weight", Shape{5, 3}},
                               {"net.0.bias", Shape{5}},
                               {"net.2.weight", Shape{2, 5}},
                               {"net.2.bias", Shape{2}}})
      p.push_back(graph.parameter(name, Tensor(randn(shape).requires_grad_())));
    const Value hidden = Value::call(Linear{}, x, p[0], p[1]);
    graph.annotate(hidden.ref.node, "hidden", first, "train.py:12");
    const Value loss = Value::call(MseLoss{}, Value::call(Linear{}, tanh(hidden), p[2], p[3]), target);
    const Value mean = Value::call(Mean{}, loss);
    graph.add_output("loss", mean.ref);
    std::vector<Ref> wrt;
    for (const Value& parameter : p) wrt.push_back(parameter.ref);
    const std::vector<Value> gradients = graph.differentiate(mean.ref, wrt);
    for (size_t k = 0; k < p.size(); ++k) graph.add_output("d" + std::to_string(k), gradients[k].ref);
    feeds = {randn(Shape{4, 3}), randn(Shape{4, 2})};
  }
};

}  // namespace

TEST_CASE("a model comes back and runs forward and backward with the same bits") {
  const Model model;
  const Graph loaded = reloaded(model.graph);
  check_same_structure(model.graph, loaded);
  check_same_values(model.graph, loaded, model.feeds);
  CHECK(loaded.scopes().size() == 2);
  Graph again = loaded, original = model.graph;  // a loaded graph is differentiated like any other
  const Ref weight[] = {{4, 0}};
  CHECK(again.differentiate(again.outputs()[0].ref, weight)[0].ref ==
        original.differentiate(original.outputs()[0].ref, weight)[0].ref);
  check_same_structure(original, again);
  check_same_values(original, again, model.feeds);
  CHECK(loaded.scopes()[1].path == "net.0");
  CHECK(loaded.scopes()[1].type == "Linear");
  CHECK(loaded.scopes()[1].parent == 0);
  for (const GraphNode& node : loaded.nodes()) {
    if (node.kind != NodeKind::parameter) continue;
    CHECK(node.value.requires_grad());
    CHECK(node.value.is_leaf());
  }
}

TEST_CASE("other tools read the weights by name; tests/test_graph_file.py does") {
  const Model model;
  const TemporaryFolder folder;
  const char* asked = std::getenv("CHAINRULE_GRAPH_FILE");
  const std::string path = asked ? asked : folder.path("model.crg");
  model.graph.save(path);
  const SafetensorsReader reader(path);
  std::vector<std::string> names;
  for (const StoredTensor& stored : reader.tensors()) names.push_back(stored.name);
  for (const char* name : {"net.0.bias", "net.0.weight", "net.2.bias", "net.2.weight"})
    CHECK(std::ranges::find(names, name) != names.end());
}

TEST_CASE("the same graph gives the same bytes") {
  CHECK(saved(Model().graph) == saved(Model().graph));
  CHECK(saved(Graph()) == saved(reloaded(Graph())));
}

TEST_CASE("an unknown batch size stays unknown") {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, Shape{unknown_size, 4}});
  const Value flat = Value::call(Reshape{Shape{unknown_size * 4}}, x);
  const Value cut = Value::call(Slice{0, 0, unknown_size * 4 - 1, 1}, flat);
  Value::call(EmbedSlice{0, 1, 1, 4 * unknown_size}, cut);
  const Graph loaded = reloaded(graph);
  check_same_structure(graph, loaded);
  CHECK(to_string(loaded.meta(cut.ref).shape) == "(4*N - 1,)");
}

TEST_CASE("every dtype and every number keeps its bits") {
  Graph graph;
  for (float value : {1 / 3.f, -0.f, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max(),
                      std::numeric_limits<float>::infinity(), std::bit_cast<float>(0x7FC12345u)})
    graph.constant(floats({value}, Shape{}));
  for (double value : {1 / 3., -0., std::numeric_limits<double>::denorm_min(), -std::numeric_limits<double>::max(),
                       -std::numeric_limits<double>::infinity(), std::bit_cast<double>(0xFFF800000000BEEFull), 2.0})
    graph.constant(doubles({value}, Shape{}));
  using Limits = std::numeric_limits<int64_t>;
  for (int64_t value : {Limits::min(), Limits::max(), (int64_t{1} << 53) + 1, int64_t{0}})
    graph.constant(from_values<int64_t>(std::vector{value}, Shape{}));
  graph.constant(from_values<int32_t>(std::vector{std::numeric_limits<int32_t>::min()}, Shape{}));
  graph.constant(from_values<uint8_t>(std::vector<uint8_t>{1}, Shape{}));
  graph.parameter("mask", from_values<uint8_t>(std::vector<uint8_t>{1, 0, 1}, Shape{3}));
  graph.parameter("nothing", zeros(Shape{0, 3}));
  graph.parameter("scalar", scalar(2.5));
  graph.parameter("wide", from_values<int64_t>(std::vector<int64_t>{Limits::min(), 3}, Shape{2, 1}));
  check_same_structure(graph, reloaded(graph));
}

TEST_CASE("every number in an attribute keeps its bits") {
  for (double bound : {1 / 3., -0., 5e-324, std::numeric_limits<double>::infinity(),
                       std::bit_cast<double>(0x7FF800000000BEEFull), std::numeric_limits<double>::quiet_NaN()}) {
    Graph graph;
    const Value x = graph.input("x", {DType::float64, Shape{2}});
    Value::call(Clamp{-std::numeric_limits<double>::infinity(), bound}, x);
    const Graph loaded = reloaded(graph);
    Clamp clamp;
    std::memcpy(&clamp, loaded.nodes()[1].attributes.data(), sizeof clamp);
    CHECK(clamp.min == -std::numeric_limits<double>::infinity());
    CHECK(std::bit_cast<uint64_t>(clamp.max) == std::bit_cast<uint64_t>(bound));
  }
  for (int64_t stop : {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(), int64_t{1} << 62,
                       unknown_size - 1, -unknown_size, int64_t{1} << 40}) {
    Graph graph;
    Value::call(Slice{0, 0, stop, 1}, graph.input("x", {DType::float64, Shape{2}}));
    const Graph loaded = reloaded(graph);
    Slice slice;
    std::memcpy(&slice, loaded.nodes()[1].attributes.data(), sizeof slice);
    CHECK(slice.stop == stop);
  }
}

TEST_CASE("a parameter with two names is stored once and shared again") {
  Graph graph;
  const Tensor weight = randn(Shape{100, 100});
  const Value a = graph.parameter("encoder.weight", weight), b = graph.parameter("decoder.weight", weight.alias());
  graph.constant(weight);
  graph.add_output("y", (a * b).ref);
  CHECK(saved(graph).size() < 100 * 100 * 4 + 2000);
  const Graph loaded = reloaded(graph);
  check_same_structure(graph, loaded);
  CHECK(loaded.nodes()[0].value.data() == loaded.nodes()[1].value.data());
  CHECK(loaded.nodes()[0].value.data() == loaded.nodes()[2].value.data());
}

TEST_CASE("views are written as their values") {
  Graph graph;
  const Tensor base = randn(Shape{4, 6});
  graph.parameter("transposed", transposed(base));
  graph.parameter("repeated", base.view(Shape{3, 6}, Shape{0, 1}, 6));
  graph.parameter("backwards", base.view(Shape{6}, Shape{-1}, 5));
  const Graph loaded = reloaded(graph);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(bits_of(loaded.nodes()[i].value) == bits_of(graph.nodes()[i].value));
    CHECK(loaded.nodes()[i].value.is_contiguous());
  }
}

TEST_CASE("any text may be a name") {
  Graph graph;
  for (const char* name :
       {"__metadata__", "constant.8", "with space", "\"quoted\" \\ \n\x01", "ünïcode 🎓", "a/b", "<b>"})
    graph.parameter(name, ones(Shape{2}));
  graph.parameter("", ones(Shape{3}));
  graph.constant(ones(Shape{4}));
  graph.add_output("<&> \"\\", {0, 0});
  graph.add_output("", {1, 0});
  check_same_structure(graph, reloaded(graph));
  graph.parameter("a/b", ones(Shape{1}));
  CHECK(contains(message_of([&] { saved(graph); }, ErrorKind::graph), "node 9: its name is \"a/b\"; names must be"));
  Graph bad;
  bad.parameter("caf\xE9", ones(Shape{1}));
  CHECK(contains(message_of([&] { saved(bad); }, ErrorKind::value), "it must be UTF-8"));
}

TEST_CASE("a save that fails destroys nothing") {
  const Model model;
  const TemporaryFolder folder;
  CHECK(message_of([&] { model.graph.save(folder.path("no/file")); }, ErrorKind::missing_file)
            .starts_with("save: " + folder.path("no/file") + ": No such file or directory; it must name a file"));
  std::filesystem::create_directory(folder.path("taken"));
  CHECK(contains(message_of([&] { model.graph.save(folder.path("taken")); }, ErrorKind::file), "Is a directory"));

  const std::string path = folder.path("model.crg");
  Graph small;
  small.constant(scalar(1));
  small.save(path);
  const std::string before = bytes_in(path);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit little{1000, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // the write then fails, as on a full disk
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &little) == 0);
  const std::string message = message_of([&] { model.graph.save(path); }, ErrorKind::file);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  CHECK(contains(message, "File too large"));
  CHECK(bytes_in(path) == before);
  CHECK(folder.entries() == 2);
}

TEST_CASE("what was loaded is its own") {
  const TemporaryFolder folder;
  const std::string path = folder.path("model.crg");
  Model().graph.save(path);
  const Graph first = Graph::load(path), second = Graph::load(path);
  const Tensor &a = first.nodes()[2].value, &b = second.nodes()[2].value;
  std::filesystem::remove(path);
  a.data<float>()[0] += 1;
  CHECK(a.data<float>()[0] != b.data<float>()[0]);
}

TEST_CASE("the example of FORMAT.md is a file that loads, written by hand; so is one with a default for its input") {
  const std::string page = bytes_in(CHAINRULE_FOLDER "/csrc/chainrule/graph/FORMAT.md");
  const std::string opening = "\"chainrule.graph\": ", closing = "\n    }\n  },\n";
  const size_t begin = page.find(opening) + opening.size(), end = page.find(closing, begin);
  REQUIRE(end != std::string::npos);
  const std::string text = page.substr(begin, end - begin) + "}";
  const auto file_with = [](const std::string& graph) {
    const std::string metadata = "{\"__metadata__\":{\"chainrule.graph\":" + json_string(graph) + "}";
    return file_of(metadata + ",\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                   std::string("\0\0\xC0\x3F", 4));
  };
  const TemporaryFolder temporary;
  const std::string path = temporary.path("example");
  write_bytes(path, file_with(text));
  const Graph graph = Graph::load(path);
  CHECK(to_string(graph.meta(graph.outputs()[0].ref).shape) == "(N,)");
  CHECK(values_of(graph.nodes()[1].value) == std::vector<double>{1.5});

  const std::string with_default =
      "{\"version\":1,\"nodes\":[{\"kind\":\"input\",\"dtype\":\"float32\",\"shape\":[1],\"tensor\":\"w\",\"name\":\"x\"}],"
      "\"scopes\":[],\"outputs\":{}}";
  write_bytes(path, file_with(with_default));
  const Graph other = Graph::load(path);
  CHECK(values_of(other.nodes()[0].value) == std::vector<double>{1.5});
  CHECK(contains(saved(other), "\\\"tensor\\\":\\\"x\\\""));
}
