#include "interpreter_lock.h"

#include <pthread.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <vector>

#include "chainrule/core/thread_pool.h"

namespace chainrule::python {

namespace {

// Both guarded by the GIL.
int loops_without_lock = 0;
std::vector<Tensor>& waiting() {
  static auto* instance = new std::vector<Tensor>;  // never destroyed: tensors may outlive the interpreter
  return *instance;
}

// Null where this thread does not hold the GIL: a worker, a thread of C++, a loop inside a loop.
void* let_go() noexcept {
  if (!PyGILState_GetThisThreadState() || !PyGILState_Check()) return nullptr;
  ++loops_without_lock;
  return PyEval_SaveThread();
}

// A daemon thread that comes back while the interpreter shuts down is ended by Python (before 3.14) by unwinding its
// stack, which C++ code does not survive. It sleeps here instead, and ends with the process.
void take_again(void* state) noexcept {
  try {
    PyEval_RestoreThread(static_cast<PyThreadState*>(state));
  } catch (...) {
    for (;;) pause();
  }
  if (--loops_without_lock == 0) {
    const std::vector<Tensor> released = std::move(waiting());
    waiting().clear();
  }
}

}  // namespace

void install_interpreter_lock() {
  set_long_loop_hooks({&let_go, &take_again});
  pthread_atfork(nullptr, nullptr, [] { loops_without_lock = 0; });  // the other threads' loops stay with the parent
}

void release_when_idle(Tensor tensor) {
  if (loops_without_lock > 0) waiting().push_back(std::move(tensor));
}

}  // namespace chainrule::python
