// xor.cpp - trains a small network on XOR with nothing but the installed C++ library, and keeps it in a file as a
// graph.
#include <chainrule/graph/file.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "chainrule/ops/creation.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/linear_algebra.h"
#include "chainrule/ops/optimizer_steps.h"

namespace cr = chainrule;

// On tensors it computes, on a graph's values it adds nodes.
template <class T>
T network(const T& x, const T& w1, const T& b1, const T& w2, const T& b2) {
  return sigmoid(T::call(cr::Linear{}, tanh(T::call(cr::Linear{}, x, w1, b1)), w2, b2));
}

// Does the network give the same bits after it was written to a file and read back?
bool comes_back(const cr::Tensor& x, const cr::Tensor& w1, const cr::Tensor& b1, const cr::Tensor& w2,
                const cr::Tensor& b2) {
  cr::Graph graph;
  const cr::Value y =
      network(graph.input("x", x.meta()), graph.parameter("0.weight", w1), graph.parameter("0.bias", b1),
              graph.parameter("2.weight", w2), graph.parameter("2.bias", b2));
  graph.add_output("y", y.ref);
  graph.save("xor.crg");
  const cr::Graph loaded = cr::Graph::load("xor.crg");
  const cr::Tensor before = network(x, w1, b1, w2, b2);
  const cr::Tensor after = loaded.run({&x, 1}, {&loaded.outputs()[0].ref, 1})[0];
  return std::memcmp(before.data(), after.data(), sizeof(float) * static_cast<size_t>(before.numel())) == 0;
}

int main() {
  cr::default_generator().manual_seed(1);
  const cr::Tensor x = cr::from_values<float>(std::vector<float>{0, 0, 0, 1, 1, 0, 1, 1}, cr::Shape{4, 2});
  const cr::Tensor target = cr::from_values<float>(std::vector<float>{0, 1, 1, 0}, cr::Shape{4, 1});

  const cr::Tensor parameters[] = {cr::randn(cr::Shape{8, 2}), cr::zeros(cr::Shape{8}), cr::randn(cr::Shape{1, 8}),
                                   cr::zeros(cr::Shape{1})};
  for (const cr::Tensor& parameter : parameters) parameter.requires_grad_();
  const auto& [w1, b1, w2, b2] = parameters;
  const cr::SgdSettings sgd{
      .lr = 0.1, .momentum = 0.9, .dampening = 0, .weight_decay = 0, .nesterov = false, .maximize = false};
  cr::Buffers momentum(4);

  cr::Tensor output;
  double loss_value = 0;
  for (int step = 0; step < 1000; ++step) {
    for (const cr::Tensor& parameter : parameters) parameter.set_grad({});
    output = network(x, w1, b1, w2, b2);
    const cr::Tensor loss = cr::mse_loss(output, target);
    cr::backward(loss);
    cr::sgd_step(parameters, momentum, sgd);
    loss_value = loss.item();
  }

  bool learned = loss_value < 0.01 && comes_back(x, w1, b1, w2, b2);
  for (int i = 0; i < 4; ++i) learned &= std::abs(output.data<float>()[i] - target.data<float>()[i]) < 0.5f;
  std::printf("loss %.6f, outputs %.3f %.3f %.3f %.3f: %s\n", loss_value, output.data<float>()[0],
              output.data<float>()[1], output.data<float>()[2], output.data<float>()[3],
              learned ? "learned XOR" : "did not learn XOR");
  return learned ? 0 : 1;
}
