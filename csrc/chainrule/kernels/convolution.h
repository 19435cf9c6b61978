// convolution.h - what the kernels of windows that slide over images, convolution and pooling, are told. Floor:
// kernels. Note [Planes] A kernel first copies a band of each plane of an image into scratch, with its border, and
// sorted by phase: cell (u, v) of phase (a, b) is x[u * step.height + a - border.height][v * step.width + b -
// border.width], or the filler outside of the image. With the windows' step as the step of the phases, what a tap of
// all windows reads are neighbours, for any step and dilation: result number q = row * plane columns + column reads
// cell q + offset(tap). So results are computed in vectors over q, across the ends of rows; the columns past the last
// window are computed, too, and dropped.
#pragma once
#include <cstdint>

#include "chainrule/core/shape.h"

namespace chainrule {

inline constexpr int correlation_rows = 6;        ///< result channels that are computed together, at most
inline constexpr int64_t vector_padding = 64;  ///< elements past the end that kernels may read or write in scratch
inline constexpr int64_t gradient_columns = 16;  ///< partial weight gradients have a multiple of this many columns
inline constexpr int64_t gradient_columns_at_once = 64;  ///< at most: what scratch must hold for one position

/// One cell of a window: its phase a * phases.width + b, and where its plane is read for the result in row 0, column 0.
struct Tap {
  int64_t phase, row, column;
};

/// How windows lie on the planes of an image, which are dense and follow one another.
struct Windows {
  int64_t height, width;
  Pair step, phases, border;  ///< phases (a, b) that some tap reads: a < phases.height, b < phases.width
  const Tap* taps;
  int64_t tap_count;
  Pair reach;  ///< largest row and column of a tap
  int64_t rows, columns;  ///< of the results
  Pair dilation;  ///< of the taps; only pooling asks
};

/// Result rows [row, row + rows).
struct Band {
  int64_t row, rows;
};

/// y[o][row * y_step.height][column * y_step.width] = bias[o] + sum over channels c, taps t of weight[o][c][t] * cell.
/// The weights of a block of result channels are neighbours: [block][c][t][o within the block]; see channel_block.
struct Correlation {
  Windows windows;
  int64_t channels, out_channels;
  int64_t y_channel_step;
  Pair y_step;  ///< of rows (a multiple of the row's length) and columns, in elements
};

/// Result channels [first, first + count).
struct ChannelBlock {
  int64_t first, count;
};

/// Memory that a kernel may use.
struct Workspace {
  void* memory;
  int64_t bytes;
};

/// Result channel blocks [first_block, last_block) of one band of one image.
using CorrelateKernel = void (*)(const Correlation& c, Band band, int64_t first_block, int64_t last_block,
                                 const void* x, const void* weight, const void* bias, void* y, Workspace workspace);

/// partial[(c * taps + t) * partial_columns + o] = sum over images and positions of gy[o] * cell; with bias_row, row
/// channels * taps holds the sums of gy.
struct WeightGradient {
  Windows windows;
  int64_t channels, out_channels;
  int64_t images, x_image_step, gy_image_step;
  int64_t band;  ///< result rows at once
  int64_t partial_columns;
  bool bias_row;
};
/// Rows of the partial sum for channels [first_channel, first_channel + channel_count).
using WeightGradientKernel = void (*)(const WeightGradient& g, int64_t first_channel, int64_t channel_count,
                                      const void* x, const void* gy, void* partial, Workspace workspace);

/// total[i] = partials[i] + partials[n + i] + ..., i < n.
using AddPartialsKernel = void (*)(void* total, const void* partials, int64_t blocks, int64_t n);

/// Largest cell of every window of a plane, and its position in it; NaN is the largest. The border never wins. Planes
/// whose windows do not cross from one into the next may come as one tall plane of so many result rows each.
using MaxPoolKernel = void (*)(const Windows& windows, Band band, int64_t rows_of_plane, const void* x, void* y,
                               int64_t* position, Workspace workspace);
/// gx = 0, then gx[position[i]] += gy[i], plane by plane.
using MaxPoolBackwardKernel = void (*)(void* gx, int64_t gx_plane, const void* gy, const int64_t* position,
                                       int64_t gy_plane, int64_t planes);

// Sizes that kernels and their callers agree on; without linkage, since each instruction set compiles its own.
namespace {

inline int64_t plane_columns(const Windows& w) { return w.columns + w.reach.width; }
inline int64_t phase_size(const Windows& w, int64_t band) { return (band + w.reach.height) * plane_columns(w); }
/// Elements of one plane for a band of so many result rows.
inline int64_t plane_size(const Windows& w, int64_t band) {
  return w.phases.height * w.phases.width * phase_size(w, band);
}

inline int64_t channel_blocks(int64_t channels) { return (channels + correlation_rows - 1) / correlation_rows; }
/// Block `index` of the result channels: as even as they can be, at most correlation_rows.
inline ChannelBlock channel_block(int64_t channels, int64_t index) {
  const int64_t blocks = channel_blocks(channels), each = channels / blocks, longer = channels % blocks;
  return {index * each + (index < longer ? index : longer), each + (index < longer)};
}

/// Scratch that a band needs with so many channels at once.
inline int64_t correlate_bytes(const Correlation& c, int64_t band, int64_t channels, int64_t size) {
  const int64_t sums = correlation_rows * (band * plane_columns(c.windows) + vector_padding);
  const int64_t offsets = (c.windows.tap_count + vector_padding) * 8;
  return offsets + size * (sums + channels * plane_size(c.windows, band) + 2 * vector_padding);
}

inline int64_t weight_gradient_bytes(const Windows& w, int64_t band, int64_t out_channels, int64_t channels,
                                     int64_t size) {
  const int64_t padded = (out_channels + gradient_columns - 1) / gradient_columns * gradient_columns;
  const int64_t at_once = padded < gradient_columns_at_once ? padded : gradient_columns_at_once;
  const int64_t offsets = (channels * w.tap_count + w.tap_count + 2 * vector_padding) * 8;
  return offsets + size * (band * w.columns * at_once + channels * plane_size(w, band) + 4 * vector_padding);
}

inline int64_t max_pool_bytes(const Windows& w, int64_t band, int64_t size) {
  const int64_t results = 3 * (band * plane_columns(w) + 2 * vector_padding);
  return (w.tap_count + vector_padding) * 8 * 2 + size * (results + plane_size(w, band) + 2 * vector_padding);
}

}  // namespace

}  // namespace chainrule
