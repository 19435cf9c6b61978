// elementwise.h - turns the formulas of math/ into loops over memory. Floor: kernels.
// Included by one source per family of ops, each compiled once per instruction set; all in an anonymous namespace.
// The dense case is its own loop; otherwise every operand is loaded by its step: 1 dense, 0 repeated, else gathered.
#pragma once
#include <tuple>

#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/simd_math.h"

namespace chainrule {
namespace {

template <class Op>
constexpr bool has_dtype(DType dtype) {
  constexpr Domain domain = Op::info.domain;
  if (is_floating(dtype)) return true;
  return dtype == DType::boolean ? domain == Domain::any : domain != Domain::real;
}

// An op without attributes carries no bytes: no reference is formed from its null pointer.
template <class Op>
inline Op op_from(const void* bytes) {
  if constexpr (std::is_empty_v<Op>) return Op{};
  else return *static_cast<const Op*>(bytes);
}

template <class S, int N, bool dense>
inline Pack<S, N> load(const void* p, int64_t step, int64_t i) {
  const S* at = static_cast<const S*>(p) + (dense ? i : i * step);
  if (dense || step == 1) return Pack<S, N>::load(at);
  return step == 0 ? Pack<S, N>::splat(at) : Pack<S, N>::gather(at, step);
}
template <class S, int N, bool dense>
inline typename Pack<S, N>::Mask load_mask(const void* p, int64_t step, int64_t i) {
  const uint8_t* at = static_cast<const uint8_t*>(p) + (dense ? i : i * step);
  if (dense || step == 1) return Pack<S, N>::load_mask(at);
  return step == 0 ? Pack<S, N>::splat_mask(at) : Pack<S, N>::gather_mask(at, step);
}
template <class Op, class S, int N, bool dense, int K>
inline auto load_input(const void* const* x, const int64_t* step, int64_t i) {
  if constexpr (Signature<Op>::mask_input && K == 0) return load_mask<S, N, dense>(x[K], step[K], i);
  else return load<S, N, dense>(x[K], step[K], i);
}

template <bool dense, class S, int N>
inline void store(const Pack<S, N>& value, void* y, int64_t step, int64_t i) {
  S* at = static_cast<S*>(y) + (dense ? i : i * step);
  if (dense || step == 1) value.store(at);
  else value.scatter(at, step);
}

// ---- Forward -----------------------------------------------------------------------------------------------------

template <class Op, class S, int N, bool dense>
inline void forward_at(const Op& op, void* y, int64_t y_step, const void* const* x, const int64_t* x_step, int64_t i) {
  const auto result = [&]<int... K>(std::integer_sequence<int, K...>) {
    return op.forward(load_input<Op, S, N, dense, K>(x, x_step, i)...);
  }(std::make_integer_sequence<int, Signature<Op>::inputs>{});
  if constexpr (Signature<Op>::mask_output) {
    uint8_t* at = static_cast<uint8_t*>(y) + (dense ? i : i * y_step);
    if (dense || y_step == 1) Pack<S, N>::store_mask(result, at);
    else Pack<S, N>::scatter_mask(result, at, y_step);
  } else {
    store<dense>(Pack<S, N>(result), y, y_step, i);
  }
}

// The hot loops. Flattened: constants of the formula stay in registers from one vector to the next.
template <class Op, class S>
[[gnu::flatten]] int64_t forward_dense_vectors(const Op& op, void* y, const void* const* x, const int64_t* x_step,
                                               int64_t n) {
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) forward_at<Op, S, lanes<S>, true>(op, y, 1, x, x_step, i);
  return i;
}

template <class Op, class S, bool dense>
inline void forward_loop(const Op& op, void* y, int64_t y_step, const void* const* x, const int64_t* x_step,
                         int64_t n) {
  constexpr int width = lanes<S>;
  int64_t i = 0;
  if constexpr (dense) i = forward_dense_vectors<Op, S>(op, y, x, x_step, n);
  else
    for (; i + width <= n; i += width) forward_at<Op, S, width, dense>(op, y, y_step, x, x_step, i);
  for (; i < n; ++i) forward_at<Op, S, 1, dense>(op, y, y_step, x, x_step, i);
}

template <class Op, class S>
void forward(const void* op, void* y, int64_t y_step, const void* const* x, const int64_t* x_step, int64_t n) {
  bool dense = y_step == 1;
  for (int k = 0; k < Signature<Op>::inputs; ++k) dense &= x_step[k] == 1;
  if (dense) forward_loop<Op, S, true>(op_from<Op>(op), y, y_step, x, x_step, n);
  else forward_loop<Op, S, false>(op_from<Op>(op), y, y_step, x, x_step, n);
}

// ---- Backward: one pass gives every gradient that is owed ----------------------------------------------------------

// What the formula does not read is never loaded: its pointer may be null.
template <class Op, class S, int N, bool dense, int K>
inline auto load_if_read(const BackwardArguments& a, int64_t i) {
  using P = Pack<S, N>;
  constexpr bool is_read = (all_vjp_bits<Op>() >> K & 1) != 0;
  if constexpr (is_read) {
    if (a.x[K]) return load_input<Op, S, N, dense, K>(a.x, a.x_step, i);
  }
  if constexpr (Signature<Op>::mask_input && K == 0) return typename P::Mask{};
  else return P(0.0);
}

template <class Op, class S, int N, bool dense>
inline void backward_at(const Op& op, const BackwardArguments& a, int64_t i) {
  using P = Pack<S, N>;
  const P gy = load<S, N, dense>(a.gy, a.gy_step, i);
  P y = 0.0;
  if constexpr ((all_vjp_bits<Op>() & uses_output) != 0) {
    if (a.y) y = load<S, N, dense>(a.y, a.y_step, i);
  }
  [&]<int... K>(std::integer_sequence<int, K...>) {
    const std::tuple x{load_if_read<Op, S, N, dense, K>(a, i)...};
    auto gradient = [&]<int J>(wrt<J>) {
      if constexpr (vjp_facts<Op, J>().exists) {
        if (a.gx[J]) store<true>(P(call_vjp<J>(op, gy, std::get<K>(x)..., y)), a.gx[J], 1, i);
      }
    };
    (gradient(wrt<K>{}), ...);
  }(std::make_integer_sequence<int, Signature<Op>::inputs>{});
}

template <class Op, class S>
[[gnu::flatten]] int64_t backward_dense_vectors(const Op& op, const BackwardArguments& a, int64_t n) {
  int64_t i = 0;
  for (; i + lanes<S> <= n; i += lanes<S>) backward_at<Op, S, lanes<S>, true>(op, a, i);
  return i;
}

template <class Op, class S, bool dense>
inline void backward_loop(const Op& op, const BackwardArguments& a, int64_t n) {
  constexpr int width = lanes<S>;
  int64_t i = 0;
  if constexpr (dense) i = backward_dense_vectors<Op, S>(op, a, n);
  else
    for (; i + width <= n; i += width) backward_at<Op, S, width, dense>(op, a, i);
  for (; i < n; ++i) backward_at<Op, S, 1, dense>(op, a, i);
}

template <class Op, class S>
void backward(const void* op, const BackwardArguments& a, int64_t n) {
  bool dense = a.gy_step == 1 && (!a.y || a.y_step == 1);
  for (int k = 0; k < Signature<Op>::inputs; ++k) dense &= !a.x[k] || a.x_step[k] == 1;
  if (dense) backward_loop<Op, S, true>(op_from<Op>(op), a, n);
  else backward_loop<Op, S, false>(op_from<Op>(op), a, n);
}

// ---- Tables ------------------------------------------------------------------------------------------------------

template <class Op, class S>
constexpr ForwardKernel forward_kernel() {
  if constexpr (has_dtype<Op>(dtype_for<S>())) return &forward<Op, S>;
  else return nullptr;
}
template <class Op>
constexpr ElementwiseKernel kernel_of() {
  ElementwiseKernel kernel{{forward_kernel<Op, float>(), forward_kernel<Op, double>(), forward_kernel<Op, int64_t>(),
                            forward_kernel<Op, int32_t>(), forward_kernel<Op, uint8_t>()},
                           {}};
  if constexpr (all_vjp_bits<Op>() != 0) {
    kernel.backward[0] = &backward<Op, float>;
    kernel.backward[1] = &backward<Op, double>;
  }
  return kernel;
}
template <class List>
struct FamilyTable;
template <class... Ops>
struct FamilyTable<OpList<Ops...>> {
  static constexpr ElementwiseKernel kernels[] = {kernel_of<Ops>()...};
};

}  // namespace
}  // namespace chainrule
