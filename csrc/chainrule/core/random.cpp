#include "chainrule/core/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <utility>

#include "chainrule/core/thread_pool.h"

namespace chainrule {
namespace {

using WordPair = std::array<uint64_t, 2>;

WordPair words_at(CounterRange counters, uint64_t index) {
  const uint64_t counter = counters.first + index;
  const auto low_half = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high_half = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const auto bits =
      philox4x32({low_half(counter), high_half(counter), 0, 0}, {low_half(counters.seed), high_half(counters.seed)});
  return {uint64_t{bits[1]} << 32 | bits[0], uint64_t{bits[3]} << 32 | bits[2]};
}

// Writes out[2 k] and out[2 k + 1] from the two words of counter k. Blocks have a fixed, even size: who
// computes an element does not matter, which counter it gets does.
template <class S, class PairOfElements>
void fill_pairs(S* out, int64_t n, CounterRange counters, const PairOfElements& elements) {
  constexpr int64_t block_size = 8192;
  parallel_for((n + block_size - 1) / block_size, [&](int64_t block) noexcept {
    const int64_t end = std::min(n, (block + 1) * block_size);
    for (int64_t i = block * block_size; i < end; i += 2) {
      const std::array<S, 2> pair = elements(words_at(counters, static_cast<uint64_t>(i / 2)));
      out[i] = pair[0];
      if (i + 1 < end) out[i + 1] = pair[1];
    }
  });
}

template <class S>
S uniform(uint64_t word) {
  constexpr int bits = sizeof(S) == 4 ? 24 : 53;
  constexpr S scale = S{1} / static_cast<S>(uint64_t{1} << bits);
  return static_cast<S>(word >> (64 - bits)) * scale;
}

template <class S>
std::array<S, 2> normal_pair(WordPair words) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform<double>(words[0])));  // 1 - u is never 0
  const double angle = 2 * std::numbers::pi * uniform<double>(words[1]);
  return {static_cast<S>(radius * std::cos(angle)), static_cast<S>(radius * std::sin(angle))};
}

// The high 64 bits of word * bound: uniform on [0, bound).
uint64_t below(uint64_t bound, uint64_t word) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(word) * bound >> 64);
}

template <class S>
void fill_uniform_lanes(S* out, int64_t n, CounterRange counters) {
  fill_pairs(out, n, counters, [](WordPair w) { return std::array<S, 2>{uniform<S>(w[0]), uniform<S>(w[1])}; });
}

// In unsigned arithmetic, where high - low cannot overflow.
template <class S>
void fill_integer_lanes(S* out, int64_t n, S low, S high, CounterRange counters) {
  const uint64_t start = static_cast<uint64_t>(int64_t{low});
  const uint64_t span = static_cast<uint64_t>(int64_t{high}) - start;
  fill_pairs(out, n, counters, [start, span](WordPair w) {
    return std::array<S, 2>{static_cast<S>(start + below(span, w[0])), static_cast<S>(start + below(span, w[1]))};
  });
}

uint64_t seed_from_system() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  constexpr int rounds = 10;
  for (int round = 0; round < rounds; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

void Generator::manual_seed(uint64_t seed) {
  const std::lock_guard<std::mutex> lock(mutex_);
  seed_ = seed;
  offset_ = 0;
}

uint64_t Generator::seed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return seed_;
}

CounterRange Generator::reserve(int64_t elements) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const CounterRange range{seed_, offset_};
  offset_ += (static_cast<uint64_t>(elements) + 1) / 2;
  return range;
}

Generator& default_generator() {
  static Generator generator(seed_from_system());
  return generator;
}

void fill_uniform(float* out, int64_t n, CounterRange counters) { fill_uniform_lanes(out, n, counters); }
void fill_uniform(double* out, int64_t n, CounterRange counters) { fill_uniform_lanes(out, n, counters); }

void fill_normal(float* out, int64_t n, CounterRange counters) { fill_pairs(out, n, counters, normal_pair<float>); }
void fill_normal(double* out, int64_t n, CounterRange counters) { fill_pairs(out, n, counters, normal_pair<double>); }

void fill_integers(int64_t* out, int64_t n, int64_t low, int64_t high, CounterRange counters) {
  fill_integer_lanes(out, n, low, high, counters);
}
void fill_integers(int32_t* out, int64_t n, int32_t low, int32_t high, CounterRange counters) {
  fill_integer_lanes(out, n, low, high, counters);
}

void fill_permutation(int64_t* out, int64_t n, CounterRange counters) {
  for (int64_t i = 0; i < n; ++i) out[i] = i;
  WordPair words{};
  for (int64_t i = 0; i < n - 1; ++i) {
    if (i % 2 == 0) words = words_at(counters, static_cast<uint64_t>(i / 2));
    const uint64_t offset = below(static_cast<uint64_t>(n - i), words[static_cast<size_t>(i % 2)]);
    std::swap(out[i], out[i + static_cast<int64_t>(offset)]);
  }
}

}  // namespace chainrule
