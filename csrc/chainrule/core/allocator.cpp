#include "chainrule/core/allocator.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chainrule/core/error.h"

namespace chainrule {

namespace {

constexpr size_t slab_bytes = 64 * 1024;
constexpr size_t class_count = small_limit / small_step + 1;

// What outlives a thread: its free blocks and its share of the counters pass to this pool when it ends.
// Leaked on purpose: tensors may be destroyed during static destruction.
struct Registry {
  std::mutex mutex;
  std::vector<SmallBlocks*> threads;
  SmallBlocks::Free* orphans[class_count] = {};
  int64_t bytes_small = 0;
  MemoryStats ended{};  // the sums of threads that have ended
  int64_t peak = 0;
};
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

// Under the registry's mutex.
MemoryStats sum_over_threads(const Registry& shared) {
  MemoryStats sum = shared.ended;
  for (const SmallBlocks* thread : shared.threads) {
    sum.bytes_in_use += thread->bytes_in_use.get();
    sum.bytes_cached += thread->buffers_bytes.get();
    sum.allocations += thread->allocations.get();
    sum.cache_hits += thread->cache_hits.get();
    sum.live_tensors += thread->live_tensors.get();
  }
  return sum;
}

// ---- Sizes ----

// Classes are eighths of a power of two, so a block is at most 1/8 larger than asked for.
struct BufferClass {
  size_t index, bytes;
};
BufferClass buffer_class(size_t bytes) {
  bytes = std::max<size_t>(bytes, 1024);
  const int exponent = std::bit_width(bytes - 1) - 4;  // step = 1/8 of the power of two below
  const size_t step = size_t{1} << exponent, eighths = (bytes + step - 1) >> exponent;
  return {static_cast<size_t>(exponent) * 8 + (eighths - 8), eighths << exponent};
}

constexpr size_t all_classes = 64 * 8;
constexpr size_t first_class = 56;  // of 1 KiB
constexpr size_t front_bytes_limit = 1 << 20;
constexpr size_t huge_page = 2 << 20;

// ---- From the system and back ----

// More than the machine has: refused here, because a system that overcommits would promise it and kill us later.
bool beyond_this_machine(size_t bytes) {
  static const size_t all = [] {
    struct sysinfo machine;
    return sysinfo(&machine) == 0 ? (machine.totalram + machine.totalswap) * machine.mem_unit : ~size_t{0};
  }();
  return bytes > all;
}

// Note [Huge pages]
// A fresh page costs a fault, here 0.38 ms for each MiB in pages of 4 KiB and 0.02 ms in huge ones, many times what
// the loop that fills it takes. So large blocks are aligned to huge pages and advised; a last part that does not
// fill one stays in small pages, and nothing is resident that was not asked for.
void* map_huge(size_t bytes) {
  const size_t reserved = bytes + huge_page;
  void* const start = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  char* const from = static_cast<char*>(start);
  char* const aligned = from + (huge_page - reinterpret_cast<uintptr_t>(from) % huge_page) % huge_page;
  const size_t before = static_cast<size_t>(aligned - from), page = static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  const size_t kept = (bytes + page - 1) / page * page;
  if (before) munmap(from, before);
  if (reserved > before + kept) munmap(aligned + kept, reserved - before - kept);
#if defined(MADV_HUGEPAGE)
  madvise(aligned, kept, MADV_HUGEPAGE);  // where it is refused, small pages do
#endif
  return aligned;
}

void* from_system(size_t bytes) {
  if (beyond_this_machine(bytes)) return nullptr;
  return bytes >= huge_page ? map_huge(bytes) : std::aligned_alloc(buffer_alignment, bytes);
}

void to_system(void* buffer, size_t bytes) noexcept {
  if (bytes >= huge_page) munmap(buffer, bytes);
  else std::free(buffer);
}

// ---- Freed buffers of all threads ----

int64_t cache_limit() {
  static const int64_t limit = [] {
    const char* const variable = std::getenv("CHAINRULE_CACHE_BYTES");
    const std::string_view text = variable ? variable : "";
    int64_t bytes = int64_t{256} << 20;
    if (text.empty()) return bytes;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
    if (error != std::errc{} || end != text.data() + text.size() || bytes < 0)
      fail(ErrorKind::value, "CHAINRULE_CACHE_BYTES", "got \"" + std::string(text) + "\"",
           "it must be a number of bytes, 0 to keep nothing", "unset it to keep up to 256 MiB");
    return bytes;
  }();
  return limit;
}

class BufferCache {
 public:
  void* take(size_t index, size_t bytes) {
    const std::lock_guard lock(mutex_);
    Class& from = classes_[index];
    from.last_asked = ++clock_;
    if (from.free.empty()) return nullptr;
    void* const buffer = from.free.back();
    from.free.pop_back();
    bytes_ -= bytes;
    return buffer;
  }

  /// False if it has no room: the buffer stays the caller's.
  bool give(void* buffer, size_t index, size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    const auto limit = static_cast<size_t>(cache_limit());
    if (bytes > limit / 4 || !make_room(limit - bytes, index)) return false;
    Class& to = classes_[index];
    try {
      to.free.push_back(buffer);
    } catch (const std::bad_alloc&) { return false; }
    to.bytes = bytes;
    bytes_ += bytes;
    return true;
  }

  int64_t empty() noexcept {
    const std::lock_guard lock(mutex_);
    const auto given_back = static_cast<int64_t>(bytes_);
    for (Class& each : classes_)
      while (!each.free.empty()) drop_one(each);
    return given_back;
  }

  int64_t bytes() {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(bytes_);
  }

 private:
  struct Class {
    std::vector<void*> free;
    size_t bytes = 0;
    uint64_t last_asked = 0;
  };

  void drop_one(Class& from) noexcept {
    to_system(from.free.back(), from.bytes);
    from.free.pop_back();
    bytes_ -= from.bytes;
  }

  // Sizes that nobody has asked for the longest go first: a program that moves on to other shapes gets its memory
  // back. When that would be the class itself, the new buffer is the one not to keep.
  bool make_room(size_t allowed, size_t index) noexcept {
    while (bytes_ > allowed) {
      Class* oldest = nullptr;
      for (Class& each : classes_)
        if (!each.free.empty() && (!oldest || each.last_asked < oldest->last_asked)) oldest = &each;
      if (!oldest || oldest == &classes_[index] || oldest->last_asked > classes_[index].last_asked) return false;
      drop_one(*oldest);
    }
    return true;
  }

  std::mutex mutex_;
  Class classes_[all_classes];
  size_t bytes_ = 0;
  uint64_t clock_ = 0;
};
BufferCache& buffer_cache() {
  static auto* instance = new BufferCache;  // leaked for the same reason as the registry
  return *instance;
}

// ---- Freed buffers of one thread ----

// A lock costs as much as all the rest of a small tensor, so the last few small buffers stay with their thread.
bool is_in_front(size_t index) { return index < first_class + front_classes; }

size_t bytes_of_front(size_t slot) {
  const size_t index = first_class + slot, exponent = (index - 1) / 8;  // the inverse of buffer_class
  return (index - exponent * 8 + 8) << exponent;
}

void count(SmallBlocks& blocks, size_t bytes) {
  blocks.allocations.add(1);
  blocks.bytes_in_use.add(static_cast<int64_t>(bytes));
  if (blocks.bytes_in_use.get() <= blocks.high_water.get()) [[likely]]
    return;
  blocks.high_water.set(blocks.bytes_in_use.get());
  Registry& shared = registry();
  const std::lock_guard lock(shared.mutex);
  shared.peak = std::max(shared.peak, sum_over_threads(shared).bytes_in_use);
}

int64_t empty_front(SmallBlocks& blocks) noexcept {
  const int64_t given_back = blocks.buffers_bytes.get();
  for (size_t slot = 0; slot < front_classes; ++slot) {
    while (SmallBlocks::Free* head = blocks.buffers[slot]) {
      blocks.buffers[slot] = head->next;
      to_system(head, bytes_of_front(slot));
    }
  }
  blocks.buffers_bytes.set(0);
  return given_back;
}

void* from_caches(SmallBlocks& blocks, size_t index, size_t bytes) {
  if (is_in_front(index)) {
    if (SmallBlocks::Free*& head = blocks.buffers[index - first_class]) {
      blocks.buffers_bytes.add(-static_cast<int64_t>(bytes));
      return std::exchange(head, head->next);
    }
  }
  return buffer_cache().take(index, bytes);
}

}  // namespace

SmallBlocks::SmallBlocks() {
  std::lock_guard lock(registry().mutex);
  registry().threads.push_back(this);
}

void SmallBlocks::retire() {
  empty_front(*this);
  Registry& shared = registry();
  std::lock_guard lock(shared.mutex);
  std::erase(shared.threads, this);
  shared.ended.bytes_in_use += bytes_in_use.get();
  shared.ended.allocations += allocations.get();
  shared.ended.cache_hits += cache_hits.get();
  shared.ended.live_tensors += live_tensors.get();
  for (size_t i = 0; i < class_count; ++i) {
    while (Free* block = heads[i]) {
      heads[i] = block->next;
      block->next = shared.orphans[i];
      shared.orphans[i] = block;
    }
  }
}

[[gnu::tls_model("initial-exec")]] thread_local constinit SmallBlocks* blocks_of_this_thread = nullptr;

// Not by the destructor of a thread_local: others run after it, and may free tensors. What a later key's destructor
// does finds new lists, and the system calls us again for these.
SmallBlocks& make_small_blocks() {
  static const pthread_key_t at_end_of_thread = [] {
    pthread_key_t key;
    const auto end = [](void* of_this_thread) {
      blocks_of_this_thread = nullptr;
      auto* const blocks = static_cast<SmallBlocks*>(of_this_thread);
      blocks->retire();
      delete blocks;
    };
    if (pthread_key_create(&key, end) != 0) throw std::bad_alloc();
    return key;
  }();
  blocks_of_this_thread = new SmallBlocks;
  pthread_setspecific(at_end_of_thread, blocks_of_this_thread);  // should it fail, the lists outlive the thread
  return *blocks_of_this_thread;
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
    {
      std::lock_guard lock(shared.mutex);
      shared.bytes_small += slab_bytes;
    }
    for (size_t at = slab_bytes / bytes; at-- > 0;) free_small(blocks, slab + at * bytes, bytes);
  }
  return allocate_small(blocks, bytes);
}

void* allocate_buffer(size_t bytes) {
  const auto [index, rounded] = buffer_class(bytes);
  if (rounded < bytes) throw std::bad_alloc();
  SmallBlocks& blocks = small_blocks();
  void* buffer = from_caches(blocks, index, rounded);
  if (buffer) [[likely]] {
    blocks.cache_hits.add(1);
  } else {
    cache_limit();  // fails here rather than when the buffer is freed
    buffer = from_system(rounded);
    if (!buffer && empty_cache() > 0) buffer = from_system(rounded);
    if (!buffer) throw std::bad_alloc();
  }
  count(blocks, rounded);
  return buffer;
}

void free_buffer(void* buffer, size_t bytes) noexcept {
  const auto [index, rounded] = buffer_class(bytes);
  SmallBlocks& blocks = small_blocks();
  blocks.bytes_in_use.add(-static_cast<int64_t>(rounded));
  const auto kept = blocks.buffers_bytes.get() + static_cast<int64_t>(rounded);
  if (is_in_front(index) && kept <= std::min<int64_t>(front_bytes_limit, cache_limit())) {
    auto* const head = static_cast<SmallBlocks::Free*>(buffer);
    head->next = blocks.buffers[index - first_class];
    blocks.buffers[index - first_class] = head;
    blocks.buffers_bytes.set(kept);
  } else if (!buffer_cache().give(buffer, index, rounded)) {
    to_system(buffer, rounded);
  }
}

int64_t live_tensors() {
  Registry& shared = registry();
  std::lock_guard lock(shared.mutex);
  return sum_over_threads(shared).live_tensors;
}

MemoryStats memory_stats() {
  Registry& shared = registry();
  std::lock_guard lock(shared.mutex);
  MemoryStats stats = sum_over_threads(shared);
  stats.peak_bytes_in_use = std::max(shared.peak, stats.bytes_in_use);
  stats.bytes_cached += buffer_cache().bytes();
  stats.cache_limit_bytes = cache_limit();
  stats.bytes_small = shared.bytes_small;
  return stats;
}

int64_t empty_cache() noexcept {
  const int64_t given_back = empty_front(small_blocks()) + buffer_cache().empty();
#if defined(__GLIBC__)
  if (given_back > 0) malloc_trim(0);  // free() alone keeps pages for later
#endif
  return given_back;
}

void reset_peak_memory_stats() {
  Registry& shared = registry();
  std::lock_guard lock(shared.mutex);
  shared.peak = sum_over_threads(shared).bytes_in_use;
  for (SmallBlocks* thread : shared.threads) thread->high_water.set(thread->bytes_in_use.get());
}

}  // namespace chainrule
