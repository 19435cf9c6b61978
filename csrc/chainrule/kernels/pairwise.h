// pairwise.h - sums whose rounding error grows with the logarithm of the number of terms. Floor: kernels.
// Partial sums of equal weight are added first, like carries in a binary counter; the tree depends only on
// how many partial sums there are. Anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/simd.h"

namespace chainrule {
namespace {

struct Addition {
  template <class P>
  static P pick(P a, P b) {
    return a + b;
  }
};

/// Combines partial results, each of `vectors` packs side by side: their sum, or what else Combine picks.
template <class S, int N, int vectors, class Combine = Addition>
class PairwiseSum {
 public:
  using P = Pack<S, N>;

  void add(const P (&partial)[vectors]) {
    P carry[vectors];
    for (int v = 0; v < vectors; ++v) carry[v] = partial[v];
    for (uint64_t bits = added_++; bits & 1; bits >>= 1) {
      --depth_;
      for (int v = 0; v < vectors; ++v) carry[v] = Combine::pick(pending_[depth_][v], carry[v]);
    }
    for (int v = 0; v < vectors; ++v) pending_[depth_][v] = carry[v];
    ++depth_;
  }

  /// Zero when nothing was added.
  void total(P (&sum)[vectors]) const {
    for (int v = 0; v < vectors; ++v) {
      sum[v] = depth_ == 0 ? P(0) : pending_[depth_ - 1][v];
      for (int level_below = depth_ - 2; level_below >= 0; --level_below)
        sum[v] = Combine::pick(pending_[level_below][v], sum[v]);
    }
  }

 private:
  static constexpr int max_depth = 48;  // 2^48 partial sums are more than memory holds
  P pending_[max_depth][vectors];       // set as far as depth_
  int depth_ = 0;
  uint64_t added_ = 0;
};

}  // namespace
}  // namespace chainrule
