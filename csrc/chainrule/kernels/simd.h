// simd.h - Pack<S, N>: N lanes of type S on the GCC/Clang vector extensions; Pack<S, N>::Mask for truth.
// Floor: kernels. Included only by the kernel sources, compiled once per instruction set with
// -ffp-contract=off: the only fused multiply-adds are those written fma(), so a formula gives the same bits
// in a wide pack and in the one-lane pack of a loop's tail. Everything is in an anonymous namespace: a
// template built with AVX-512 flags must not leak a weak symbol. No pack leaves its object file, hence
// -Wno-psabi; -fno-defer-pop: see Note [One lane].
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

// Left to itself the compiler makes calls of large packs' operations, even of literals.
#define CR_INLINE [[gnu::always_inline]] inline
#define CR_INLINE_BODY __attribute__((always_inline))  // of a lambda

namespace chainrule {
namespace {

#if defined(CHAINRULE_VECTOR_BYTES)
constexpr int vector_bytes = CHAINRULE_VECTOR_BYTES;
#elif defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

template <class S>
constexpr int lanes = vector_bytes / static_cast<int>(sizeof(S));

// Note [One lane]
// GCC 12 miscompiles vectors of one element: a comparison of them between two calls that pass arguments on
// the stack loses the "add rsp" of the first call, and a loop walks off the stack. Vectors wider than the
// registers have the same fault; -fno-defer-pop cures both. So a narrow pack sits in a 16-byte register and
// repeats its lanes to fill it, which also makes the tail of a loop the same instructions, hence the same
// bits, as its body.
template <class S, int N>
constexpr int register_lanes = N * sizeof(S) < 16 ? 16 / static_cast<int>(sizeof(S)) : N;

// ---- Raw vectors --------------------------------------------------------------------------------

template <class S, int N>
struct RawVector {
  typedef S type __attribute__((vector_size(sizeof(S) * N)));
};
template <class S, int N>
using Vector = typename RawVector<S, N>::type;

template <int bytes>
using SignedOfSize =
    std::conditional_t<bytes == 1, int8_t,
                       std::conditional_t<bytes == 2, int16_t, std::conditional_t<bytes == 4, int32_t, int64_t>>>;

// The type to add, subtract and multiply in: signed overflow is undefined in C++, tensors wrap around.
template <class S, bool integral = std::is_integral_v<S>>
struct ArithmeticType {
  using type = S;
};
template <class S>
struct ArithmeticType<S, true> {
  using type = std::make_unsigned_t<S>;
};

template <class S, int N>
CR_INLINE Vector<S, N / 2> half(const Vector<S, N>& v, int which) {
  return [&]<int... K>(std::integer_sequence<int, K...>) CR_INLINE_BODY {
    return which ? __builtin_shufflevector(v, v, (N / 2 + K)...) : __builtin_shufflevector(v, v, K...);
  }(std::make_integer_sequence<int, N / 2>{});
}

template <class S, int N>
CR_INLINE Vector<S, N> join(const Vector<S, N / 2>& lower, const Vector<S, N / 2>& upper) {
  Vector<S, N> r;
  __builtin_memcpy(&r, &lower, sizeof lower);
  __builtin_memcpy(reinterpret_cast<char*>(&r) + sizeof lower, &upper, sizeof upper);
  return r;
}

// From a function of the lane number, called for the first `distinct` lanes; the others repeat them.
template <class S, int N, int distinct = N, class LaneFunction>
CR_INLINE Vector<S, N> vector_of(const LaneFunction& lane) {
  return [&]<int... K>(std::integer_sequence<int, K...>) CR_INLINE_BODY {
    const S value[] = {static_cast<S>(lane(K))...};
    return [&]<int... L>(std::integer_sequence<int, L...>)
               CR_INLINE_BODY { return Vector<S, N>{value[L % distinct]...}; }(std::make_integer_sequence<int, N>{});
  }(std::make_integer_sequence<int, distinct>{});
}

// All-or-nothing lanes as bytes, halving the lane each time: GCC has instructions for a step, not for the
// whole way.
template <int N, class Wide>
inline Vector<int8_t, N> narrow_to_bytes(const Wide& v) {
  constexpr int lane_bytes = static_cast<int>(sizeof v) / N;
  if constexpr (lane_bytes == 1) return v;
  else return narrow_to_bytes<N>(__builtin_convertvector(v, Vector<SignedOfSize<lane_bytes / 2>, N>));
}

template <class S, int N>
CR_INLINE Vector<S, N> broadcast(S lane) {
  return vector_of<S, N>([&](int) CR_INLINE_BODY { return lane; });
}

template <class S, int N>
CR_INLINE bool any_bit(const Vector<S, N>& v) {
  if constexpr (sizeof v > 16) {
    return any_bit<S, N / 2>(half<S, N>(v, 0) | half<S, N>(v, 1));
  } else {
    const auto words = (Vector<int64_t, 2>)v;
    return (words[0] | words[1]) != 0;
  }
}

// ---- Square root and fused multiply-add ---------------------------------------------------------
// The vector extensions have no operator for them. GCC's own builtins instead of <immintrin.h>, which costs a
// second of compile time in every kernel source; lane by lane for any other vector.

template <class V>
using LaneOf = std::remove_cvref_t<decltype(std::declval<V>()[0])>;

template <class V>
CR_INLINE V hardware_sqrt(const V& a) {
  using S = LaneOf<V>;
  return vector_of<S, sizeof(V) / sizeof(S)>(
      [&](int k) { return sizeof(S) == 4 ? __builtin_sqrtf(a[k]) : __builtin_sqrt(a[k]); });
}

// One rounding where the instruction set can, two where it cannot: never the slow library emulation.
template <class V>
CR_INLINE V multiply_add(const V& a, const V& b, const V& c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  using S = LaneOf<V>;
  return vector_of<S, sizeof(V) / sizeof(S)>([&](int k) {
    if constexpr (sizeof(S) == 4) return __builtin_fmaf(a[k], b[k], c[k]);
    return static_cast<S>(__builtin_fma(a[k], b[k], c[k]));
  });
#else
  return a * b + c;
#endif
}

#if defined(__x86_64__) && !defined(__clang__)
using F4 = Vector<float, 4>;
using D2 = Vector<double, 2>;
inline F4 hardware_sqrt(const F4& a) { return __builtin_ia32_sqrtps(a); }
inline D2 hardware_sqrt(const D2& a) { return __builtin_ia32_sqrtpd(a); }
#if defined(__FMA__)
using F8 = Vector<float, 8>;
using D4 = Vector<double, 4>;
inline F8 hardware_sqrt(const F8& a) { return __builtin_ia32_sqrtps256(a); }
inline D4 hardware_sqrt(const D4& a) { return __builtin_ia32_sqrtpd256(a); }
inline F4 multiply_add(const F4& a, const F4& b, const F4& c) { return __builtin_ia32_vfmaddps(a, b, c); }
inline D2 multiply_add(const D2& a, const D2& b, const D2& c) { return __builtin_ia32_vfmaddpd(a, b, c); }
inline F8 multiply_add(const F8& a, const F8& b, const F8& c) { return __builtin_ia32_vfmaddps256(a, b, c); }
inline D4 multiply_add(const D4& a, const D4& b, const D4& c) { return __builtin_ia32_vfmaddpd256(a, b, c); }
#endif
#if defined(__AVX512F__)
using F16 = Vector<float, 16>;
using D8 = Vector<double, 8>;
constexpr int current_rounding = 4;
inline F16 hardware_sqrt(const F16& a) { return __builtin_ia32_sqrtps512_mask(a, a, 0xFFFF, current_rounding); }
inline D8 hardware_sqrt(const D8& a) { return __builtin_ia32_sqrtpd512_mask(a, a, 0xFF, current_rounding); }
inline F16 multiply_add(const F16& a, const F16& b, const F16& c) {
  return __builtin_ia32_vfmaddps512_mask(a, b, c, 0xFFFF, current_rounding);
}
inline D8 multiply_add(const D8& a, const D8& b, const D8& c) {
  return __builtin_ia32_vfmaddpd512_mask(a, b, c, 0xFF, current_rounding);
}
#endif
#endif

// ---- Literals -----------------------------------------------------------------------------------

template <class S>
struct IntegerRange {
  static constexpr int value_bits = static_cast<int>(sizeof(S)) * 8 - 1;
  static constexpr uint64_t max = (uint64_t{1} << value_bits) - 1;
  static constexpr int64_t min = -static_cast<int64_t>(max) - 1;
};

// A literal of a formula as one lane: rounded for floating lanes, clamped for integer lanes (NaN gives 0), so
// that clamp(min=-inf) means "no bound" for every dtype; for bool lanes anything but zero is true.
template <class S, class Literal>
constexpr S lane_from_literal(Literal literal) {
  using Range = IntegerRange<S>;
  if constexpr (std::is_floating_point_v<S>) {
    return static_cast<S>(literal);
  } else if constexpr (std::is_same_v<S, uint8_t>) {
    return literal != 0;
  } else if constexpr (std::is_floating_point_v<Literal>) {
    constexpr double past_max = -static_cast<double>(Range::min);
    if (literal != literal) return 0;
    if (literal >= past_max) return static_cast<S>(Range::max);
    if (literal < -past_max) return static_cast<S>(Range::min);
    return static_cast<S>(literal);
  } else {
    if (literal > 0 && static_cast<uint64_t>(literal) > Range::max) return static_cast<S>(Range::max);
    if (literal < 0 && static_cast<int64_t>(literal) < Range::min) return static_cast<S>(Range::min);
    return static_cast<S>(literal);
  }
}

// ---- Powers, one lane at a time -----------------------------------------------------------------

// Integers by squaring, wrapping around; a negative exponent rounds 1 / base^n towards zero, so that only the
// bases 1 and -1 survive it (0 to a negative power, where there is no answer, gives 0). Floating lanes go
// through libm: accuracy first.
template <class S>
inline S lane_pow(S base, S exponent) {
  if constexpr (std::is_same_v<S, float>) {
    return __builtin_powf(base, exponent);
  } else if constexpr (std::is_same_v<S, double>) {
    return __builtin_pow(base, exponent);
  } else {
    if constexpr (std::is_signed_v<S>) {
      if (exponent < 0) return base == 1 ? S{1} : base != -1 ? S{0} : exponent % 2 == 0 ? S{1} : S{-1};
    }
    using Unsigned = std::make_unsigned_t<S>;
    Unsigned result = 1;
    Unsigned square = static_cast<Unsigned>(base);
    for (auto bits = static_cast<Unsigned>(exponent); bits != 0; bits >>= 1) {
      if (bits & 1) result = static_cast<Unsigned>(result * square);
      square = static_cast<Unsigned>(square * square);
    }
    return static_cast<S>(result);
  }
}

// ---- Pack ---------------------------------------------------------------------------------------

// S: float, double, int64_t, int32_t, or uint8_t for bool lanes. A bool lane is 0 or 1 in memory; in a
// register anything but 0 is true and store() normalises, so that + means "or" and * means "and". The
// operations are friends: a literal on either side converts, argument-dependent lookup finds them.
template <class S, int N>
struct Pack {
  static constexpr bool is_floating = std::is_floating_point_v<S>;
  static constexpr bool is_boolean = std::is_same_v<S, uint8_t>;
  using Lane = S;
  static constexpr int width = register_lanes<S, N>;
  using Raw = Vector<S, width>;
  using Arithmetic = Vector<typename ArithmeticType<S>::type, width>;
  using SignedLane = SignedOfSize<sizeof(S)>;
  using SignedRaw = Vector<SignedLane, width>;
  using Bytes = Vector<int8_t, width>;

  // Truth, lane by lane: all bits set or none. In memory a mask is bool lanes.
  struct Mask {
    SignedRaw raw;
    friend Mask operator&(Mask a, Mask b) { return {a.raw & b.raw}; }
    friend Mask operator|(Mask a, Mask b) { return {a.raw | b.raw}; }
    friend Mask operator^(Mask a, Mask b) { return {a.raw ^ b.raw}; }
    friend Mask operator~(Mask a) { return {~a.raw}; }
    friend bool any(Mask a) { return any_bit<SignedLane, width>(a.raw); }
    friend bool all(Mask a) { return !any(~a); }
  };

  Raw raw;

  // A literal is a constant of the loop only where the constructor is inlined, which GCC does not always find worth it.
  Pack() = default;
  [[gnu::always_inline]] Pack(Raw v) : raw(v) {}
  template <class Literal>
    requires std::is_arithmetic_v<Literal>
  CR_INLINE Pack(Literal literal) : raw(broadcast<S, width>(lane_from_literal<S>(literal))) {}

  S operator[](int lane) const { return raw[lane]; }

  // -- memory; strides are counted in elements --
  CR_INLINE static Pack load(const S* p) {
    if constexpr (N < width) return gather(p, 1);
    Pack r;
    __builtin_memcpy(&r.raw, p, sizeof r.raw);
    return r;
  }
  CR_INLINE static Pack splat(const S* p) { return broadcast<S, width>(*p); }
  static Pack gather(const S* p, int64_t stride) {
    return from_lanes([&](int k) { return p[k * stride]; });
  }
  // From a function of the lane number.
  template <class LaneFunction>
  CR_INLINE static Pack from_lanes(const LaneFunction& lane) {
    return vector_of<S, width, N>(lane);
  }
  CR_INLINE void store(S* p) const {
    if constexpr (N < width) return scatter(p, 1);
    const Raw v = in_memory_form();
    __builtin_memcpy(p, &v, sizeof v);
  }
  void scatter(S* p, int64_t stride) const {
    const Raw v = in_memory_form();
    for (int k = 0; k < N; ++k) p[k * stride] = v[k];
  }

  CR_INLINE static Mask load_mask(const uint8_t* p) {
    if constexpr (N < width) return gather_mask(p, 1);
    Bytes b;
    __builtin_memcpy(&b, p, sizeof b);
    return mask_of_bytes(b);
  }
  static Mask gather_mask(const uint8_t* p, int64_t stride) {
    return mask_of_bytes(vector_of<int8_t, width, N>([&](int k) { return p[k * stride]; }));
  }
  CR_INLINE static void store_mask(Mask m, uint8_t* p) {
    if constexpr (N < width) return scatter_mask(m, p, 1);
    const Bytes b = bytes_of_mask(m);
    __builtin_memcpy(p, &b, sizeof b);
  }
  static void scatter_mask(Mask m, uint8_t* p, int64_t stride) {
    const Bytes b = bytes_of_mask(m);
    for (int k = 0; k < N; ++k) p[k * stride] = static_cast<uint8_t>(b[k]);
  }

  // -- arithmetic --
  CR_INLINE friend Pack operator-(Pack a) { return (Raw)(-(Arithmetic)a.raw); }
  CR_INLINE friend Pack operator+(Pack a, Pack b) { return (Raw)((Arithmetic)a.raw + (Arithmetic)b.raw); }
  CR_INLINE friend Pack operator-(Pack a, Pack b) { return (Raw)((Arithmetic)a.raw - (Arithmetic)b.raw); }
  CR_INLINE friend Pack operator*(Pack a, Pack b) { return (Raw)((Arithmetic)a.raw * (Arithmetic)b.raw); }
  CR_INLINE friend Pack operator/(Pack a, Pack b)
    requires is_floating
  {
    return a.raw / b.raw;
  }
  CR_INLINE friend Pack fma(Pack a, Pack b, Pack c) {
    if constexpr (is_floating) return multiply_add(a.raw, b.raw, c.raw);
    else return a * b + c;
  }
  CR_INLINE friend Pack sqrt(Pack a)
    requires is_floating
  {
    return hardware_sqrt(a.raw);
  }
  CR_INLINE friend Pack abs(Pack a) {
    if constexpr (is_floating) return from_bits(a.bits() & ~Pack(-0.0).bits());
    else if constexpr (is_boolean) return a;
    else return select(a < 0, -a, a);
  }

  friend Pack pow(Pack base, Pack exponent) {
    return from_lanes([&](int k) { return lane_pow(base.raw[k], exponent.raw[k]); });
  }

  // -- comparisons; every one but not_equal is false for NaN --
  CR_INLINE friend Mask operator>(Pack a, Pack b) { return {a.raw > b.raw}; }
  CR_INLINE friend Mask operator<(Pack a, Pack b) { return {a.raw < b.raw}; }
  CR_INLINE friend Mask operator>=(Pack a, Pack b) { return {a.raw >= b.raw}; }
  CR_INLINE friend Mask operator<=(Pack a, Pack b) { return {a.raw <= b.raw}; }
  CR_INLINE friend Mask equal(Pack a, Pack b) { return {a.raw == b.raw}; }
  CR_INLINE friend Mask not_equal(Pack a, Pack b) { return {a.raw != b.raw}; }
  CR_INLINE friend Mask isnan(Pack a) {
    if constexpr (is_floating) return {a.raw != a.raw};
    else return {SignedRaw{}};
  }
  CR_INLINE friend Pack select(Mask m, Pack a, Pack b) { return m.raw ? a.raw : b.raw; }

  // The larger and the smaller; NaN if either is NaN.
  CR_INLINE friend Pack max_or_nan(Pack a, Pack b) { return select((a > b) | isnan(a), a, b); }
  CR_INLINE friend Pack min_or_nan(Pack a, Pack b) { return select((a < b) | isnan(a), a, b); }

  // -- reductions over the lanes: the upper half onto the lower half until one lane is left --
  CR_INLINE friend S reduce_add(Pack a) {
    return reduce(a, [](auto lower, auto upper) { return lower + upper; });
  }
  CR_INLINE friend S reduce_max(Pack a) {
    return reduce(a, [](auto lower, auto upper) { return max_or_nan(lower, upper); });
  }
  CR_INLINE friend S reduce_min(Pack a) {
    return reduce(a, [](auto lower, auto upper) { return min_or_nan(lower, upper); });
  }

  // -- bit patterns, for the exponent arithmetic of simd_math.h --
  SignedRaw bits() const { return (SignedRaw)raw; }
  CR_INLINE static Pack from_bits(SignedRaw b) { return (Raw)b; }

 private:
  Raw in_memory_form() const {
    if constexpr (is_boolean) return (Raw)((raw != 0) & 1);
    else return raw;
  }
  CR_INLINE static Mask mask_of_bytes(Bytes b) { return {__builtin_convertvector(b, SignedRaw) != 0}; }
  static Bytes bytes_of_mask(Mask m) { return narrow_to_bytes<width>(m.raw) & 1; }

  template <class Combine>
  CR_INLINE static S reduce(Pack a, const Combine& combine) {
    if constexpr (N == 1) return a.raw[0];
    else return Pack<S, N / 2>::reduce(combine(a.half_of_lanes(0), a.half_of_lanes(1)), combine);
  }
  CR_INLINE Pack<S, N / 2> half_of_lanes(int which) const {
    if constexpr (N / 2 < register_lanes<S, N / 2>) {
      return Pack<S, N / 2>::from_lanes([&](int k) { return raw[which * (N / 2) + k]; });
    } else {
      return half<S, N>(raw, which);
    }
  }
  template <class OtherS, int other_n>
  friend struct Pack;
};

}  // namespace
}  // namespace chainrule
