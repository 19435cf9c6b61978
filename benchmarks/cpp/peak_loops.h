// peak_loops.h - loops that do nothing but arithmetic, or nothing but copying, built once per instruction set.
// They say what the machine can do at a level; the kernels are measured against them.
#pragma once
#include <cstdint>

namespace chainrule::benchmarks {

/// Runs multiply-adds on registers only and returns how many operations that was (a multiply-add counts two).
/// `sink` receives what was computed, so that it is computed.
template <int Level, class S>
int64_t multiply_add_loop(int64_t rounds, S* sink);

/// Copies, one full vector at a time; `bytes` is a multiple of 512, both addresses are 64-byte aligned.
template <int Level>
void copy_loop(void* to, const void* from, int64_t bytes);

template <> int64_t multiply_add_loop<2, float>(int64_t rounds, float* sink);
template <> int64_t multiply_add_loop<3, float>(int64_t rounds, float* sink);
template <> int64_t multiply_add_loop<4, float>(int64_t rounds, float* sink);
template <> int64_t multiply_add_loop<2, double>(int64_t rounds, double* sink);
template <> int64_t multiply_add_loop<3, double>(int64_t rounds, double* sink);
template <> int64_t multiply_add_loop<4, double>(int64_t rounds, double* sink);
template <> void copy_loop<2>(void* to, const void* from, int64_t bytes);
template <> void copy_loop<3>(void* to, const void* from, int64_t bytes);
template <> void copy_loop<4>(void* to, const void* from, int64_t bytes);

}  // namespace chainrule::benchmarks
