// windows.h - the geometry of windows that slide over images, for convolution and pooling. Floor: ops.
// It checks options, computes result sizes, and lists the taps that kernels read: Note [Planes] in
// kernels/convolution.h.
#pragma once
#include <optional>
#include <vector>

#include "chainrule/core/thread_pool.h"
#include "chainrule/kernels/convolution.h"
#include "chainrule/ops/structured.h"

namespace chainrule {

std::string to_string(Pair pair);  ///< "(2, 3)"

/// Fails unless both numbers are at least `least`, and small enough to compute with.
void require_pair(Pair pair, int64_t least, std::string_view what, std::string_view op);

/// Cells that a window spans: (kernel - 1) * dilation + 1; none if that is more than fits.
std::optional<int64_t> window_span(int64_t kernel, int64_t dilation);

/// The largest row and column of taps; (0, 0) of none.
Pair reach_of(std::span<const Tap> taps);

/// Windows of a kernel on images, with the taps they point to.
struct SlidingWindows {
  std::vector<Tap> taps;
  Windows windows;

  SlidingWindows(Pair image, Pair kernel, Pair result, Pair stride, Pair padding, Pair dilation);
  SlidingWindows(const SlidingWindows&) = delete;
  SlidingWindows& operator=(const SlidingWindows&) = delete;
};

/// Memory for one block of a kernel's work: the thread's own scratch where it fits, else one tensor for blocks that
/// must then run one after another.
class BlockMemory {
 public:
  explicit BlockMemory(int64_t bytes);
  bool is_shared() const { return static_cast<bool>(large_); }
  Workspace workspace() const noexcept;

 private:
  Tensor large_;
};

/// parallel_for, unless all blocks together are too little work for threads, or share their memory.
template <class Body>
void for_blocks(int64_t blocks, int64_t flops, const BlockMemory& memory, const Body& body) {
  constexpr int64_t flops_worth_threads = 1 << 19;
  if (flops >= flops_worth_threads && !memory.is_shared()) return parallel_for(blocks, body);
  for (int64_t block = 0; block < blocks; ++block) body(block);
}

}  // namespace chainrule
