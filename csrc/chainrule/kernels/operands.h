// operands.h - how elementwise loops see an operand: every row of it as dense memory, or as one repeated vector.
// Floor: kernels; anonymous namespace like simd.h. What has other steps is first gathered into a small tile, in the
// order in which its own memory runs (a transposed matrix column by column), so that the formulas' loops have one
// form only.
#pragma once
#include "chainrule/kernels/partial.h"

namespace chainrule {
namespace {

constexpr int64_t tile_elements = 512;  // of an operand; a few tiles stay in the first level cache
constexpr int64_t tile_rows = 16;       // a cache line of float32 where memory runs along the rows

/// The rows and columns worked on at a time: all of them unless some operand must be gathered.
struct TileShape {
  int64_t rows, columns;
  TileShape(bool gathered, int64_t all_rows, int64_t n) : rows(all_rows), columns(n) {
    if (!gathered) return;
    if (rows > tile_rows) rows = tile_rows;
    if (columns > tile_elements / rows) columns = tile_elements / rows;
  }
};

inline int64_t magnitude(int64_t step) { return step < 0 ? -step : step; }

/// buffer[r * columns + i] = x[r * row_step + i * step], or the reverse.
template <bool to_buffer, class E>
[[gnu::noinline]] void move_tile(E* buffer, E* x, int64_t row_step, int64_t step, int64_t rows, int64_t columns) {
  const auto move = [&](int64_t r, int64_t i) CR_INLINE_BODY {
    if constexpr (to_buffer) buffer[r * columns + i] = x[r * row_step + i * step];
    else x[r * row_step + i * step] = buffer[r * columns + i];
  };
  if (magnitude(row_step) >= magnitude(step)) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < columns; ++i) move(r, i);
    return;
  }
  for (int64_t i = 0; i < columns; ++i) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) move(r, i), move(r + 1, i), move(r + 2, i), move(r + 3, i);
    for (; r < rows; ++r) move(r, i);
  }
}

/// An operand that is read.
template <class E>
class Source {
 public:
  /// A null x stands for zeros, which nobody looks at.
  void open(const void* x, int64_t step, int64_t row_step) {
    static constexpr E zero = 0;
    x_ = x ? static_cast<const E*>(x) : &zero;
    step_ = x ? step : 0;
    row_step_ = x ? row_step : 0;
    if (step_ == 0) repeat(x_);
  }
  bool gathered() const { return step_ != 0 && step_ != 1; }
  /// To be added to a column: nothing where one vector is repeated.
  int64_t keep() const { return step_ == 0 ? 0 : -1; }

  void enter_tile(int64_t first_row, int64_t first, int64_t rows, int64_t columns) {
    if (!gathered()) return;
    move_tile<true>(buffer_, const_cast<E*>(x_) + first_row * row_step_ + first * step_, row_step_, step_, rows,
                    columns);
  }
  const E* row(int64_t first_row, int64_t r, int64_t first, int64_t columns) {
    if (step_ == 1) return x_ + (first_row + r) * row_step_ + first;
    if (step_ != 0) return buffer_ + r * columns;
    if (row_step_ != 0) repeat(x_ + (first_row + r) * row_step_);
    return buffer_;
  }

 private:
  void repeat(const E* x) {
    using P = Pack<E, lanes<E>>;
    const P value = P::splat(x);
    __builtin_memcpy(buffer_, &value.raw, sizeof value.raw);
  }
  const E* x_;
  int64_t step_, row_step_;
  alignas(vector_bytes) E buffer_[tile_elements];
};

/// An operand that is written.
template <class E>
class Sink {
 public:
  Sink(void* y, int64_t step, int64_t row_step) : y_(static_cast<E*>(y)), step_(step), row_step_(row_step) {}
  bool gathered() const { return step_ != 1; }
  E* row(int64_t first_row, int64_t r, int64_t first, int64_t columns) {
    return gathered() ? buffer_ + r * columns : y_ + (first_row + r) * row_step_ + first;
  }
  void leave_tile(int64_t first_row, int64_t first, int64_t rows, int64_t columns) {
    if (gathered())
      move_tile<false>(buffer_, y_ + first_row * row_step_ + first * step_, row_step_, step_, rows, columns);
  }

 private:
  E* y_;
  int64_t step_, row_step_;
  alignas(vector_bytes) E buffer_[tile_elements];
};

/// Calls body(first row, rows, first column, columns) for all tiles.
template <class Body>
inline void for_tiles(const TileShape& tile, int64_t rows, int64_t n, const Body& body) {
  for (int64_t r = 0; r < rows; r += tile.rows)
    for (int64_t i = 0; i < n; i += tile.columns)
      body(r, rows - r < tile.rows ? rows - r : tile.rows, i, n - i < tile.columns ? n - i : tile.columns);
}

}  // namespace
}  // namespace chainrule
