// Optimizer steps over all parameters of a model: bytes are those of the parameters, gradients and state.
#include <string>
#include <vector>

#include "chainrule/ops/optimizer_steps.h"
#include "inputs.h"
#include "machine.h"
#include "suites.h"

namespace chainrule::benchmarks {

namespace {

struct Model {
  std::vector<Tensor> parameters;
  int64_t bytes = 0;

  explicit Model(const std::vector<int64_t>& sizes) {
    for (size_t layer = 1; layer < sizes.size(); ++layer) {
      add(Shape{sizes[layer], sizes[layer - 1]});
      add(Shape{sizes[layer]});
    }
  }

 private:
  void add(IntSpan shape) {
    const Tensor parameter = floats(shape);
    parameter.requires_grad_();
    parameter.set_grad(floats(shape));
    bytes += bytes_of(parameter);
    parameters.push_back(parameter);
  }
};

// A learning rate that leaves the numbers what they are.
constexpr double lr = 1e-9;

void sgd(benchmark::State& state, const std::vector<int64_t>& sizes, double momentum) {
  const Model model(sizes);
  Buffers buffers(model.parameters.size());
  const SgdSettings settings{lr, momentum, 0, 0, false, false};
  const Stopwatch watch;
  for (auto _ : state) sgd_step(model.parameters, buffers, settings);
  count_bytes(state, watch, (momentum == 0 ? 3 : 5) * model.bytes);
}

void adam(benchmark::State& state, const std::vector<int64_t>& sizes, bool decoupled) {
  const Model model(sizes);
  Buffers exp_avgs(model.parameters.size()), exp_avg_sqs = exp_avgs, max_exp_avg_sqs = exp_avgs;
  std::vector<int64_t> steps(model.parameters.size());
  const AdamSettings settings{lr, 0.9, 0.999, 1e-8, decoupled ? 0.01 : 0, false, decoupled};
  const Stopwatch watch;
  for (auto _ : state) adam_step(model.parameters, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, false, settings);
  count_bytes(state, watch, 7 * model.bytes);
}

template <class Run, class... Settings>
void add(const std::string& name, Run run, Settings... settings) {
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{16, 32, 4}, {784, 128, 10}, {784, 1024, 1024, 10}}) {
    std::string model = std::to_string(sizes[0]);
    for (size_t layer = 1; layer < sizes.size(); ++layer) model += "-" + std::to_string(sizes[layer]);
    benchmark::RegisterBenchmark((name + "/" + model).c_str(), [=](benchmark::State& state) {
      run(state, sizes, settings...);
    })->UseRealTime();
  }
}

}  // namespace

void register_optimizers() {
  add("optimizer/sgd", sgd, 0.0);
  add("optimizer/sgd_momentum", sgd, 0.9);
  add("optimizer/adam", adam, false);
  add("optimizer/adamw", adam, true);
}

}  // namespace chainrule::benchmarks
