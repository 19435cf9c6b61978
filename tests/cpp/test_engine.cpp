// The backward pass: values, long chains on a small stack, threads, errors that leave everything as it was.
#include "chainrule/autograd/engine.h"

#include <pthread.h>

#include <thread>

#include "chainrule/autograd/in_place.h"
#include "chainrule/core/allocator.h"
#include "support.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

/// The gradient of x -> x * 1 + c, repeated: 1 for each of two nodes a turn.
double gradient_of_chain(int nodes) {
  const Tensor x = variable(2);
  const Tensor one = scalar(1);
  Tensor y = x;
  for (int i = 0; i < nodes / 2; ++i) y = y * one + one;
  backward(y);
  return x.grad().item();
}

/// Runs f on a thread whose stack is 256 KB: recursion along a graph would not survive it.
template <class F>
void on_small_stack(F f) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  pthread_t thread;
  REQUIRE(pthread_create(
              &thread, &attributes,
              [](void* body) -> void* {
                (*static_cast<F*>(body))();
                return nullptr;
              },
              &f) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("the regression graph of the lecture") {
  const Tensor x = variable(3), w1 = variable(5), b1 = variable(2), w2 = variable(2), b2 = variable(3),
               y = variable(40);
  const Tensor h = w1 * x + b1;
  h.retain_grad();
  const Tensor loss = square(w2 * h + b2 - y);
  backward(loss);
  CHECK(loss.item() == 9);
  CHECK(w1.grad().item() == -36);
  CHECK(b1.grad().item() == -12);
  CHECK(w2.grad().item() == -102);
  CHECK(b2.grad().item() == -6);
  CHECK(x.grad().item() == -60);
  CHECK(h.grad().item() == -12);
}

TEST_CASE("a chain of a million nodes on a small stack") {
  const int64_t before = live_tensors();
  double gradient = 0;
  on_small_stack([&] { gradient = gradient_of_chain(1'000'000); });
  CHECK(gradient == 1);
  CHECK(live_tensors() == before);
}

TEST_CASE("a chain that is never run backward is freed iteratively") {
  const int64_t before = live_tensors();
  on_small_stack([] {
    Tensor y = variable(1);
    for (int i = 0; i < 300'000; ++i) y = tanh(y);
  });
  CHECK(live_tensors() == before);
}

TEST_CASE("threads with graphs of their own") {
  double found[4] = {};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&found, t] { found[t] = gradient_of_chain(20'000 + 2 * t); });
  for (std::thread& thread : threads) thread.join();
  for (double gradient : found) CHECK(gradient == 1);
}

TEST_CASE("gradients add up, over paths and over passes") {
  const Tensor x = variable(3);
  const Tensor y = x * x + x;
  backward(y, {.retain_graph = true});
  CHECK(x.grad().item() == 7);
  backward(y);
  CHECK(x.grad().item() == 14);
  CHECK(contains(message_of([&] { backward(y); }, ErrorKind::graph), "retain_graph"));
  CHECK(x.grad().item() == 14);
}

TEST_CASE("a gradient can be differentiated again") {
  const Tensor x = variable(2);
  const Tensor y = x * x * x;
  const Tensor first = gradients({&y, 1}, {&x, 1}, {}, {.create_graph = true})[0];
  CHECK(first.item() == 12);
  const Tensor second = gradients({&first, 1}, {&x, 1}, {}, {.create_graph = true})[0];
  CHECK(second.item() == 12);
  const Tensor third = gradients({&second, 1}, {&x, 1}, {})[0];
  CHECK(third.item() == 6);
  CHECK_FALSE(x.grad());
}

TEST_CASE("an input that the output does not depend on has no gradient") {
  const Tensor x = variable(2), stranger = variable(1);
  const Tensor y = x * x;
  const Tensor inputs[] = {stranger, x};
  const std::vector<Tensor> found = gradients({&y, 1}, inputs, {});
  CHECK_FALSE(found[0]);
  CHECK(found[1].item() == 4);
}

TEST_CASE("broadcast inputs get gradients of their own shape") {
  const Tensor row = ones(Shape{1, 3}).requires_grad_(), column = full(Shape{2, 1}, 2, DType::float32).requires_grad_();
  backward(sum(row * column));
  CHECK(row.grad().meta().shape == Shape{1, 3});
  CHECK(values_of(row.grad()) == std::vector<double>{4, 4, 4});
  CHECK(values_of(column.grad()) == std::vector<double>{3, 3});
}

TEST_CASE("a saved value that was changed is found, and nothing is written") {
  const Tensor x = ones(Shape{3}).requires_grad_();
  const Tensor factor = full(Shape{3}, 2, DType::float32);
  const Tensor y = sum(x * factor) + sum(x);
  copy_in_place(factor, zeros(Shape{3}));
  CHECK(contains(message_of([&] { backward(y); }, ErrorKind::graph), "mul"));
  CHECK_FALSE(x.grad());
}

TEST_CASE("what cannot be run backward") {
  const Tensor x = ones(Shape{2}).requires_grad_();
  CHECK_FALSE(message_of([&] { backward(x * x); }, ErrorKind::graph).empty());
  CHECK_FALSE(message_of([] { backward(scalar(1)); }, ErrorKind::graph).empty());
  const Tensor y = x * x, seed = ones(Shape{3});
  CHECK_FALSE(message_of([&] { backward({&y, 1}, {&seed, 1}); }, ErrorKind::shape).empty());
  CHECK_FALSE(x.grad());
}

TEST_CASE("nothing is recorded without grad mode") {
  const Tensor x = variable(2);
  const GradMode off(false);
  CHECK_FALSE((x * x).requires_grad());
}

// The graph may go to another thread, which then counts down what it saved.
TEST_CASE("a literal that a graph has saved is not given out again while the graph lives") {
  const Tensor x = variable(3.0);
  Tensor y = x * 2.125;
  {
    const Tensor literal = x.constant(2.125);
    CHECK(literal->storage->refs == 1);
    CHECK(literal->refs == 1);
  }
  y = Tensor();
  CHECK(x.constant(2.125)->refs == 2);  // kept again
}
