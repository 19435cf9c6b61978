// Runs one path of the engine so many times, for tests/test_instructions.py to count its instructions:
//   chainrule_instructions <path> <times>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "chainrule/autograd/engine.h"
#include "chainrule/ops/functional.h"

using namespace chainrule;

namespace {

Tensor scalar(double value) { return Tensor::full(DType::float32, {}, value); }

void buffer(int times) {
  const Shape shape{1024};
  for (int i = 0; i < times; ++i) Tensor::empty(DType::float32, shape);
}

void add(int times, bool recording) {
  const Shape shape{4};
  const Tensor a = Tensor::full(DType::float32, shape, 1.0), b = Tensor::full(DType::float32, shape, 2.0);
  a.requires_grad_(recording);
  for (int i = 0; i < times; ++i) static_cast<void>(a + b);
}

// One node a time: made, gone through by backward, freed.
void node(int times) {
  const Tensor w = scalar(0.999);
  w.requires_grad_();
  Tensor y = w;
  for (int i = 0; i < times; ++i) y = y * w;
  backward(y);
}

// A linear layer with a loss: four nodes on small matrices, with all that an eager step pays.
void small_step(int times) {
  const Shape inputs{1, 8}, weights{4, 8}, outputs{4};
  const Tensor x = Tensor::full(DType::float32, inputs, 0.5), w = Tensor::full(DType::float32, weights, 0.1);
  const Tensor b = Tensor::full(DType::float32, outputs, 0.2);
  w.requires_grad_();
  b.requires_grad_();
  for (int i = 0; i < times; ++i) {
    w.set_grad(Tensor());
    b.set_grad(Tensor());
    const Tensor y = tanh(linear(x, w, b));
    backward(sum(y * y));
  }
}

const std::map<std::string, void (*)(int)> paths{
    {"buffer", buffer},
    {"add", [](int times) { add(times, false); }},
    {"add, recording", [](int times) { add(times, true); }},
    {"node, forward and backward", node},
    {"small step", small_step},
};

}  // namespace

int main(int count, char** arguments) {
  const auto path = count == 3 ? paths.find(arguments[1]) : paths.end();
  if (path == paths.end()) {
    std::fputs("usage: chainrule_instructions <path> <times>; paths:\n", stderr);
    for (const auto& [name, run] : paths) std::fprintf(stderr, "  %s\n", name.c_str());
    return 2;
  }
  path->second(std::atoi(arguments[2]));
}
