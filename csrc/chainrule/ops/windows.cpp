#include "chainrule/ops/windows.h"

#include "chainrule/kernels/scratch.h"

namespace chainrule {

std::string to_string(Pair pair) { return to_string(Shape{pair.height, pair.width}); }

void require_pair(Pair pair, int64_t least, std::string_view what, std::string_view op) {
  constexpr int64_t most = std::numeric_limits<int32_t>::max();
  if (std::min(pair.height, pair.width) < least || std::max(pair.height, pair.width) > most)
    fail(ErrorKind::value, op, std::string(what) + " is " + to_string(pair),
         "both must be at least " + std::to_string(least) + " and fit in 32 bits");
}

std::optional<int64_t> window_span(int64_t kernel, int64_t dilation) {
  int64_t span;
  if (__builtin_mul_overflow(kernel - 1, dilation, &span) || __builtin_add_overflow(span, 1, &span))
    return std::nullopt;
  return span;
}

Pair reach_of(std::span<const Tap> taps) {
  Pair reach{0, 0};
  for (const Tap& tap : taps) {
    reach.height = std::max(reach.height, tap.row);
    reach.width = std::max(reach.width, tap.column);
  }
  return reach;
}

SlidingWindows::SlidingWindows(Pair image, Pair kernel, Pair result, Pair stride, Pair padding, Pair dilation) {
  // A single window takes no step: no need for phases.
  const Pair step{result.height == 1 ? 1 : stride.height, result.width == 1 ? 1 : stride.width};
  Pair phases{1, 1};
  for (int64_t i = 0; i < kernel.height; ++i)
    phases.height = std::max(phases.height, i * dilation.height % step.height + 1);
  for (int64_t j = 0; j < kernel.width; ++j) phases.width = std::max(phases.width, j * dilation.width % step.width + 1);
  taps.reserve(static_cast<size_t>(kernel.height * kernel.width));
  for (int64_t i = 0; i < kernel.height; ++i)
    for (int64_t j = 0; j < kernel.width; ++j) {
      const int64_t down = i * dilation.height, right = j * dilation.width;
      taps.push_back({down % step.height * phases.width + right % step.width, down / step.height, right / step.width});
    }
  windows = {
      image.height,   image.width,   step,         phases,  padding, taps.data(), static_cast<int64_t>(taps.size()),
      reach_of(taps), result.height, result.width, dilation};
}

BlockMemory::BlockMemory(int64_t bytes) {
  if (bytes > scratch_bytes) large_ = Tensor::empty(DType::int64, Shape{(bytes + 7) / 8});
}

Workspace BlockMemory::workspace() const noexcept {
  if (large_) return {large_.data(), large_.numel() * 8};
  return {kernel_scratch(), scratch_bytes};
}

}  // namespace chainrule
