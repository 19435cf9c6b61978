// simd_normal.h - the error function and the normal distribution of floating packs. Floor: kernels; made like
// simd_math.h, whose remarks hold here too. Errors: erf 1 unit in the last place, ndtr and gelu 5;
// of double without fused multiply-add 8.
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

// a * a + c with one rounding, also where there is no instruction for it: c is near -a * a.
template <class S, int N>
[[gnu::always_inline]] inline Pack<S, N> square_plus(Pack<S, N> a, Pack<S, N> square, Pack<S, N> c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  (void)square;
  return fma(a, a, c);
#else
  using P = Pack<S, N>;  // Dekker's product: the halves have so few bits that their products are exact
  constexpr int half_bits = by_precision<S>(12, 27);
  const P head = P::from_bits(a.bits() & -(typename FloatFormat<S>::Bits{1} << half_bits));
  const P tail = a - head;
  return (square + c) + (((head * head - square) + 2 * head * tail) + tail * tail);
#endif
}

// |x|, but no more than where exp(-x^2 / 2) has underflowed.
template <class S, int N>
[[gnu::always_inline]] inline Pack<S, N> bounded_magnitude(Pack<S, N> x) {
  constexpr double all_underflows = by_precision<S>(14.5, 39);
  const Pack<S, N> a = abs(x);
  return select(a > all_underflows, all_underflows, a);
}

// exp(-a^2 / 2) for 0 <= a <= bounded_magnitude's bound, as exp does it, with a^2 in place of its argument. The square
// is never rounded before it is reduced: in the tail that would be tens of units of the result.
template <class S, int N>
[[gnu::always_inline]] inline Pack<S, N> exp_of_half_square(Pack<S, N> a) {
  using P = Pack<S, N>;
  const P square = a * a;
  const P shifted_n = fma(square, -0.7213475204444817, rounding_shift<S>);
  const P n = shifted_n - rounding_shift<S>;
  P r = square_plus(a, square, n * (2 * by_precision<S>(0x1.62e4p-1, 0x1.62e42fefp-1)));
  r = fma(n, 2 * by_precision<S>(0x1.7f7d1cp-20, 0x1.473de6af278edp-34), r);
  P p;  // (exp(-r / 2) - 1) / r on |r| <= 0.694 from the coefficients of exp: of r^k times (-1/2)^k
  if constexpr (sizeof(S) == 4) {
    p = polynomial(r, -0.5, 0.124999985, -0.0208331495, 0.00260427454, -0.000261524401, 2.1585105e-05);
  } else {
    p = polynomial(r, -0.5, 0.12500000000000028, -0.020833333333333013, 0.0026041666666580744, -0.00026041666667173834,
                   2.1701388974879258e-05, -1.5500991800590157e-06, 9.688083110446144e-08, -5.3823412797054515e-09,
                   2.6982791631735544e-10, -1.2207012682171345e-11);
  }
  return scale_by_power_of_two(fma(r, p, 1), shifted_n);
}

// Phi(-a) / exp(-a^2 / 2) for a >= 0, Mills' ratio up to a constant: u f with u = 1 / (a + k) and f a polynomial of
// t = 1 - 2 k u, which maps all a to [-1, 1).
template <class S, int N>
[[gnu::always_inline]] inline Pack<S, N> tail_ratio(Pack<S, N> a) {
  using P = Pack<S, N>;
  constexpr double k = by_precision<S>(1.5, 5);
  const P sum = a + k;
  const P u = 1 / sum;
  if constexpr (sizeof(S) == 4) {
    const P t = fma(u, -2 * k, 1);
    const P z = t * t;  // two chains in place of one: latency counts
    const P even = polynomial(z, 0.617342004, -0.0574957413, 0.0176435633, -0.00244859205, -0.00100965671,
                              0.000429733734, 1.61565484e-5);
    const P odd =  // 2^-26
        polynomial(z, -0.195099506, 0.0178973466, 0.0039815255, -0.00268894058, 0.00021986402, 0.000167178814);
    return u * fma(t, odd, even);
  } else {
    // A larger k makes do with fewer terms, but near 0 multiplies what rounding took from a + k and u: put it back.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    const P lost = fma(-u, sum, 1) - u * (a - (sum - k));  // 1 / (a + k) is u (1 + lost)
#else
    const P lost = -u * (a - (sum - k));
#endif
    const P ku = u * (-2 * k);
    const P t = fma(ku, lost, 1 + ku);
    const P f =  // 2^-56
        polynomial(t, 0.76919304975006296, -0.6653825028900567, 0.49530561596997641, -0.31353315667130454,
                   0.16502036617038472, -0.069118638706310164, 0.02079506679988318, -0.0029933767705085424,
                   -0.00079786939846607011, 0.00054489906477312989, -5.9375728009915864e-5, -4.9762814270585805e-5,
                   1.6681213742042061e-5, 3.9809021578680411e-6, -2.7692670959974302e-6, -3.3661536810124712e-7,
                   4.331410356862585e-7, 4.2274993740065348e-8, -6.594221662477223e-8, -9.3135609943260591e-9,
                   7.663071800760041e-9, 1.753048401408232e-9, -1.5877468827473365e-10);
    return fma(u * f, lost, u * f);
  }
}

// The density, exp(-x^2 / 2) / sqrt(2 pi).
template <class S, int N>
[[gnu::always_inline]] inline Pack<S, N> normal_pdf(Pack<S, N> x) {
  return exp_of_half_square(bounded_magnitude(x)) * 0.3989422804014327;
}

// The distribution function: the left tail keeps its relative accuracy.
template <class S, int N>
[[gnu::always_inline]] inline Pack<S, N> ndtr(Pack<S, N> x) {
  const Pack<S, N> a = bounded_magnitude(x);
  const Pack<S, N> tail = tail_ratio(a) * exp_of_half_square(a);
  return select(x > 0, 1 - tail, tail);
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|). The exponential comes last, so that a subnormal result is rounded once; the
// zero has the sign of x, and so has a result of zero.
template <class S, int N>
[[gnu::always_inline]] inline Pack<S, N> gelu(Pack<S, N> x) {
  const Pack<S, N> a = bounded_magnitude(x);
  const Pack<S, N> zero = Pack<S, N>::from_bits(x.bits() & Pack<S, N>(-0.0).bits());
  return fma(-(a * tail_ratio(a)), exp_of_half_square(a), select(x > 0, x, zero));
}

}  // namespace
}  // namespace chainrule
