// kernel_table.h - the C-like interface between the kernels of each instruction set and everybody else. Floor: kernels.
// Kernels are loops over raw memory: no allocation, no gradients, no errors, no shapes beyond what is written here.
// Steps and strides count elements, never bytes. Every source that includes simd.h is compiled once per level
// (CHAINRULE_LEVEL = 2, 3, 4 for x86-64-v2, v3, v4); only explicit specialisations on the level leave it.
#pragma once
#include <cstdint>
#include <span>

#include "chainrule/core/dtype.h"
#include "chainrule/kernels/convolution.h"
#include "chainrule/math/op_list.h"

namespace chainrule {

inline constexpr int float_count = 2;  ///< float32, float64: the first two dtypes; only they have gradients
inline constexpr int max_operands = 3;

/// y(r, i) = op(x[0](r, i), ...) for r < rows, i < n; element (r, i) is y[r * y_row_step + i * y_step]. Masks are bytes
/// 0 or 1.
struct ForwardArguments {
  void* y;
  int64_t y_step, y_row_step;
  const void* x[max_operands];
  int64_t x_step[max_operands], x_row_step[max_operands];
  int64_t n, rows;
};
using ForwardKernel = void (*)(const void* op, const ForwardArguments& arguments);

/// What one backward pass over an elementwise op reads and writes.
struct BackwardArguments {
  void* gx[max_operands];  ///< rows are dense; null where no gradient is owed
  int64_t gx_row_step;
  const void* x[max_operands];  ///< null where no rule that runs reads it
  int64_t x_step[max_operands], x_row_step[max_operands];
  const void* gy;
  int64_t gy_step, gy_row_step;
  const void* y;  ///< null where no rule reads it
  int64_t y_step, y_row_step;
  int64_t n, rows;
};
using BackwardKernel = void (*)(const void* op, const BackwardArguments& arguments);

struct ElementwiseKernel {
  ForwardKernel forward[dtype_count];  ///< by dtype of the inputs; null outside the op's domain
  BackwardKernel backward[float_count];
};

/// A matrix of rows to reduce: element (i, j) is x[i * row_step + j * column_step].
struct Rows {
  const void* x;
  int64_t rows, row_step;
  int64_t columns, column_step;
};

/// y[i] = reduction of row i; with `accumulate`, combined with the y[i] that is there. Rows may be empty only for sum.
using ReduceKernel = void (*)(void* y, const Rows& x, bool accumulate);
/// index[i] = position of the first largest (smallest) element of row i; NaN counts as largest (smallest).
using ArgReduceKernel = void (*)(int64_t* index, const Rows& x);

/// Row-wise functions. All operands have the steps of the Rows, and those are of dense rows (column_step 1) or of
/// neighbours (row_step 1). y may be x.
using RowKernel = void (*)(void* y, const Rows& x);
/// gx = vjp of a row function from gy and y.
using RowBackwardKernel = void (*)(void* gx, const Rows& gy, const void* y);

/// The classes of rows: row i has class at[i * step]; rows of class `ignored` count nothing.
struct Targets {
  const int64_t* at;
  int64_t step, ignored;
};
/// loss[i] = -log softmax(row i)[class i]; the rows are dense.
using CrossEntropyKernel = void (*)(void* loss, const Rows& logits, const Targets& targets);
/// gx = scale[i * scale_step] * (softmax(row i) - one_hot(class i)), dense.
using CrossEntropyBackwardKernel = void (*)(void* gx, const void* scale, int64_t scale_step, const Rows& logits,
                                            const Targets& targets);
/// *sum = sum of (a[j] - b[j]) ** 2.
using SquaredErrorKernel = void (*)(void* sum, const void* a, const void* b, int64_t n);
/// gx[j] = *scale * (a[j] - b[j]).
using ScaledDifferenceKernel = void (*)(void* gx, const void* scale, const void* a, const void* b, int64_t n);

/// c[i * c_row_step + j] (+)= sum over p of a[i * a_row_step + p * a_column_step] * b[p * b_row_step + j *
/// b_column_step], i < m, j < n, p < k; then + bias[j] when bias is not null. Rows of c are contiguous.
struct GemmArguments {
  int64_t m, n, k;
  const void* a;
  int64_t a_row_step, a_column_step;
  const void* b;
  int64_t b_row_step, b_column_step;
  void* c;
  int64_t c_row_step;
  const void* bias;
  void* workspace = nullptr;  ///< gemm_workspace_bytes, aligned to 64, for large products; null: a smaller one is used
};
inline constexpr int64_t gemm_workspace_bytes = 576 * 1024;  ///< for what is packed; stays in the second level cache
using GemmKernel = void (*)(const GemmArguments& arguments);

/// One parameter of a fused optimizer step; all pointers dense, n elements.
struct SgdSettings {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize;
};
using SgdKernel = void (*)(void* parameter, const void* gradient, void* momentum_buffer, bool first, int64_t n,
                           const SgdSettings& settings);  ///< `first`: the buffer takes the gradient as it is
struct AdamSettings {
  double lr, beta1, beta2, eps, weight_decay;
  bool maximize, decoupled;  ///< decoupled: AdamW's weight decay
};
using AdamKernel = void (*)(void* parameter, const void* gradient, void* exp_avg, void* exp_avg_sq,
                            void* max_exp_avg_sq, int64_t step, int64_t n,
                            const AdamSettings& settings);  ///< max_exp_avg_sq: null without amsgrad

struct ReductionKernels {
  ReduceKernel sum[dtype_count];  ///< y is the dtype of x; int32 and bool are converted to int64 before
  ReduceKernel maximum[dtype_count], minimum[dtype_count];
  ArgReduceKernel argmax[dtype_count], argmin[dtype_count];
};
struct RowKernels {
  RowKernel softmax[float_count], log_softmax[float_count];
  RowBackwardKernel softmax_backward[float_count], log_softmax_backward[float_count];
  ReduceKernel logsumexp[float_count];  ///< of dense rows or neighbours; never accumulates
};
struct LossKernels {
  CrossEntropyKernel cross_entropy[float_count];
  CrossEntropyBackwardKernel cross_entropy_backward[float_count];
  SquaredErrorKernel squared_error[float_count];
  ScaledDifferenceKernel scaled_difference[float_count];
};
struct OptimizerKernels {
  SgdKernel sgd[float_count];
  AdamKernel adam[float_count];
};

struct WindowKernels {
  CorrelateKernel correlate[float_count];
  WeightGradientKernel weight_gradient[float_count];
  AddPartialsKernel add_partials[float_count];
};
struct PoolingKernels {
  MaxPoolKernel max_pool[float_count];
  MaxPoolBackwardKernel max_pool_backward[float_count];
};

/// Layer normalization of dense rows: y = (x - mean) / sqrt(variance + eps) * weight + bias, rows not empty.
using LayerNormKernel = void (*)(void* y, const void* x, const void* weight, const void* bias, double eps, int64_t rows,
                                 int64_t columns);
struct LayerNormGradients {
  void* gx;  ///< each null where it is not owed
  void* gweight;
  void* gbias;
  const void* gy;
  const void* x;
  const void* weight;
};
using LayerNormBackwardKernel = void (*)(const LayerNormGradients& arguments, double eps, int64_t rows,
                                         int64_t columns);
struct LayerNormKernels {
  LayerNormKernel forward[float_count];
  LayerNormBackwardKernel backward[float_count];
};

/// One head of attention: query (queries, width), key (keys, width), value (keys, value_width) by any steps.
struct AttentionArguments {
  const void* query;
  const void* key;
  const void* value;
  int64_t query_step[2], key_step[2], value_step[2];  ///< of rows, of columns
  int64_t queries, keys, width, value_width;
  double scale;
  bool is_causal;  ///< query i sees the keys up to i only
};
/// The gradients, dense; each null where it is not owed. y is what forward gave.
struct AttentionGradients {
  void* query;
  void* key;
  void* value;
  const void* gy;
  const void* y;
  int64_t gy_step[2], y_step[2];
};
inline constexpr int64_t attention_query_block = 32;
struct AttentionKernels {
  /// Rows [first, first + count) of y (queries, value_width), dense; first is a multiple of attention_query_block, and
  /// count is at most that.
  void (*forward[float_count])(const AttentionArguments& arguments, int64_t first, int64_t count, void* y);
  void (*backward[float_count])(const AttentionArguments& arguments, const AttentionGradients& gradients);
};

/// Everything one instruction set offers.
struct Kernels {
  ElementwiseKernel elementwise[ElementwiseOps::size];  ///< by op id
  ReductionKernels reductions;
  RowKernels rows;
  LossKernels losses;
  GemmKernel gemm[float_count];
  OptimizerKernels optimizers;
  WindowKernels windows;
  PoolingKernels pooling;
  LayerNormKernels layer_norm;
  AttentionKernels attention;
};

// The parts, each from its own source; Level is CHAINRULE_LEVEL of that build.
template <int Level, class Ops>
std::span<const ElementwiseKernel> elementwise_kernels();
template <int Level>
ReductionKernels reduction_kernels();
template <int Level>
RowKernels row_kernels();
template <int Level>
LossKernels loss_kernels();
template <int Level>
OptimizerKernels optimizer_kernels();
template <int Level>
WindowKernels window_kernels();
template <int Level>
WeightGradientKernel weight_gradient_kernel(DType dtype);
template <int Level>
PoolingKernels pooling_kernels();
template <int Level>
LayerNormKernels layer_norm_kernels();
template <int Level>
AttentionKernels attention_kernels();
template <int Level>
GemmKernel gemm_kernel(DType dtype);
template <int Level>
const Kernels& kernels_of_level();

#ifdef CHAINRULE_LEVEL
inline constexpr int level = CHAINRULE_LEVEL;
template <> std::span<const ElementwiseKernel> elementwise_kernels<level, ArithmeticOps>();
template <> std::span<const ElementwiseKernel> elementwise_kernels<level, TranscendentalOps>();
template <> std::span<const ElementwiseKernel> elementwise_kernels<level, ActivationOps>();
template <> std::span<const ElementwiseKernel> elementwise_kernels<level, ComparisonOps>();
template <> ReductionKernels reduction_kernels<level>();
template <> RowKernels row_kernels<level>();
template <> LossKernels loss_kernels<level>();
template <> OptimizerKernels optimizer_kernels<level>();
template <> WindowKernels window_kernels<level>();
template <> WeightGradientKernel weight_gradient_kernel<level>(DType dtype);
template <> PoolingKernels pooling_kernels<level>();
template <> LayerNormKernels layer_norm_kernels<level>();
template <> AttentionKernels attention_kernels<level>();
template <> GemmKernel gemm_kernel<level>(DType dtype);
#endif
template <> const Kernels& kernels_of_level<2>();
template <> const Kernels& kernels_of_level<3>();
template <> const Kernels& kernels_of_level<4>();

}  // namespace chainrule
