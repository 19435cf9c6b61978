// in_place.h - changing a tensor's elements: a mode of the eager call, not an op. Floor: autograd.
// The version of the storage counts every change, so that a saved value that was changed is caught in backward. All
// checks come before the first write.
#pragma once
#include "chainrule/autograd/op_row.h"

namespace chainrule {

/// x = op(x, other) in x's own memory; `name` is what an error calls it, such as "add_"; it lasts as long
/// as the program.
void run_in_place(const OpRow& row, const void* op, const Tensor& x, const Tensor& other, const char* name);

/// x takes the values of source, broadcast and cast; its history becomes the source's.
void copy_in_place(const Tensor& x, const Tensor& source, const char* name = "copy_");

}  // namespace chainrule
