#include "machine.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/allocator.h"
#include "chainrule/core/thread_pool.h"
#include "peak_loops.h"

namespace chainrule::benchmarks {

namespace {

constexpr int repeats = 20;

/// The best of a few runs: a peak is what is possible, not what is usual.
template <class F>
double best_seconds(F&& run) {
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    const Stopwatch watch;
    run();
    best = std::min(best, watch.seconds());
  }
  return best;
}

template <class S>
int64_t multiply_adds(int level, int64_t rounds, S* sink) {
  if (level == 2) return multiply_add_loop<2>(rounds, sink);
  return level == 3 ? multiply_add_loop<3>(rounds, sink) : multiply_add_loop<4>(rounds, sink);
}
void copy(int level, void* to, const void* from, int64_t bytes) {
  if (level == 2) return copy_loop<2>(to, from, bytes);
  return level == 3 ? copy_loop<3>(to, from, bytes) : copy_loop<4>(to, from, bytes);
}

template <class S>
double measure_flops(int level, int threads) {
  constexpr int64_t rounds = 2'000'000;
  std::vector<int64_t> operations(threads);
  const double seconds = best_seconds([&] {
    parallel_for(threads, [&](int64_t thread) noexcept {
      S sink = 0.5;
      operations[thread] = multiply_adds(level, rounds, &sink);
      benchmark::DoNotOptimize(sink);
    });
  });
  int64_t total = 0;
  for (int64_t count : operations) total += count;
  return static_cast<double>(total) / seconds;
}

/// Each thread copies one half of its `working_set` bytes to the other half, often enough to be timed.
double measure_copy(int level, int threads, int64_t working_set) {
  const int64_t half = working_set / 2 / 512 * 512;
  const int64_t rounds = std::max<int64_t>(1, (16 << 20) / half);
  std::vector<char*> memory(threads);
  for (char*& block : memory) {
    block = static_cast<char*>(allocate_buffer(2 * half));
    std::memset(block, 1, 2 * half);
  }
  const double seconds = best_seconds([&] {
    parallel_for(threads, [&](int64_t thread) noexcept {
      for (int64_t round = 0; round < rounds; ++round) {
        copy(level, memory[thread] + half, memory[thread], half);
        benchmark::ClobberMemory();
      }
    });
  });
  for (char* block : memory) free_buffer(block, 2 * half);
  return static_cast<double>(2 * half) * static_cast<double>(rounds * threads) / seconds;
}

Machine measure() {
  Machine m{active_level(), num_threads(), {}, {}};
  m.flops[0] = measure_flops<float>(m.level, m.threads);
  m.flops[1] = measure_flops<double>(m.level, m.threads);
  for (int64_t working_set = 16 << 10; working_set <= 256 << 20; working_set *= 4)
    m.copies.push_back({working_set, measure_copy(m.level, m.threads, working_set)});
  return m;
}

}  // namespace

const Machine& machine() {
  static const Machine measured = measure();
  return measured;
}

double Machine::peak_bytes(int64_t working_set) const {
  const int64_t share = working_set / threads;
  const auto fits = [&](const CopyPeak& at) { return share <= at.working_set; };
  const auto found = std::ranges::find_if(copies, fits);
  return (found == copies.end() ? copies.back() : *found).bytes_per_second;
}

std::string Machine::header() const {
  char text[160];
  std::snprintf(text, sizeof text, "x86-64-v%d, %d thread%s: peak %.1f GFLOP/s float32, %.1f float64; copy GB/s", level,
                threads, threads == 1 ? "" : "s", flops[0] * 1e-9, flops[1] * 1e-9);
  std::string line = text;
  for (const CopyPeak& at : copies) {
    const bool small = at.working_set < 1 << 20;
    std::snprintf(text, sizeof text, " %lld%s: %.1f", static_cast<long long>(at.working_set >> (small ? 10 : 20)),
                  small ? "K" : "M", at.bytes_per_second * 1e-9);
    line += text;
  }
  return line;
}

namespace {

void count(benchmark::State& state, const Stopwatch& watch, const char* unit, int64_t amount, double peak) {
  const double rate = static_cast<double>(amount * state.iterations()) / watch.seconds();
  state.counters[unit] = rate * 1e-9;
  state.counters["%peak"] = rate / peak * 100;
}

}  // namespace

void count_bytes(benchmark::State& state, const Stopwatch& watch, int64_t bytes) {
  count(state, watch, "GB/s", bytes, machine().peak_bytes(bytes));
}
void count_flops(benchmark::State& state, const Stopwatch& watch, DType dtype, int64_t flops) {
  count(state, watch, "GFLOP/s", flops, machine().peak_flops(dtype));
}

}  // namespace chainrule::benchmarks
