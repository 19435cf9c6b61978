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

inline constexpr int64_t chunk_elements = 16384;     ///< of one thread's turn
inline constexpr int64_t neighbour_rows = 64;  ///< at least so many rows of neighbours together: whole cache lines
inline constexpr int64_t parallel_elements = 1 << 16;  ///< below, one thread is done before others have begun

/// How many rows make one thread's turn: a function of the sizes alone.
struct RowChunks {
  int64_t rows, count;
  RowChunks(int64_t all_rows, int64_t columns, bool neighbours) {
    rows = std::max<int64_t>(neighbours ? neighbour_rows : 1, chunk_elements / std::max<int64_t>(columns, 1));
    if (neighbours) rows = (rows + neighbour_rows - 1) / neighbour_rows * neighbour_rows;
    count = (all_rows + rows - 1) / rows;
  }
};

/// Calls body(block) for all blocks: on all threads where there are enough elements.
template <class Body>
void for_blocks(int64_t blocks, int64_t elements, const Body& body) {
  if (elements >= parallel_elements) return parallel_for(blocks, body);
  for (int64_t block = 0; block < blocks; ++block) body(block);
}

/// Calls body(rows, first_row) for chunks of the rows of a matrix.
template <class Body>
void for_row_chunks(const Rows& x, int64_t element_size, const Body& body) {
  const RowChunks chunks(x.rows, x.columns, x.row_step == 1 && x.column_step != 1);
  for_blocks(chunks.count, x.rows * x.columns, [&](int64_t block) noexcept {
    Rows part = x;
    const int64_t first = block * chunks.rows;
    part.rows = std::min(chunks.rows, x.rows - first);
    part.x = static_cast<const char*>(x.x) + first * x.row_step * element_size;
    body(part, first);
  });
}

}  // namespace chainrule
