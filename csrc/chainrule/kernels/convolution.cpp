// convolution.cpp - correlation of images with weights: the forward pass of a convolution and, with other taps, its
// input gradient. Compiled once per level. Floor: kernels. A tile of result channels times vectors of positions stays
// in registers while channels and taps go by. Invariant: a result is the sum over chunks of channels of (the fused sum
// over the channels and taps of one chunk, ascending, from zero); chunks depend on sizes and the workspace only.
#include "chainrule/kernels/convolution_planes.h"
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {
namespace {

constexpr int max_vectors = vector_bytes == 64 ? 4 : 2;  // with correlation_rows: accumulators fill the registers

/// What a tile reads: planes of some channels, the weights of one block of result channels.
template <class S>
struct Chunk {
  const S* planes;
  int64_t channels, plane_size;
  const int64_t* offsets;
  int64_t taps;
  const S* weight;
};

/// sums[i * sums_step + q] = sum over channels and taps of weight * plane[offset + q], for one tile of q from 0.
template <class S, int rows, int vectors>
void correlate_tile(const Chunk<S>& chunk, int64_t q, S* sums, int64_t sums_step) {
  constexpr int width = lanes<S>;
  using P = Pack<S, width>;
  P sum[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = P(0);

  const S* weight = chunk.weight;
  const S* plane = chunk.planes + q;
  const int64_t* const offsets = chunk.offsets;
  const int64_t taps = chunk.taps;
  for (int64_t c = chunk.channels; c > 0; --c, plane += chunk.plane_size)
    for (int64_t t = 0; t < taps; ++t, weight += rows) {
      const S* x = plane + offsets[t];
      P cells[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) cells[v] = P::load(x + v * width);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        const P w = P::splat(weight + i);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[i][v] = fma(w, cells[v], sum[i][v]);
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v].store(sums + i * sums_step + q + v * width);
}

template <class S>
using TileKernel = void (*)(const Chunk<S>& chunk, int64_t q, S* sums, int64_t sums_step);

template <class S, int vectors>
TileKernel<S> tile_kernel(int64_t rows) {
  return [=]<int... R>(std::integer_sequence<int, R...>) {
    static constexpr TileKernel<S> kernels[] = {&correlate_tile<S, R + 1, vectors>...};
    return kernels[rows - 1];
  }(std::make_integer_sequence<int, correlation_rows>{});
}

template <class S>
TileKernel<S> tile_kernel(int64_t rows, int64_t vectors) {
  return [=]<int... V>(std::integer_sequence<int, V...>) {
    static constexpr TileKernel<S> (*by_vectors[])(int64_t) = {&tile_kernel<S, V + 1>...};
    return by_vectors[vectors - 1](rows);
  }(std::make_integer_sequence<int, max_vectors>{});
}

/// Sums of one block of result channels, `q_count` positions rounded up to whole vectors.
template <class S>
void correlate_block(const Chunk<S>& chunk, int64_t rows, int64_t q_count, S* sums, int64_t sums_step) {
  const int64_t vectors = (q_count + lanes<S> - 1) / lanes<S>, tiles = (vectors + max_vectors - 1) / max_vectors;
  int64_t q = 0;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t count = vectors / tiles + (i < vectors % tiles);
    tile_kernel<S>(rows, count)(chunk, q, sums, sums_step);
    q += count * lanes<S>;
  }
}

/// One row of results: y = sums + bias in the first chunk, y += sums later.
template <class S>
inline void unload_row(S* y, int64_t y_step, const S* sums, int64_t columns, bool first, S bias) {
  if (y_step != 1) {
    for (int64_t j = 0; j < columns; ++j) y[j * y_step] = sums[j] + (first ? bias : y[j * y_step]);
    return;
  }
  for_each_pack<S>(columns, [&](auto pack, int64_t j) {
    using P = decltype(pack);
    (P::load(sums + j) + (first ? P::splat(&bias) : P::load(y + j))).store(y + j);
  });
}

/// The rows of one result channel in a band. Rows that follow one another are written in whole vectors, each spilling
/// into the rows that are written after it.
template <class S>
inline void unload_channel(S* y, Pair y_step, const S* sums, int64_t sums_step, int64_t rows, int64_t columns,
                           bool first, S bias) {
  constexpr int64_t width = lanes<S>;
  const bool dense = y_step.width == 1 && y_step.height == columns;
  if (dense && sums_step == columns) return unload_row(y, 1, sums, rows * columns, first, bias);
  const int64_t whole = (columns + width - 1) / width * width;
  const Wide<S> added = Wide<S>::splat(&bias);
  int64_t r = 0;
  if (dense && first)
    for (; r * columns + whole <= rows * columns; ++r)
      for (int64_t j = 0; j < whole; j += width)
        (Wide<S>::load(sums + r * sums_step + j) + added).store(y + r * columns + j);
  for (; r < rows; ++r) unload_row(y + r * y_step.height, y_step.width, sums + r * sums_step, columns, first, bias);
}

template <class S>
void correlate(const Correlation& c, Band band, int64_t first_block, int64_t last_block, const void* x_memory,
               const void* weight_memory, const void* bias_memory, void* y_memory, Workspace workspace) {
  const Windows& w = c.windows;
  const S* x = static_cast<const S*>(x_memory);
  const S* weight = static_cast<const S*>(weight_memory);
  const S* bias = static_cast<const S*>(bias_memory);
  S* y = static_cast<S*>(y_memory);
  const int64_t row_length = plane_columns(w), q_count = (band.rows - 1) * row_length + w.columns;
  const int64_t plane = plane_size(w, band.rows), sums_step = band.rows * row_length + vector_padding;
  Parts parts(workspace);
  int64_t* const offsets = parts.take<int64_t>(w.tap_count);
  S* const sums = parts.take<S>(correlation_rows * sums_step);
  int64_t at_once = plane ? (parts.left<S>() - vector_padding) / plane : c.channels;
  if (at_once >= c.channels) at_once = c.channels;
  else at_once = (c.channels + (c.channels - 1) / at_once) / ((c.channels - 1) / at_once + 1);  // even chunks
  S* const planes = parts.take<S>(at_once * plane + vector_padding);
  find_offsets(offsets, w, band.rows);

  int64_t channel = 0;
  do {
    const int64_t channels = c.channels - channel < at_once ? c.channels - channel : at_once;
    copy_planes(planes, x + channel * w.height * w.width, w, band, channels, S(0));
    for (int64_t index = first_block; index < last_block; ++index) {
      const ChannelBlock block = channel_block(c.out_channels, index);
      const Chunk<S> chunk{planes,      channels,
                           plane,       offsets,
                           w.tap_count, weight + (block.first * c.channels + channel * block.count) * w.tap_count};
      correlate_block(chunk, block.count, q_count, sums, sums_step);
      for (int64_t i = 0; i < block.count; ++i)
        unload_channel(y + (block.first + i) * c.y_channel_step + band.row * c.y_step.height, c.y_step,
                       sums + i * sums_step, row_length, band.rows, w.columns, channel == 0,
                       bias ? bias[block.first + i] : S(0));
    }
    channel += channels;
  } while (channel < c.channels);
}

template <class S>
void add_partials(void* total_memory, const void* partials_memory, int64_t blocks, int64_t n) {
  S* total = static_cast<S*>(total_memory);
  const S* partials = static_cast<const S*>(partials_memory);
  for_each_pack<S>(n, [&](auto pack, int64_t j) {
    using P = decltype(pack);
    P sum = P::load(partials + j);
    for (int64_t b = 1; b < blocks; ++b) sum = sum + P::load(partials + b * n + j);
    sum.store(total + j);
  });
}

}  // namespace

template <>
WindowKernels window_kernels<level>() {
  return {{&correlate<float>, &correlate<double>},
          {weight_gradient_kernel<level>(DType::float32), weight_gradient_kernel<level>(DType::float64)},
          {&add_partials<float>, &add_partials<double>}};
}

}  // namespace chainrule
