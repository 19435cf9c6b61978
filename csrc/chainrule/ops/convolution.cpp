// convolution.cpp - correlation: how the forward pass and the input gradient are cut into blocks. Floor: ops.
// Blocks are images, groups, bands of rows, parts of the result channels: a function of sizes alone.
#include "chainrule/kernels/scratch.h"
#include "chainrule/ops/convolution_geometry.h"

namespace chainrule {

namespace {

/// Where a correlation finds its images, weights and results, for one group after another.
struct Operands {
  const Tensor &x, &weight, &y;
  const Tensor* bias;
  int64_t y_start;                                  ///< of the first result, in elements
  int64_t out_step, channel_step;                   ///< in weight, of a result channel and of a source channel
  std::span<const int64_t> taps;                    ///< in weight, of each tap
};

/// Weights in the order in which kernels read them, group by group.
Tensor packed_weights(const Correlation& c, int64_t groups, const Operands& o) {
  const int64_t taps = c.windows.tap_count, group_step = c.out_channels * c.channels;
  const Tensor packed = Tensor::empty(o.weight.dtype(), Shape{groups * group_step * taps});
  const int64_t weight_group = groups ? o.weight.numel() / groups : 0;
  with_float_type(o.weight.dtype(), [&]<class S>() {
    S* to = packed.data<S>();
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t index = 0; index < channel_blocks(c.out_channels); ++index) {
        const ChannelBlock block = channel_block(c.out_channels, index);
        const S* from = o.weight.data<S>() + g * weight_group + block.first * o.out_step;
        for (int64_t channel = 0; channel < c.channels; ++channel, from += o.channel_step)
          for (int64_t t = 0; t < taps; ++t)
            for (int64_t i = 0; i < block.count; ++i) *to++ = from[o.taps[t] + i * o.out_step];
      }
  });
  return packed;
}

/// Result rows of one block: all that fit into scratch beside a good number of channels, in even bands.
int64_t band_of(const Correlation& c, int64_t size) {
  constexpr int64_t channels_worth_it = 16;
  const int64_t channels = std::min(c.channels, channels_worth_it);
  int64_t band = c.windows.rows;
  while (band > 1 && correlate_bytes(c, band, channels, size) > scratch_bytes) band = (band + 1) / 2;
  const int64_t bands = (c.windows.rows + band - 1) / band;
  return (c.windows.rows + bands - 1) / bands;
}

void correlate(const Correlation& c, int64_t images, int64_t groups, const Operands& o) {
  constexpr int64_t blocks_enough = 8;
  const Windows& w = c.windows;
  const DType dtype = o.y.dtype();
  const int64_t size = size_of(dtype), parts_most = channel_blocks(c.out_channels);
  if (images * groups * w.rows * w.columns * parts_most == 0) return;
  const Tensor packed = packed_weights(c, groups, o);
  const int64_t band = band_of(c, size), bands = (w.rows + band - 1) / band;
  const int64_t whole = images * groups * bands;
  const int64_t parts = std::clamp<int64_t>((blocks_enough + whole - 1) / whole, 1, parts_most);
  const BlockMemory memory(correlate_bytes(c, band, 1, size));
  const CorrelateKernel kernel = active_kernels().windows.correlate[static_cast<int>(dtype)];
  const int64_t x_group = c.channels * w.height * w.width, y_group = c.out_channels * c.y_channel_step;
  const int64_t flops = 2 * images * groups * w.rows * w.columns * c.out_channels * c.channels * w.tap_count;
  for_blocks(whole * parts, flops, memory, [&](int64_t block) noexcept {
    const int64_t part = block % parts, row = block / parts % bands * band, group = block / parts / bands;
    const int64_t g = group % groups;  // images and groups follow one another in memory alike
    kernel(c, {row, std::min(band, w.rows - row)}, parts_most * part / parts, parts_most * (part + 1) / parts,
           element_at(o.x, group * x_group), element_at(packed, g * c.out_channels * c.channels * w.tap_count),
           o.bias ? element_at(*o.bias, g * c.out_channels) : nullptr, element_at(o.y, o.y_start + group * y_group),
           memory.workspace());
  });
}

void convolve(const ConvolutionGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Tensor& y) {
  const SlidingWindows sliding(g.image, g.kernel, g.result, g.stride, g.padding, g.dilation);
  std::vector<int64_t> places(sliding.taps.size());
  for (size_t t = 0; t < places.size(); ++t) places[t] = static_cast<int64_t>(t);
  const Correlation c{sliding.windows, g.in, g.out, g.result_cells(), {g.result.width, 1}};
  correlate(c, g.images, g.groups, {x, weight, y, &bias, 0, g.in * g.taps(), g.taps(), places});
}

/// The kernel's elements i whose cell has the remainder `phase` in the image: where gy is read for them.
struct Reads {
  std::vector<int64_t> element, row;
  int64_t lowest = 0;

  Reads(int64_t phase, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    for (int64_t i = 0; i < kernel; ++i) {
      const int64_t cell = phase + padding - i * dilation;
      if (cell % stride != 0) continue;
      element.push_back(i);
      row.push_back(cell / stride);
      lowest = element.size() == 1 ? cell / stride : std::min(lowest, cell / stride);
    }
  }
};

/// gx at cells that are `phase` modulo the stride is a correlation of gy with the weights that reach them.
void convolve_back_phase(const ConvolutionGeometry& g, Pair phase, const Tensor& gy, const Tensor& weight,
                         const Tensor& gx) {
  const Reads down(phase.height, g.kernel.height, g.stride.height, g.padding.height, g.dilation.height);
  const Reads across(phase.width, g.kernel.width, g.stride.width, g.padding.width, g.dilation.width);
  std::vector<Tap> taps;
  std::vector<int64_t> places;
  for (size_t i = 0; i < down.row.size(); ++i)
    for (size_t j = 0; j < across.row.size(); ++j) {
      taps.push_back({0, down.row[i] - down.lowest, across.row[j] - across.lowest});
      places.push_back(down.element[i] * g.kernel.width + across.element[j]);
    }
  auto count = [](int64_t size, int64_t from, int64_t step) { return size > from ? (size - from - 1) / step + 1 : 0; };
  const Windows windows{g.result.height,
                        g.result.width,
                        {1, 1},
                        {1, 1},
                        {-down.lowest, -across.lowest},
                        taps.data(),
                        static_cast<int64_t>(taps.size()),
                        reach_of(taps),
                        count(g.image.height, phase.height, g.stride.height),
                        count(g.image.width, phase.width, g.stride.width),
                        {1, 1}};
  const Correlation c{windows, g.out, g.in, g.image_cells(), {g.image.width * g.stride.height, g.stride.width}};
  const int64_t start = phase.height * g.image.width + phase.width;
  correlate(c, g.images, g.groups, {gy, weight, gx, nullptr, start, g.taps(), g.in * g.taps(), places});
}

void convolve_back(const ConvolutionGeometry& g, const Tensor& gy, const Tensor& weight, const Tensor& gx) {
  for (int64_t i = 0; i < std::min(g.stride.height, g.image.height); ++i)
    for (int64_t j = 0; j < std::min(g.stride.width, g.image.width); ++j)
      convolve_back_phase(g, {i, j}, gy, weight, gx);
}

}  // namespace

void Conv2d::forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) const {
  convolve(geometry_of(x.shape(), weight.shape(), options()), dense(x), dense(weight), dense(bias), y);
}

void Conv2dInput::forward(const Tensor& gy, const Tensor& weight, Tensor& gx) const {
  convolve_back(geometry_of(gx.shape(), weight.shape(), options()), dense(gy), dense(weight), gx);
}

}  // namespace chainrule
