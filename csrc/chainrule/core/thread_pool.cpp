#include "chainrule/core/thread_pool.h"

#include <pthread.h>
#include <signal.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "chainrule/core/error.h"

namespace chainrule {
namespace {

constexpr int max_threads = 1024;
constexpr auto spin_before_sleep = std::chrono::microseconds(70);

inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// -1 where the system does not say.
inline int this_cpu() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// New threads inherit the signal mask: Ctrl-C and its kin belong to the threads of the application.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

LongLoopHooks hooks{};
thread_local int uninterrupted = 0;

// Note [Upwards, then downwards]
// A loop begins where the one before it ended. What an op wrote last is what the next one, which mostly reads it, finds
// in the cache; started from the other end, it would push that out before it gets there.

/// The share of one thread in a loop, in the order in which it is run.
struct Blocks {
  int64_t first, count, step;
  Blocks(int64_t begin, int64_t end, bool downwards)
      : first(downwards ? end - 1 : begin), count(end - begin), step(downwards ? -1 : 1) {}
};

// Runs the caller's share of a loop, block by block until it has been long, and ends it with the hook.
class Caller {
 public:
  Caller(detail::BlockRange run_range, void* body, bool known_long)
      : run_range_(run_range), body_(body), known_long_(known_long) {}
  ~Caller() {
    if (token_) hooks.after(token_);
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  void run(Blocks blocks) {
    const bool may_let_go = hooks.before && uninterrupted == 0;
    if (may_let_go && known_long_) token_ = hooks.before();
    else if (may_let_go) blocks = run_until_long(blocks);
    if (blocks.count > 0) run_range_(body_, blocks.first, blocks.count, blocks.step);
  }

 private:
  /// Returns what is left.
  Blocks run_until_long(Blocks blocks) {
    const auto start = std::chrono::steady_clock::now();
    while (blocks.count > 0) {
      run_range_(body_, blocks.first, 1, blocks.step);
      blocks.first += blocks.step;
      --blocks.count;
      if (std::chrono::steady_clock::now() - start < long_loop) continue;
      if (blocks.count > 0) token_ = hooks.before();
      break;
    }
    return blocks;
  }

  detail::BlockRange run_range_;
  void* body_;
  bool known_long_;
  void* token_ = nullptr;
};

class Pool {
 public:
  explicit Pool(const Pool* of_parent_process) : of_parent_process_(of_parent_process) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// False if somebody else, possibly an outer loop of this very thread, has the pool.
  bool try_acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }

  /// Only between try_acquire and release.
  void run(int64_t blocks, detail::BlockRange run_range, void* body, Caller& caller);

  /// Ends the workers and keeps the pool for good: a thread that outlives it, as a daemon thread of Python
  /// may, runs its loops alone.
  void shut_down();

 private:
  struct Job {
    int64_t blocks = 0;
    detail::BlockRange run_range = nullptr;
    void* body = nullptr;
    bool downwards = false;
  };

  // A ticket announces a job: a serial number above the number of threads that take part. A worker that is
  // not among them learns it from the ticket alone and never looks at job_, which may already be the next
  // one's.
  static constexpr int ticket_shift = 16;
  static int parts_of(uint64_t ticket) { return static_cast<int>(ticket & ((1u << ticket_shift) - 1)); }

  void start_workers(int wanted);
  void keep_apart();
  void stop_workers();
  void announce(int parts);
  Blocks share_of(int part, int parts) const {
    return {part * job_.blocks / parts, (part + 1) * job_.blocks / parts, job_.downwards};
  }
  void work(int part, uint64_t seen);
  uint64_t next_ticket(uint64_t seen);
  void wait_for_workers() const;

  // Only kept reachable, for leak checkers.
  [[maybe_unused]] const Pool* of_parent_process_;
  Job job_;
  std::vector<std::thread> workers_;
  int kept_from_cpu_ = -1;
  std::atomic<bool> busy_{false};
  std::atomic<bool> stopping_{false};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleepers_{0};
  // What the threads spin on, each on its own cache line.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  std::atomic<int> caller_cpu_{-1};
  alignas(64) std::atomic<int> unfinished_{0};
};

void Pool::run(int64_t blocks, detail::BlockRange run_range, void* body, Caller& caller) {
  const int allowed = num_threads();
  const int wanted = static_cast<int>(std::min<int64_t>(allowed, blocks));
  if (static_cast<int>(workers_.size()) >= allowed) stop_workers();  // fewer threads were asked for since
  start_workers(wanted - 1);
  keep_apart();
  const int parts = std::min(wanted, static_cast<int>(workers_.size()) + 1);
  job_ = {blocks, run_range, body, !job_.downwards};
  announce(parts);
  caller.run(share_of(0, parts));
  wait_for_workers();
}

// Best effort: where the system refuses more threads, the loop runs on those there are, with the same result.
void Pool::start_workers(int wanted) {
  if (static_cast<int>(workers_.size()) >= wanted) return;
  const SignalsBlocked blocked;
  try {
    while (static_cast<int>(workers_.size()) < wanted) {
      const int part = static_cast<int>(workers_.size()) + 1;
      const uint64_t seen = ticket_.load(std::memory_order_relaxed);
      workers_.emplace_back([this, part, seen] { work(part, seen); });
      kept_from_cpu_ = -1;
    }
  } catch (const std::exception&) {}
}

// A worker that is woken up starts on the CPU of whoever wakes it, and the system takes tens of milliseconds to see
// that another CPU is idle: until then the parts of a loop run one after the other. So workers may use the caller's
// CPUs but the one that it is on. Looked at when the caller has moved, and when workers sleep: waking them costs more.
// Where this cannot be had, loops are slower and nothing else.
void Pool::keep_apart() {
#if defined(__linux__)
  const int here = this_cpu();
  if (here < 0 || (here == kept_from_cpu_ && sleepers_.load() == 0)) return;
  kept_from_cpu_ = here;
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return;
  if (CPU_COUNT(&cpus) > static_cast<int>(workers_.size())) CPU_CLR(here, &cpus);
  for (std::thread& worker : workers_) pthread_setaffinity_np(worker.native_handle(), sizeof cpus, &cpus);
#endif
}

void Pool::stop_workers() {
  stopping_.store(true, std::memory_order_relaxed);
  announce(1);
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  stopping_.store(false, std::memory_order_relaxed);
}

void Pool::announce(int parts) {
  unfinished_.store(parts - 1, std::memory_order_relaxed);
  caller_cpu_.store(this_cpu(), std::memory_order_relaxed);
  const uint64_t serial = (ticket_.load(std::memory_order_relaxed) >> ticket_shift) + 1;
  // Sequentially consistent against next_ticket(): either the worker sees this ticket before it sleeps, or we
  // see a sleeper.
  ticket_.store(serial << ticket_shift | static_cast<uint64_t>(parts));
  if (sleepers_.load() == 0) return;
  { const std::lock_guard<std::mutex> lock(sleep_mutex_); }
  wake_.notify_all();
}

void Pool::work(int part, uint64_t seen) {
  for (;;) {
    seen = next_ticket(seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    const int parts = parts_of(seen);
    if (part >= parts) continue;
    const Blocks share = share_of(part, parts);
    job_.run_range(job_.body, share.first, share.count, share.step);
    unfinished_.fetch_sub(1, std::memory_order_release);
  }
}

uint64_t Pool::next_ticket(uint64_t seen) {
  const auto deadline = std::chrono::steady_clock::now() + spin_before_sleep;
  do {
    for (int i = 0; i < 64; ++i) {
      const uint64_t ticket = ticket_.load(std::memory_order_acquire);
      if (ticket != seen) return ticket;
      spin_pause();
    }
    // On a busy machine the system may put us where the caller was: then it waits for this CPU, and not for a job.
    if (this_cpu() == caller_cpu_.load(std::memory_order_relaxed)) std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < deadline);

  std::unique_lock<std::mutex> lock(sleep_mutex_);
  sleepers_.fetch_add(1);
  wake_.wait(lock, [&] { return ticket_.load() != seen; });
  sleepers_.fetch_sub(1);
  return ticket_.load();
}

void Pool::wait_for_workers() const {
  constexpr int pauses_before_yield = 256;
  for (int i = 0; unfinished_.load(std::memory_order_acquire) != 0; ++i) {
    if (i < pauses_before_yield) spin_pause();
    else std::this_thread::yield();
  }
}

void Pool::shut_down() {
  while (!try_acquire()) std::this_thread::yield();
  stop_workers();
}

// Forking copies the calling thread only: the child starts over with a fresh pool, and the old one, whose
// threads, locks and half-done jobs belong to the parent, is not touched again. Pools are never freed,
// because a thread may still ask for one while the process exits.
Pool* current_pool = nullptr;

Pool& pool() {
  [[maybe_unused]] static const bool ready = [] {
    current_pool = new Pool(nullptr);
    pthread_atfork(nullptr, nullptr, [] { current_pool = new Pool(current_pool); });
    std::atexit([] { current_pool->shut_down(); });
    return true;
  }();
  return *current_pool;
}

int available_cpus() {
#if defined(__linux__)
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) return std::clamp(CPU_COUNT(&cpus), 1, max_threads);
#endif
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, max_threads);
}

int initial_num_threads() {
  const char* const variable = std::getenv("CHAINRULE_NUM_THREADS");
  const std::string_view text = variable ? variable : "";
  if (text.empty()) return available_cpus();
  int n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < 1 || n > max_threads) {
    fail(ErrorKind::value, "CHAINRULE_NUM_THREADS", "got \"" + std::string(text) + "\"",
         "it must be an integer from 1 to 1024", "unset it to use every CPU this process may run on");
  }
  return n;
}

std::atomic<int> configured_threads{0};  // 0: not asked for yet

}  // namespace

int num_threads() {
  const int configured = configured_threads.load(std::memory_order_relaxed);
  if (configured != 0) return configured;
  int undecided = 0;
  const int initial = initial_num_threads();
  configured_threads.compare_exchange_strong(undecided, initial, std::memory_order_relaxed);
  return undecided == 0 ? initial : undecided;
}

void set_num_threads(int n) {
  if (n < 1 || n > max_threads) {
    fail(ErrorKind::value, "set_num_threads", "got " + std::to_string(n), "n must be from 1 to 1024");
  }
  configured_threads.store(n, std::memory_order_relaxed);
}

void detail::run_on_pool(int64_t blocks, BlockRange run, void* body, bool known_long) {
  if (blocks <= 0) return;
  Caller caller(run, body, known_long);
  Pool& workers = pool();
  if (num_threads() == 1 || !workers.try_acquire()) {
    static thread_local bool downwards = false;
    caller.run({0, blocks, downwards = !downwards});
    return;
  }
  workers.run(blocks, run, body, caller);
  workers.release();
}

void set_long_loop_hooks(LongLoopHooks wanted) { hooks = wanted; }

UninterruptedLoops::UninterruptedLoops() { ++uninterrupted; }
UninterruptedLoops::~UninterruptedLoops() { --uninterrupted; }

}  // namespace chainrule
