// Graph::load on files that are damaged, hostile or from the future: one clear error each, never a crash, and no memory
// beyond the file's own size.
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <random>

#include "chainrule/core/allocator.h"
#include "chainrule/ops/op_rules.h"
#include "files.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

// A graph with every kind of node and of attribute: "h" is linear(x, w, b).
std::string valid_file(bool with_unknown_batch = true) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, Shape{2, 3}});
  const Value w = graph.parameter("w", Tensor(full(Shape{4, 3}, 0.5, DType::float32).requires_grad_()));
  const Value b = graph.parameter("b", zeros(Shape{4}));
  const Value h = Value::call(Linear{}, x, w, b);
  graph.annotate(h.ref.node, "h", graph.add_scope({"net.0", "Linear"}), "train.py:3");
  graph.add_scope({"net.0.inner", "ReLU", 0});
  const Value clamped = Value::call(Clamp{-1, 7}, h * 2);
  const Value flat = Value::call(Reshape{{4, 2}}, clamped);
  const Value largest = Value::call(Max{1, true}, flat);
  const Value wide = Value::call(Cast{DType::float64}, largest);
  Value::call(MaxPool2d{{1, 2}, {1, 1}, {0, 0}, {1, 1}, false}, Value::call(Reshape{{1, 2, 4}}, h));
  graph.constant(from_values<uint8_t>(std::vector<uint8_t>{1, 0}, Shape{2}));
  if (with_unknown_batch) graph.input("batch", {DType::int64, Shape{unknown_size, 5}});
  graph.add_output("y", wide.ref);
  graph.add_output("where", {largest.ref.node, 1});
  const TemporaryFolder folder;
  graph.save(folder.path("g"));
  return bytes_in(folder.path("g"));
}

struct Flaw {
  const char* from;
  const char* to;
  const char* error;
};

void check_flaws(std::initializer_list<Flaw> flaws, std::string (*edit)(const std::string&, std::string, std::string)) {
  const std::string file = valid_file();
  for (const Flaw& flaw : flaws) {
    const std::string error = complaint(edit(file, flaw.from, flaw.to));
    CAPTURE(flaw.from);
    CAPTURE(flaw.to);
    CAPTURE(error);
    CHECK(contains(error, flaw.error));
    CHECK(contains(error, "; "));
  }
}
std::string edit_header(const std::string& file, std::string from, std::string to) { return edited(file, from, to); }

}  // namespace

TEST_CASE("the file that the flaws are built from is good") { CHECK(complaint(valid_file()).empty()); }

TEST_CASE("a flaw in a node is named") {
  check_flaws(
      {
          {"\"op\":\"linear\"", "\"op\":\"linaer\"",
           "node 3: op: 'linaer'; it must be the name of an op of chainrule; the nearest is 'linear'"},
          {"\"op\":\"linear\"", "\"op\":7", "node 3: op: it is 7; it must be a string"},
          {"\"op\":\"linear\",", "", "node 3: node: there is no \"op\""},
          {"\"kind\":\"op\"", "\"kind\":\"code\"", "it must be input, parameter, constant or op"},
          {"\"kind\":\"input\"", "\"kind\":\"constant\"", "node 0: node: it has no tensor"},
          {"\"kind\":\"input\"", "\"kind\":\"input\",\"code\":\"import os\"",
           "\"code\" is there; nothing of that name"},
          {"[[0,0],[1,0],[2,0]]", "[[0,0],[1,0]]", "node 3: linear: 2 inputs; it takes 3"},
          {"[[0,0],[1,0],[2,0]]", "[[0,0],[1,0],[2,0],[0,0]]", "4 inputs; it takes 3"},
          {"[[0,0],[1,0],[2,0]]", "[[0,0],[1,0],[3,0]]",
           "input 2: it is [3, 0]; it must name a node that comes before; there are 3"},
          {"[[0,0],[1,0],[2,0]]", "[[0,0],[1,0],[9,0]]", "it must name a node that comes before"},
          {"[[0,0],[1,0],[2,0]]", "[[-1,0],[1,0],[2,0]]", "it must name a node that comes before"},
          {"[[0,0],[1,0],[2,0]]", "[[0,1],[1,0],[2,0]]", "input 0: it is [0, 1]; that node has 1 outputs"},
          {"[[0,0],[1,0],[2,0]]", "[[0,-1],[1,0],[2,0]]", "that node has 1 outputs"},
          {"[[0,0],[1,0],[2,0]]", "[[0],[1,0],[2,0]]", "it must have two"},
          {"[[0,0],[1,0],[2,0]]", "[0,1,2]", "it must be an array"},
          {"[[0,0],[1,0],[2,0]]", "[[0,0],[0,0],[2,0]]", "node 3: linear: "},
          {"[[0,0],[1,0],[2,0]]", "[[4294967296,0],[1,0],[2,0]]", "it must name a node that comes before"},
          {"\"shape\":[2,4]", "\"shape\":[2,5]",
           "output 0 has shape (2, 5) and dtype float32; for these inputs it must have shape (2, 4)"},
          {"{\"dtype\":\"float32\",\"shape\":[2,4]}", "{\"dtype\":\"float64\",\"shape\":[2,4]}",
           "node 3: linear: output 0 has shape (2, 4) and dtype float64"},
          {"[{\"dtype\":\"float32\",\"shape\":[2,4]}]", "[]", "0 outputs; it has 1"},
          {"\"name\":\"h\"", "\"name\":\"x\"", "node 3: name: it is \"x\"; names must be unique"},
          {"\"name\":\"h\"", "\"name\":\"h\",\"name\":\"h\"", "the key \"name\" stands twice"},
          {"\"scope\":0", "\"scope\":2", "scope: it is 2; it must be the place of an earlier scope; there are 2"},
          {"\"scope\":0", "\"scope\":-1", "scope: it is -1"},
          {"\"source\":\"train.py:3\"", "\"source\":3", "source: it is 3; it must be a string"},
          {"\"value\":2", "\"value\":\"2\"", "value: it is \"2\"; it must be a number"},
          {"\"value\":2", "\"value\":1e39", "value: it is 1e39; it must be a number within the range"},
          {"\"dtype\":\"float32\",\"shape\":[],\"value\":2", "\"dtype\":\"float32\",\"shape\":[1],\"value\":2",
           "value: it is one number, the shape is (1,)"},
          {"\"dtype\":\"float32\",\"shape\":[],\"value\":2", "\"dtype\":\"int32\",\"shape\":[],\"value\":2147483648",
           "it must fit in 32 bits"},
          {"\"dtype\":\"float32\",\"shape\":[],\"value\":2", "\"dtype\":\"float64\",\"shape\":[],\"value\":2",
           "inputs of several dtypes"},
      },
      edited_graph);
}

TEST_CASE("a flaw in an attribute is named") {
  check_flaws(
      {
          {"{\"min\":-1,\"max\":7}", "{\"min\":-1}", "attributes of clamp: there is no \"max\""},
          {"{\"min\":-1,\"max\":7}", "{\"min\":-1,\"max\":7,\"step\":1}", "attributes of clamp: \"step\" is there"},
          {"{\"min\":-1,\"max\":7}", "{\"min\":-1,\"max\":7,\"max\":7}", "stands twice"},
          {"{\"min\":-1,\"max\":7}", "[-1,7]", "it is an array; it must be an object"},
          {",\"attributes\":{\"min\":-1,\"max\":7}", "", "there is no \"attributes\""},
          {"\"max\":7", "\"max\":true", "attribute max: it is true; it must be a number"},
          {"\"max\":7", "\"max\":\"nan\"", "it must be a number, \"inf\""},
          {"\"max\":7", "\"max\":\"nan:0\"", "it must be a number, \"inf\""},
          {"\"max\":7", "\"max\":\"nan:7ff8000000000000z\"", "it must be a number, \"inf\""},
          {"\"max\":7", "\"max\":1e999", "within the range of its dtype"},
          {"\"max\":7", "\"max\":NaN", "it must be JSON"},
          {"\"dim\":1", "\"dim\":1.5", "attribute dim: it is 1.5; it must be an integer"},
          {"\"dim\":1", "\"dim\":7", "max: dim 7 of a tensor with 2 dimensions"},
          {"\"dim\":1", "\"dim\":9223372036854775808", "fits in 64 bits"},
          {"\"dim\":1", "\"dim\":\"1\"", "attribute dim: it is \"1\"; it must be a number"},
          {"\"keepdim\":true", "\"keepdim\":1", "attribute keepdim: it is 1; it must be a boolean"},
          {"\"attributes\":{\"dtype\":\"float64\"}", "\"attributes\":{\"dtype\":\"float16\"}",
           "attribute dtype: it is \"float16\"; it must be one of float32"},
          {"\"attributes\":{\"shape\":[4,2]}", "\"attributes\":{\"shape\":[4,3]}",
           "reshape: x has shape (2, 4) (8 elements)"},
          {"\"attributes\":{\"shape\":[4,2]}", "\"attributes\":{\"shape\":[-4,-2]}", "sizes must not be negative"},
          {"\"attributes\":{\"shape\":[4,2]}", "\"attributes\":{\"shape\":[1,1,1,1,1,1,1,4,2]}",
           "there may be at most 8"},
          {"\"attributes\":{\"shape\":[4,2]}", "\"attributes\":{\"shape\":4}", "it must be an array"},
          {"\"attributes\":{\"shape\":[4,2]}", "\"attributes\":{\"shape\":[4,{\"N\":1}]}", "there is no \"plus\""},
          {"\"kernel_size\":[1,2]", "\"kernel_size\":[1]", "attribute kernel_size: it has 1 numbers; it must have two"},
          {"\"kernel_size\":[1,2]", "\"kernel_size\":[1,0]", "max_pool2d: kernel_size is (1, 0)"},
          {"\"kernel_size\":[1,2]", "\"kernel_size\":[1,9223372036854775807]", "fit in 32 bits"},
          {"{\"N\":1,\"plus\":0}", "{\"N\":0,\"plus\":5}", "N must have a factor other than 0"},
          {"{\"N\":1,\"plus\":0}", "{\"N\":4611686018427387904,\"plus\":0}", "N must have a factor"},
          {"{\"N\":1,\"plus\":0}", "{\"N\":1,\"plus\":66600000013}", "N must have a factor"},
          {"{\"N\":1,\"plus\":0}", "{\"N\":-1,\"plus\":0}", "sizes must not be negative"},
          {"{\"N\":1,\"plus\":0},5", "{\"N\":1,\"plus\":0},4611686018427387904", "must fit in a signed 64-bit integer"},
      },
      edited_graph);
}

TEST_CASE("no attribute makes a shape rule overflow") {
  constexpr int64_t most = std::numeric_limits<int64_t>::max(), least = std::numeric_limits<int64_t>::min();
  Graph graph;
  const Value x = graph.input("x", {DType::float32, Shape{3, 4}}),
              empty = graph.input("empty", {DType::float32, Shape{0}});
  const Value gy = graph.input("gy", {DType::float32, Shape{1, 4, 2, 2}});
  const Value weight = graph.input("weight", {DType::float32, Shape{4, 3, 2, 2}});
  CHECK_THROWS_AS(Value::call(EmbedSlice{0, 1, most, 5}, x), Error);
  CHECK_THROWS_AS(Value::call(EmbedSlice{0, most, 1, 5}, x), Error);
  CHECK_THROWS_AS(Value::call(EmbedSlice{0, most, 1, 5}, empty), Error);
  CHECK_THROWS_AS(Value::call(Conv2dInput{{3, 3}, {}, {0, 0}, {}, most}, gy, weight), Error);
  CHECK_THROWS_AS(Value::call(Select{0, least}, x), Error);
  CHECK(Value::call(Slice{0, least, most, most}, x).shape() == Shape{1, 4});
  const Value wide = graph.input("wide", {DType::boolean, Shape{most}});
  const Value both[] = {wide, wide};
  CHECK_THROWS_AS(Value::call_many(Cat{0}, std::span<const Value>(both)), Error);
  const Tensor t = floats({1, 2}, Shape{2});
  CHECK(values_of(Tensor::call(Var{{0}, least, false}, t))[0] == doctest::Approx(0));
}

TEST_CASE("a flaw in the whole is named") {
  check_flaws(
      {
          {"\"version\":1", "\"version\":2",
           "version: it is 2; this chainrule reads version 1; the file is newer: update chainrule"},
          {"\"version\":1", "\"version\":0", "version: it is 0"},
          {"\"version\":1", "\"version\":\"1\"", "it must be a number"},
          {"\"version\":1,", "", "there is no \"version\""},
          {"\"version\":1", "\"version\":1,\"code\":0", "\"code\" is there"},
          {"\"y\":[", "\"y\":[0,", "output \"y\": it has 3 numbers"},
          {"\"y\":[9,0]", "\"y\":[9,1]", "output \"y\": it is [9, 1]; that node has 1 outputs"},
          {"\"y\":[9,0]", "\"y\":[99,0]", "output \"y\": it is [99, 0]; it must name a node"},
          {"\"y\":", "\"where\":", "the key \"where\" stands twice"},
          {"\"parent\":null", "\"parent\":0", "scope 0: parent: it is 0; it must be the place of an earlier scope"},
          {"\"parent\":0", "\"parent\":1", "scope 1: parent: it is 1"},
          {"\"tensor\":\"w\"", "\"tensor\":\"v\"", "node 1: tensor: \"v\" is not in the file"},
          {"\"tensor\":\"w\"", "\"tensor\":\"b\"",
           "node 1: tensor: \"b\" has shape (4,) and dtype float32; the node needs shape (4, 3)"},
          {",\"tensor\":\"w\"", "", "node 1: node: it has no tensor"},
          {"\"requires_grad\":true", "\"requires_grad\":\"yes\"", "it must be a boolean"},
      },
      edited_graph);
  const std::string file = valid_file();
  CHECK(contains(complaint(file_of("{\"__metadata__\":{\"format\":\"pt\"}}")), "metadata: no \"chainrule.graph\""));
  CHECK(contains(complaint(file_of("{}")), "metadata: no \"chainrule.graph\""));
  CHECK(contains(complaint(file_of("{\"__metadata__\":{\"chainrule.graph\":\"[]\"}}")), "it must be an object"));
  CHECK(contains(complaint(file_of("{\"__metadata__\":{\"chainrule.graph\":\"{\"}}")), "it must be JSON"));
  CHECK(contains(complaint(file_of("{\"__metadata__\":{\"chainrule.graph\":1}}")), "it must be a string"));
  const std::string deep(100'000, '[');
  CHECK(
      contains(complaint(file_of("{\"__metadata__\":{\"chainrule.graph\":\"" + deep + "\"}}")), "more than 32 levels"));
  CHECK(contains(complaint(edited_graph(file, "\"op\":\"linear\"", "\"op\":\"" + std::string(100'000, 'a') + "\"")),
                 "aaa..."));
}

TEST_CASE("a flaw in the tensors is named") {
  check_flaws(
      {
          {"\"w\":{\"dtype\":\"F32\"", "\"w\":{\"dtype\":\"F16\"",
           "tensor \"w\": dtype \"F16\"; it must be one of F32, F64"},
          {"\"w\":{\"dtype\":\"F32\",\"shape\":[4,3]", "\"w\":{\"dtype\":\"I32\",\"shape\":[4,3]",
           "\"w\" has shape (4, 3) and dtype int32; the node needs"},
          {"\"w\":{\"dtype\":\"F32\",\"shape\":[4,3]", "\"w\":{\"dtype\":\"F32\",\"shape\":[3,4]",
           "\"w\" has shape (3, 4) and dtype float32; the node needs"},
          {"\"w\":{\"dtype\":\"F32\",\"shape\":[4,3]", "\"w\":{\"dtype\":\"F32\",\"shape\":[4,4]",
           "for its dtype and shape there must be 64 bytes"},
          {"\"w\":{\"dtype\":\"F32\",\"shape\":[4,3]", "\"w\":{\"dtype\":\"F32\",\"shape\":[-4,-3]",
           "sizes must not be negative"},
          {"\"w\":{\"dtype\":\"F32\",\"shape\":[4,3]", "\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296]",
           "must fit in a signed 64-bit"},
          {"\"w\":{\"dtype\":\"F32\",\"shape\":[4,3]", "\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,4,3]",
           "at most 8"},
          {"[16,64]", "[64,16]", "data_offsets from 64 to 16"},
          {"[16,64]", "[-16,32]", "data_offsets from -16"},
          {"[16,64]", "[0,48]", "it must begin where the one before ends"},
          {"[16,64]", "[20,68]", "it must begin where the one before ends, at 16"},
          {"[16,64]", "[1000000016,1000000064]", "it must begin where the one before ends"},
          {"[16,64]", "[16]", "there must be two, begin and end"},
          {"[16,64]", "[16,64.0]", "it must be an integer"},
          {"\"w\":{", "\"w\":{\"code\":1,", "\"code\" is there"},
          {"\"w\":{", "\"b\":{", "the key \"b\" stands twice"},
          {"\"w\":{", "\"v\":{", "\"w\" is not in the file"},
          {"\"w\":{\"dtype\":\"F32\",\"shape\":[4,3],\"data_offsets\":[16,64]}", "\"w\":[]", "it must be an object"},
          {"[16,64]}", "[16,64]},\"surplus\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[64,64]}",
           "\"surplus\" belongs to no node"},
      },
      edit_header);
  std::string file = valid_file();
  file.back() = 2;  // of the bools, which stand last
  CHECK(contains(complaint(file), "bytes other than 0 and 1; its dtype is BOOL"));
}

TEST_CASE("every truncation and every addition is noticed") {
  const std::string file = valid_file();
  for (size_t length = 0; length < file.size(); length += 3) CHECK(!complaint(file.substr(0, length)).empty());
  CHECK(contains(complaint(file.substr(0, file.size() - 1)), "is the file truncated?"));
  CHECK(contains(complaint(file + '\0'), "bytes after the header"));
}

TEST_CASE("a header that is no header") {
  const auto with_length = [](uint64_t length, const std::string& rest) {
    return std::string(reinterpret_cast<const char*>(&length), 8) + rest;
  };
  for (uint64_t length : {uint64_t{1} << 63, ~uint64_t{0}, uint64_t{1000}, uint64_t{100'000'001}})
    CHECK(contains(complaint(with_length(length, "{}")), "it must end within the file"));
  for (const char* text : {"", "this is no JSON", "[]", "{\"\xFF\": 1}", "{} {}", "null"})
    CHECK(contains(complaint(file_of(text)), "header"));
  CHECK(contains(complaint("PK\x03\x04" + std::string(100, 'x')), "is the file truncated, or of another format?"));
}

TEST_CASE("what is no file") {
  const TemporaryFolder folder;
  const auto error = [](const std::string& path, ErrorKind kind) {
    return message_of([&] { Graph::load(path); }, kind);
  };
  CHECK(error(folder.path("nowhere"), ErrorKind::missing_file) ==
        "load: " + folder.path("nowhere") + ": No such file or directory; it must be a file that can be read");
  CHECK(contains(error(folder.path(""), ErrorKind::file), "Is a directory; it must be a file"));
  CHECK(contains(error("", ErrorKind::missing_file), "No such file"));
  CHECK(contains(error("/dev/null", ErrorKind::file), "not a regular file"));
  REQUIRE(::mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK(contains(error(folder.path("pipe"), ErrorKind::file), "not a regular file"));
}

TEST_CASE("a file that promises much gets no memory for it") {
  const std::string file = valid_file();
  const int64_t before = memory_stats().bytes_in_use;
  reset_peak_memory_stats();
  CHECK(!complaint(edited(file, "\"shape\":[4,3],\"data_offsets\":[16,64]",
                          "\"shape\":[4000000,3000],\"data_offsets\":[16,48000000016]"))
             .empty());
  CHECK(!complaint(edited_graph(file, "\"shape\":[2,3]", "\"shape\":[2000000,3000000]")).empty());
  CHECK(memory_stats().peak_bytes_in_use - before < 1 << 20);
}

namespace {

// A few bytes changed: to any, to those that mean something in JSON, by one bit, or by swapping two; or the end cut
// off.
std::string damaged(std::string file, std::mt19937& random) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  constexpr std::string_view telling = "{}[],:\"\\0123456789-.eNtfu ";
  if (below(20) == 0) return file.substr(0, below(file.size()));
  for (size_t changes = 1 + below(3); changes > 0; --changes) {
    char& byte = file[below(file.size())];
    switch (below(5)) {
      case 0: byte = static_cast<char>(below(256)); break;
      case 1: byte = telling[below(telling.size())]; break;
      case 2: byte = static_cast<char>(byte ^ (1 << below(8))); break;
      case 3: byte = std::isdigit(static_cast<unsigned char>(byte)) ? static_cast<char>('0' + below(10)) : byte; break;
      default: std::swap(byte, file[below(file.size())]);
    }
  }
  return file;
}

// Runs it on zeros, unless its inputs are large or unknown.
void run_on_zeros(const Graph& graph) {
  std::vector<Tensor> feeds;
  std::vector<Ref> wanted;
  for (const GraphNode& node : graph.nodes()) {
    if (node.kind == NodeKind::input && (!is_known(node.outputs[0].shape) || numel_of(node.outputs[0].shape) > 10'000))
      return;
    if (node.kind == NodeKind::input) feeds.push_back(Tensor::zeros(node.outputs[0].dtype, node.outputs[0].shape));
  }
  for (const GraphOutput& output : graph.outputs()) wanted.push_back(output.ref);
  graph.run(feeds, wanted);
}

}  // namespace

TEST_CASE("random damage gives an error or a graph that runs, never a crash") {
  const std::string files[] = {valid_file(), valid_file(false)};
  const TemporaryFolder folder;
  const std::string path = folder.path("model.crg");
  std::mt19937 random(20240607);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    write_bytes(path, damaged(files[round % 2], random));
    Graph graph;
    try {
      graph = Graph::load(path);
      ++loaded;
    } catch (const Error& error) {
      ++refused;
      CHECK(std::string(error.what()).starts_with("load: " + path + ": "));
      CHECK(error.kind() == ErrorKind::value);
    }
    run_on_zeros(graph);
  }
  CHECK(loaded > 100);  // harmless damage: to a name, to a weight
  CHECK(refused > 1000);
}
