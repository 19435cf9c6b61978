// Changes in place, aliasing and the reference cycles they tempt one into: each case leaves no tensor alive.
#include "chainrule/autograd/in_place.h"

#include <set>

#include "chainrule/core/allocator.h"
#include "support.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

Tensor leaf(std::vector<double> values) {
  const int64_t n = static_cast<int64_t>(values.size());
  return Tensor(doubles(std::move(values), Shape{n}).requires_grad_());
}
void in_place(const char* op, const Tensor& x, const Tensor& other) {
  static std::set<std::string> names;  // which last as long as the program
  run_in_place(op_named(op), nullptr, x, other, names.insert(std::string(op) + "_").first->c_str());
}

/// Fails if the body leaves tensors behind.
template <class F>
void without_leaks(const F& body) {
  const int64_t before = live_tensors();
  body();
  CHECK(live_tensors() == before);
}

}  // namespace

TEST_CASE("an operand that overlaps keeps its gradient") {
  without_leaks([] {
    const Tensor x = doubles({1, 2, 3, 4}, Shape{2, 2}).requires_grad_(), w = doubles({1, 10, 100, 1000}, Shape{2, 2});
    const Tensor y = x * 1.0;
    in_place("add", y, matrix_transpose(y));
    backward(sum(y * w));
    CHECK(values_of(x.grad()) == std::vector<double>{2, 110, 110, 2000});
  });
}

TEST_CASE("a stale view is refused, also as the target of another change") {
  without_leaks([] {
    const Tensor x = leaf({1, 2}), y = x * 1.0, v = select(y, 0, 0);
    in_place("mul", v, scalar(3));
    CHECK(contains(message_of([&] { in_place("add", y, scalar(1)); }, ErrorKind::graph), "shares memory"));
  });
}

TEST_CASE("a change in place makes no cycle") {
  without_leaks([] {
    const Tensor x = leaf({1, 2}), y = x * 1.0;
    in_place("mul", y, y);
    backward(sum(y));
    CHECK(values_of(x.grad()) == std::vector<double>{2, 4});
  });
  without_leaks([] {
    const Tensor x = leaf({1, 2}), h = tanh(x), z = h * h;
    in_place("add", h, z);
  });
}

TEST_CASE("the value that a rule reads survives the change") {
  without_leaks([] {
    const Tensor x = leaf({1, 2}), w = leaf({4, 8}), y = x * 1.0;
    in_place("div", y, w);
    backward(sum(y));
    CHECK(values_of(x.grad()) == std::vector<double>{0.25, 0.125});
    CHECK(values_of(w.grad()) == std::vector<double>{-1.0 / 16, -2.0 / 64});
  });
  without_leaks([] {
    const Tensor x = leaf({1, 2}), y = x * 1.0;
    in_place("mul", y, x);
    in_place("add", y, x);
    backward(sum(y));
    CHECK(values_of(x.grad()) == std::vector<double>{3, 5});
  });
}

TEST_CASE("a gradient belongs to one tensor") {
  without_leaks([] {
    const Tensor a = leaf({1, 2}), b = leaf({3, 4}), c = leaf({5, 6});
    backward(sum((a + b) * c * c), {.create_graph = true});
    CHECK(a.grad()->storage != b.grad()->storage);
    for (const Tensor& x : {a, b, c}) x.set_grad({});
  });
}

TEST_CASE("grad() of an intermediate leaves its own node as it was") {
  without_leaks([] {
    const Tensor x = leaf({1, 2}), h = exp(x), first = sum(h * 2.0), second = sum(h * 3.0);
    const Tensor roots[] = {first}, inputs[] = {h};
    CHECK(values_of(gradients(roots, inputs, {})[0]) == std::vector<double>{2, 2});
    backward(second);
    CHECK(x.grad().numel() == 2);
  });
}

TEST_CASE("a failed backward writes nothing") {
  without_leaks([] {
    const Tensor x = leaf({1, 2}), y = x * 2.0, z = square(y) + x;
    in_place("add", y, scalar(1));
    CHECK(contains(message_of([&] { backward(sum(z)); }, ErrorKind::graph), "changed in place by add_"));
    CHECK(!x.grad());
  });
}

TEST_CASE("shapes that overflow by broadcasting are refused") {
  const int64_t n = int64_t{1} << 33;
  const Tensor one = scalar(1);
  const Tensor column = expand(one, Shape{n, 1}), row = expand(one, Shape{1, n});
  CHECK(contains(message_of([&] { column + row; }, ErrorKind::memory), "add"));
}
