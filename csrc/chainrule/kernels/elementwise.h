// elementwise.h - turns the formulas of math/ into loops over memory. Floor: kernels.
// Included by one source per family of ops, each compiled once per instruction set; all in an anonymous namespace.
// Every row of an operand is dense or one repeated vector when it is reached here: see operands.h.
#pragma once
#include <tuple>

#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/operands.h"
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

// ---- Packs of rows, whole or the first few lanes
// ---------------------------------------------------------------------

template <class S, bool partial>
CR_INLINE auto load_pack(const S* p, int64_t count) {
  if constexpr (partial) return load_first<S, lanes<S>>(p, count);
  else return Pack<S, lanes<S>>::load(p);
}
template <class S, bool partial>
CR_INLINE auto load_mask_pack(const uint8_t* p, int64_t count) {
  if constexpr (!partial) return Pack<S, lanes<S>>::load_mask(p);
  uint8_t lane[lanes<S>] = {};
  for (int64_t k = 0; k < count; ++k) lane[k] = p[k];
  return Pack<S, lanes<S>>::load_mask(lane);
}
template <bool partial, class S>
CR_INLINE void store_pack(const Pack<S, lanes<S>>& value, S* p, int64_t count) {
  if constexpr (partial) store_first(value, p, count);
  else value.store(p);
}
template <bool partial, class S, class Mask>
CR_INLINE void store_mask_pack(const Mask& value, uint8_t* p, int64_t count) {
  if constexpr (!partial) return Pack<S, lanes<S>>::store_mask(value, p);
  uint8_t lane[lanes<S>];
  Pack<S, lanes<S>>::store_mask(value, lane);
  for (int64_t k = 0; k < count; ++k) p[k] = lane[k];
}

template <class Op, class S, int K>
using InputElement = std::conditional_t<Signature<Op>::mask_input && K == 0, uint8_t, S>;
template <class Op, class S>
using OutputElement = std::conditional_t<Signature<Op>::mask_output, uint8_t, S>;

template <class Op, class S, int K, bool partial>
CR_INLINE auto load_input(const InputElement<Op, S, K>* p, int64_t count) {
  if constexpr (Signature<Op>::mask_input && K == 0) return load_mask_pack<S, partial>(p, count);
  else return load_pack<S, partial>(p, count);
}

template <class Op, class Indices = std::make_integer_sequence<int, Signature<Op>::inputs>>
struct InputsOf;
template <class Op, int... K>
struct InputsOf<Op, std::integer_sequence<int, K...>> {
  template <class S>
  using Sources = std::tuple<Source<InputElement<Op, S, K>>...>;
  template <class S>
  using Pointers = std::tuple<const InputElement<Op, S, K>*...>;
};

// ---- Forward -----------------------------------------------------------------------------------------------------

// Note [Whole vectors and the rest]
// A row is run in two functions. In the one for whole vectors everything is to be inlined: GCC likes to call a long
// formula once a vector, which then loads all its constants anew. Its limits are raised for these sources in
// csrc/CMakeLists.txt; the attribute alone does not do it. In a function of its own, the rest cannot spoil the loop.

// One body for the dense case and the tiles.
template <class Op, class S, bool partial, int... K>
CR_INLINE void forward_pack(const Op& op, OutputElement<Op, S>* y, const typename InputsOf<Op>::template Pointers<S>& x,
                            const int64_t* keep, int64_t i, int64_t count) {
  const auto result = op.forward(load_input<Op, S, K, partial>(std::get<K>(x) + (i & keep[K]), count)...);
  if constexpr (Signature<Op>::mask_output) store_mask_pack<partial, S>(result, y + i, count);
  else store_pack<partial>(Pack<S, lanes<S>>(result), y + i, count);
}

template <class Op, class S, int... K>
[[gnu::noinline, gnu::flatten]] void forward_vectors(const Op& op, OutputElement<Op, S>* y,
                                                     const typename InputsOf<Op>::template Pointers<S>& pointers,
                                                     const int64_t* keep, int64_t n) {
  const int64_t kept[] = {keep[K]...};
  const auto x = pointers;
  for (int64_t i = 0; i + lanes<S> <= n; i += lanes<S>) forward_pack<Op, S, false, K...>(op, y, x, kept, i, lanes<S>);
}

template <class Op, class S, int... K>
[[gnu::noinline]] void forward_row(const Op& op, OutputElement<Op, S>* y,
                                   const typename InputsOf<Op>::template Pointers<S>& x, const int64_t* keep, int64_t n,
                                   std::integer_sequence<int, K...>) {
  const int64_t rest = n % lanes<S>;
  if (rest < n) forward_vectors<Op, S, K...>(op, y, x, keep, n);
  if (rest) forward_pack<Op, S, true, K...>(op, y, x, keep, n - rest, rest);
}

template <class Op, class S, int... K>
[[gnu::noinline]] void forward_tiles(const Op& op, const ForwardArguments& a, std::integer_sequence<int, K...> inputs) {
  typename InputsOf<Op>::template Sources<S> x;
  (std::get<K>(x).open(a.x[K], a.x_step[K], a.x_row_step[K]), ...);
  Sink<OutputElement<Op, S>> y(a.y, a.y_step, a.y_row_step);
  const int64_t keep[] = {std::get<K>(x).keep()...};
  const TileShape tile(y.gathered() || (... || std::get<K>(x).gathered()), a.rows, a.n);
  for_tiles(tile, a.rows, a.n, [&](int64_t first_row, int64_t rows, int64_t first, int64_t columns) {
    (std::get<K>(x).enter_tile(first_row, first, rows, columns), ...);
    for (int64_t r = 0; r < rows; ++r)
      forward_row<Op, S>(op, y.row(first_row, r, first, columns), {std::get<K>(x).row(first_row, r, first, columns)...},
                         keep, columns, inputs);
    y.leave_tile(first_row, first, rows, columns);
  });
}

template <class Op, class S>
void forward(const void* bytes, const ForwardArguments& a) {
  const Op op = op_from<Op>(bytes);
  [&]<int... K>(std::integer_sequence<int, K...> inputs) CR_INLINE_BODY {
    if (a.rows != 1 || a.y_step != 1 || (... || (a.x_step[K] != 1))) [[unlikely]]
      return forward_tiles<Op, S>(op, a, inputs);
    static constexpr int64_t all[max_operands] = {-1, -1, -1};
    forward_row<Op, S>(op, static_cast<OutputElement<Op, S>*>(a.y),
                       {static_cast<const InputElement<Op, S, K>*>(a.x[K])...}, all, a.n, inputs);
  }(std::make_integer_sequence<int, Signature<Op>::inputs>{});
}

// ---- Backward: one pass gives every gradient that is owed ----------------------------------------------------------

template <class Op, class S>
struct BackwardRow {
  typename InputsOf<Op>::template Pointers<S> x;
  const S *gy, *y;
  S* gx[max_operands];
};

/// keep: of the inputs, then of gy and y.
template <class Op, class S, bool partial, int... K>
CR_INLINE void backward_pack(const Op& op, const BackwardRow<Op, S>& at, const int64_t* keep, int64_t i,
                             int64_t count) {
  using P = Pack<S, lanes<S>>;
  constexpr bool reads_y = (all_vjp_bits<Op>() & uses_output) != 0;
  const P gy = load_pack<S, partial>(at.gy + (i & keep[sizeof...(K)]), count);
  P y = 0.0;
  if constexpr (reads_y) y = load_pack<S, partial>(at.y + (i & keep[sizeof...(K) + 1]), count);
  const std::tuple x{load_input<Op, S, K, partial>(std::get<K>(at.x) + (i & keep[K]), count)...};
  const auto gradient = [&]<int J>(wrt<J>) CR_INLINE_BODY {
    if constexpr (vjp_facts<Op, J>().exists) {
      if (at.gx[J]) store_pack<partial>(P(call_vjp<J>(op, gy, std::get<K>(x)..., y)), at.gx[J] + i, count);
    }
  };
  (gradient(wrt<K>{}), ...);
}

template <class Op, class S, int... K>
[[gnu::noinline, gnu::flatten]] void backward_vectors(const Op& op, const BackwardRow<Op, S>& row, const int64_t* keep,
                                                      int64_t n) {
  const int64_t kept[] = {keep[K]..., keep[sizeof...(K)], keep[sizeof...(K) + 1]};
  const auto at = row;
  for (int64_t i = 0; i + lanes<S> <= n; i += lanes<S>) backward_pack<Op, S, false, K...>(op, at, kept, i, lanes<S>);
}

template <class Op, class S, int... K>
[[gnu::noinline]] void backward_row(const Op& op, const BackwardRow<Op, S>& row, const int64_t* keep, int64_t n,
                                    std::integer_sequence<int, K...>) {
  const int64_t rest = n % lanes<S>;
  if (rest < n) backward_vectors<Op, S, K...>(op, row, keep, n);
  if (rest) backward_pack<Op, S, true, K...>(op, row, keep, n - rest, rest);
}

template <class Op, class S, int... K>
[[gnu::noinline]] void backward_tiles(const Op& op, const BackwardArguments& a,
                                      std::integer_sequence<int, K...> inputs) {
  typename InputsOf<Op>::template Sources<S> x;
  Source<S> gy, y;
  // What the formula does not read is never loaded: its pointer may be null.
  const auto input = [&](int k) { return (all_vjp_bits<Op>() >> k & 1) != 0 ? a.x[k] : nullptr; };
  (std::get<K>(x).open(input(K), a.x_step[K], a.x_row_step[K]), ...);
  gy.open(a.gy, a.gy_step, a.gy_row_step);
  y.open(a.y, a.y_step, a.y_row_step);
  const int64_t keep[] = {std::get<K>(x).keep()..., gy.keep(), y.keep()};
  const TileShape tile(gy.gathered() || y.gathered() || (... || std::get<K>(x).gathered()), a.rows, a.n);
  for_tiles(tile, a.rows, a.n, [&](int64_t first_row, int64_t rows, int64_t first, int64_t columns) {
    (std::get<K>(x).enter_tile(first_row, first, rows, columns), ...);
    gy.enter_tile(first_row, first, rows, columns);
    y.enter_tile(first_row, first, rows, columns);
    for (int64_t r = 0; r < rows; ++r) {
      BackwardRow<Op, S> row{{std::get<K>(x).row(first_row, r, first, columns)...},
                             gy.row(first_row, r, first, columns),
                             y.row(first_row, r, first, columns),
                             {}};
      for (int k = 0; k < Signature<Op>::inputs; ++k)
        row.gx[k] = a.gx[k] ? static_cast<S*>(a.gx[k]) + (first_row + r) * a.gx_row_step + first : nullptr;
      backward_row<Op, S>(op, row, keep, columns, inputs);
    }
  });
}

template <class Op, class S>
void backward(const void* bytes, const BackwardArguments& a) {
  const Op op = op_from<Op>(bytes);
  [&]<int... K>(std::integer_sequence<int, K...> inputs) CR_INLINE_BODY {
    const bool dense = a.gy_step == 1 && (!a.y || a.y_step == 1) && (... && (!a.x[K] || a.x_step[K] == 1));
    if (a.rows != 1 || !dense) [[unlikely]]
      return backward_tiles<Op, S>(op, a, inputs);
    static constexpr int64_t all[max_operands + 2] = {-1, -1, -1, -1, -1};
    const auto or_any = [&](const void* p) { return p ? p : a.gy; };  // no rule that runs reads it: anything will do
    const BackwardRow<Op, S> row{{static_cast<const InputElement<Op, S, K>*>(or_any(a.x[K]))...},
                                 static_cast<const S*>(a.gy),
                                 static_cast<const S*>(or_any(a.y)),
                                 {static_cast<S*>(a.gx[K])...}};
    backward_row<Op, S>(op, row, all, a.n, inputs);
  }(std::make_integer_sequence<int, Signature<Op>::inputs>{});
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
