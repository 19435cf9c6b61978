// The transcendental kernels, as shipped, against 80-bit arithmetic: units in the last place, on every level.
#include <cmath>
#include <limits>
#include <random>

#include "support.h"

using namespace chainrule;
using chainrule::testing::kernels_at;
using chainrule::testing::levels;

namespace {

struct Function {
  int id;
  const char* name;
  double bound[2];  ///< units in the last place: float32, float64
  long double (*exact)(long double);
};

long double exact_sigmoid(long double x) { return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x)); }

long double exact_pdf(long double x) { return expl(-x * x / 2) * 0.398942280401432677939946059934381868L; }
long double exact_ndtr(long double x) { return erfcl(-x * 0.707106781186547524400844362104849039L) / 2; }
long double exact_gelu(long double x) { return std::isinf(x) && x < 0 ? -0.0L : x * exact_ndtr(x); }

// The bounds that are promised.
const Function functions[] = {{id_of<Exp>, "exp", {2, 2}, expl},
                              {id_of<Log>, "log", {2, 2}, logl},
                              {id_of<Tanh>, "tanh", {2, 2}, tanhl},
                              {id_of<Sigmoid>, "sigmoid", {3, 2}, exact_sigmoid},
                              {id_of<Sin>, "sin", {2, 2}, sinl},
                              {id_of<Cos>, "cos", {2, 2}, cosl},
                              {id_of<Sqrt>, "sqrt", {0.5, 0.5}, sqrtl},
                              {id_of<Erf>, "erf", {2, 2}, erfl},
                              {id_of<NormalPdf>, "normal_pdf", {2, 2}, exact_pdf},
                              {id_of<Ndtr>, "ndtr", {4, 2}, exact_ndtr},
                              {id_of<Gelu>, "gelu", {4, 2}, exact_gelu}};

// One unit is the distance of two neighbours at `exact`. NaN, infinity and the sign of 0 must be met exactly, but
// that what rounds to infinity may come out as the largest number, and the reverse.
template <class S>
double error_in_units(S got, long double exact) {
  constexpr double wrong = 1e30;
  if (std::isnan(exact)) return std::isnan(got) ? 0 : wrong;
  const S rounded = static_cast<S>(exact);
  if (std::isinf(rounded)) return got == rounded || std::nextafter(rounded, S{0}) == got ? 0 : wrong;
  if (!std::isfinite(got)) return std::isinf(std::nextafter(rounded, got)) ? 1 : wrong;
  if (exact == 0) return got == 0 && std::signbit(got) == std::signbit(exact) ? 0 : wrong;
  int exponent;
  frexpl(exact, &exponent);
  exponent = std::max(exponent, std::numeric_limits<S>::min_exponent);
  return static_cast<double>(fabsl(got - exact) / ldexpl(1, exponent - std::numeric_limits<S>::digits));
}

template <class S>
std::vector<S> samples() {
  std::vector<S> x;
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(0, 1);
  const auto add = [&](double value) {
    x.push_back(static_cast<S>(value));
    x.push_back(static_cast<S>(-value));
  };
  for (double special : {0.0, std::numeric_limits<double>::infinity(), std::nan(""), 1.0, 88.73, 103.98, 709.79, 745.14,
                         0.7071067811865476, 524288.0, 524289.0, 1e22})
    add(special);
  using Limits = std::numeric_limits<S>;
  for (int e = Limits::min_exponent - Limits::digits; e < Limits::max_exponent; ++e)
    for (int i = 0; i < 200; ++i) add(std::ldexp(1 + uniform(random), e));  // subnormals, too
  for (double range : {1.0, 2.0, 10.0, 110.0, 760.0, 524288.0})
    for (int i = 0; i < 50'000; ++i) add(range * uniform(random));
  for (int i = 0; i < 20'000; ++i) add(1 + 0.1 * (uniform(random) - 0.5));
  for (int n = 1; n < 10'000; ++n) add(n * 1.5707963267948966);
  return x;
}

template <class S>
void check_at(int level) {
  const std::vector<S> x = samples<S>();
  std::vector<S> y(x.size());
  for (const Function& function : functions) {
    const ElementwiseKernel& kernel = kernels_at(level).elementwise[function.id];
    ForwardArguments arguments{};
    arguments.y = y.data();
    arguments.y_step = 1;
    arguments.x[0] = x.data();
    arguments.x_step[0] = 1;
    arguments.n = static_cast<int64_t>(x.size());
    arguments.rows = 1;
    kernel.forward[static_cast<int>(dtype_for<S>())](nullptr, arguments);
    double worst = 0;
    S at = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = error_in_units(y[i], function.exact(x[i]));
      if (error > worst) {
        worst = error;
        at = x[i];
      }
    }
    INFO(std::string(function.name) << ", level " << level << ": " << worst << " units in the last place at "
                                    << static_cast<double>(at));
    CHECK(worst <= function.bound[sizeof(S) == 8]);
  }
}

}  // namespace

TEST_CASE("float32") {
  for (int level : levels()) check_at<float>(level);
}

TEST_CASE("float64") {
  for (int level : levels()) check_at<double>(level);
}
