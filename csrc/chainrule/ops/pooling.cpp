#include "chainrule/ops/pooling.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/kernels/scratch.h"
#include "chainrule/ops/windows.h"

namespace chainrule {

namespace {

Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

/// Results along one dim, as PyTorch counts them: with ceil_mode also a window that the image cuts off, but none that
/// begins in the border on the right. 0 or less where not one window fits.
int64_t pooled_size(int64_t image, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation, bool ceil_mode) {
  const std::optional<int64_t> span = window_span(kernel, dilation);
  const int64_t padded = image + 2 * padding;
  if (!span) return 0;
  const int64_t left = padded - *span, steps = left / stride, rest = left % stride;
  int64_t size = rest < 0 ? steps : steps + 1;  // one that is wider than the padded image is cut off as well
  if (ceil_mode && rest != 0 && size * stride < image + padding) ++size;
  return size;
}

/// The kernel without what no window has inside the image or the border before it.
int64_t reaching(int64_t kernel, int64_t image, int64_t padding, int64_t dilation) {
  return std::min(kernel, (image + padding - 1) / dilation + 1);
}

/// Whether every window holds a cell of the image: one that begins in the border may step over it.
bool all_hold_cells(int64_t image, int64_t results, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  for (int64_t i = 0; i < results && i * stride < padding; ++i) {
    const int64_t steps = (padding - i * stride + dilation - 1) / dilation;
    if (steps >= kernel || i * stride - padding + steps * dilation >= image) return false;
  }
  return image > 0;
}

Pair pooled_image(IntSpan x, const MaxPool2d& op) {
  const size_t n = x.size();
  return {
      pooled_size(x[n - 2], op.kernel_size.height, op.stride.height, op.padding.height, op.dilation.height,
                  op.ceil_mode),
      pooled_size(x[n - 1], op.kernel_size.width, op.stride.width, op.padding.width, op.dilation.width, op.ceil_mode)};
}

void check_options(const MaxPool2d& op) {
  const std::string_view name = MaxPool2d::info.name;
  require_pair(op.kernel_size, 1, "kernel_size", name);
  require_pair(op.stride, 1, "stride", name);
  require_pair(op.padding, 0, "padding", name);
  require_pair(op.dilation, 1, "dilation", name);
  auto too_wide = [](int64_t padding, int64_t kernel, int64_t dilation) {
    return padding > ((kernel - 1) * dilation + 1) / 2;
  };
  if (too_wide(op.padding.height, op.kernel_size.height, op.dilation.height) ||
      too_wide(op.padding.width, op.kernel_size.width, op.dilation.width))
    fail(ErrorKind::value, name,
         "padding is " + to_string(op.padding) + ", kernel_size " + to_string(op.kernel_size) + ", dilation " +
             to_string(op.dilation),
         "padding must be at most half of what the kernel spans");
}

Pair checked_image(IntSpan x, const MaxPool2d& op) {
  const size_t n = x.size();
  const std::string arrived = "x has shape " + to_string(x) + ", kernel_size " + to_string(op.kernel_size);
  const Pair result = pooled_image(x, op);
  if (result.height < 1 || result.width < 1)
    fail(ErrorKind::shape, op.info.name, arrived + ", padding " + to_string(op.padding),
         op.ceil_mode ? "the kernel must span less than the padded image and one stride together"
                      : "the kernel must span at most as many cells as the padded image has",
         "use a smaller kernel");
  if (!all_hold_cells(x[n - 2], result.height, op.kernel_size.height, op.stride.height, op.padding.height,
                      op.dilation.height) ||
      !all_hold_cells(x[n - 1], result.width, op.kernel_size.width, op.stride.width, op.padding.width,
                      op.dilation.width))
    fail(ErrorKind::shape, op.info.name,
         arrived + ", padding " + to_string(op.padding) + ", dilation " + to_string(op.dilation),
         "every window must hold an element of x", "a window of padding alone has no largest element");
  int64_t plane;
  if (__builtin_mul_overflow(x[n - 2], x[n - 1], &plane) || plane > std::numeric_limits<int32_t>::max())
    fail(ErrorKind::shape, op.info.name, arrived, "a plane must have fewer than 2**31 elements");
  return result;
}

/// Result rows at once: as many as fit into scratch.
int64_t band_of(const Windows& w, int64_t size) {
  int64_t band = w.rows;
  while (band > 1 && max_pool_bytes(w, band, size) > scratch_bytes) band = (band + 1) / 2;
  return band;
}

/// Planes that one thread takes at a turn.
int64_t planes_at_once(int64_t cells) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, cells)); }

/// Whether each plane is cut into windows without a rest, so that planes on top of one another are cut alike.
bool cut_evenly(const Windows& w) {
  return w.border.height == 0 && w.reach.height == 0 && w.rows * w.step.height == w.height;
}

/// `count` planes as one, where they are cut evenly.
Windows stacked(Windows w, int64_t count) {
  w.height *= count;
  w.rows *= count;
  return w;
}

constexpr int64_t flops_per_cell = 16;  // in time: comparing, and copying twice

}  // namespace

std::array<Meta, 2> MaxPool2d::infer(const Meta& x) const {
  require_floating(x, info.name);
  if (x.shape.size() != 3 && x.shape.size() != 4)
    fail(ErrorKind::shape, info.name, "x has shape " + to_string(x.shape),
         "it must be (n, channels, h, w) or (channels, h, w)");
  check_options(*this);
  const Pair image = checked_image(x.shape, *this);
  Shape shape = x.shape;
  const int last = shape.size() - 1;
  shape[last - 1] = image.height;
  shape[last] = image.width;
  checked_numel(shape, size_of(DType::int64), info.name);
  return {Meta{x.dtype, shape}, Meta{DType::int64, shape}};
}

void MaxPool2d::forward(const Tensor& x, std::array<Tensor, 2>& y) const {
  if (y[0].numel() == 0) return;
  const Tensor from = dense(x);
  const int64_t size = size_of(x.dtype());
  const int last = x.ndim() - 1;
  const Pair image{x.size(last - 1), x.size(last)}, result{y[0].size(last - 1), y[0].size(last)};
  const Pair kernel_part{reaching(kernel_size.height, image.height, padding.height, dilation.height),
                         reaching(kernel_size.width, image.width, padding.width, dilation.width)};
  const SlidingWindows sliding(image, kernel_part, result, stride, padding, dilation);
  const Windows& w = sliding.windows;
  const int64_t cells = image.height * image.width, results = result.height * result.width;
  const int64_t planes = y[0].numel() / results, turn = planes_at_once(cells);
  const bool stack = cut_evenly(w);
  const int64_t band = band_of(stack ? stacked(w, turn) : w, size);
  const BlockMemory memory(max_pool_bytes(w, band, size));
  const MaxPoolKernel kernel = active_kernels().pooling.max_pool[static_cast<int>(x.dtype())];
  auto pool = [&](const Windows& windows, int64_t plane) noexcept {
    for (int64_t row = 0; row < windows.rows; row += band)
      kernel(windows, {row, std::min(band, windows.rows - row)}, w.rows,
             static_cast<const char*>(from.data()) + plane * cells * size,
             static_cast<char*>(y[0].data()) + plane * results * size, y[1].data<int64_t>() + plane * results,
             memory.workspace());
  };
  for_blocks((planes + turn - 1) / turn, flops_per_cell * x.numel(), memory, [&](int64_t block) noexcept {
    const int64_t first = block * turn, stop = std::min(planes, first + turn);
    if (stack) return pool(stacked(w, stop - first), first);
    for (int64_t plane = first; plane < stop; ++plane) pool(w, plane);
  });
}

void MaxPool2d::backward(unsigned, const std::array<Tensor, 2>& gy, const Tensor& x, const std::array<Tensor, 2>& y,
                         Tensor* gx) const {
  if (!gy[0]) return;
  gx[0] = Tensor::empty(x.meta());
  if (x.numel() == 0) return;
  const Tensor g = dense(gy[0]), position = dense(y[1]);
  const int last = x.ndim() - 1;
  const int64_t size = size_of(x.dtype()), cells = x.size(last - 1) * x.size(last);
  const int64_t results = g.size(last - 1) * g.size(last), planes = x.numel() / cells, turn = planes_at_once(cells);
  const MaxPoolBackwardKernel kernel = active_kernels().pooling.max_pool_backward[static_cast<int>(x.dtype())];
  for_blocks((planes + turn - 1) / turn, flops_per_cell * x.numel(), BlockMemory(0), [&](int64_t block) noexcept {
    const int64_t plane = block * turn;
    kernel(static_cast<char*>(gx[0].data()) + plane * cells * size, cells,
           static_cast<const char*>(g.data()) + plane * results * size, position.data<int64_t>() + plane * results,
           results, std::min(turn, planes - plane));
  });
}

}  // namespace chainrule
