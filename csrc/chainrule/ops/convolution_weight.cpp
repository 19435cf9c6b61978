// convolution_weight.cpp - the weight gradient: how it is cut into blocks, and how their sums are joined. Floor: ops.
// Each block of images adds up a partial gradient; the partial gradients are added in their order.
#include "chainrule/kernels/scratch.h"
#include "chainrule/ops/convolution_geometry.h"

namespace chainrule {

namespace {

/// How the work is cut: images into `image_blocks`, channels of a group into `chunks`, result rows into bands.
struct Cut {
  int64_t image_blocks, images, chunks, channels, band;
};

Cut cut_of(const ConvolutionGeometry& g, const Windows& w, int64_t size) {
  constexpr int64_t blocks_enough = 8, turned_bytes = 64 * 1024, channels_worth_it = 8;
  Cut cut{};
  cut.images = (g.images + blocks_enough - 1) / blocks_enough;
  cut.image_blocks = (g.images + cut.images - 1) / cut.images;
  const int64_t channels_most = std::max<int64_t>(1, g.in);
  const int64_t row_bytes = w.columns * std::min(g.out, gradient_columns_at_once) * size;
  cut.band = std::clamp<int64_t>(turned_bytes / row_bytes, 1, w.rows);
  auto fits = [&](int64_t band, int64_t channels) {
    return weight_gradient_bytes(w, band, g.out, channels, size) <= scratch_bytes;
  };
  while (cut.band > 1 && !fits(cut.band, std::min(channels_most, channels_worth_it))) cut.band = (cut.band + 1) / 2;
  int64_t chunks = std::clamp<int64_t>(blocks_enough / (cut.image_blocks * g.groups), 1, channels_most);
  while (chunks < channels_most && !fits(cut.band, (channels_most + chunks - 1) / chunks)) ++chunks;
  cut.channels = (channels_most + chunks - 1) / chunks;
  cut.chunks = (channels_most + cut.channels - 1) / cut.channels;
  return cut;
}

/// gw[o][k] = total[k][o], and gb[o] = total[last row][o], group by group.
template <class S>
void unload(const ConvolutionGeometry& g, const Tensor& total, int64_t columns, const Tensor& gw, const Tensor& gb) {
  const int64_t rows = g.in * g.taps(), all_rows = rows + (gb ? 1 : 0);
  for (int64_t group = 0; group < g.groups; ++group) {
    const S* from = total.data<S>() + group * all_rows * columns;
    for (int64_t o = 0; o < g.out; ++o) {
      S* to = gw.data<S>() + (group * g.out + o) * rows;
      for (int64_t k = 0; k < rows; ++k) to[k] = from[k * columns + o];
      if (gb) gb.data<S>()[group * g.out + o] = from[rows * columns + o];
    }
  }
}

void zero(const Tensor& x) {
  if (x) std::fill_n(static_cast<char*>(x.data()), x.numel() * size_of(x.dtype()), char(0));
}

}  // namespace

void weight_gradients(const ConvolutionGeometry& g, const Tensor& gy, const Tensor& x, const Tensor& gw,
                      const Tensor& gb) {
  if (gy.numel() == 0) return zero(gw), zero(gb);
  const DType dtype = gy.dtype();
  const int type = static_cast<int>(dtype);
  const int64_t size = size_of(dtype);
  const SlidingWindows sliding(g.image, g.kernel, g.result, g.stride, g.padding, g.dilation);
  const Windows& w = sliding.windows;
  const Cut cut = cut_of(g, w, size);
  const int64_t columns = (g.out + gradient_columns - 1) / gradient_columns * gradient_columns;
  const int64_t group_size = (g.in * g.taps() + (gb ? 1 : 0)) * columns;
  const Tensor partials = Tensor::empty(dtype, Shape{cut.image_blocks, g.groups, group_size});
  const WeightGradient all{w,
                           g.in,
                           g.out,
                           cut.images,
                           g.groups * g.in * g.image_cells(),
                           g.groups * g.out * g.result_cells(),
                           cut.band,
                           columns,
                           static_cast<bool>(gb)};
  const BlockMemory memory(weight_gradient_bytes(w, cut.band, g.out, cut.channels, size));
  const WeightGradientKernel kernel = active_kernels().windows.weight_gradient[type];
  for_blocks(cut.image_blocks * g.groups * cut.chunks, g.flops(), memory, [&](int64_t block) noexcept {
    const int64_t channel = block % cut.chunks * cut.channels, group = block / cut.chunks % g.groups;
    const int64_t image_block = block / cut.chunks / g.groups, image = image_block * cut.images;
    WeightGradient part = all;
    part.images = std::min(cut.images, g.images - image);
    kernel(part, channel, std::min(cut.channels, g.in - channel),
           element_at(x, image * all.x_image_step + group * g.in * g.image_cells()),
           element_at(gy, image * all.gy_image_step + group * g.out * g.result_cells()),
           element_at(partials, (image_block * g.groups + group) * group_size), memory.workspace());
  });
  const int64_t n = g.groups * group_size;
  if (cut.image_blocks > 1)
    active_kernels().windows.add_partials[type](partials.data(), partials.data(), cut.image_blocks, n);
  with_float_type(dtype, [&]<class S>() { unload<S>(g, partials, columns, gw, gb); });
}

void Conv2dWeight::forward(const Tensor& gy, const Tensor& x, Tensor& gw) const {
  weight_gradients(geometry_of(x.shape(), gw.shape(), options()), dense(gy), dense(x), gw, {});
}

void Conv2d::backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor&,
                      const Tensor&, Tensor* gx) const {
  const Tensor g = dense(gy);
  if (owed & 1) {
    gx[0] = Tensor::empty(x.meta());
    Conv2dInput{image_size(x), stride, padding, dilation, groups}.forward(g, weight, gx[0]);
  }
  if (owed & 2) {
    gx[1] = Tensor::empty(weight.meta());
    if (owed & 4) gx[2] = Tensor::empty(weight.dtype(), weight.shape().first(1));
    weight_gradients(geometry_of(x.shape(), weight.shape(), options()), g, dense(x), gx[1], gx[2]);
  }
}

}  // namespace chainrule
