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

// Where it costs more to pack than to read in place. Measured on CPUs with AVX-512.
constexpr int64_t few_rows = 4 * tile_rows;             // b is read in place for so few,
constexpr int64_t many_rows = 1024;                     // and for so many
constexpr int64_t near_bytes = 1024 * 1024;             // if it stays in the second level cache
constexpr int64_t slivers_that_repay_packing = 4;       // a with contiguous columns is read in place for fewer,
constexpr int64_t middling_rows = 256;                  // or twice as many for so few rows that pass together
constexpr int64_t slivers_that_repay_transposing = 16;  // a with contiguous rows is read in place for fewer
constexpr int slivers_together = 4;                     // packed at a time

/// How m rows are cut into tiles: evenly.
class RowTiles {
 public:
  explicit RowTiles(int64_t m) : count((m + tile_rows - 1) / tile_rows), low_(m / count), high_(m % count) {}
  const int64_t count;
  int64_t rows(int64_t i) const { return low_ + (i < high_); }
  int64_t first_row(int64_t i) const { return i * low_ + (i < high_ ? i : high_); }

 private:
  int64_t low_, high_;  // so many are a row higher
};

/// How a product is cut, and where its parts are. Loops from the outside in: panels of columns, blocks of p, groups of
/// tiles, slivers of columns, the tiles of the group. A group is all rows, and a sliver of b is in the first level
/// cache while they pass it; or one tile, whose part of a is there while it passes the panel.
template <class S>
struct Plan {
  bool b_in_place;  ///< but for the columns past the last whole sliver
  bool a_in_place;
  int64_t panel_columns, group_tiles;
  S *b, *a;  ///< where a panel and the rows of a group are packed
};

template <class S>
bool reads_rows_in_place(const Problem<S>& g, bool b_in_place) {
  const int64_t slivers = g.n / sliver_width<S>;
  if (g.a_column_step == 1) return g.m <= wide_rows || slivers < slivers_that_repay_transposing;
  const bool together = b_in_place && g.m <= middling_rows;
  return g.m < few_rows || slivers < (together ? 2 : 1) * slivers_that_repay_packing;
}

template <class S>
Plan<S> plan_of(const Problem<S>& g, void* workspace) {
  constexpr int64_t width = sliver_width<S>, size = static_cast<int64_t>(sizeof(S));
  constexpr int64_t tile_room = tile_rows * max_block_length + lanes<S>;
  static_assert(scratch_bytes >= (slivers_together * width * max_block_length + tile_room) * size);
  const int64_t elements = (workspace ? gemm_workspace_bytes : scratch_bytes) / size;
  const int64_t tiles = RowTiles(g.m).count;
  const int64_t length = longest_block(g.k);
  Plan<S> plan{};
  plan.b_in_place = g.b_column_step == 1 && (g.m < few_rows || (g.m <= many_rows && g.k <= near_bytes / size / g.n));
  plan.a_in_place = reads_rows_in_place(g, plan.b_in_place);
  const int64_t tile_elements = plan.a_in_place ? 0 : tile_room;
  if (tiles * tile_elements > elements - width * length) plan.b_in_place = false;
  plan.group_tiles = plan.b_in_place ? tiles : 1;
  const int64_t fitting = (elements - plan.group_tiles * tile_elements) / length / width * width;
  plan.panel_columns = plan.b_in_place || fitting >= g.n ? g.n : fitting;  // the last sliver is padded
  plan.b = static_cast<S*>(workspace ? workspace : kernel_scratch());
  plan.a = plan.b + elements - plan.group_tiles * tile_elements;
  return plan;
}

/// Columns [begin, end) of b and rows [p, p + length).
struct Panel {
  int64_t begin, end;
  int64_t p, length;
};

template <class S>
inline int64_t padded_width(int64_t columns) {
  return columns <= lanes<S> ? lanes<S> : sliver_width<S>;
}

/// Packs the panel in slivers one after the other, or what is left of it past whole slivers.
template <class S>
void pack_panel(const Problem<S>& g, const Plan<S>& plan, const Panel& panel) {
  constexpr int64_t width = sliver_width<S>;
  constexpr int64_t group = slivers_together * width;
  int64_t column = plan.b_in_place ? panel.end - (panel.end - panel.begin) % width : panel.begin;
  S* to = plan.b;
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

/// The tile's part of b, from this column on.
template <class S>
void set_b(Tile<S>& t, const Problem<S>& g, const Plan<S>& plan, const Panel& panel, int64_t column) {
  constexpr int64_t width = sliver_width<S>, wide = wide_vectors * lanes<S>;
  const int64_t left = panel.end - column;
  t.columns = left < width ? left : width;
  if (plan.b_in_place && left >= width) {
    if (g.m <= wide_rows && left >= wide) t.columns = wide;
    t.b = g.b + panel.p * g.b_row_step + column;
    t.b_row_step = g.b_row_step;
  } else {
    t.b = plan.b + (plan.b_in_place ? 0 : (column - panel.begin) * panel.length);
    t.b_row_step = padded_width<S>(t.columns);
  }
}

/// Tiles [first, end) of rows, as they read a over one block of p.
template <class S>
struct Rows {
  const RowTiles& tiles;
  int64_t first, end;
  bool packed;
  const S* a;
  int64_t row_step, column_step;
};

template <class S>
Rows<S> rows_of(const Problem<S>& g, const Plan<S>& plan, const Panel& panel, const RowTiles& tiles, int64_t first) {
  const int64_t end = first + plan.group_tiles < tiles.count ? first + plan.group_tiles : tiles.count;
  const int64_t row = tiles.first_row(first);
  const S* a = g.a + row * g.a_row_step + panel.p * g.a_column_step;
  if (plan.a_in_place) return {tiles, first, end, false, a, g.a_row_step, g.a_column_step};
  S* to = plan.a;
  for (int64_t i = first; i < end; to += tiles.rows(i) * panel.length, a += tiles.rows(i) * g.a_row_step, ++i)
    pack_tile<S>(to, a, g.a_row_step, g.a_column_step, panel.length, tiles.rows(i), g.m - tiles.first_row(i));
  return {tiles, first, end, true, plan.a, panel.length, 0};
}

/// One sliver of columns, tile by tile. Returns how many columns it has.
template <class S>
int64_t multiply_rows(const Problem<S>& g, const Plan<S>& plan, const Panel& panel, const Rows<S>& rows,
                      int64_t column) {
  const int64_t row = rows.tiles.first_row(rows.first);
  Tile<S> t{};
  t.k = panel.length;
  t.a = rows.a;
  t.a_row_step = rows.packed ? 1 : rows.row_step;
  t.a_column_step = rows.column_step;
  set_b(t, g, plan, panel, column);
  t.c = g.c + row * g.c_row_step + column * g.c_column_step;
  t.c_row_step = g.c_row_step;
  t.c_column_step = g.c_column_step;
  t.first = panel.p == 0;
  t.bias_of_rows = g.bias_of_rows;
  if (g.bias && panel.p + panel.length == g.k) t.bias = g.bias + (g.bias_of_rows ? row : column);
  const TileKernel<S>* const kernels = tile_kernels<S>(rows.packed, t.columns);
  for (int64_t i = rows.first; i < rows.end; ++i) {
    const int64_t height = rows.tiles.rows(i);
    if (rows.packed) t.a_column_step = height;
    kernels[height - 1](t);
    t.a += height * rows.row_step;
    t.c += height * t.c_row_step;
    if (t.bias && t.bias_of_rows) t.bias += height;
  }
  return t.columns;
}

template <class S>
void multiply(const Problem<S>& g, const Plan<S>& plan) {
  const RowTiles tiles(g.m);
  Panel panel{};
  for (panel.begin = 0; panel.begin < g.n; panel.begin = panel.end) {
    panel.end = g.n - panel.begin < plan.panel_columns ? g.n : panel.begin + plan.panel_columns;
    for_each_block(g.k, [&](int64_t p, int64_t length) {
      panel.p = p;
      panel.length = length;
      pack_panel(g, plan, panel);
      for (int64_t first = 0; first < tiles.count; first += plan.group_tiles) {
        const Rows<S> rows = rows_of(g, plan, panel, tiles, first);
        for (int64_t column = panel.begin; column < panel.end;) column += multiply_rows(g, plan, panel, rows, column);
      }
    });
  }
}

/// Whether the transposed problem costs less: both matrices have contiguous p, and parts of vectors are cheap to store.
/// A multiplication weighs 1; so do the columns that a sliver is short of, what is done for each element of b that is
/// packed, and for one of c that is transposed.
template <class S>
bool is_better_transposed(const Problem<S>& g) {
  if (g.n == 1) return g.a_row_step == 1;
  if (!stores_parts || g.b_row_step != 1 || g.b_column_step == 1 || g.a_column_step != 1) return false;
  constexpr int64_t packing = 10, storing = 12, width = sliver_width<S>;
  const auto cost = [](int64_t m, int64_t n) {
    return m * (n / width * width + (n % width ? padded_width<S>(n % width) : 0)) + packing * n;
  };
  return cost(g.n, g.m) + storing * g.m * g.n / longest_block(g.k) < cost(g.m, g.n);
}

template <class S>
void gemm(const GemmArguments& arguments) {
  const Problem<S> g = problem_of<S>(arguments);
  if (g.m == 0 || g.n == 0) return;
  if (g.b_row_step == 1 && g.m <= few_columns<S> && g.n >= lanes<S>) return multiply_by_few_columns(transposed(g));
  if (g.a_column_step == 1 && g.n <= few_columns<S> && g.m >= lanes<S>) return multiply_by_few_columns(g);
  const Problem<S> better = is_better_transposed(g) ? transposed(g) : g;
  multiply(better, plan_of(better, arguments.workspace));
}

}  // namespace

template <>
GemmKernel gemm_kernel<level>(DType dtype) {
  return dtype == DType::float32 ? &gemm<float> : &gemm<double>;
}

}  // namespace chainrule
