// The graph as data: assembled before any value exists, run, differentiated, written as formulas; the same numbers as
// eager execution gives.
#include "chainrule/graph/graph.h"

#include "chainrule/graph/formula.h"
#include "chainrule/ops/op_rules.h"
#include "support.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

Meta doubles_of(std::initializer_list<int64_t> shape) { return {DType::float64, Shape(shape)}; }

std::vector<Ref> refs_of(std::span<const Value> values) {
  std::vector<Ref> refs;
  for (const Value& value : values) refs.push_back(value.ref);
  return refs;
}

// d f(x...) / d x... as nodes, against the eager tape.
template <class F>
void check_against_eager(const std::vector<Tensor>& inputs, const F& f) {
  Graph graph;
  std::vector<Value> x;
  for (size_t k = 0; k < inputs.size(); ++k) x.push_back(graph.input("x" + std::to_string(k), inputs[k].meta()));
  const Value y = f(x);
  const std::vector<Ref> wrt = refs_of(x);
  const std::vector<Tensor> symbolic = graph.run(inputs, refs_of(graph.differentiate(y.ref, wrt)));

  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) leaves.push_back(Tensor(detach(input).requires_grad_()));
  const Tensor root[] = {f(leaves)};
  const std::vector<Tensor> eager = gradients(root, leaves, {});
  for (size_t k = 0; k < inputs.size(); ++k) {
    const std::vector<double> a = values_of(symbolic[k]), b = values_of(eager[k]);
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-12));
  }
}

template <class T>
T total(const T& x) {
  return T::call(Sum{}, x);
}

}  // namespace

TEST_CASE("the lecture's graph is assembled first and run later") {
  Graph graph;
  std::vector<Value> v;
  for (const char* name : {"x", "w1", "b1", "w2", "b2", "y"}) v.push_back(graph.input(name, doubles_of({})));
  const Value y_hat = v[3] * (v[1] * v[0] + v[2]) + v[4];
  const Value loss = square(y_hat - v[5]);
  std::vector<Tensor> feeds;
  for (double value : {3., 5., 2., 2., 3., 40.}) feeds.push_back(scalar(value));
  std::vector<Ref> wanted = refs_of(graph.differentiate(loss.ref, refs_of(v)));
  wanted.push_back(loss.ref);
  const std::vector<double> expected{-60, -36, -12, -102, -6, 6, 9};
  const std::vector<Tensor> got = graph.run(feeds, wanted);
  for (size_t k = 0; k < got.size(); ++k) CHECK(got[k].item() == expected[k]);
  CHECK(formula(graph, y_hat.ref) == "w2 * (w1 * x + b1) + b2");
}

TEST_CASE("a mismatch is an error while the graph is assembled") {
  Graph graph;
  const Value a = graph.input("a", doubles_of({2, 3})), b = graph.input("b", doubles_of({4, 5}));
  const std::string error = message_of([&] { Value::call(Matmul{}, a, b); }, ErrorKind::shape);
  CHECK(contains(error, "a.shape[-1] must equal b.shape[-2] (3 != 4)"));
}

TEST_CASE("gradients as data equal gradients from the tape") {
  const Tensor a = doubles({0.5, -1.2, 0.3, 2.0, 0.7, -0.4}, Shape{2, 3}), b = doubles({1.5, 0.2, -0.8}, Shape{3});
  check_against_eager({a, b}, [](auto x) { return total(tanh(x[0] * x[1] + 1) / (square(x[1]) + 2)); });
  check_against_eager({a}, [](auto x) {
    using T = std::decay_t<decltype(x[0])>;
    return total(square(T::call(Softmax{1}, x[0])) + exp(T::call(LogSoftmax{0}, x[0])));
  });
  check_against_eager({a}, [](auto x) {
    using T = std::decay_t<decltype(x[0])>;
    const T product = T::call(Matmul{}, x[0], transposed(x[0]));
    return total(T::call(Amax{{1}, false}, product) * T::call(Max{1, false}, product));
  });
  check_against_eager({a}, [](auto x) {
    using T = std::decay_t<decltype(x[0])>;
    return total(T::call(Slice{1, 0, 3, 2}, x[0]) * T::call(Var{{1}, 1, true}, x[0]));
  });
}

TEST_CASE("a gradient is a graph: it can be differentiated again") {
  Graph graph;
  const Value x = graph.input("x", doubles_of({}));
  const Ref wrt[] = {x.ref};
  const Value first = graph.differentiate((x * x * x).ref, wrt)[0];
  const Value second = graph.differentiate(first.ref, wrt)[0];
  const Tensor feed[] = {scalar(2)};
  const Ref wanted[] = {first.ref, second.ref};
  const std::vector<Tensor> got = graph.run(feed, wanted);
  CHECK(got[0].item() == 12);
  CHECK(got[1].item() == 12);
}

TEST_CASE("mixed dtypes become cast nodes, an independent input has no gradient") {
  Graph graph;
  const Value a = graph.input("a", {DType::float32, {}}), b = graph.input("b", {DType::float64, Shape{2}});
  const Value unused = graph.input("unused", doubles_of({}));
  const Value y = Value::call(Sum{}, a * b);
  CHECK(y.dtype() == DType::float64);
  const Ref wrt[] = {a.ref, unused.ref};
  const std::vector<Value> gradient = graph.differentiate(y.ref, wrt);
  CHECK(gradient[0].dtype() == DType::float32);
  CHECK(gradient[1].graph == nullptr);
}

TEST_CASE("the docstrings' formulas come from the rules") {
  CHECK(gradient_formula(op_named("tanh")) == "gx = gy * (1 - y * y)");
  CHECK(gradient_formula(op_named("mul")) == "ga = gy * b\ngb = gy * a");
  CHECK(gradient_formula(op_named("pow")) ==
        "ga = where(b == 0, 0, gy * (b * a ** (b - 1)))\ngb = where((a == 0) & (b >= 0), 0, gy * (y * log(a)))");
  CHECK(gradient_formula(op_named("gt")).empty());
}

TEST_CASE("a feed of another shape is refused by name") {
  Graph graph;
  const Value x = graph.input("x", doubles_of({2}));
  const Ref wanted[] = {x.ref};
  const Tensor wrong[] = {scalar(1)};
  CHECK(contains(message_of([&] { graph.run(wrong, wanted); }, ErrorKind::shape), "input x of shape ()"));
}
