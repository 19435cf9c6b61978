// Runs the C++ benchmarks. One thread unless CHAINRULE_NUM_THREADS says otherwise, so that a fraction of the peak
// means the same for a kernel that shares its work and for one that does not.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "chainrule/core/thread_pool.h"
#include "machine.h"
#include "suites.h"

int main(int argc, char** argv) try {
  using namespace chainrule;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (!std::getenv("CHAINRULE_NUM_THREADS")) set_num_threads(1);
  std::fprintf(stderr, "%s\n", benchmarks::machine().header().c_str());
  benchmark::AddCustomContext("machine", benchmarks::machine().header());
  benchmarks::register_elementwise();
  benchmarks::register_structured();
  benchmarks::register_optimizers();
  benchmarks::register_gemm();
  benchmarks::register_engine();
  benchmarks::register_core();
  benchmark::RunSpecifiedBenchmarks();
} catch (const std::exception& error) {
  std::fprintf(stderr, "chainrule_benchmarks: %s\n", error.what());
  return 1;
}
