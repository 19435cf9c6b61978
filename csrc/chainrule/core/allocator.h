// allocator.h - all memory of the core: small blocks from per-thread free lists, buffers 64-byte aligned. Floor: core.
// Nodes, tensors and small values come and go millions of times a second, so small blocks never reach malloc
// once warm. A block may be freed on another thread than it was allocated on: it joins that thread's list.
#pragma once
#include <cstddef>
#include <cstdint>

namespace chainrule {

inline constexpr size_t small_step = 32;        ///< size classes are multiples of this
inline constexpr size_t small_limit = 1024;     ///< larger blocks are buffers
inline constexpr size_t buffer_alignment = 64;  ///< one cache line, one AVX-512 register

/// The free lists of one thread. Reached only through the inline functions below.
struct SmallBlocks {
  struct Free {
    Free* next;
  };
  Free* heads[small_limit / small_step + 1] = {};
  int64_t live_tensors = 0;  ///< created minus destroyed on this thread; only the sum over threads means anything
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

/// Memory for tensor data, aligned to buffer_alignment; throws std::bad_alloc when there is none.
void* allocate_buffer(size_t bytes);
void free_buffer(void* buffer, size_t bytes) noexcept;

/// Tensors alive in the process, over all threads.
int64_t live_tensors();

}  // namespace chainrule
