// reduce.h - brings any reduction into the rows and columns that kernels take. Floor: ops.
#pragma once
#include "chainrule/autograd/tensor.h"
#include "chainrule/core/thread_pool.h"
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {

/// y = kernel over the dims in `mask`; y is dense, the kept dims in order.
void reduce_with(ReduceKernel kernel, const Tensor& x, uint32_t mask, const Tensor& y);
/// Positions along one dim; y is dense, the kept dims in order.
void arg_reduce_with(ArgReduceKernel kernel, const Tensor& x, int dim, const Tensor& y);

inline constexpr int64_t chunk_elements = 16384;  ///< of one thread's turn

/// Calls body(rows, first_row) for chunks of the rows of a matrix, on several threads when there are many. The chunks
/// are a function of the sizes alone.
template <class Body>
void for_row_chunks(const Rows& x, int64_t element_size, const Body& body) {
  const int64_t chunk = std::max<int64_t>(1, chunk_elements / std::max<int64_t>(x.columns, 1));
  parallel_for((x.rows + chunk - 1) / chunk, [&](int64_t block) noexcept {
    Rows part = x;
    const int64_t first = block * chunk;
    part.rows = std::min(chunk, x.rows - first);
    part.x = static_cast<const char*>(x.x) + first * x.row_step * element_size;
    body(part, first);
  });
}

}  // namespace chainrule
