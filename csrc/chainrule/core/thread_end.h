// thread_end.h - what is to happen when a thread ends. Floor: core.
// Not the destructor of a thread-local object: those run in any order, and one that runs later may still use what the
// first gave up. A POSIX key's function runs after all of them, and again should the key be set anew. The main thread
// ends with the process, and runs none.
#pragma once
#include <pthread.h>

namespace chainrule {

class ThreadEnd {
 public:
  using Function = void (*)(void* what);
  explicit ThreadEnd(Function function) noexcept : has_key_(pthread_key_create(&key_, function) == 0) {}

  /// `function(what)` runs when the calling thread ends. Where the system has no key left it does not: memory is lost.
  void will_get(void* what) const noexcept {
    if (has_key_) pthread_setspecific(key_, what);
  }

 private:
  pthread_key_t key_;
  bool has_key_;
};

}  // namespace chainrule
