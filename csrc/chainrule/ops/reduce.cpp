#include "chainrule/ops/reduce.h"

#include <array>
#include <cstring>

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

constexpr int64_t long_row = 1 << 17;  // a single row this long is cut into pieces that threads share
constexpr int64_t piece = 1 << 15;

// One long row: partial results of fixed pieces, then the reduction of those.
void reduce_long_row(ReduceKernel kernel, const Rows& row, int64_t element_size, DType dtype, void* y) {
  const int64_t pieces = (row.columns + piece - 1) / piece;
  const Shape shape{pieces};
  const Tensor partial = Tensor::empty(dtype, shape);
  parallel_for(pieces, [&](int64_t block) noexcept {
    Rows part = row;
    part.x = static_cast<const char*>(row.x) + block * piece * row.column_step * element_size;
    part.columns = std::min(piece, row.columns - block * piece);
    kernel(static_cast<char*>(partial.data()) + block * element_size, part, false);
  });
  kernel(y, {partial.data(), 1, pieces, pieces, 1}, false);
}

}  // namespace

void reduce_with(ReduceKernel kernel, const Tensor& x, uint32_t mask, const Tensor& y) {
  if (y.numel() == 0) return;
  Dims kept, folded;
  for (int d = 0; d < x.ndim(); ++d) (mask >> d & 1 ? folded : kept).append(x.size(d), x.strides()[d]);
  const int64_t size = size_of(x.dtype());
  const auto [rows, row_step] = kept.pop();
  const auto [columns, column_step] = folded.pop();
  const int64_t outer = numel_of(kept.sizes), folds = numel_of(folded.sizes);
  char* out = static_cast<char*>(y.data());
  if (rows == 1 && outer == 1 && folds == 1 && columns >= long_row) {
    reduce_long_row(kernel, {x.data(), 1, row_step, columns, column_step}, size, x.dtype(), out);
    return;
  }
  for (int64_t i = 0; i < outer; ++i) {
    // With no fold at all (an empty reduction) the kernel still runs once, over no columns.
    for (int64_t j = 0; j < std::max<int64_t>(folds, 1); ++j) {
      const Rows all{static_cast<const char*>(x.data()) + (kept.offset(i) + (folds ? folded.offset(j) : 0)) * size,
                     rows, row_step, folds ? columns : 0, column_step};
      for_row_chunks(all, size, [&](const Rows& part, int64_t first) noexcept {
        kernel(out + (i * rows + first) * size, part, j > 0);
      });
    }
  }
}

void arg_reduce_with(ArgReduceKernel kernel, const Tensor& x, int dim, const Tensor& y) {
  if (y.numel() == 0) return;
  Dims kept;
  for (int d = 0; d < x.ndim(); ++d)
    if (d != dim) kept.append(x.size(d), x.strides()[d]);
  const int64_t columns = x.ndim() ? x.size(dim) : 1, column_step = x.ndim() ? x.strides()[dim] : 1;
  const auto [rows, row_step] = kept.pop();
  const int64_t outer = numel_of(kept.sizes), size = size_of(x.dtype());
  int64_t* out = y.data<int64_t>();
  for (int64_t i = 0; i < outer; ++i) {
    const Rows all{static_cast<const char*>(x.data()) + kept.offset(i) * size, rows, row_step, columns, column_step};
    for_row_chunks(all, size, [&, rows = rows](const Rows& part, int64_t first) noexcept {
      kernel(out + i * rows + first, part);
    });
  }
}

}  // namespace chainrule
