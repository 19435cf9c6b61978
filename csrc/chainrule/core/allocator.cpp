#include "chainrule/core/allocator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace chainrule {

namespace {

constexpr size_t slab_bytes = 64 * 1024;
constexpr size_t class_count = small_limit / small_step + 1;

// What outlives a thread: its free blocks and its share of the tensor count pass to this pool when it ends.
// Leaked on purpose: tensors may be destroyed during static destruction.
struct Registry {
  std::mutex mutex;
  std::vector<SmallBlocks*> threads;
  SmallBlocks::Free* orphans[class_count] = {};
  int64_t live_tensors = 0;
};
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

// Freed buffers wait here for the next request of their size class. Classes are eighths of a power of two, so a
// block is at most 1/8 larger than asked for; what is kept in all is bounded.
constexpr size_t cached_bytes_limit = 256u << 20;
constexpr size_t cached_block_limit = 64u << 20;

struct BufferCache {
  std::mutex mutex;
  std::vector<void*> free[64 * 8];
  size_t bytes = 0;
};
BufferCache& buffer_cache() {
  static auto* instance = new BufferCache;  // leaked for the same reason
  return *instance;
}

struct BufferClass {
  size_t index, bytes;
};
BufferClass buffer_class(size_t bytes) {
  bytes = std::max<size_t>(bytes, 1024);
  const int exponent = std::bit_width(bytes - 1) - 4;  // step = 1/8 of the power of two below
  const size_t step = size_t{1} << exponent, eighths = (bytes + step - 1) >> exponent;
  return {static_cast<size_t>(exponent) * 8 + (eighths - 8), eighths << exponent};
}

}  // namespace

SmallBlocks::SmallBlocks() {
  std::lock_guard lock(registry().mutex);
  registry().threads.push_back(this);
}

void SmallBlocks::retire() {
  Registry& shared = registry();
  std::lock_guard lock(shared.mutex);
  std::erase(shared.threads, this);
  shared.live_tensors += live_tensors;
  for (size_t i = 0; i < class_count; ++i) {
    while (Free* block = heads[i]) {
      heads[i] = block->next;
      block->next = shared.orphans[i];
      shared.orphans[i] = block;
    }
  }
}

[[gnu::tls_model("initial-exec")]] thread_local constinit SmallBlocks* blocks_of_this_thread = nullptr;

SmallBlocks& make_small_blocks() {
  // The lists themselves stay: what is destroyed after this, while the thread ends, still finds them.
  struct Retire {
    SmallBlocks* blocks;
    ~Retire() { blocks->retire(); }
  };
  thread_local const Retire at_exit{blocks_of_this_thread = new SmallBlocks};
  return *at_exit.blocks;
}

void* refill_small(SmallBlocks& blocks, size_t size_class) {
  Registry& shared = registry();
  {
    std::lock_guard lock(shared.mutex);
    std::swap(blocks.heads[size_class], shared.orphans[size_class]);
  }
  const size_t bytes = size_class * small_step;
  if (!blocks.heads[size_class]) {
    auto* slab = static_cast<char*>(std::aligned_alloc(buffer_alignment, slab_bytes));
    if (!slab) throw std::bad_alloc();
    for (size_t at = slab_bytes / bytes; at-- > 0;) free_small(blocks, slab + at * bytes, bytes);
  }
  return allocate_small(blocks, bytes);
}

void* allocate_buffer(size_t bytes) {
  const auto [index, rounded] = buffer_class(bytes);
  if (rounded < bytes) throw std::bad_alloc();
  if (rounded <= cached_block_limit) {
    BufferCache& cache = buffer_cache();
    std::lock_guard lock(cache.mutex);
    if (!cache.free[index].empty()) {
      void* buffer = cache.free[index].back();
      cache.free[index].pop_back();
      cache.bytes -= rounded;
      return buffer;
    }
  }
  void* buffer = std::aligned_alloc(buffer_alignment, rounded);
  if (!buffer) throw std::bad_alloc();
  return buffer;
}

void free_buffer(void* buffer, size_t bytes) noexcept {
  const auto [index, rounded] = buffer_class(bytes);
  BufferCache& cache = buffer_cache();
  if (rounded <= cached_block_limit) {
    std::lock_guard lock(cache.mutex);
    if (cache.bytes + rounded <= cached_bytes_limit) {
      try {
        cache.free[index].push_back(buffer);
        cache.bytes += rounded;
        return;
      } catch (const std::bad_alloc&) {
        // No room for the list entry: give the buffer back below instead of keeping it.
      }
    }
  }
  std::free(buffer);
}

int64_t live_tensors() {
  Registry& shared = registry();
  std::lock_guard lock(shared.mutex);
  int64_t total = shared.live_tensors;
  for (const SmallBlocks* thread : shared.threads) total += thread->live_tensors;
  return total;
}

}  // namespace chainrule
