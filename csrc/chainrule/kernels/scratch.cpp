// scratch.cpp - the buffer of scratch.h. Compiled once.
#include "chainrule/kernels/scratch.h"

#include <cstdlib>
#include <exception>

namespace chainrule {

namespace {

// Behind a pointer: thread-local memory of a shared object is scarce (see small_blocks in core/allocator.h).
struct Scratch {
  void* buffer = nullptr;
  ~Scratch() { std::free(buffer); }
};

}  // namespace

void* kernel_scratch() {
  static thread_local Scratch scratch;
  if (!scratch.buffer) {
    scratch.buffer = std::aligned_alloc(64, scratch_bytes);
    if (!scratch.buffer) std::terminate();  // as the system does when a thread's own memory cannot be had
  }
  return scratch.buffer;
}

}  // namespace chainrule
