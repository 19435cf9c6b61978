// Elementwise ops at 1K, 64K and 1M elements of float32: straight from the op table, so a new op is measured too.
#include <algorithm>
#include <string>
#include <vector>

#include "chainrule/autograd/elementwise.h"
#include "inputs.h"
#include "machine.h"
#include "suites.h"

namespace chainrule::benchmarks {

namespace {

constexpr int64_t sizes[] = {1 << 10, 1 << 16, 1 << 20};

struct Attributes {
  alignas(16) char bytes[max_attribute_bytes];
  explicit Attributes(const OpRow& row) { row.construct(bytes); }
};

std::vector<Tensor> inputs_of(const OpRow& row, int64_t n) {
  std::vector<Tensor> inputs;
  for (int k = 0; k < row.inputs; ++k)
    inputs.push_back(row.mask_input && k == 0 ? cast(integers(Shape{n}, 2), DType::boolean) : floats(Shape{n}));
  return inputs;
}

void forward(benchmark::State& state, const OpRow& row) {
  const Attributes op(row);
  const std::vector<Tensor> inputs = inputs_of(row, state.range(0));
  const Tensor y = Tensor::empty(row.mask_output ? DType::boolean : DType::float32, inputs.back().shape());
  std::vector<const Tensor*> list;
  int64_t bytes = bytes_of(y);
  for (const Tensor& x : inputs) {
    list.push_back(&x);
    bytes += bytes_of(x);
  }
  const Stopwatch watch;
  for (auto _ : state) {
    forward_elementwise(row, op.bytes, list, y);
    benchmark::ClobberMemory();
  }
  count_bytes(state, watch, bytes);
}

/// All gradients in the one pass that a first-order backward runs; bytes are those that the rules read and write.
void backward(benchmark::State& state, const OpRow& row) {
  const Attributes op(row);
  const std::vector<Tensor> inputs = inputs_of(row, state.range(0));
  Tensor y;
  std::vector<const Tensor*> list;
  for (const Tensor& x : inputs) list.push_back(&x);
  run(row, op.bytes, list, &y);
  const Tensor gy = floats(y.shape());
  unsigned owed = 0, reads = 0;
  int64_t bytes = 0;
  for (int k = 0; k < row.inputs; ++k) {
    if (!row.vjp_of_input[k].exists || row.vjp_of_input[k].is_gy) continue;
    owed |= 1u << k;
    reads |= row.vjp_of_input[k].bits;
    bytes += bytes_of(gy);
  }
  for (int k = 0; k < row.inputs; ++k) bytes += (reads >> k & 1) ? bytes_of(inputs[k]) : 0;
  bytes += ((reads & uses_output) ? bytes_of(y) : 0) + ((reads & uses_gradient) ? bytes_of(gy) : 0);
  Operand operands[max_operands];
  for (int k = 0; k < row.inputs; ++k) operands[k].data = inputs[k].data();
  const Stopwatch watch;
  for (auto _ : state) {
    Tensor gx[max_operands];
    backward_elementwise(row, op.bytes, gy, {operands, inputs.size()}, {y.data()}, owed, gx);
    benchmark::ClobberMemory();
  }
  count_bytes(state, watch, bytes);
}

void add(const std::string& name, void (*run_one)(benchmark::State&, const OpRow&), const OpRow& row) {
  auto* registered =
      benchmark::RegisterBenchmark(name.c_str(), [=, &row](benchmark::State& state) { run_one(state, row); });
  for (int64_t n : sizes) registered->Arg(n)->UseRealTime();
}

}  // namespace

void register_elementwise() {
  for (const OpRow& row : op_table()) {
    if (!row.elementwise) continue;
    add(std::string("forward/") + row.info->name, forward, row);
    // Where every gradient is gy itself, as for add, there is nothing to run.
    if (std::ranges::any_of(row.vjp_of_input, [](const VjpFacts& rule) { return rule.exists && !rule.is_gy; }))
      add(std::string("backward/") + row.info->name, backward, row);
  }
}

}  // namespace chainrule::benchmarks
