// neighbours.h - folds many columns of rows that are neighbours in memory (a sum over dim 0), a lane for each row.
// Floor: kernels; anonymous namespace like simd.h.
// The order of combination depends on the number of columns only: eight columns as a tree, such groups one after the
// other up to column_block columns, blocks pairwise. So a caller may split the rows as it likes, and the two ways to
// run it - a few vectors in registers, or a long strip whose partial results stay in the first level cache while
// memory is read in its own order - give the same bits.
#pragma once
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/pairwise.h"
#include "chainrule/kernels/partial.h"
#include "chainrule/kernels/scratch.h"

namespace chainrule {
namespace {

constexpr int64_t column_group = 8;
constexpr int64_t column_block = 128;
constexpr int64_t strip_bytes = 8 * 1024;  // scratch holds 24 of them: 2^23 blocks of columns
constexpr int tile_vectors = 4;            // so many vectors of rows, or fewer, stay in registers

/// A pack of rows, all of them or, behind the last whole pack, the first `count`.
template <class S, bool partial>
struct RowPack {
  static constexpr int width = lanes<S>;
  int64_t count;
  Pack<S, width> load(const S* p) const {
    if constexpr (partial) return load_first<S, width>(p, count);
    else return Pack<S, width>::load(p);
  }
  void store(Pack<S, width> value, S* p) const {
    if constexpr (partial) store_first<S, width>(value, p, count);
    else value.store(p);
  }
};

template <class Combine, class Load>
inline auto fold_group(const Load& column) {
  const auto a = Combine::pick(Combine::pick(column(0), column(1)), Combine::pick(column(2), column(3)));
  const auto b = Combine::pick(Combine::pick(column(4), column(5)), Combine::pick(column(6), column(7)));
  return Combine::pick(a, b);
}

/// Folds columns [0, count), 1 <= count <= column_block, of one pack of rows.
template <class Combine, class S, bool partial>
inline Pack<S, lanes<S>> fold_block(const S* x, int64_t count, int64_t column_step, RowPack<S, partial> rows) {
  const auto load = [&](int64_t j) { return rows.load(x + j * column_step); };
  Pack<S, lanes<S>> result;
  int64_t j = 0;
  if (count >= column_group) {
    result = fold_group<Combine>(load);
    for (j = column_group; j + column_group <= count; j += column_group)
      result = Combine::pick(result, fold_group<Combine>([&](int64_t k) { return load(j + k); }));
  } else {
    result = load(j++);
  }
  for (; j < count; ++j) result = Combine::pick(result, load(j));
  return result;
}

template <class Combine, class S, int vectors, bool partial>
inline void fold_tile(S* y, const S* x, int64_t columns, int64_t column_step, bool accumulate,
                      RowPack<S, partial> rows) {
  constexpr int width = lanes<S>;
  Pack<S, width> result[vectors];
  const auto fold_at = [&](int64_t begin) {
    const int64_t count = columns - begin < column_block ? columns - begin : column_block;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      result[v] = fold_block<Combine>(x + begin * column_step + v * width, count, column_step, rows);
  };
  if (columns <= column_block) {
    fold_at(0);
  } else {
    PairwiseSum<S, width, vectors, Combine> tree;
    for (int64_t begin = 0; begin < columns; begin += column_block) {
      fold_at(begin);
      tree.add(result);
    }
    tree.total(result);
  }
  for (int v = 0; v < vectors; ++v) {
    if (accumulate) result[v] = Combine::pick(rows.load(y + v * width), result[v]);
    rows.store(result[v], y + v * width);
  }
}

/// strip[i] (and strip[i] combined with) f(i) for packs of n rows.
template <class Combine, class S, class F>
inline void update_strip(S* strip, int64_t n, bool first, const F& f) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  int64_t i = 0;
  for (; i + width <= n; i += width) {
    const P value = f(i, RowPack<S, false>{width});
    (first ? value : Combine::pick(P::load(strip + i), value)).store(strip + i);
  }
  if (i == n) return;
  const RowPack<S, true> rest{n - i};
  const P value = f(i, rest);
  rest.store(first ? value : Combine::pick(rest.load(strip + i), value), strip + i);
}

template <class Combine, class S>
inline void fold_strip(S* y, const S* x, int64_t n, int64_t columns, int64_t column_step, bool accumulate) {
  constexpr int64_t strip_length = strip_bytes / static_cast<int64_t>(sizeof(S));
  S* const scratch = static_cast<S*>(kernel_scratch());
  int64_t depth = 0;
  uint64_t added = 0;
  const auto level = [&](int64_t d) { return scratch + d * strip_length; };
  const auto merge_last_two = [&] {  // the lower level is the earlier one
    const S* const upper = level(depth - 1);
    update_strip<Combine>(level(depth - 2), n, false, [&](int64_t i, auto rows) { return rows.load(upper + i); });
    --depth;
  };
  for (int64_t begin = 0; begin < columns; begin += column_block) {
    const int64_t end = columns - begin < column_block ? columns : begin + column_block;
    S* const strip = level(depth++);
    int64_t j = begin;
    for (; j + column_group <= end; j += column_group)
      update_strip<Combine>(strip, n, j == begin, [&](int64_t i, auto rows) {
        return fold_group<Combine>([&](int64_t k) { return rows.load(x + (j + k) * column_step + i); });
      });
    for (; j < end; ++j)
      update_strip<Combine>(strip, n, j == begin,
                            [&](int64_t i, auto rows) { return rows.load(x + j * column_step + i); });
    for (uint64_t bits = added++; bits & 1; bits >>= 1) merge_last_two();
  }
  while (depth > 1) merge_last_two();
  const S* const total = level(0);
  update_strip<Combine>(y, n, !accumulate, [&](int64_t i, auto rows) { return rows.load(total + i); });
}

/// y[i] = x(i, 0) combined with x(i, 1), ...; x(i, j) = x[i + j * column_step]; at least one column.
template <class Combine, class S>
inline void fold_neighbours(S* y, const S* x, int64_t rows, int64_t columns, int64_t column_step, bool accumulate) {
  constexpr int64_t width = lanes<S>, strip_length = strip_bytes / static_cast<int64_t>(sizeof(S));
  int64_t i = 0;
  while (rows - i > tile_vectors * width) {
    const int64_t n = rows - i < strip_length ? rows - i : strip_length;
    fold_strip<Combine>(y + i, x + i, n, columns, column_step, accumulate);
    i += n;
  }
  if (rows - i == tile_vectors * width) {
    fold_tile<Combine, S, tile_vectors>(y + i, x + i, columns, column_step, accumulate, RowPack<S, false>{width});
    return;
  }
  for (; i + width <= rows; i += width)
    fold_tile<Combine, S, 1>(y + i, x + i, columns, column_step, accumulate, RowPack<S, false>{width});
  if (i < rows) fold_tile<Combine, S, 1>(y + i, x + i, columns, column_step, accumulate, RowPack<S, true>{rows - i});
}

}  // namespace
}  // namespace chainrule
