// Matrix products as the forward and both backward passes of a linear layer need them: NN, NT and TN.
#include <string>

#include "inputs.h"
#include "machine.h"
#include "suites.h"

namespace chainrule::benchmarks {

namespace {

struct Product {
  int64_t m, n, k;
};
constexpr Product products[] = {{16, 16, 16},    {32, 32, 32},       {64, 64, 64},   {128, 128, 128}, {256, 256, 256},
                                {512, 512, 512}, {1024, 1024, 1024}, {32, 128, 784}, {64, 1024, 256}};

/// A matrix of that shape whose memory is laid out the other way round if `transposed`.
Tensor matrix(int64_t rows, int64_t columns, bool transposed, DType dtype) {
  return transposed ? matrix_transpose(floats(Shape{columns, rows}, dtype)) : floats(Shape{rows, columns}, dtype);
}

void product(benchmark::State& state, const Product& p, bool a_transposed, bool b_transposed, DType dtype) {
  const Tensor a = matrix(p.m, p.k, a_transposed, dtype), b = matrix(p.k, p.n, b_transposed, dtype);
  const Stopwatch watch;
  for (auto _ : state) benchmark::DoNotOptimize(matmul(a, b));
  count_flops(state, watch, dtype, 2 * p.m * p.n * p.k);
}

}  // namespace

void register_gemm() {
  const struct {
    const char* name;
    bool a_transposed, b_transposed;
  } layouts[] = {{"NN", false, false}, {"NT", false, true}, {"TN", true, false}};
  for (DType dtype : {DType::float32, DType::float64})
    for (const auto& layout : layouts)
      for (const Product& p : products) {
        const std::string name = std::string("gemm/") + name_of(dtype) + "/" + layout.name + "/" + std::to_string(p.m) +
                                 "x" + std::to_string(p.n) + "x" + std::to_string(p.k);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          product(state, p, layout.a_transposed, layout.b_transposed, dtype);
        })->UseRealTime();
      }
}

}  // namespace chainrule::benchmarks
