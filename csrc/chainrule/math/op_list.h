// op_list.h - the whole vocabulary, in order: an op's position is its id. Floor: math.
// It stands at the bottom because everything needs ids. Structured ops are only named here; ops/ defines them.
#pragma once
#include "chainrule/math/activation.h"
#include "chainrule/math/arithmetic.h"
#include "chainrule/math/comparison.h"
#include "chainrule/math/transcendental.h"

namespace chainrule {

using ElementwiseOps = Concat<ArithmeticOps, TranscendentalOps, ActivationOps, ComparisonOps>::type;

using StructuredOps =
    OpList<struct Cast, struct Clone, struct Detach,  // conversion
           struct Reshape, struct Permute, struct Expand, struct Select, struct Slice, struct EmbedSlice,  // views
           struct Sum, struct Mean, struct Amax, struct Amin, struct Max, struct Min, struct Argmax, struct Argmin,
           struct Var, struct Softmax, struct LogSoftmax, struct LogSumExp,                            // reductions
           struct Matmul, struct Linear,  // linear algebra
           struct Cat, struct Gather, struct ScatterZeros, struct Index, struct IndexZeros,  // joining, indexing
           struct Conv2d, struct Conv2dInput, struct Conv2dWeight, struct MaxPool2d,  // convolution, pooling
           struct CrossEntropy, struct MseLoss,  // losses
           struct LayerNorm, struct Tril, struct ScaledDotProductAttention, struct Embedding>;  // transformers

using AllOps = Concat<ElementwiseOps, StructuredOps>::type;  // so elementwise ids index the kernel tables directly

template <class Op>
inline constexpr int id_of = IndexIn<Op, AllOps>::value;

}  // namespace chainrule
