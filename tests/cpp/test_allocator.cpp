// The allocator: alignment, reuse, blocks that change threads, the count of live tensors.
#include "chainrule/core/allocator.h"

#include <malloc.h>

#include <cstring>
#include <limits>
#include <new>
#include <set>
#include <thread>

#include "support.h"

using namespace chainrule;

TEST_CASE("small blocks are aligned, distinct and used again") {
  SmallBlocks& blocks = small_blocks();
  for (size_t bytes : {size_t{1}, size_t{32}, size_t{33}, size_t{500}, small_limit}) {
    std::set<void*> seen;
    for (int i = 0; i < 3000; ++i) {
      void* block = allocate_small(blocks, bytes);
      CHECK(reinterpret_cast<uintptr_t>(block) % 16 == 0);
      std::memset(block, 0xAB, bytes);
      seen.insert(block);
    }
    CHECK(seen.size() == 3000);
    for (void* block : seen) free_small(blocks, block, bytes);
    void* again = allocate_small(blocks, bytes);
    CHECK(seen.count(again) == 1);
    free_small(blocks, again, bytes);
  }
}

TEST_CASE("a block may be freed on another thread, and a thread leaves its blocks behind") {
  void* block = nullptr;
  std::thread([&] { block = allocate_small(small_blocks(), 640); }).join();
  std::memset(block, 1, 640);
  free_small(small_blocks(), block, 640);
  std::thread([&] { free_small(small_blocks(), allocate_small(small_blocks(), 640), 640); }).join();
}

TEST_CASE("buffers are aligned to a cache line and used again") {
  for (size_t bytes : {size_t{257}, size_t{4096}, size_t{1'000'001}}) {
    void* buffer = allocate_buffer(bytes);
    CHECK(reinterpret_cast<uintptr_t>(buffer) % buffer_alignment == 0);
    std::memset(buffer, 1, bytes);
    free_buffer(buffer, bytes);
    void* again = allocate_buffer(bytes);
    CHECK(again == buffer);
    free_buffer(again, bytes);
  }
}

TEST_CASE("more memory than there is") {
  CHECK_THROWS_AS(allocate_buffer(size_t{1} << 60), std::bad_alloc);
  CHECK_THROWS_AS(allocate_buffer(std::numeric_limits<size_t>::max() - 10), std::bad_alloc);
  const std::string text = chainrule::testing::message_of([] { zeros(Shape{int64_t{1} << 57}); }, ErrorKind::memory);
  CHECK(chainrule::testing::contains(text, "bytes for shape (144115188075855872,)"));
}

#if __GLIBC_PREREQ(2, 33)  // mallinfo2
TEST_CASE("a thread that has ended leaves no memory behind") {
  const auto use_a_tensor = [] { std::thread([] { zeros(Shape{3}); }).join(); };
  for (int i = 0; i < 10; ++i) use_a_tensor();
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 200; ++i) use_a_tensor();
  CHECK(mallinfo2().uordblks < before + 200 * sizeof(SmallBlocks) / 2);
}
#endif

TEST_CASE("live tensors are counted over all threads") {
  const int64_t before = live_tensors();
  {
    Tensor x;
    std::thread([&] { x = zeros(Shape{100}); }).join();
    CHECK(live_tensors() == before + 1);
    const Tensor y = reshape(x, Shape{10, 10});
    CHECK(live_tensors() == before + 2);
  }
  CHECK(live_tensors() == before);
}

TEST_CASE("freed buffers of every size class fit into the memory they get") {
  // Neighbouring sizes share a class or not; each block must hold what it was asked to hold.
  for (size_t bytes = 257; bytes < 300'000; bytes += bytes / 7 + 1) {
    void* first = allocate_buffer(bytes);
    std::memset(first, 1, bytes);
    free_buffer(first, bytes);
    void* again = allocate_buffer(bytes + 1);
    std::memset(again, 2, bytes + 1);
    free_buffer(again, bytes + 1);
  }
  const MemoryStats before = memory_stats();
  CHECK(before.bytes_cached > 0);
  CHECK(empty_cache() == before.bytes_cached);  // sizes in the lists of this thread are counted as they were set aside
  CHECK(memory_stats().bytes_cached == 0);
}

TEST_CASE("large blocks start on a huge page") {
  for (size_t bytes : {size_t{2} << 20, (size_t{3} << 20) + 5, size_t{64} << 20}) {
    void* buffer = allocate_buffer(bytes);
    CHECK(reinterpret_cast<uintptr_t>(buffer) % (2 << 20) == 0);
    std::memset(buffer, 1, bytes);
    free_buffer(buffer, bytes);
  }
}

TEST_CASE("memory is counted over all threads, those that have ended included") {
  reset_peak_memory_stats();
  const MemoryStats before = memory_stats();
  CHECK(before.peak_bytes_in_use == before.bytes_in_use);
  void* buffer = nullptr;
  std::thread([&] { buffer = allocate_buffer(4096); }).join();
  CHECK(memory_stats().bytes_in_use == before.bytes_in_use + 4096);
  CHECK(memory_stats().allocations == before.allocations + 1);
  free_buffer(buffer, 4096);
  CHECK(memory_stats().bytes_in_use == before.bytes_in_use);
  CHECK(memory_stats().peak_bytes_in_use == before.bytes_in_use + 4096);
  std::thread([] { free_buffer(allocate_buffer(4096), 4096); }).join();
  CHECK(memory_stats().bytes_in_use == before.bytes_in_use);
}
