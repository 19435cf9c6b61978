// convolution_gradient.cpp - the weight gradient of a convolution. Compiled once per level. Floor: kernels.
// gy of a band is transposed, so that the result channels of one position are neighbours; a tile of taps times vectors
// of result channels stays in registers while positions go by. Invariant: an element of the partial sum is the sum over
// images and bands, ascending, of the fused sums over the positions of one band.
#include "chainrule/kernels/convolution_planes.h"
#include "chainrule/kernels/gemm_pack.h"
#include "chainrule/kernels/kernel_table.h"

namespace chainrule {
namespace {

constexpr int tile_taps = 6;
constexpr int max_vectors = vector_bytes == 64 ? 4 : 2;

/// What a tile reads, and where it adds its sums.
template <class S>
struct GradientTile {
  const S* planes;
  int64_t row_length;
  const int64_t* offsets;
  const S* gy;  ///< [row][column][gy_step]
  int64_t gy_step, rows, columns;
  S* partial;
  int64_t partial_step;
  bool first;  ///< the partial sum is overwritten, not added to
};

template <class S, int taps, int vectors>
void gradient_tile(const GradientTile<S>& t) {
  constexpr int width = lanes<S>;
  constexpr int ways = taps * vectors < 8 ? 2 : 1;  // columns side by side: enough sums to hide latency
  using P = Pack<S, width>;
  P sum[ways][taps][vectors];
#pragma GCC unroll 2
  for (int way = 0; way < ways; ++way)
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[way][k][v] = P(0);
  const S* cells[taps];
#pragma GCC unroll 8
  for (int k = 0; k < taps; ++k) cells[k] = t.planes + t.offsets[k];

  const S* gy = t.gy;
  const int64_t columns = t.columns, gy_step = t.gy_step;
  auto add = [&](P(&to)[taps][vectors], int64_t j) {
    P g[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) g[v] = P::load(gy + v * width);
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) {
      const P cell = P::splat(cells[k] + j);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) to[k][v] = fma(cell, g[v], to[k][v]);
    }
    gy += gy_step;
  };
  for (int64_t r = t.rows; r > 0; --r) {
    int64_t j = 0;
    for (; j + ways <= columns; j += ways)
#pragma GCC unroll 2
      for (int way = 0; way < ways; ++way) add(sum[way], j + way);
    for (; j < columns; ++j) add(sum[0], j);
#pragma GCC unroll 8
    for (int k = 0; k < taps; ++k) cells[k] += t.row_length;
  }

#pragma GCC unroll 8
  for (int k = 0; k < taps; ++k)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      S* at = t.partial + k * t.partial_step + v * width;
      P total = sum[0][k][v];
      if constexpr (ways == 2) total = total + sum[1][k][v];
      (t.first ? total : P::load(at) + total).store(at);
    }
}

template <class S>
using TileKernel = void (*)(const GradientTile<S>& tile);

template <class S, int vectors>
TileKernel<S> tile_kernel(int64_t taps) {
  return [=]<int... T>(std::integer_sequence<int, T...>) {
    static constexpr TileKernel<S> kernels[] = {&gradient_tile<S, T + 1, vectors>...};
    return kernels[taps - 1];
  }(std::make_integer_sequence<int, tile_taps>{});
}

template <class S>
TileKernel<S> tile_kernel(int64_t taps, int64_t vectors) {
  return [=]<int... V>(std::integer_sequence<int, V...>) {
    static constexpr TileKernel<S> (*by_vectors[])(int64_t) = {&tile_kernel<S, V + 1>...};
    return by_vectors[vectors - 1](taps);
  }(std::make_integer_sequence<int, max_vectors>{});
}

/// to[p * step + o] = gy[o * gy_step + p] for o < channels, p < count; 0 for the channels from there to `step`, which
/// is a multiple of the vector's width.
template <class S>
void transpose_channels(S* to, int64_t step, const S* gy, int64_t gy_step, int64_t channels, int64_t count) {
  for (int64_t o = 0; o < step; o += lanes<S>) {
    const int64_t here = channels - o < lanes<S> ? channels - o : lanes<S>;
    pack_transposed(to + o, step, gy + o * gy_step, gy_step, count, here, here);
  }
}

/// partial[o] (+)= sum over positions of gy[position][o].
template <class S>
void add_positions(S* partial, const S* gy, int64_t step, int64_t positions, bool first) {
  for (int64_t o = 0; o < step; o += lanes<S>) {
    Wide<S> sum = first ? Wide<S>(0) : Wide<S>::load(partial + o), band = 0;
    for (int64_t p = 0; p < positions; ++p) band = band + Wide<S>::load(gy + p * step + o);
    (sum + band).store(partial + o);
  }
}

template <class S>
void add_band(GradientTile<S> t, int64_t count, int64_t vectors) {
  const int64_t tiles = (count + tile_taps - 1) / tile_taps;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t taps = count / tiles + (i < count % tiles);
    tile_kernel<S>(taps, vectors)(t);
    t.offsets += taps;
    t.partial += taps * t.partial_step;
  }
}

/// Offsets of all taps of all channels, from those of one channel.
inline void repeat_offsets(int64_t* all, const int64_t* one, int64_t taps, int64_t channels, int64_t plane_size) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t) all[c * taps + t] = c * plane_size + one[t];
}

template <class S>
void weight_gradient(const WeightGradient& g, int64_t first_channel, int64_t channel_count, const void* x_memory,
                     const void* gy_memory, void* partial_memory, Workspace workspace) {
  const Windows& w = g.windows;
  const S* x = static_cast<const S*>(x_memory) + first_channel * w.height * w.width;
  const S* gy = static_cast<const S*>(gy_memory);
  constexpr int64_t at_once = max_vectors * lanes<S>;
  static_assert(at_once <= gradient_columns_at_once);
  Parts parts(workspace);
  int64_t* const tap_offsets = parts.take<int64_t>(w.tap_count);
  int64_t* const offsets = parts.take<int64_t>(channel_count * w.tap_count);
  const int64_t widest = g.partial_columns < at_once ? g.partial_columns : at_once;
  S* const turned = parts.take<S>(g.band * w.columns * widest);
  S* const planes = parts.take<S>(channel_count * plane_size(w, g.band) + vector_padding);
  for (int64_t o = 0; o < g.out_channels; o += at_once) {
    const int64_t channels = g.out_channels - o < at_once ? g.out_channels - o : at_once;
    const int64_t columns = (channels + lanes<S> - 1) / lanes<S> * lanes<S>;
    for (int64_t image = 0; image < g.images; ++image)
      for (int64_t row = 0; row < w.rows; row += g.band) {
        const Band band{row, w.rows - row < g.band ? w.rows - row : g.band};
        const bool first = image == 0 && row == 0;
        find_offsets(tap_offsets, w, band.rows);
        repeat_offsets(offsets, tap_offsets, w.tap_count, channel_count, plane_size(w, band.rows));
        copy_planes(planes, x + image * g.x_image_step, w, band, channel_count, S(0));
        const S* from = gy + image * g.gy_image_step + o * w.rows * w.columns + row * w.columns;
        transpose_channels(turned, columns, from, w.rows * w.columns, channels, band.rows * w.columns);
        S* partial = static_cast<S*>(partial_memory) + o;
        GradientTile<S> tile{planes,
                             plane_columns(w),
                             offsets,
                             turned,
                             columns,
                             band.rows,
                             w.columns,
                             partial + first_channel * w.tap_count * g.partial_columns,
                             g.partial_columns,
                             first};
        add_band(tile, channel_count * w.tap_count, columns / lanes<S>);
        if (g.bias_row && first_channel == 0)
          add_positions(partial + g.channels * w.tap_count * g.partial_columns, turned, columns, band.rows * w.columns,
                        first);
      }
  }
}

}  // namespace

template <>
WeightGradientKernel weight_gradient_kernel<level>(DType dtype) {
  return dtype == DType::float32 ? &weight_gradient<float> : &weight_gradient<double>;
}

}  // namespace chainrule
