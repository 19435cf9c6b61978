// random.h - random numbers as a pure function of (seed, counter). Floor: core.
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011) turns a
// 128-bit counter and a 64-bit key into 128 random bits. The key is the seed. Every fill spends 64 bits an
// element: element i takes half i % 2 of counter first + i / 2. So the same seed gives the same numbers for
// any number of threads, and the float32 numbers are the float64 numbers at lower precision.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>

namespace chainrule {

/// The block function of the paper: ten rounds.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// A stretch of the counter sequence of one seed, from `first` on.
struct CounterRange {
  uint64_t seed = 0;
  uint64_t first = 0;
};

/// A seed and how many counters have been handed out. Safe to share between threads.
class Generator {
 public:
  explicit Generator(uint64_t seed) : seed_(seed) {}

  /// Starts the sequence of this seed from its beginning.
  void manual_seed(uint64_t seed);
  uint64_t seed() const;

  /// Counters nobody else gets, enough to fill that many elements.
  CounterRange reserve(int64_t elements);

 private:
  mutable std::mutex mutex_;
  uint64_t seed_;
  uint64_t offset_ = 0;
};

/// The process-wide generator. Until manual_seed, its seed comes from the operating system.
Generator& default_generator();

/// Uniform on [0, 1): multiples of 2^-24 for float, of 2^-53 for double.
void fill_uniform(float* out, int64_t n, CounterRange counters);
void fill_uniform(double* out, int64_t n, CounterRange counters);

/// Standard normal by the Box-Muller transform, computed in double: an element pair is a radius and an angle.
void fill_normal(float* out, int64_t n, CounterRange counters);
void fill_normal(double* out, int64_t n, CounterRange counters);

/// Uniform integers in [low, high), low < high, by multiply and shift: of 2^64 equally likely words each
/// value gets the same share to within one.
void fill_integers(int64_t* out, int64_t n, int64_t low, int64_t high, CounterRange counters);
void fill_integers(int32_t* out, int64_t n, int32_t low, int32_t high, CounterRange counters);

/// A random permutation of 0 ... n - 1 (Fisher and Yates' shuffle).
void fill_permutation(int64_t* out, int64_t n, CounterRange counters);

}  // namespace chainrule
