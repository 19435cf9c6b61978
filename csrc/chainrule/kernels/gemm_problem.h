// gemm_problem.h - a matrix product with types, and the blocks of its sums. Floor: kernels.
// Included by the other gemm headers; anonymous namespace like simd.h.
#pragma once
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/simd.h"

namespace chainrule {
namespace {

constexpr int64_t max_block_length = 256;  // of p: a sliver of b stays in the first level cache

/// GemmArguments with types, and with steps for everything: the transpose of a problem is a problem.
template <class S>
struct Problem {
  int64_t m, n, k;
  const S* a;
  int64_t a_row_step, a_column_step;
  const S* b;
  int64_t b_row_step, b_column_step;
  S* c;
  int64_t c_row_step, c_column_step;
  const S* bias;      ///< contiguous, or null
  bool bias_of_rows;  ///< bias[i] for row i, not bias[j] for column j
};

template <class S>
inline Problem<S> problem_of(const GemmArguments& g) {
  return {g.m,
          g.n,
          g.k,
          static_cast<const S*>(g.a),
          g.a_row_step,
          g.a_column_step,
          static_cast<const S*>(g.b),
          g.b_row_step,
          g.b_column_step,
          static_cast<S*>(g.c),
          g.c_row_step,
          1,
          static_cast<const S*>(g.bias),
          false};
}

template <class S>
inline Problem<S> transposed(const Problem<S>& g) {
  return {g.n,
          g.m,
          g.k,
          g.b,
          g.b_column_step,
          g.b_row_step,
          g.a,
          g.a_column_step,
          g.a_row_step,
          g.c,
          g.c_column_step,
          g.c_row_step,
          g.bias,
          !g.bias_of_rows};
}

inline int64_t block_count(int64_t k) { return k == 0 ? 1 : (k + max_block_length - 1) / max_block_length; }
/// At least 1.
inline int64_t longest_block(int64_t k) { return k == 0 ? 1 : (k + block_count(k) - 1) / block_count(k); }

/// The blocks of p: as even as they can be, and no longer than max_block_length. Calls block(p, length).
template <class Block>
inline void for_each_block(int64_t k, const Block& block) {
  const int64_t blocks = block_count(k);
  for (int64_t i = 0, p = 0; i < blocks; ++i) {
    const int64_t length = k / blocks + (i < k % blocks);
    block(p, length);
    p += length;
  }
}

}  // namespace
}  // namespace chainrule
