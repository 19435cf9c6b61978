// allocator.h - all memory of the core: small blocks from per-thread free lists, buffers 64-byte aligned. Floor: core.
// Nodes, tensors and small values come and go millions of times a second, so small blocks never reach malloc
// once warm. A block may be freed on another thread than it was allocated on: it joins that thread's list.
// Freed buffers are kept too, the smaller ones per thread, within a bound; blocks of 2 MiB and more are mapped on
// their own, in huge pages where the system allows them.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace chainrule {

inline constexpr size_t small_step = 32;        ///< size classes are multiples of this
inline constexpr size_t small_limit = 1024;     ///< larger blocks are buffers
inline constexpr size_t buffer_alignment = 64;  ///< one cache line, one AVX-512 register
inline constexpr size_t front_classes = 49;     ///< size classes of buffers from 1 to 64 KiB

/// Written by its own thread alone, read by any: no locked instruction.
class ThreadCounter {
 public:
  int64_t get() const { return value_.load(std::memory_order_relaxed); }
  void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(int64_t value) { set(get() + value); }
  void operator++() { add(1); }
  void operator--() { add(-1); }

 private:
  std::atomic<int64_t> value_{0};
};

/// The free lists of one thread. Reached only through the functions below.
struct SmallBlocks {
  struct Free {
    Free* next;
  };
  Free* heads[small_limit / small_step + 1] = {};
  ThreadCounter live_tensors;  ///< created minus destroyed on this thread; only the sum over threads means anything

  Free* buffers[front_classes] = {};  ///< freed buffers, used again without a lock
  ThreadCounter buffers_bytes;        ///< in those lists
  ThreadCounter bytes_in_use;         ///< handed out minus taken back, like live_tensors
  ThreadCounter high_water;           ///< of bytes_in_use: above it the peak of the process is looked at
  ThreadCounter allocations, cache_hits;

  SmallBlocks();
  void retire();  ///< the thread ends: its free blocks and its count pass to those that go on
};
SmallBlocks& make_small_blocks();
void* refill_small(SmallBlocks& blocks, size_t size_class);

// Read several times by every op: the static TLS model makes that one load instead of a call, in a shared object too.
// The memory for it is scarce when a program loads us late: all thread-local variables together stay under 100 bytes.
[[gnu::tls_model("initial-exec")]] extern thread_local constinit SmallBlocks* blocks_of_this_thread;

inline SmallBlocks& small_blocks() {
  if (!blocks_of_this_thread) [[unlikely]]
    return make_small_blocks();
  return *blocks_of_this_thread;
}

/// `bytes` <= small_limit, 16-byte aligned.
inline void* allocate_small(SmallBlocks& blocks, size_t bytes) {
  const size_t size_class = (bytes + small_step - 1) / small_step;
  SmallBlocks::Free* head = blocks.heads[size_class];
  if (!head) [[unlikely]]
    return refill_small(blocks, size_class);
  blocks.heads[size_class] = head->next;
  return head;
}
inline void free_small(SmallBlocks& blocks, void* block, size_t bytes) {
  const size_t size_class = (bytes + small_step - 1) / small_step;
  auto* head = static_cast<SmallBlocks::Free*>(block);
  head->next = blocks.heads[size_class];
  blocks.heads[size_class] = head;
}

/// Memory for tensor data, aligned to buffer_alignment; throws std::bad_alloc when there is none, also after the
/// cache has been emptied. At the first call, fails if CHAINRULE_CACHE_BYTES is set to anything but a number.
void* allocate_buffer(size_t bytes);
void free_buffer(void* buffer, size_t bytes) noexcept;

/// Tensors alive in the process, over all threads.
int64_t live_tensors();

/// All threads together. Buffers count with the bytes that were set aside for them, up to 1/8 more than asked for.
struct MemoryStats {
  int64_t bytes_in_use;       ///< in buffers that tensors hold
  int64_t peak_bytes_in_use;  ///< the most so far; exact in a program of one thread, else nearly so
  int64_t bytes_cached;       ///< in freed buffers that wait to be used again
  int64_t cache_limit_bytes;  ///< CHAINRULE_CACHE_BYTES, or 256 MiB
  int64_t bytes_small;        ///< in slabs of small blocks: headers, nodes, small values; never given back
  int64_t allocations;        ///< buffers handed out since the start
  int64_t cache_hits;         ///< of these, those that had been freed before
  int64_t live_tensors;
};
MemoryStats memory_stats();

/// Gives the cached buffers back to the system, those in the lists of other threads excepted; returns their bytes.
int64_t empty_cache() noexcept;

/// The peak starts over from what is in use now.
void reset_peak_memory_stats();

}  // namespace chainrule
