// What a node costs: a chain of scalar multiplications is built, run backward and freed; each part is timed alone.
#include <benchmark/benchmark.h>

#include <chrono>

#include "inputs.h"
#include "suites.h"

namespace chainrule::benchmarks {

namespace {

enum class Part { forward, backward, release };

using Clock = std::chrono::steady_clock;

void chain(benchmark::State& state, Part part) {
  const int64_t nodes = state.range(0);
  const Tensor weight = full({}, 0.9999, DType::float32).requires_grad_();
  for (auto _ : state) {
    const Clock::time_point start = Clock::now();
    Tensor y = weight;
    for (int64_t i = 0; i < nodes; ++i) y = y * weight;
    const Clock::time_point built = Clock::now();
    if (part == Part::backward) backward(y);
    const Clock::time_point done = Clock::now();
    y = Tensor();
    const Clock::time_point freed = Clock::now();
    const auto spent = part == Part::forward ? built - start : part == Part::backward ? done - built : freed - done;
    state.SetIterationTime(std::chrono::duration<double>(spent).count());
    weight.set_grad({});
  }
  state.counters["per_node"] =
      benchmark::Counter(static_cast<double>(nodes * state.iterations()),
                         benchmark::Counter::Flags(benchmark::Counter::kIsRate | benchmark::Counter::kInvert));
}

void add(const char* name, Part part) {
  benchmark::RegisterBenchmark(name, [part](benchmark::State& state) { chain(state, part); })
      ->Arg(1000)
      ->Arg(100'000)
      ->UseManualTime();
}

void one_call(benchmark::State& state, bool recording) {
  const GradMode mode(recording);
  const Tensor a = floats(Shape{4}).requires_grad_(), b = floats(Shape{4});
  for (auto _ : state) benchmark::DoNotOptimize(a + b);
}

}  // namespace

void register_engine() {
  add("engine/chain/forward", Part::forward);
  add("engine/chain/backward", Part::backward);
  add("engine/chain/release", Part::release);
  benchmark::RegisterBenchmark("engine/add_4/not_recording", [](benchmark::State& state) { one_call(state, false); });
  benchmark::RegisterBenchmark("engine/add_4/recording", [](benchmark::State& state) { one_call(state, true); });
}

}  // namespace chainrule::benchmarks
