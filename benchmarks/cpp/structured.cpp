// Structured ops: every one needs at least one case in the table below, or the program does not start.
#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "chainrule/core/error.h"
#include "chainrule/ops/op_rules.h"
#include "inputs.h"
#include "machine.h"
#include "suites.h"

namespace chainrule::benchmarks {

namespace {

struct Case {
  int id;
  const char* label;
  std::function<std::vector<Tensor>()> inputs;  ///< made when the case runs
  int64_t flops;                                ///< of the forward pass; 0 where bytes are what counts
  alignas(16) char op[max_attribute_bytes];
};

template <class Op>
Case make(const Op& op, const char* label, std::function<std::vector<Tensor>()> inputs, int64_t flops = 0) {
  Case result{id_of<Op>, label, std::move(inputs), flops, {}};
  std::memcpy(result.op, &op, sizeof op);
  return result;
}

std::vector<Tensor> square_matrix() { return {floats(Shape{1024, 1024})}; }
std::vector<Tensor> column() { return {floats(Shape{1024, 1})}; }
std::vector<Tensor> half_matrix() { return {floats(Shape{512, 1024})}; }
std::vector<Tensor> picks() { return {floats(Shape{1024, 1024}), integers(Shape{1024, 256}, 1024)}; }
std::vector<Tensor> picked() { return {floats(Shape{1024, 256}), integers(Shape{1024, 256}, 1024)}; }
std::vector<Tensor> classes() { return {floats(Shape{256, 1000}), integers(Shape{256}, 1000)}; }
std::vector<Tensor> rows() { return {floats(Shape{1024, 256}), integers(Shape{4096}, 1024)}; }
std::vector<Tensor> chosen_rows() { return {floats(Shape{4096, 256}), integers(Shape{4096}, 1024)}; }

// LeNet's second convolution for a batch of 32, and a layer of a residual net.
struct Images {
  Shape x, weight, y;
  int64_t padding;
  int64_t flops() const { return 2 * numel_of(y) * weight[1] * weight[2] * weight[3]; }
};
const Images lenet{{32, 6, 14, 14}, {16, 6, 5, 5}, {32, 16, 10, 10}, 0};
const Images residual{{32, 64, 28, 28}, {64, 64, 3, 3}, {32, 64, 28, 28}, 1};

template <class Op>
Op convolution(Pair size, int64_t padding) {
  Op op;
  if constexpr (requires { op.size; }) op.size = size;
  op.padding = {padding, padding};
  return op;
}
std::vector<Tensor> heads() {  // q, k and v as a model has them: views of one product
  const Tensor qkv = floats(Shape{8, 64, 3, 4, 32});
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < 3; ++i) parts.push_back(transpose(select(qkv, 2, i), 1, 2));
  return parts;
}
constexpr int64_t attention_flops = 2 * 2 * 32 * 64 * 64 * 32;

std::vector<Case> cases() {
  return {
      make(Cast{DType::float64}, "1024x1024", square_matrix),
      make(Clone{}, "1024x1024", square_matrix),
      make(Clone{}, "1024x1024 transposed", [] { return std::vector{matrix_transpose(floats(Shape{1024, 1024}))}; }),
      make(Detach{}, "1024x1024", square_matrix),
      make(Reshape{Shape{1024 * 1024}}, "1024x1024", square_matrix),
      make(Permute{Shape{1, 0}}, "1024x1024", square_matrix),
      make(Expand{Shape{1024, 1024}}, "1024x1 to 1024x1024", column),
      make(Select{0, 1}, "1024x1024", square_matrix),
      make(Slice{0, 256, 768, 1}, "1024x1024", square_matrix),
      make(EmbedSlice{0, 256, 1, 1024}, "512x1024", half_matrix),
      make(Sum{Shape{0}}, "1024x1024 dim 0", square_matrix),
      make(Sum{Shape{1}}, "1024x1024 dim 1", square_matrix),
      make(Sum{}, "1024x1024 all", square_matrix),
      make(Sum{Shape{0}}, "256x10 dim 0", [] { return std::vector{floats(Shape{256, 10})}; }),
      make(Mean{Shape{1}}, "1024x1024 dim 1", square_matrix),
      make(Amax{Shape{0}}, "1024x1024 dim 0", square_matrix),
      make(Amax{Shape{1}}, "1024x1024 dim 1", square_matrix),
      make(Amin{Shape{1}}, "1024x1024 dim 1", square_matrix),
      make(Max{1}, "1024x1024 dim 1", square_matrix),
      make(Min{1}, "1024x1024 dim 1", square_matrix),
      make(Argmax{0}, "1024x1024 dim 0", square_matrix),
      make(Argmax{1}, "1024x1024 dim 1", square_matrix),
      make(Argmin{1}, "1024x1024 dim 1", square_matrix),
      make(Var{Shape{0}}, "1024x1024 dim 0", square_matrix),
      make(Var{Shape{1}}, "1024x1024 dim 1", square_matrix),
      make(Softmax{1}, "1024x1024 dim 1", square_matrix),
      make(Softmax{0}, "1024x1024 dim 0", square_matrix),
      make(LogSoftmax{1}, "1024x1024 dim 1", square_matrix),
      make(LogSoftmax{0}, "1024x1024 dim 0", square_matrix),
      make(LogSumExp{Shape{1}}, "1024x1024 dim 1", square_matrix),
      make(LogSumExp{Shape{0}}, "1024x1024 dim 0", square_matrix),
      make(
          Matmul{}, "16 x 128x64x32", [] { return std::vector{floats(Shape{16, 128, 32}), floats(Shape{16, 32, 64})}; },
          2 * 16 * 128 * 64 * 32),
      make(
          Linear{}, "32x784 to 128",
          [] { return std::vector{floats(Shape{32, 784}), floats(Shape{128, 784}), floats(Shape{128})}; },
          2 * 32 * 128 * 784),
      make(Cat{0}, "2 of 512x1024", [] { return std::vector{floats(Shape{512, 1024}), floats(Shape{512, 1024})}; }),
      make(Gather{1}, "1024x256 of 1024x1024", picks),
      make(ScatterZeros{1, Shape{1024, 1024}}, "1024x256 into 1024x1024", picked),
      make(Index{}, "4096 rows of 1024x256", rows),
      make(IndexZeros{Shape{1024, 256}}, "4096 rows into 1024x256", chosen_rows),
      make(
          convolution<Conv2d>({}, lenet.padding), "32x6x14x14 to 16, 5x5",
          [] { return std::vector{floats(lenet.x), floats(lenet.weight), floats(Shape{16})}; }, lenet.flops()),
      make(
          convolution<Conv2d>({}, residual.padding), "32x64x28x28 to 64, 3x3",
          [] { return std::vector{floats(residual.x), floats(residual.weight), floats(Shape{64})}; }, residual.flops()),
      make(
          convolution<Conv2dInput>({14, 14}, lenet.padding), "32x6x14x14 to 16, 5x5",
          [] { return std::vector{floats(lenet.y), floats(lenet.weight)}; }, lenet.flops()),
      make(
          convolution<Conv2dInput>({28, 28}, residual.padding), "32x64x28x28 to 64, 3x3",
          [] { return std::vector{floats(residual.y), floats(residual.weight)}; }, residual.flops()),
      make(
          convolution<Conv2dWeight>({5, 5}, lenet.padding), "32x6x14x14 to 16, 5x5",
          [] { return std::vector{floats(lenet.y), floats(lenet.x)}; }, lenet.flops()),
      make(
          convolution<Conv2dWeight>({3, 3}, residual.padding), "32x64x28x28 to 64, 3x3",
          [] { return std::vector{floats(residual.y), floats(residual.x)}; }, residual.flops()),
      make(MaxPool2d{{2, 2}, {2, 2}, {0, 0}, {1, 1}}, "32x6x28x28, 2x2",
           [] { return std::vector{floats(Shape{32, 6, 28, 28})}; }),
      make(LayerNorm{}, "512x128",
           [] { return std::vector{floats(Shape{512, 128}), floats(Shape{128}), floats(Shape{128})}; }),
      make(Tril{}, "1024x1024", square_matrix),
      make(ScaledDotProductAttention{false, 0.18}, "32 heads of 64x32", heads, attention_flops),
      make(ScaledDotProductAttention{true, 0.18}, "32 heads of 64x32, causal", heads, attention_flops / 2),
      make(Embedding{}, "512 rows of 256x128",
           [] { return std::vector{floats(Shape{256, 128}), integers(Shape{512}, 256)}; }),
      make(CrossEntropy{}, "256x1000", classes),
      make(CrossEntropy{.mean = true}, "256x1000 mean", classes),
      make(CrossEntropy{.mean = true}, "32x10 mean",
           [] { return std::vector{floats(Shape{32, 10}), integers(Shape{32}, 10)}; }),
      make(MseLoss{}, "1024x1024", [] { return std::vector{floats(Shape{1024, 1024}), floats(Shape{1024, 1024})}; }),
  };
}

/// Runs the op; the inputs must outlive the call only.
std::vector<Tensor> outputs_of(const OpRow& row, const Case& at, const std::vector<Tensor>& inputs) {
  std::vector<const Tensor*> list;
  for (const Tensor& x : inputs) list.push_back(&x);
  std::vector<Tensor> outputs(max_outputs);
  run(row, at.op, list, outputs.data());
  outputs.resize(row.outputs);
  return outputs;
}

int64_t bytes_of_all(const std::vector<Tensor>& tensors) {
  int64_t bytes = 0;
  for (const Tensor& x : tensors) bytes += bytes_of(x);
  return bytes;
}

bool is_view_of_any(const Tensor& x, const std::vector<Tensor>& others) {
  return std::ranges::any_of(others, [&](const Tensor& other) { return x->storage == other->storage; });
}

/// Rates of a pass that reads `sources` and writes `results`. A view moves nothing: its time is all there is to say.
void count(benchmark::State& state, const Stopwatch& watch, int64_t flops, const std::vector<Tensor>& sources,
           const std::vector<Tensor>& results) {
  if (flops) count_flops(state, watch, DType::float32, flops);
  else if (!is_view_of_any(results[0], sources))
    count_bytes(state, watch, bytes_of_all(sources) + bytes_of_all(results));
}

void forward(benchmark::State& state, const OpRow& row, const Case& at) {
  const std::vector<Tensor> inputs = at.inputs();
  const std::vector<Tensor> outputs = outputs_of(row, at, inputs);
  const Stopwatch watch;
  for (auto _ : state) benchmark::DoNotOptimize(outputs_of(row, at, inputs));
  count(state, watch, at.flops, inputs, outputs);
}

void backward(benchmark::State& state, const OpRow& row, const Case& at) {
  const std::vector<Tensor> inputs = at.inputs();
  std::vector<Tensor> wanted;
  for (const Tensor& x : inputs)
    if (is_floating(x.dtype())) wanted.push_back(x.requires_grad_());
  const std::vector<Tensor> roots{outputs_of(row, at, inputs)[0]}, seeds{floats(roots[0].shape(), roots[0].dtype())};
  std::vector<Tensor> sources = seeds;
  for (size_t k = 0; k < inputs.size(); ++k)
    if (row.saves.inputs >> k & 1) sources.push_back(inputs[k]);
  if (row.saves.output) sources.push_back(roots[0]);
  const std::vector<Tensor> results = gradients(roots, wanted, seeds, {.retain_graph = true});
  const Stopwatch watch;
  for (auto _ : state) benchmark::DoNotOptimize(gradients(roots, wanted, seeds, {.retain_graph = true}));
  count(state, watch, 2 * at.flops, sources, results);
}

}  // namespace

void register_structured() {
  static const std::vector<Case> all = cases();
  for (const OpRow& row : op_table()) {
    if (row.elementwise) continue;
    bool found = false;
    for (const Case& at : all) {
      if (at.id != row.id) continue;
      found = true;
      auto add = [&](const char* pass, auto run_one) {
        const std::string name = std::string(pass) + "/" + row.info->name + "/" + at.label;
        benchmark::RegisterBenchmark(name.c_str(), [&, run_one](benchmark::State& state) {
          run_one(state, row, at);
        })->UseRealTime();
      };
      add("forward", forward);
      if (row.vjp) add("backward", backward);
    }
    if (!found)
      internal_error("benchmarks", std::string("the op ") + row.info->name + " has no case in structured.cpp");
  }
}

}  // namespace chainrule::benchmarks
