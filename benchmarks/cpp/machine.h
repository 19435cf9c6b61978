// machine.h - what this machine can do with the active instruction set and thread count, measured at start.
#pragma once
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "chainrule/core/dtype.h"

namespace chainrule::benchmarks {

/// How fast data is copied that takes that many bytes per thread, source and copy together.
struct CopyPeak {
  int64_t working_set;
  double bytes_per_second;  ///< read plus written, all threads together
};

struct Machine {
  int level, threads;
  double flops[2];  ///< per second, all threads together: float32, float64
  std::vector<CopyPeak> copies;  ///< from a size for L1 to one beyond all caches

  double peak_flops(DType dtype) const { return flops[dtype == DType::float64]; }
  double peak_bytes(int64_t working_set) const;
  std::string header() const;
};

/// Measured at the first call.
const Machine& machine();

/// Started just before the measured loop. Wall time: the threads of the pool work in it too.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

/// Counters of a loop whose every iteration moved `bytes`: GB/s, and percent of the copy peak at that size.
void count_bytes(benchmark::State& state, const Stopwatch& watch, int64_t bytes);
/// The same for arithmetic: GFLOP/s, and percent of the peak.
void count_flops(benchmark::State& state, const Stopwatch& watch, DType dtype, int64_t flops);

}  // namespace chainrule::benchmarks
