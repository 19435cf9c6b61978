// scratch.cpp - the buffer of scratch.h. Compiled once.
#include "chainrule/kernels/scratch.h"

namespace chainrule {

void* kernel_scratch() {
  alignas(64) static thread_local char buffer[scratch_bytes];
  return buffer;
}

}  // namespace chainrule
