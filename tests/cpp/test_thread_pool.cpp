// The pool: every block once, for any number of threads, nested, concurrent, and in a forked child.
#include "chainrule/core/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "support.h"

using namespace chainrule;

namespace {

struct RestoreThreads {
  int before = num_threads();
  ~RestoreThreads() { set_num_threads(before); }
};

bool each_block_runs_once(int64_t blocks) {
  std::vector<std::atomic<int>> counts(static_cast<size_t>(blocks));
  parallel_for(blocks, [&](int64_t i) noexcept { ++counts[static_cast<size_t>(i)]; });
  return std::ranges::all_of(counts, [](const auto& count) { return count == 1; });
}

}  // namespace

TEST_CASE("each block runs once") {
  const RestoreThreads restore;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    CHECK(num_threads() == threads);
    for (int64_t blocks : {0, 1, 2, 7, 1000}) CHECK(each_block_runs_once(blocks));
  }
}

TEST_CASE("many short loops, with pauses that let the workers sleep") {
  const RestoreThreads restore;
  set_num_threads(4);
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(each_block_runs_once(5));
    if (i % 200 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_CASE("a loop inside a loop") {
  const RestoreThreads restore;
  set_num_threads(4);
  std::atomic<int> total{0};
  parallel_for(8, [&](int64_t) noexcept { parallel_for(8, [&](int64_t) noexcept { ++total; }); });
  CHECK(total == 64);
}

TEST_CASE("loops of several threads at once") {
  const RestoreThreads restore;
  set_num_threads(4);
  std::atomic<bool> good{true};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        if (!each_block_runs_once(9)) good = false;
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(good);
}

TEST_CASE("the number of threads is checked") {
  for (int n : {0, -1, 1025})
    CHECK(chainrule::testing::contains(chainrule::testing::message_of([=] { set_num_threads(n); }, ErrorKind::value),
                                       std::to_string(n)));
}

TEST_CASE("a forked child has a pool of its own") {
  const RestoreThreads restore;
  set_num_threads(4);
  REQUIRE(each_block_runs_once(100));
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(each_block_runs_once(100) && each_block_runs_once(3) ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(each_block_runs_once(100));
}

namespace {

// What the hooks below have seen; they are installed once, as in any host.
thread_local int let_go = 0, taken_again = 0;

void install_counting_hooks() {
  set_long_loop_hooks({[]() noexcept -> void* {
                         ++let_go;
                         return &let_go;
                       },
                       [](void* token) noexcept { taken_again += token == &let_go; }});
}

void busy_for(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {}
}

}  // namespace

TEST_CASE("long loops call the hooks once, uninterrupted ones never") {
  const RestoreThreads restore;
  install_counting_hooks();
  for (int threads : {1, 2, 4}) {
    set_num_threads(threads);
    let_go = taken_again = 0;
    parallel_for(40, [](int64_t) noexcept { busy_for(std::chrono::microseconds(20)); });
    CHECK(let_go == 1);
    CHECK(taken_again == 1);
    {
      const UninterruptedLoops scope;
      parallel_for(40, [](int64_t) noexcept { busy_for(std::chrono::microseconds(20)); });
    }
    CHECK(let_go == 1);
    parallel_for(2, [](int64_t) noexcept {
      parallel_for(40, [](int64_t) noexcept { busy_for(std::chrono::microseconds(20)); });
    });
    CHECK(let_go == taken_again);
  }
  set_long_loop_hooks({});
}

TEST_CASE("no block is no work, however long the loop was said to be") {
  const RestoreThreads restore;
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    int blocks_run = 0;
    parallel_for(0, [&](int64_t) noexcept { ++blocks_run; }, true);
    CHECK(blocks_run == 0);
  }
}
