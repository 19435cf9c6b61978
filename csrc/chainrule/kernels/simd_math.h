// simd_math.h - exp, log, tanh, sigmoid, sin and cos of floating packs, to 2 units in the last place.
// Floor: kernels; anonymous namespace like simd.h, found by argument-dependent lookup from the formulas.
// Branch-free, right for subnormals, signed zeros, infinities and NaN, with or without fused multiply-add.
// Only sin and cos of huge arguments leave the vector path, lane by lane, so that a lane never depends on its
// neighbours. Coefficients: minimax fits by Remez exchange in 60-digit arithmetic, of the function and on the
// interval named beside them, weighted for the relative error of the result; "2^-58" is the error bound
// before rounding.
#pragma once

#include "chainrule/kernels/simd.h"

namespace chainrule {
namespace {

template <class S>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  using Bits = int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr Bits bias = 127;
};
template <>
struct FloatFormat<double> {
  using Bits = int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr Bits bias = 1023;
};

template <class S, int N>
using UnsignedRaw = Vector<std::make_unsigned_t<typename FloatFormat<S>::Bits>, Pack<S, N>::width>;

// Single and double coefficients stand side by side: the lane type chooses.
template <class S>
constexpr double by_precision(double single, double dual) {
  return sizeof(S) == 4 ? single : dual;
}

// c[0] + c[1] x + ... by Horner's rule.
template <class S, int N>
CR_INLINE Pack<S, N> polynomial(Pack<S, N>, double c) {
  return c;
}
template <class S, int N, class... Rest>
CR_INLINE Pack<S, N> polynomial(Pack<S, N> x, double c, Rest... rest) {
  return fma(x, polynomial(x, rest...), c);
}

template <class S, int N>
inline Pack<S, N> with_sign_of(Pack<S, N> magnitude, Pack<S, N> x) {
  return Pack<S, N>::from_bits(magnitude.bits() | (x.bits() & Pack<S, N>(-0.0).bits()));
}

// The nearest integer of a number much smaller than 2^mantissa_bits. Adding 1.5 * 2^mantissa_bits pushes the
// fraction out of the mantissa and leaves the integer in its low bits.
template <class S>
constexpr double rounding_shift = by_precision<S>(0x1.8p23, 0x1.8p52);

// ---- exp ----------------------------------------------------------------------------------------

// value * 2^n for the AVX-512 instruction that does it; false for any other vector.
template <class V>
inline bool hardware_scale(V&, const V&) {
  return false;
}
#if defined(__AVX512F__) && defined(__AVX512VL__) && !defined(__clang__)
inline bool hardware_scale(F16& v, const F16& n) {
  return v = __builtin_ia32_scalefps512_mask(v, n, v, 0xFFFF, current_rounding), true;
}
inline bool hardware_scale(D8& v, const D8& n) {
  return v = __builtin_ia32_scalefpd512_mask(v, n, v, 0xFF, current_rounding), true;
}
inline bool hardware_scale(F4& v, const F4& n) { return v = __builtin_ia32_scalefps128_mask(v, n, v, 0xF), true; }
inline bool hardware_scale(D2& v, const D2& n) { return v = __builtin_ia32_scalefpd128_mask(v, n, v, 0x3), true; }
#endif

// value * 2^n, n given as a float with rounding_shift still on it. In two factors, so that the result may
// overflow or become subnormal with one rounding.
template <class S, int N>
CR_INLINE Pack<S, N> scale_by_power_of_two(Pack<S, N> value, Pack<S, N> shifted_n) {
  using P = Pack<S, N>;
  using Format = FloatFormat<S>;
  const P shift = rounding_shift<S>;
  if (hardware_scale(value.raw, (shifted_n - shift).raw)) return value;
  const auto twice_biased = (UnsignedRaw<S, N>)(shifted_n.bits() - shift.bits() + 2 * Format::bias);
  const auto first = twice_biased >> 1;
  const auto second = twice_biased - first;
  const auto power = [](auto biased) { return P::from_bits((typename P::SignedRaw)(biased << Format::mantissa_bits)); };
  return value * power(first) * power(second);
}

// (exp(r) - 1 - r) / r^2 on |r| <= 0.347: 2^-28, 2^-58
template <class S, int N>
CR_INLINE Pack<S, N> exp_remainder(Pack<S, N> r) {
  if constexpr (sizeof(S) == 4) {
    return polynomial(r, 0.49999994, 0.166665196, 0.0416683927, 0.00836878084, 0.00138144672);
  } else {
    return polynomial(r, 0.5000000000000011, 0.1666666666666641, 0.04166666666652919, 0.008333333333495627,
                      0.0013888888943922725, 0.000198412695047554, 2.4801492762742128e-05, 2.755758735209191e-06,
                      2.7630378630897197e-07, 2.4999961973086914e-08);
  }
}

// exp(x) = 2^n exp(r), x = n log(2) + r with |r| <= log(2) / 2; log(2) is subtracted in two parts, the first
// so short that n times it is exact (Cody and Waite, Software Manual for the Elementary Functions, 1980).
template <class S, int N>
CR_INLINE Pack<S, N> exp(Pack<S, N> x) {
  using P = Pack<S, N>;
  constexpr double all_underflows = by_precision<S>(-104, -746);
  constexpr double all_overflows = by_precision<S>(89, 710);
  // An underflow in arithmetic takes the CPU 100 cycles and more: what becomes zero is left out of it.
  const auto vanishes = x < all_underflows;
  const P t = select(vanishes, 0, select(x > all_overflows, all_overflows, x));
  const P shifted_n = fma(t, 1.4426950408889634, rounding_shift<S>);
  const P n = shifted_n - rounding_shift<S>;
  P r = fma(n, -by_precision<S>(0x1.62e4p-1, 0x1.62e42fefp-1), t);
  r = fma(n, -by_precision<S>(0x1.7f7d1cp-20, 0x1.473de6af278edp-34), r);
  return select(vanishes, 0, scale_by_power_of_two(1 + fma(r * r, exp_remainder(r), r), shifted_n));
}

// Of the absolute value, so that exp never overflows and the far left tail keeps its relative accuracy. Double: what
// the sum and the quotient rounded off is put back, for exp alone may be off by one unit.
template <class S, int N>
CR_INLINE Pack<S, N> sigmoid(Pack<S, N> x) {
  const Pack<S, N> e = exp(-abs(x));
  const auto positive = x >= 0;
  const Pack<S, N> numerator = select(positive, 1, e), sum = 1 + e;
  const Pack<S, N> quotient = numerator / sum;
  if constexpr (sizeof(S) == 4) return quotient;
  const Pack<S, N> lost = e - (sum - 1);
  const Pack<S, N> remainder = fma(-quotient, sum, numerator) - quotient * lost;
  return fma(remainder, select(positive, quotient, 1 - quotient), quotient);
}

// ---- log ----------------------------------------------------------------------------------------

// log(1 + f) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1, plus e log(2). Single: f - f^2 / 2 + f^3 P(f). Double:
// with s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - f^2 / 2 + s (f^2 / 2 + s^2 R(s^2)), the arrangement of
// Sun's fdlibm (1993), in which every rounding but the last is of a small term.
template <class S, int N>
CR_INLINE Pack<S, N> log_of_parts(Pack<S, N> f, Pack<S, N> e) {
  using P = Pack<S, N>;
  constexpr double log2_head = by_precision<S>(0x1.62e4p-1, 0x1.62e42fefp-1);
  constexpr double log2_tail = by_precision<S>(0x1.7f7d1cp-20, 0x1.473de6af278edp-34);
  const P half_square = 0.5 * f * f;
  if constexpr (sizeof(S) == 4) {
    const P p = polynomial(f, 0.333333135, -0.250000089, 0.200021192, -0.166679963, 0.142195523, -0.124055892,
                           0.118881613, -0.116756506, 0.0674664006);  // 2^-30
    const P small = fma(e, log2_tail, f * f * f * p) - half_square;
    return fma(e, log2_head, f + small);
  } else {
    const P s = f / (2 + f);
    const P z = s * s;
    const P r = z * polynomial(z, 0.6666666666666734, 0.3999999999941468, 0.2857142874238741, 0.22222198573209812,
                               0.18183564324691906, 0.1531405059083467, 0.14795949294470953);  // z <= 0.0295: 2^-58
    const P correction = fma(s, half_square + r, e * log2_tail);
    return fma(e, log2_head, f - (half_square - correction));
  }
}

template <class S, int N>
CR_INLINE Pack<S, N> log(Pack<S, N> x) {
  using P = Pack<S, N>;
  using Format = FloatFormat<S>;
  using Unsigned = UnsignedRaw<S, N>;
  constexpr int mantissa_bits = Format::mantissa_bits;
  constexpr double smallest_normal = by_precision<S>(0x1p-126, 0x1p-1022);
  constexpr double two_to_mantissa_bits = by_precision<S>(0x1p23, 0x1p52);
  const auto subnormal = x < smallest_normal;
  const P normal = select(subnormal, x * two_to_mantissa_bits, x);

  // x = m 2^e with sqrt(1/2) <= m < sqrt(2). The biased exponent, put into the mantissa of
  // two_to_mantissa_bits, reads as a float.
  const P sqrt_half = by_precision<S>(0x1.6a09e6p-1, 0x1.6a09e667f3bcdp-1);
  const auto offset_bits = (Unsigned)normal.bits() - (Unsigned)sqrt_half.bits() + (Unsigned)P(1).bits();
  const auto biased = (typename P::SignedRaw)(offset_bits >> mantissa_bits);
  const P exponent_plus = P::from_bits(biased | P(two_to_mantissa_bits).bits());
  const P e = exponent_plus - select(subnormal, two_to_mantissa_bits + Format::bias + mantissa_bits,
                                     two_to_mantissa_bits + Format::bias);
  const auto fraction = (typename P::SignedRaw)(offset_bits & ((uint64_t{1} << mantissa_bits) - 1));
  const P m = P::from_bits(fraction + sqrt_half.bits());

  constexpr double infinity = __builtin_inf();
  const P at_the_edges = select(equal(x, 0), -infinity, select(x > 0, x, __builtin_nan("")));
  return select((x > 0) & (x < infinity), log_of_parts(m - 1, e), at_the_edges);
}

// ---- tanh ---------------------------------------------------------------------------------------

// (exp(2a) + 1) / 2 for 0 <= a. Float: as exp does it, but that halves and the 1 go in where they cost nothing, and
// that the power of two, which neither overflows nor vanishes, is made by its bits.
template <class S, int N>
CR_INLINE Pack<S, N> half_of_exp_plus_one(Pack<S, N> a) {
  using P = Pack<S, N>;
  if constexpr (sizeof(S) == 8) {
    return fma(0.5, exp(a + a), 0.5);
  } else {
    const P t = select(a > 20, 20, a);
    const P shifted_n = fma(t, 2.8853900817779268, rounding_shift<S>);
    const P n = shifted_n - rounding_shift<S>;
    const P u = fma(n, -0x1.7f7d1cp-21, fma(n, -0x1.62e4p-2, t));
    const P q = polynomial(u, 0.999999881, 0.666660786, 0.333347142, 0.133900493, 0.0442062952);  // of exp_remainder
    const P power = P::from_bits((shifted_n.bits() << 23) + P(1).bits());
    return fma(power, fma(u * u, q, u), fma(power, 0.5, 0.5));
  }
}

// Near zero an odd polynomial, elsewhere 1 - 2 / (exp(2x) + 1): there the error of exp is damped.
template <class S, int N>
CR_INLINE Pack<S, N> tanh(Pack<S, N> x) {
  using P = Pack<S, N>;
  const P a = abs(x);
  const P z = a * a;
  P p;  // (tanh(a) / a - 1) / a^2 on a <= 0.625, in a^2: 2^-27, 2^-61
  if constexpr (sizeof(S) == 4) {
    p = polynomial(z, -0.333332807, 0.133314416, -0.0537397154, 0.020639088, -0.00570498826);
  } else {
    p = polynomial(z, -0.33333333333333315, 0.13333333333329742, -0.053968253966058935, 0.021869488468716003,
                   -0.008863234312584591, 0.0035921139999117034, -0.0014557259482024072, 0.0005894517992866947,
                   -0.0002370117306943149, 9.155841223041154e-05, -3.0187220588373777e-05, 6.042468228078263e-06);
  }
  const P near_zero = fma(a * z, p, a);
  const P elsewhere = 1 - 1 / half_of_exp_plus_one(a);
  return with_sign_of(select(a < 0.625, near_zero, elsewhere), x);
}

// ---- sin and cos --------------------------------------------------------------------------------

// An angle as quarter turns: angle = quadrant * pi/2 + head + tail, |head| <= pi/4; of the quadrant only the
// two low bits count.
template <class S, int N>
struct QuarterTurns {
  Pack<S, N> head;
  Pack<S, N> tail;
  typename Pack<S, N>::SignedRaw quadrant;
};

// Up to here the number of quarter turns has at most 19 bits, and 2^19 times a 33-bit part of pi/2 is exact.
constexpr double largest_reduced_angle = 0x1p19;

// Cody and Waite's reduction with pi/2 in four parts, 152 bits: enough for the double nearest to any multiple
// of pi/2 in range. What each subtraction rounds off is kept (Dekker's fast two-sum) and returned as the
// tail.
template <int N>
CR_INLINE QuarterTurns<double, N> quarter_turns(Pack<double, N> angle) {
  using P = Pack<double, N>;
  const P shifted_n = fma(angle, 0.6366197723675814, rounding_shift<double>);
  const P n = shifted_n - rounding_shift<double>;
  const P a = angle - n * 0x1.921fb544p+0;
  const P part2 = n * 0x1.0b4611a6p-34;
  const P b = a - part2;
  const P part3 = n * 0x1.3198a2ep-69;
  const P c = b - part3;
  const P lost = ((a - b) - part2) + ((b - c) - part3);
  const P rest = n * 0x1.b839a252049c1p-104 - lost;
  const P head = c - rest;
  return {head, (c - head) - rest, shifted_n.bits()};
}

// Single precision reduces in double: exact enough without tricks, and one rounding splits head and tail. A
// double vector that would be too wide for the registers is done in halves.
template <int N>
struct SingleQuarterTurns {
  Vector<float, N> head, tail;
  Vector<int32_t, N> quadrant;
};
template <int N>
CR_INLINE SingleQuarterTurns<N> single_quarter_turns(const Vector<float, N>& angle) {
  using Doubles = Vector<double, N>;
  if constexpr (sizeof(Doubles) > vector_bytes) {
    const auto lower = single_quarter_turns<N / 2>(half<float, N>(angle, 0));
    const auto upper = single_quarter_turns<N / 2>(half<float, N>(angle, 1));
    return {join<float, N>(lower.head, upper.head), join<float, N>(lower.tail, upper.tail),
            join<int32_t, N>(lower.quadrant, upper.quadrant)};
  } else {
    const Pack<double, N> x = __builtin_convertvector(angle, Doubles);
    const Pack<double, N> n = fma(x, 0.6366197723675814, rounding_shift<double>) - rounding_shift<double>;
    const Pack<double, N> reduced = (x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a626331p-34;
    const auto head = __builtin_convertvector(reduced.raw, Vector<float, N>);
    const Pack<double, N> tail = reduced - __builtin_convertvector(head, Doubles);
    return {head, __builtin_convertvector(tail.raw, Vector<float, N>),
            __builtin_convertvector(n.raw, Vector<int32_t, N>)};
  }
}
template <int N>
CR_INLINE QuarterTurns<float, N> quarter_turns(Pack<float, N> angle) {
  const auto r = single_quarter_turns<Pack<float, N>::width>(angle.raw);
  return {r.head, r.tail, r.quadrant};
}

template <class S, int N>
CR_INLINE Pack<S, N> sin_in_quadrant(const QuarterTurns<S, N>& x) {
  using P = Pack<S, N>;
  const P z = x.head * x.head;
  P p;  // (sin(r) / r - 1) / r^2 on |r| <= pi/4, in r^2: 2^-28, 2^-58
  if constexpr (sizeof(S) == 4) {
    p = polynomial(z, -0.166666552, 0.00833215564, -0.00019514632);
  } else {
    p = polynomial(z, -0.1666666666666663, 0.008333333333322005, -0.00019841269829495511, 2.755731358762655e-06,
                   -2.505074230915645e-08, 1.5895904817802985e-10);
  }
  return x.head + fma(x.head * z, p, x.tail * (1 - 0.5 * z));
}

template <class S, int N>
CR_INLINE Pack<S, N> cos_in_quadrant(const QuarterTurns<S, N>& x) {
  using P = Pack<S, N>;
  const P z = x.head * x.head;
  P p;  // (cos(r) - 1 + r^2 / 2) / r^4 on |r| <= pi/4, in r^2: 2^-33, 2^-64
  if constexpr (sizeof(S) == 4) {
    p = polynomial(z, 0.0416666456, -0.00138873095, 2.44324128e-05);
  } else {
    p = polynomial(z, 0.041666666666666595, -0.0013888888888872895, 2.4801587288748186e-05, -2.7557314148622755e-07,
                   2.0875696572433782e-09, -1.1358310481156597e-11);
  }
  const P half_square = 0.5 * z;
  const P w = 1 - half_square;
  const P lost = (1 - w) - half_square;
  return w + (lost + fma(z * z, p, -x.head * x.tail));
}

template <int first_quadrant, class S>
inline S libm_sin(S x) {
  if constexpr (sizeof(S) == 4) return first_quadrant == 0 ? __builtin_sinf(x) : __builtin_cosf(x);
  else return first_quadrant == 0 ? __builtin_sin(x) : __builtin_cos(x);
}

// sin(x) for first_quadrant 0, sin(x + pi/2) = cos(x) for 1: odd quadrants use the other polynomial,
// quadrants 2 and 3 the other sign.
template <int first_quadrant, class S, int N>
CR_INLINE Pack<S, N> sin_from(Pack<S, N> x) {
  using P = Pack<S, N>;
  const P a = abs(x);
  const QuarterTurns<S, N> turns = quarter_turns(a);
  const auto quadrant = turns.quadrant + first_quadrant;
  const typename P::Mask odd{(quadrant & 1) != 0};
  const P magnitude = select(odd, cos_in_quadrant(turns), sin_in_quadrant(turns));
  constexpr int second_bit_to_sign = static_cast<int>(sizeof(S)) * 8 - 2;
  auto sign = (quadrant & 2) << second_bit_to_sign;
  if constexpr (first_quadrant == 0) sign ^= x.bits() & P(-0.0).bits();
  const P result = P::from_bits(magnitude.bits() ^ sign);

  const typename P::Mask reduced = a <= largest_reduced_angle;
  if (all(reduced)) [[likely]]
    return result;
  return P::from_lanes(
      [&](int k) { return reduced.raw[k] ? result.raw[k] : libm_sin<first_quadrant>(static_cast<S>(x.raw[k])); });
}

template <class S, int N>
inline Pack<S, N> sin(Pack<S, N> x) {
  return sin_from<0>(x);
}
template <class S, int N>
inline Pack<S, N> cos(Pack<S, N> x) {
  return sin_from<1>(x);
}

}  // namespace
}  // namespace chainrule
