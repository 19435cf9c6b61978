// xor.cpp - trains a small network on XOR with nothing but the installed C++ library.
#include <cmath>
#include <cstdio>
#include <vector>

#include "chainrule/ops/creation.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/optimizer_steps.h"

namespace cr = chainrule;

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
    output = cr::sigmoid(cr::linear(cr::tanh(cr::linear(x, w1, b1)), w2, b2));
    const cr::Tensor loss = cr::mse_loss(output, target);
    cr::backward(loss);
    cr::sgd_step(parameters, momentum, sgd);
    loss_value = loss.item();
  }

  bool learned = loss_value < 0.01;
  for (int i = 0; i < 4; ++i) learned &= std::abs(output.data<float>()[i] - target.data<float>()[i]) < 0.5f;
  std::printf("loss %.6f, outputs %.3f %.3f %.3f %.3f: %s\n", loss_value, output.data<float>()[0],
              output.data<float>()[1], output.data<float>()[2], output.data<float>()[3],
              learned ? "learned XOR" : "did not learn XOR");
  return learned ? 0 : 1;
}
