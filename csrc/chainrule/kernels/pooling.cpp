// pooling.cpp - the largest cell of every window and its gradient. Compiled once per level. Floor: kernels.
// Windows are compared in vectors over positions, Note [Planes] in convolution.h; the border is -infinity.
#include "chainrule/kernels/convolution_planes.h"
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {
namespace {

template <class S>
using Offset = SignedOfSize<sizeof(S)>;

/// The largest cells of positions [q, q + lanes) and where they lie, as distances in the image from the window's first
/// cell. Of several NaN the last is taken, as in PyTorch. Returns which windows held nothing above -infinity.
template <class S>
inline typename Wide<S>::Mask compare_taps(const S* plane, const int64_t* offsets, const Offset<S>* distances,
                                           int64_t taps, S* best_to, Offset<S>* distance_to) {
  using P = Wide<S>;
  P best = P::load(plane + offsets[0]);
  typename P::SignedRaw distance = broadcast<Offset<S>, lanes<S>>(distances[0]);
  for (int64_t t = 1; t < taps; ++t) {
    const P cell = P::load(plane + offsets[t]);
    const typename P::Mask wins = (cell > best) | isnan(cell);
    best = select(wins, cell, best);
    distance = wins.raw ? broadcast<Offset<S>, lanes<S>>(distances[t]) : distance;
  }
  best.store(best_to);
  __builtin_memcpy(distance_to, &distance, sizeof distance);
  return equal(best, P(-__builtin_inf()));
}

/// position[j] = distance[j] + start[j].
template <class S, int width = lanes<int64_t>>
inline void store_positions(int64_t* position, const Offset<S>* distance, const Offset<S>* start, int64_t count,
                            int64_t j = 0) {
  for (; j + width <= count; j += width) {
    Vector<Offset<S>, width> a, b;
    __builtin_memcpy(&a, distance + j, sizeof a);
    __builtin_memcpy(&b, start + j, sizeof b);
    const auto wide = __builtin_convertvector(a + b, Vector<int64_t, width>);
    __builtin_memcpy(position + j, &wide, sizeof wide);
  }
  if constexpr (width > 2) store_positions<S, width / 2>(position, distance, start, count, j);
  else
    for (; j < count; ++j) position[j] = distance[j] + start[j];
}

/// Where the windows of result rows [row, row + rows) begin in their plane.
template <class S>
inline void find_starts(Offset<S>* starts, const Windows& w, int64_t row, int64_t rows, int64_t rows_of_plane) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t top = (row + r) % rows_of_plane * w.step.height - w.border.height;
    for (int64_t j = 0; j < w.columns; ++j)
      *starts++ = static_cast<Offset<S>>(top * w.width + j * w.step.width - w.border.width);
  }
}

/// Drops the columns past the last window of each row.
template <class T>
inline void compact(T* x, int64_t row_length, int64_t rows, int64_t columns) {
  if (row_length == columns) return;
  for (int64_t r = 1; r < rows; ++r)
    for (int64_t j = 0; j < columns; ++j) x[r * columns + j] = x[r * row_length + j];
}

/// The first cell of a window that lies in the image.
inline int64_t first_cell(const Windows& w, int64_t row, int64_t column) {
  const int64_t top = row * w.step.height - w.border.height, left = column * w.step.width - w.border.width;
  auto entered = [](int64_t at, int64_t by) { return at >= 0 ? at : at + (-at + by - 1) / by * by; };
  return entered(top, w.dilation.height) * w.width + entered(left, w.dilation.width);
}

/// Windows that hold nothing above -infinity, the border's filler included: they point to their first cell.
template <class S>
void repair_row(int64_t* position, const S* y, const Windows& w, int64_t row) {
  for (int64_t j = 0; j < w.columns; ++j)
    if (y[j] == S(-__builtin_inf())) position[j] = first_cell(w, row, j);
}

inline int64_t row_of(const Windows& w, const Tap& tap) { return tap.row * w.step.height + tap.phase / w.phases.width; }
inline int64_t column_of(const Windows& w, const Tap& tap) {
  return tap.column * w.step.width + tap.phase % w.phases.width;
}

template <class S>
void max_pool(const Windows& w, Band band, int64_t rows_of_plane, const void* x_memory, void* y_memory,
              int64_t* position, Workspace workspace) {
  const int64_t row_length = plane_columns(w), q_count = (band.rows - 1) * row_length + w.columns;
  Parts parts(workspace);
  int64_t* const offsets = parts.take<int64_t>(w.tap_count);
  Offset<S>* const distances = parts.take<Offset<S>>(w.tap_count);
  S* const best = parts.take<S>(q_count + vector_padding);
  Offset<S>* const found = parts.take<Offset<S>>(q_count + vector_padding);
  const int64_t period = band.rows < rows_of_plane ? band.rows : rows_of_plane;
  Offset<S>* const starts = parts.take<Offset<S>>(period * w.columns);
  S* const plane = parts.take<S>(plane_size(w, band.rows) + vector_padding);
  find_offsets(offsets, w, band.rows);
  find_starts<S>(starts, w, band.row, period, rows_of_plane);
  for (int64_t t = 0; t < w.tap_count; ++t)
    distances[t] = static_cast<Offset<S>>(row_of(w, w.taps[t]) * w.width + column_of(w, w.taps[t]));
  copy_planes(plane, static_cast<const S*>(x_memory), w, band, 1, S(-__builtin_inf()));
  typename Wide<S>::Mask nothing{};
  for (int64_t q = 0; q < q_count; q += lanes<S>)
    nothing = nothing | compare_taps(plane + q, offsets, distances, w.tap_count, best + q, found + q);
  compact(best, row_length, band.rows, w.columns);
  compact(found, row_length, band.rows, w.columns);
  S* const y = static_cast<S*>(y_memory) + band.row * w.columns;
  position += band.row * w.columns;
  copy_careful(y, best, band.rows * w.columns);
  for (int64_t r = 0; r < band.rows; r += period) {
    const int64_t rows = band.rows - r < period ? band.rows - r : period;
    store_positions<S>(position + r * w.columns, found + r * w.columns, starts, rows * w.columns);
  }
  if (!any(nothing)) return;
  for (int64_t r = 0; r < band.rows; ++r)
    repair_row(position + r * w.columns, y + r * w.columns, w, (band.row + r) % rows_of_plane);
}

template <class S>
void max_pool_backward(void* gx_memory, int64_t gx_plane, const void* gy_memory, const int64_t* position,
                       int64_t gy_plane, int64_t planes) {
  S* gx = static_cast<S*>(gx_memory);
  const S* gy = static_cast<const S*>(gy_memory);
  for (; planes > 0; --planes, gx += gx_plane, gy += gy_plane, position += gy_plane) {
    fill_row(gx, gx_plane, S(0));
    for (int64_t i = 0; i < gy_plane; ++i) gx[position[i]] += gy[i];
  }
}

}  // namespace

template <>
PoolingKernels pooling_kernels<level>() {
  return {{&max_pool<float>, &max_pool<double>}, {&max_pool_backward<float>, &max_pool_backward<double>}};
}

}  // namespace chainrule
