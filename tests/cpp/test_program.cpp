// Graphs from placeholders and from the tape, run by a program: the same bits as eager execution, forward and backward.
#include "chainrule/graph/program.h"

#include <cstring>

#include "chainrule/autograd/engine.h"
#include "chainrule/core/allocator.h"
#include "chainrule/graph/tape.h"
#include "chainrule/ops/functional.h"
#include "support.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && same(a.shape(), b.shape()) &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.numel() * size_of(a.dtype()))) == 0;
}

Tensor named(const char* name, const Meta& meta) {
  Tensor x = Tensor::placeholder(meta);
  set_name(x, name);
  return x;
}

Tensor weights(std::initializer_list<int64_t> shape, double step) {
  Tensor w = Tensor::empty(DType::float32, Shape(shape));
  for (int64_t i = 0; i < w.numel(); ++i)
    w.data<float>()[i] = static_cast<float>(step * static_cast<double>(i % 7 - 3));
  w.requires_grad_();
  return w;
}

}  // namespace

TEST_CASE("the lecture's graph, assembled from placeholders") {
  std::vector<NamedTensor> inputs;
  for (const char* name : {"x", "w1", "b1", "w2", "b2", "y"})
    inputs.push_back({name, named(name, {DType::float32, {}})});
  const auto& v = inputs;
  const Tensor y_hat = v[3].tensor * (v[1].tensor * v[0].tensor + v[2].tensor) + v[4].tensor;
  const Tensor loss = square(y_hat - v[5].tensor);
  CHECK(loss.is_placeholder());
  CHECK(contains(message_of([&] { loss.data(); }, ErrorKind::graph), "has no value yet"));

  Program program(graph_from_tape({{{"L", loss}}, inputs, {}, {}}));
  const double feeds[] = {3, 5, 2, 2, 3, 40}, expected[] = {-60, -36, -12, -102, -6, 6};
  for (int i = 0; i < 6; ++i) program.feed(i, feeds[i]);
  program.forward();
  const Ref of = program.graph().outputs()[0].ref;
  CHECK(program.value(of).item() == 9);
  const int wrt[] = {0, 1, 2, 3, 4, 5};
  for (int again = 0; again < 2; ++again) {
    program.backward(of, wrt, {}, false);
    for (int i = 0; i < 6; ++i) CHECK(program.take_gradient(i).item() == expected[i]);
  }
}

TEST_CASE("a program gives the bits of the tape it was read from") {
  const Tensor w1 = weights({8, 5}, 0.11), b1 = weights({8}, 0.05), w2 = weights({1, 8}, 0.07);
  const Tensor x = weights({6, 5}, 0.21).alias();
  const auto loss_of = [&] { return mean(square(linear(tanh(linear(x, w1, b1)), w2, {})), {}, false); };
  const Tensor eager = loss_of();
  Program program(graph_from_tape({{{"loss", loss_of()}}, {}, {}, {}}));
  program.forward();
  const Ref of = program.graph().outputs()[0].ref;
  CHECK(same_bits(program.value(of), eager));
  const Tensor leaves[] = {w1, b1, w2};
  const Tensor roots[] = {eager};
  const std::vector<Tensor> expected = gradients(roots, leaves, {});
  std::vector<int> wrt;
  for (size_t i = 0; i < program.graph().nodes().size(); ++i)
    if (program.graph().nodes()[i].kind == NodeKind::parameter) wrt.push_back(static_cast<int>(i));
  REQUIRE(wrt.size() == 3);
  program.backward(of, wrt, {}, false);
  for (size_t k = 0; k < 3; ++k) CHECK(same_bits(program.take_gradient(wrt[k]), expected[k]));
}

TEST_CASE("the unknown size is found again by the shape rules") {
  const Tensor x = named("x", {DType::float32, Shape{unknown_size, 4}});
  const Tensor y = mean(reshape(x * x, Shape{-1}), {}, false);
  const Graph graph = graph_from_tape({{{"y", y}}, {{"x", x}}, {}, {}});
  CHECK(graph.has_unknown_size());
  for (int64_t n : {1, 3, 10}) {
    Program program(graph.at_size(n));
    const Tensor value = weights({n, 4}, 0.3).alias();
    program.feed(0, value);
    program.forward();
    CHECK(same_bits(program.value(program.graph().outputs()[0].ref), mean(value * value, {}, false)));
  }
}

TEST_CASE("a result that somebody holds is not written over") {
  const Tensor x = named("x", {DType::float32, Shape{3}});
  Program program(graph_from_tape({{{"y", exp(x)}}, {{"x", x}}, {}, {}}));
  program.feed(0, Tensor::full(DType::float32, Shape{3}, 0));
  program.forward();
  const Tensor first = program.value(program.graph().outputs()[0].ref);
  program.feed(0, Tensor::full(DType::float32, Shape{3}, 1));
  program.forward();
  CHECK(first.data<float>()[0] == 1.0f);
}

TEST_CASE("names, module calls and lines do not outlive what they are of") {
  const int64_t before = live_tensors();
  {
    const InModuleCall call(nullptr);
    Tensor w = weights({2}, 1);
    set_name(w, "w");
    const Tensor y = w * w;
    set_name(y, "y");
    const Graph graph = graph_from_tape({{{"", y}}, {}, {}, {}});
    CHECK(graph.outputs()[0].name == "y");
    CHECK(graph.nodes()[0].name == "w");
    CHECK(graph.scopes().size() == 1);
    w = Tensor();
    CHECK(graph_from_tape({{{"", y}}, {}, {}, {}}).nodes()[0].name == "w");  // its node remembers
  }
  CHECK(live_tensors() == before);
}
