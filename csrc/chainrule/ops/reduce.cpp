#include "chainrule/ops/reduce.h"

#include <array>
#include <tuple>

namespace chainrule {

namespace {

// A few dims of a strided tensor, adjacent ones merged where the strides allow.
struct Dims {
  Shape sizes, strides;

  void append(int64_t size, int64_t stride) {
    if (size == 1) return;
    if (!sizes.empty() && strides.back() == size * stride) {
      sizes[sizes.size() - 1] *= size;
      strides[strides.size() - 1] = stride;
      return;
    }
    sizes.push_back(size);
    strides.push_back(stride);
  }
  // Takes the last dim out, as (size, stride); (1, 0) when there is none.
  std::pair<int64_t, int64_t> pop() {
    if (sizes.empty()) return {1, 0};
    const std::pair last{sizes.back(), strides.back()};
    sizes.erase(sizes.size() - 1);
    strides.erase(strides.size() - 1);
    return last;
  }
  int64_t offset(int64_t index) const {
    int64_t offset = 0;
    for (int d = sizes.size() - 1; d >= 0; --d) {
      offset += index % sizes[d] * strides[d];
      index /= sizes[d];
    }
    return offset;
  }
};

// A reduction as blocks of threads: for each of `outer` positions `rows` rows, each folded `folds` times over
// `columns`.
struct Plan {
  Dims kept, folded;
  int64_t rows, row_step, columns, column_step, outer, folds;

  Plan(const Tensor& x, uint32_t mask) {
    for (int d = 0; d < x.ndim(); ++d) (mask >> d & 1 ? folded : kept).append(x.size(d), x.strides()[d]);
    std::tie(rows, row_step) = kept.pop();
    std::tie(columns, column_step) = folded.pop();
    outer = numel_of(kept.sizes);
    folds = numel_of(folded.sizes);
    if (folds == 0)
      folded = {}, columns = 0, folds = 1;  // with no element at all the kernel still runs once, over no columns
  }
};

constexpr int64_t piece_elements = 1 << 15;   // of a few long rows, which threads share piece by piece
constexpr int64_t piece_columns = 128;        // pieces are multiples of it
constexpr int64_t pieces_worth = 4;

/// The columns of one piece, or all of them where rows alone give the threads enough to share.
int64_t columns_of_piece(const Plan& p) {
  const int64_t at_once = p.rows * p.outer * p.folds;
  if (p.outer != 1 || p.folds != 1 || at_once > piece_elements / 2 ||
      p.columns * at_once < pieces_worth * piece_elements)
    return p.columns;
  const bool neighbours = p.row_step == 1 && p.column_step != 1;
  if (!neighbours && p.rows >= 2 * pieces_worth) return p.columns;
  const int64_t columns = piece_elements / at_once / piece_columns * piece_columns;
  return std::max(columns, piece_columns);
}

// Partial results of fixed pieces of the columns, then the reduction of those.
void reduce_pieces(ReduceKernel kernel, const Tensor& x, const Plan& p, int64_t piece, const Tensor& y) {
  const int64_t pieces = (p.columns + piece - 1) / piece, size = size_of(x.dtype());
  const Tensor partial = Tensor::empty(x.dtype(), Shape{pieces, p.rows});
  parallel_for(pieces, [&](int64_t block) noexcept {
    const Rows part{static_cast<const char*>(x.data()) + block * piece * p.column_step * size, p.rows, p.row_step,
                    std::min(piece, p.columns - block * piece), p.column_step};
    kernel(static_cast<char*>(partial.data()) + block * p.rows * size, part, false);
  });
  kernel(y.data(), {partial.data(), p.rows, 1, pieces, p.rows}, false);
}

}  // namespace

void reduce_with(ReduceKernel kernel, const Tensor& x, uint32_t mask, const Tensor& y) {
  if (y.numel() == 0) return;
  const Plan p(x, mask);
  const int64_t piece = columns_of_piece(p);
  if (piece < p.columns) return reduce_pieces(kernel, x, p, piece, y);
  const int64_t size = size_of(x.dtype());
  const RowChunks chunks(p.rows, p.columns * p.folds, p.row_step == 1 && p.column_step != 1);
  for_blocks(p.outer * chunks.count, p.outer * p.rows * p.columns * p.folds, [&](int64_t block) noexcept {
    const int64_t i = block / chunks.count, first = block % chunks.count * chunks.rows;
    const int64_t rows = std::min(chunks.rows, p.rows - first);
    for (int64_t j = 0; j < p.folds; ++j) {
      const int64_t at = p.kept.offset(i) + p.folded.offset(j) + first * p.row_step;
      kernel(static_cast<char*>(y.data()) + (i * p.rows + first) * size,
             {static_cast<const char*>(x.data()) + at * size, rows, p.row_step, p.columns, p.column_step}, j > 0);
    }
  });
}

void arg_reduce_with(ArgReduceKernel kernel, const Tensor& x, int dim, const Tensor& y) {
  if (y.numel() == 0) return;
  Dims kept;
  for (int d = 0; d < x.ndim(); ++d)
    if (d != dim) kept.append(x.size(d), x.strides()[d]);
  const int64_t columns = x.ndim() ? x.size(dim) : 1, column_step = x.ndim() ? x.strides()[dim] : 1;
  const auto [rows, row_step] = kept.pop();
  const int64_t outer = numel_of(kept.sizes), size = size_of(x.dtype());
  const RowChunks chunks(rows, columns, row_step == 1 && column_step != 1);
  for_blocks(outer * chunks.count, outer * rows * columns,
             [&, rows = rows, row_step = row_step](int64_t block) noexcept {
               const int64_t i = block / chunks.count, first = block % chunks.count * chunks.rows;
               const int64_t at = kept.offset(i) + first * row_step;
               kernel(y.data<int64_t>() + i * rows + first,
                      {static_cast<const char*>(x.data()) + at * size, std::min(chunks.rows, rows - first), row_step,
                       columns, column_step});
             });
}

}  // namespace chainrule
