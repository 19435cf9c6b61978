// Random numbers: the published test vectors of Philox4x32-10, and what the fills promise.
#include "chainrule/core/random.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <thread>

#include "chainrule/core/thread_pool.h"
#include "support.h"

using namespace chainrule;

using Block = std::array<uint32_t, 4>;

// Source: kat_vectors of Random123, the library of the paper's authors.
TEST_CASE("known answers") {
  constexpr uint32_t ones = 0xffffffff;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a generator hands out each counter once") {
  Generator generator(7);
  CHECK(generator.reserve(3).first == 0);
  CHECK(generator.reserve(4).first == 2);
  CHECK(generator.reserve(0).first == 4);
  CHECK(generator.reserve(1).first == 4);
  generator.manual_seed(9);
  CHECK(generator.seed() == 9);
  CHECK(generator.reserve(1).first == 0);
}

TEST_CASE("threads share a generator without overlap") {
  Generator generator(1);
  std::vector<uint64_t> firsts(400);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 100; ++i) firsts[t * 100 + i] = generator.reserve(2).first;
    });
  for (std::thread& thread : threads) thread.join();
  std::ranges::sort(firsts);
  std::vector<uint64_t> expected(400);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(firsts == expected);
}

TEST_CASE("the same numbers for any number of threads, and any way to cut the request") {
  constexpr int64_t n = 100'001;
  const int before = num_threads();
  std::vector<double> alone(n), together(n);
  set_num_threads(1);
  fill_normal(alone.data(), n, {3, 10});
  set_num_threads(4);
  fill_normal(together.data(), n, {3, 10});
  set_num_threads(before);
  CHECK(alone == together);
  std::vector<double> tail(n - 1000);
  fill_normal(tail.data(), n - 1000, {3, 10 + 500});
  CHECK(std::equal(tail.begin(), tail.end(), alone.begin() + 1000));
}

TEST_CASE("uniform numbers are in [0, 1), the same in both precisions") {
  constexpr int64_t n = 20'000;
  std::vector<float> singles(n);
  std::vector<double> twofold(n);
  fill_uniform(singles.data(), n, {5, 0});
  fill_uniform(twofold.data(), n, {5, 0});
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    REQUIRE(singles[i] < 1);
    REQUIRE(twofold[i] >= singles[i]);
    REQUIRE(twofold[i] - singles[i] < 0x1p-24);
    sum += twofold[i];
  }
  CHECK(std::abs(sum / n - 0.5) < 0.01);
}

TEST_CASE("integers cover the whole range") {
  constexpr int64_t lowest = std::numeric_limits<int64_t>::min(), highest = std::numeric_limits<int64_t>::max();
  std::vector<int64_t> wide(1000), dice(6000);
  fill_integers(wide.data(), 1000, lowest, highest, {1, 0});
  CHECK(*std::ranges::min_element(wide) < lowest / 2);
  CHECK(*std::ranges::max_element(wide) > highest / 2);
  fill_integers(dice.data(), 6000, int64_t{1}, int64_t{7}, {1, 0});
  for (int64_t face = 1; face <= 6; ++face) CHECK(std::abs(std::ranges::count(dice, face) - 1000) < 150);
}

TEST_CASE("a permutation") {
  for (int64_t n : {0, 1, 2, 1001}) {
    std::vector<int64_t> order(static_cast<size_t>(n)), expected(static_cast<size_t>(n));
    fill_permutation(order.data(), n, {1, 0});
    std::ranges::sort(order);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(order == expected);
  }
}
