// gemm.cpp - matrix products of any strides, float32 and float64. Compiled once per level. Floor: kernels.
// c is computed in tiles that stay in registers, over blocks of p. Invariant: an element of c is the sum over
// blocks of (the fused sum over p of one block, from zero), blocks and p ascending, block lengths a function
// of k alone. So its bits do not depend on m, n, the strides, the workspace, or how a caller splits the rows
// and columns.
#include "chainrule/kernels/gemm_tile.h"
#include "chainrule/kernels/gemm_vector.h"
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/scratch.h"

namespace chainrule {
namespace {

constexpr int64_t rows_that_repay_packing = 4 * tile_rows;  // b is read in place for fewer
constexpr int64_t small_bytes = 64 * 1024;                  // or where b stays near
constexpr int64_t slivers_that_repay_copying = 4;           // a is read in place for fewer
constexpr int slivers_together = 4;                         // packed at a time

/// Where a kernel packs: parts of a, then a panel of b.
template <class S>
struct Workspace {
  S* a;
  S* b;
  int64_t b_elements;
};

template <class S>
Workspace<S> workspace_of(const GemmArguments& g) {
  char* memory = static_cast<char*>(g.workspace ? g.workspace : kernel_scratch());
  const int64_t bytes = g.workspace ? gemm_workspace_bytes : scratch_bytes;
  return {reinterpret_cast<S*>(memory), reinterpret_cast<S*>(memory + gemm_copy_bytes),
          (bytes - gemm_copy_bytes) / static_cast<int64_t>(sizeof(S))};
}

/// Columns [begin, end) of b and rows [p, p + length): packed in slivers one after the other, or read in place but
/// for the columns past the last whole sliver.
template <class S>
struct Panel {
  int64_t begin, end;
  int64_t p, length;
  bool in_place;
  const S* packed;
};

template <class S>
inline int64_t padded_width(int64_t columns) {
  return columns <= lanes<S> ? lanes<S> : sliver_width<S>;
}

template <class S>
void pack_columns(const Problem<S>& g, const Panel<S>& panel, int64_t begin, S* to) {
  constexpr int64_t width = sliver_width<S>;
  constexpr int64_t group = slivers_together * width;
  int64_t column = begin;
  const S* const b = g.b + panel.p * g.b_row_step;
  if (g.b_column_step == 1)
    for (; column + group <= panel.end; column += group, to += group * panel.length)
      pack_slivers<S, slivers_together>(to, width, b + column, g.b_row_step, panel.length);
  for (; column < panel.end; column += width, to += width * panel.length) {
    const int64_t columns = panel.end - column < width ? panel.end - column : width;
    pack_sliver(to, padded_width<S>(columns), b + column * g.b_column_step, g.b_row_step, g.b_column_step, panel.length,
                columns);
  }
}

/// The tile of c at (row, column) before anything is known of a and b.
template <class S>
Tile<S> tile_at(const Problem<S>& g, const Panel<S>& panel, int64_t row, int64_t column) {
  Tile<S> t{};
  t.k = panel.length;
  t.c = g.c + row * g.c_row_step + column * g.c_column_step;
  t.c_row_step = g.c_row_step;
  t.c_column_step = g.c_column_step;
  t.first = panel.p == 0;
  t.bias_of_rows = g.bias_of_rows;
  if (g.bias && panel.p + panel.length == g.k) t.bias = g.bias + (g.bias_of_rows ? row : column);
  return t;
}

template <class S>
void set_b(Tile<S>& t, const Problem<S>& g, const Panel<S>& panel, int64_t column) {
  constexpr int64_t width = sliver_width<S>;
  t.columns = panel.end - column < width ? panel.end - column : width;
  if (panel.in_place && t.columns == width) {
    t.b = g.b + panel.p * g.b_row_step + column;
    t.b_row_step = g.b_row_step;
  } else {
    t.b = panel.packed + (panel.in_place ? 0 : (column - panel.begin) * panel.length);
    t.b_row_step = padded_width<S>(t.columns);
  }
}

/// The rows of a that the tiles of one row position read: in place, or copied.
template <class S>
struct RowsOfA {
  const S* a;
  int64_t row_step, column_step;
};

template <class S>
void multiply_rows(const Problem<S>& g, const Panel<S>& panel, const RowsOfA<S>& a, int64_t row, int64_t rows) {
  for (int64_t column = panel.begin; column < panel.end; column += sliver_width<S>) {
    Tile<S> t = tile_at(g, panel, row, column);
    t.a = a.a;
    t.a_row_step = a.row_step;
    t.a_column_step = a.column_step;
    set_b(t, g, panel, column);
    tile_kernel<S>(rows, t.columns)(t);
  }
}

/// How m rows are cut into tiles: evenly.
struct RowTiles {
  int64_t m, count;
  explicit RowTiles(int64_t rows) : m(rows), count((rows + tile_rows - 1) / tile_rows) {}
  int64_t rows(int64_t i) const { return m / count + (i < m % count); }
};

/// c(all rows, columns of the panel) (+)= a(all rows, rows of the panel) * panel.
template <class S>
void multiply_panel(const Problem<S>& g, const Panel<S>& panel, S* copy) {
  constexpr int64_t copied_tiles = gemm_copy_bytes / (tile_rows * max_block_length * static_cast<int64_t>(sizeof(S)));
  static_assert(copied_tiles >= 1);
  const bool copies = panel.end - panel.begin >= slivers_that_repay_copying * sliver_width<S>;
  const RowTiles tiles(g.m);
  const S* a = g.a + panel.p * g.a_column_step;
  for (int64_t i = 0, row = 0; i < tiles.count;) {
    int64_t rows = tiles.rows(i);
    const S* from = a + row * g.a_row_step;
    if (!copies) {
      multiply_rows<S>(g, panel, {from, g.a_row_step, g.a_column_step}, row, rows);
      row += rows, ++i;
    } else if (g.a_column_step == 1) {
      copy_rows(copy, copied_row_step<S>, from, g.a_row_step, rows, panel.length);
      multiply_rows<S>(g, panel, {copy, copied_row_step<S>, 1}, row, rows);
      row += rows, ++i;
    } else {
      const int64_t end = i + copied_tiles < tiles.count ? i + copied_tiles : tiles.count;
      int64_t together = 0;
      for (int64_t j = i; j < end; ++j) together += tiles.rows(j);
      copy_columns(copy, from, g.a_row_step, g.a_column_step, together, panel.length);
      for (const S* at = copy; i < end; at += rows, row += rows, ++i) {
        rows = tiles.rows(i);
        multiply_rows<S>(g, panel, {at, 1, together}, row, rows);
      }
    }
  }
}

/// The same for few rows and b in place: one sliver after the other, each in the first level cache while it is used.
template <class S>
void multiply_in_place(const Problem<S>& g, const Panel<S>& panel) {
  constexpr int64_t wide = wide_vectors * lanes<S>;
  const RowTiles tiles(g.m);
  const S* a = g.a + panel.p * g.a_column_step;
  for (int64_t column = panel.begin; column < panel.end;) {
    const bool is_wide = g.m <= wide_rows && panel.end - column >= wide;
    int64_t columns = 0;
    for (int64_t i = 0, row = 0; i < tiles.count; row += tiles.rows(i), ++i) {
      Tile<S> t = tile_at(g, panel, row, column);
      t.a = a + row * g.a_row_step;
      t.a_row_step = g.a_row_step;
      t.a_column_step = g.a_column_step;
      set_b(t, g, panel, column);
      if (is_wide) t.columns = wide;
      columns = t.columns;
      (is_wide ? wide_tile_kernel<S>(tiles.rows(i)) : tile_kernel<S>(tiles.rows(i), t.columns))(t);
    }
    column += columns;
  }
}

template <class S>
void multiply(const Problem<S>& g, const Workspace<S>& workspace) {
  constexpr int64_t width = sliver_width<S>;
  Panel<S> panel{};
  panel.packed = workspace.b;
  const bool is_small = g.k * g.n * static_cast<int64_t>(sizeof(S)) <= small_bytes;
  panel.in_place = g.b_column_step == 1 && (g.m < rows_that_repay_packing || is_small);
  const int64_t longest = longest_block(g.k);
  const int64_t fitting = workspace.b_elements / (longest ? longest : 1) / width * width;  // the last sliver is padded
  const int64_t columns = panel.in_place || fitting >= g.n ? g.n : fitting;
  for (panel.begin = 0; panel.begin < g.n; panel.begin = panel.end) {
    panel.end = g.n - panel.begin < columns ? g.n : panel.begin + columns;
    for_each_block(g.k, [&](int64_t p, int64_t length) {
      panel.p = p;
      panel.length = length;
      if (panel.in_place) {
        const int64_t rest = (panel.end - panel.begin) % width;
        if (rest) pack_columns(g, panel, panel.end - rest, workspace.b);
        multiply_in_place(g, panel);
      } else {
        pack_columns(g, panel, panel.begin, workspace.b);
        multiply_panel(g, panel, workspace.a);
      }
    });
  }
}

template <class S>
void gemm(const GemmArguments& arguments) {
  const Problem<S> g = problem_of<S>(arguments);
  if (g.m == 0 || g.n == 0) return;
  if (g.b_row_step == 1 && g.m <= few_columns<S> && g.n >= lanes<S>) return multiply_by_few_columns(transposed(g));
  if (g.a_column_step == 1 && g.n <= few_columns<S> && g.m >= lanes<S>) return multiply_by_few_columns(g);
  multiply(g.n == 1 && g.a_row_step == 1 ? transposed(g) : g, workspace_of<S>(arguments));
}

}  // namespace

template <>
GemmKernel gemm_kernel<level>(DType dtype) {
  return dtype == DType::float32 ? &gemm<float> : &gemm<double>;
}

}  // namespace chainrule
