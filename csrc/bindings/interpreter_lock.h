// interpreter_lock.h - when other Python threads may run while this one computes. Floor: bindings.
// Note [The GIL around long loops]
// A loop that has taken 50 us lets go of the GIL until it ends (core/thread_pool.h calls the hooks). In between, its
// thread runs the raw-memory bodies of that loop and nothing else; counts, graphs and Python objects are touched with
// the GIL held only. What another thread may do meanwhile, and why it does no harm:
// - drop its references to the operands: the calling frame still holds the objects, and they hold the tensors;
// - rebind such an object (x.data = y): the tensor that was replaced is kept until no loop is under way;
// - start a loop of its own: the pool is taken, so it runs alone, with the same bits;
// - write into the same memory: it gets some mixture of values, as with any library, and no more.
// Backward passes and optimizer steps keep the GIL (UninterruptedLoops): two passes over graphs that share nodes, be it
// only the parameters, would meet each other's half-summed gradients.
#pragma once
#include "chainrule/autograd/tensor.h"

namespace chainrule::python {

void install_interpreter_lock();

/// Releases the tensor, now or, while a loop runs without the GIL, when the last one is over.
void release_when_idle(Tensor tensor);

}  // namespace chainrule::python
