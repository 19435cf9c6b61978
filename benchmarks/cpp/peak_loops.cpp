// Built with -march=x86-64-v<CHAINRULE_LEVEL>; multiply and add may be contracted here, for that is the peak.
#include "peak_loops.h"

namespace chainrule::benchmarks {

namespace {

constexpr int vector_bytes = CHAINRULE_LEVEL == 2 ? 16 : CHAINRULE_LEVEL == 3 ? 32 : 64;
// Enough independent sums to hide a latency of 4 to 5 cycles on two ports, few enough for 16 registers.
constexpr int sums = 12;

template <class S>
int64_t multiply_adds(int64_t rounds, S* sink) {
  typedef S Vector __attribute__((vector_size(vector_bytes)));
  constexpr int64_t lanes = vector_bytes / sizeof(S);
  // Values from memory: the compiler must not know that they converge.
  const Vector factor = Vector{} + *sink, term = Vector{} + *sink * S(0.5);
  Vector sum[sums];
  for (int i = 0; i < sums; ++i) sum[i] = term * S(i);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < sums; ++i) sum[i] = sum[i] * factor + term;
  }
  Vector total{};
  for (int i = 0; i < sums; ++i) total += sum[i];
  for (int64_t lane = 0; lane < lanes; ++lane) *sink += total[lane] * S(1e-30);
  return rounds * sums * lanes * 2;
}

}  // namespace

template <>
int64_t multiply_add_loop<CHAINRULE_LEVEL, float>(int64_t rounds, float* sink) {
  return multiply_adds(rounds, sink);
}
template <>
int64_t multiply_add_loop<CHAINRULE_LEVEL, double>(int64_t rounds, double* sink) {
  return multiply_adds(rounds, sink);
}

template <>
void copy_loop<CHAINRULE_LEVEL>(void* to, const void* from, int64_t bytes) {
  typedef float Vector __attribute__((vector_size(vector_bytes)));
  auto* out = static_cast<Vector*>(to);
  const auto* in = static_cast<const Vector*>(from);
  const int64_t vectors = bytes / vector_bytes;
  for (int64_t i = 0; i < vectors; i += 8) {
#pragma GCC unroll 8
    for (int64_t j = 0; j < 8; ++j) out[i + j] = in[i + j];
  }
}

}  // namespace chainrule::benchmarks
