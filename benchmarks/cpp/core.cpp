// The ground floor: blocks from the allocator, and what starting and ending a parallel loop costs.
#include <benchmark/benchmark.h>

#include "chainrule/core/allocator.h"
#include "chainrule/core/thread_pool.h"
#include "inputs.h"
#include "suites.h"

namespace chainrule::benchmarks {

namespace {

void small_block(benchmark::State& state) {
  SmallBlocks& blocks = small_blocks();
  const auto bytes = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* block = allocate_small(blocks, bytes);
    benchmark::DoNotOptimize(block);
    free_small(blocks, block, bytes);
  }
}

void buffer(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* block = allocate_buffer(bytes);
    benchmark::DoNotOptimize(block);
    free_buffer(block, bytes);
  }
}

void tensor(benchmark::State& state) {
  const Shape shape{state.range(0)};
  for (auto _ : state) benchmark::DoNotOptimize(Tensor::empty(DType::float32, shape));
}

void fork_join(benchmark::State& state) {
  const int before = num_threads();
  set_num_threads(static_cast<int>(state.range(0)));
  for (auto _ : state) parallel_for(state.range(0), [](int64_t block) noexcept { benchmark::DoNotOptimize(block); });
  set_num_threads(before);
}

}  // namespace

void register_core() {
  benchmark::RegisterBenchmark("allocator/small_block", small_block)->Arg(64)->Arg(512);
  benchmark::RegisterBenchmark("allocator/buffer", buffer)->Arg(4 << 10)->Arg(256 << 10)->Arg(4 << 20);
  benchmark::RegisterBenchmark("allocator/tensor", tensor)->Arg(4)->Arg(1024)->Arg(1 << 16);
  benchmark::RegisterBenchmark("thread_pool/fork_join", fork_join)->Arg(1)->Arg(2)->UseRealTime();
}

}  // namespace chainrule::benchmarks
