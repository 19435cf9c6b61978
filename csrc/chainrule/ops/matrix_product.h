// matrix_product.h - matrix products of raw strided memory: batches, threads, integers. Floor: ops.
// The threads' parts are rectangles of whole register tiles. How many there are may depend on the number of threads:
// the bits of an element depend on k alone (kernels/gemm.cpp).
#pragma once
#include "chainrule/autograd/tensor.h"
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {

/// The dims before the last two of c, which is dense; steps of 0 where a or b repeats.
struct Batches {
  Shape sizes, a_steps, b_steps;
};

/// c = a b (+ bias) for one product; sizes may be 0.
void multiply(const GemmArguments& product, DType dtype);
/// One such product for each batch; a, b and c point to the first.
void multiply(const GemmArguments& product, const Batches& batches, DType dtype);

}  // namespace chainrule
