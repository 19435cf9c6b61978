// thread_pool.h - runs the blocks of one loop on a few threads. Floor: core.
// The blocks are the caller's, so what a block computes never depends on the number of threads: with block
// boundaries that are a function of the size alone, results have the same bits for any number of threads. A
// static partition without queues: thread t of T runs the blocks [t * blocks / T, (t + 1) * blocks / T), upwards in one
// loop and downwards in the next; the caller is thread 0. A loop inside a loop, or one started while another thread has
// the pool, runs on its caller alone. Workers touch raw memory only, never a reference count.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace chainrule {

/// Threads a loop may use: at first CHAINRULE_NUM_THREADS, or as many CPUs as this process may run on. Fails
/// if the variable is set to anything but an integer from 1 to 1024.
int num_threads();

/// From 1 to 1024.
void set_num_threads(int n);

/// What the host of the library does around loops that take long: an interpreter lets its other threads run.
/// `before` is called at most once a loop, by the thread that started it, when that thread has been in the loop for
/// `long_loop`; unless it returns null, `after` gets what it returned when the loop is over and the pool is free.
/// Between the two only the bodies of the loop run: raw memory, no reference count.
struct LongLoopHooks {
  void* (*before)() noexcept;
  void (*after)(void* token) noexcept;
};
inline constexpr std::chrono::microseconds long_loop{50};
/// Once, before there are other threads.
void set_long_loop_hooks(LongLoopHooks hooks);

/// While one lives, loops of this thread do not call the hooks. For code that leaves marks which another thread of the
/// host could meet: a backward pass keeps its gradients in nodes that graphs share.
class UninterruptedLoops {
 public:
  UninterruptedLoops();
  ~UninterruptedLoops();
  UninterruptedLoops(const UninterruptedLoops&) = delete;
  UninterruptedLoops& operator=(const UninterruptedLoops&) = delete;
};

namespace detail {
/// body(block) for `count` blocks from `first` on, upwards or downwards by `step`, 1 or -1.
using BlockRange = void (*)(void* body, int64_t first, int64_t count, int64_t step) noexcept;
void run_on_pool(int64_t blocks, BlockRange run, void* body, bool known_long);
}  // namespace detail

/// Calls body(block) once for every block in [0, blocks) and returns when all are done. They run in no
/// particular order. Worth it from about 10 microseconds of work. `known_long`: it takes at least
/// long_loop in every thread, which is otherwise found out from block to block.
template <class F>
void parallel_for(int64_t blocks, F&& body, bool known_long = false) {
  static_assert(noexcept(body(int64_t{})), "an exception cannot leave a worker: declare the body noexcept");
  if (blocks <= 1 && !known_long) {
    for (int64_t block = 0; block < blocks; ++block) body(block);
    return;
  }
  using Body = std::remove_reference_t<F>;
  const detail::BlockRange run = [](void* erased, int64_t first, int64_t count, int64_t step) noexcept {
    Body& typed = *static_cast<Body*>(erased);
    for (; count > 0; --count, first += step) typed(first);
  };
  detail::run_on_pool(blocks, run, const_cast<void*>(static_cast<const void*>(std::addressof(body))), known_long);
}

}  // namespace chainrule
