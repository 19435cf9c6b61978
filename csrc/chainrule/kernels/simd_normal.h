// simd_normal.h - the error function and the normal distribution of floating packs. Floor: kernels; made like
// simd_math.h, whose remarks hold here too. Errors: erf 1 unit in the last place, ndtr and gelu 4 of float and 2
// of double.
#pragma once

#include "chainrule/kernels/simd_math.h"

namespace chainrule {
namespace {

// ---- erf ----------------------------------------------------------------------------------------

// Up to 1 an odd polynomial; beyond, 1 - exp(-g(a)) with g = -log(erfc): smooth, so that one polynomial
// reaches to where erf rounds to 1, and what is subtracted from 1 is small, so that errors of g and exp fade.
template <class S, int N>
inline Pack<S, N> erf(Pack<S, N> x) {
  using P = Pack<S, N>;
  constexpr double rounds_to_one = by_precision<S>(4, 6);
  const P a = abs(x);
  const P z = a * a;
  const P t = select(a > rounds_to_one, rounds_to_one, a) - 1;
  P p;  // erf(a) / a - 1 on a <= 1, in a^2: 2^-30, 2^-63
  P g;  // -log(erfc(1 + t)), its error weighted by erfc: 2^-35, 2^-59
  if constexpr (sizeof(S) == 4) {
    p = polynomial(z, 0.128379166, -0.37612626, 0.112835854, -0.0268538129, 0.00518832775, -0.000801019371,
                   7.85386219e-05);
    g = polynomial(t, 1.84960556, 2.63896751, 0.843107104, 0.0415634811, -0.0100464523, 0.00201196619, -0.000289527845,
                   2.16867429e-05);
  } else {
    p = polynomial(z, 0.1283791670955126, -0.3761263890318375, 0.11283791670954857, -0.026866170645072893,
                   0.005223977624780859, -0.0008548326978741749, 0.00012055331036882581, -1.4925593506474248e-05,
                   1.6460972810315018e-06, -1.6350025151792596e-07, 1.4657879371241452e-08, -1.1365664174651134e-09,
                   5.945258796630805e-11);
    g = polynomial(t, 1.8496055099332482, 2.638967514234788, 0.8431072563586768, 0.041561098041809,
                   -0.010033825374415899, 0.0019779025679655094, -0.00023732248169139252, -2.627787447187006e-05,
                   2.715911124525529e-05, -9.60889947524504e-06, 2.0597717345206075e-06, -1.4287555182138648e-07,
                   -9.754708961576889e-08, 5.203768891073439e-08, -1.491137499968303e-08, 2.864020548401284e-09,
                   -3.682449190324236e-10, 2.8815278133016286e-11, -1.039088794533059e-12);
  }
  return with_sign_of(select(a < 1, fma(a, p, a), 1 - exp(-g)), x);
}

// ---- The normal distribution --------------------------------------------------------------------

// a * b + c with one rounding, also where there is no instruction for it: product is a * b, and c is near -product.
template <class S, int N>
CR_INLINE Pack<S, N> product_plus(Pack<S, N> a, Pack<S, N> b, Pack<S, N> product, Pack<S, N> c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  (void)product;
  return fma(a, b, c);
#else
  using P = Pack<S, N>;  // Dekker's product: the halves have so few bits that their products are exact
  constexpr auto head_bits = -(typename FloatFormat<S>::Bits{1} << static_cast<int>(by_precision<S>(12, 27)));
  const P a1 = P::from_bits(a.bits() & head_bits), b1 = P::from_bits(b.bits() & head_bits);
  const P a2 = a - a1, b2 = b - b1;
  return (product + c) + (((a1 * b1 - product) + (a1 * b2 + a2 * b1)) + a2 * b2);
#endif
}

// |x|, but no more than where exp(-x^2 / 2) has underflowed.
template <class S, int N>
CR_INLINE Pack<S, N> bounded_magnitude(Pack<S, N> x) {
  constexpr double all_underflows = by_precision<S>(15, 39);
  const Pack<S, N> a = abs(x);
  return select(a > all_underflows, all_underflows, a);
}

// A number as the sum of its rounded value and what that lost. Of float, low is not used.
template <class S, int N>
struct TwoParts {
  Pack<S, N> high, low;
};

// scale exp(-a^2 / 2) for |a| <= bounded_magnitude's bound, as exp does it, with a^2 in place of its argument. The
// square is never rounded before it is reduced: in the tail that would be tens of units of the result. The scale comes
// in before the power of two: one rounding less than a product with exp, also of a subnormal result.
template <class S, int N>
CR_INLINE Pack<S, N> exp_of_half_square(Pack<S, N> a, TwoParts<S, N> scale) {
  using P = Pack<S, N>;
  const P half = -0.5 * a;
  const P product = half * a;
  const P shifted_n = fma(product, 1.4426950408889634, rounding_shift<S>);
  const P n = shifted_n - rounding_shift<S>;
  const P n_log2 = n * -by_precision<S>(0x1.62e4p-1, 0x1.62e42fefp-1);
  constexpr double log2_tail = -by_precision<S>(0x1.7f7d1cp-20, 0x1.473de6af278edp-34);
  if constexpr (sizeof(S) == 4) {
    const P r = fma(n, log2_tail, product_plus(half, a, product, n_log2));
    return scale_by_power_of_two(fma(scale.high, fma(r * r, exp_remainder(r), r), scale.high), shifted_n);
  } else {
    const P exact = product + n_log2;
    const P rest = fma(n, log2_tail, product_plus(half, a, product, -product));
    const P r = exact + rest;
    const P r_low = (exact - r) + rest;
    const P less_one = fma(r * r, exp_remainder(r), r);
    const P low = (1 + less_one) * fma(scale.high, r_low, scale.low);
    return scale_by_power_of_two(scale.high + fma(scale.high, less_one, low), shifted_n);
  }
}

// scale Phi(-a) / exp(-a^2 / 2) for a >= 0, Mills' ratio up to a constant. Its reciprocal is nearly linear, and what is
// not is a rational function whose errors count little; all coefficients are positive, so that nothing cancels. Double
// sums the reciprocal in two parts and puts back what the quotient rounds off.
template <class S, int N>
CR_INLINE TwoParts<S, N> tail_ratio(Pack<S, N> a, Pack<S, N> scale) {
  using P = Pack<S, N>;
  if constexpr (sizeof(S) == 4) {
    const P above = polynomial(a, 1.38088608, 0.581594706, 0.143437207, 0.0140485484, 1.05343124e-05);
    const P below = polynomial(a, 0.690443039, 0.605235219, 0.253026724, 0.0561098196, 0.00568414899);
    return {scale * below / fma(a * 2.50659919, below, above), 0.0};  // 2^-27
  } else {
    const P above = polynomial(a, 0.91085915302526921, 1.2518809878192476, 0.85490386736977908, 0.37283943558075761,
                               0.11333001085099527, 0.024789902033472453, 0.0038998145409813298, 0.00042665018125848868,
                               2.9657348434091934e-05, 1.011544151993912e-06);
    const P below = polynomial(a, 1, 1.6743758104520849, 1.3882076512173194, 0.73711326387156173, 0.27511347181459483,
                               0.075093268727545945, 0.015163981096506279, 0.0022402913777756551,
                               0.00023270454263724411, 1.5462565509575063e-05, 5.0577207599970451e-07);
    const P bend = a * (above / below);  // 2^-58
    const P slope = 2.5066282746310007;  // sqrt(2 pi)
    const P line = slope * a;
    const P line_low = fma(a, -1.8328579980459167e-16, product_plus(slope, a, line, -line));
    const P sum = line + 2;
    const P line_part = sum - 2;
    const P sum_low = (2 - (sum - line_part)) + (line - line_part);
    const P divisor = sum - bend;
    const P divisor_low = (((sum - divisor) - bend) + sum_low) + line_low;
    const P quotient = scale / divisor;
    const P back = quotient * divisor;
    const P remainder = product_plus(-quotient, divisor, -back, scale) - quotient * divisor_low;
    return {quotient, remainder / divisor};
  }
}

// The density, exp(-x^2 / 2) / sqrt(2 pi).
template <class S, int N>
CR_INLINE Pack<S, N> normal_pdf(Pack<S, N> x) {
  return exp_of_half_square(bounded_magnitude(x), TwoParts<S, N>{0.3989422804014327, -2.49232720227773e-17});
}

// The distribution function: the left tail keeps its relative accuracy.
template <class S, int N>
CR_INLINE Pack<S, N> ndtr(Pack<S, N> x) {
  const Pack<S, N> a = bounded_magnitude(x);
  const Pack<S, N> tail = exp_of_half_square(a, tail_ratio(a, Pack<S, N>(1)));
  return select(x > 0, 1 - tail, tail);
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|). The exponential comes last, so that a subnormal result is rounded once; the
// zero has the sign of x, and so has a result of zero.
template <class S, int N>
CR_INLINE Pack<S, N> gelu(Pack<S, N> x) {
  const Pack<S, N> a = bounded_magnitude(x);
  const Pack<S, N> zero = Pack<S, N>::from_bits(x.bits() & Pack<S, N>(-0.0).bits());
  return select(x > 0, x, zero) - exp_of_half_square(a, tail_ratio(a, a));
}

// The derivative of gelu, Phi(x) + x phi(x), where y = gelu(x) is known: Phi(x) = y / x. Both are cut off where Phi has
// become 0 or 1, which spares infinity / infinity; near 0, where y may be subnormal, Phi is 1 / 2.
template <class S, int N>
CR_INLINE Pack<S, N> gelu_slope(Pack<S, N> x, Pack<S, N> y) {
  using P = Pack<S, N>;
  constexpr double bound = by_precision<S>(15, 39);
  constexpr double near_zero = by_precision<S>(0x1p-90, 0x1p-900);
  const P v = select(x < -bound, -bound, select(x > bound, bound, x));
  const P above = select(y > bound, bound, y);
  const P phi = select(abs(v) > near_zero, above / v, 0.5);
  return exp_of_half_square(v, TwoParts<S, N>{v * 0.3989422804014327, 0.0}) + phi;
}

}  // namespace
}  // namespace chainrule
