// Matrix products against the triple loop: every level, all orientations, sizes around the tile edges.
#include <cmath>

#include "support.h"

using namespace chainrule;
using chainrule::testing::kernels_at;
using chainrule::testing::levels;

namespace {

template <class S>
std::vector<S> numbers(int64_t n, uint64_t seed) {
  std::vector<S> result(static_cast<size_t>(n));
  fill_normal(result.data(), n, {seed, 0});
  return result;
}

struct Steps {
  int64_t row, column;
};
Steps steps(int64_t rows, int64_t columns, bool transposed) { return transposed ? Steps{1, rows} : Steps{columns, 1}; }

/// The largest error of c, in units of what rounding k products may lose.
template <class S>
double worst_error(int level, int64_t m, int64_t n, int64_t k, bool transposed_a, bool transposed_b, bool with_bias) {
  const std::vector<S> a = numbers<S>(m * k, 1), b = numbers<S>(k * n, 2), bias = numbers<S>(n, 3);
  std::vector<S> c(static_cast<size_t>(m * n), std::numeric_limits<S>::quiet_NaN());
  const Steps sa = steps(m, k, transposed_a), sb = steps(k, n, transposed_b);
  kernels_at(level).gemm[static_cast<int>(dtype_for<S>())]({m, n, k, a.data(), sa.row, sa.column, b.data(), sb.row,
                                                            sb.column, c.data(), n, with_bias ? bias.data() : nullptr});
  double worst = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      long double exact = with_bias ? bias[static_cast<size_t>(j)] : 0, size = std::abs(exact);
      for (int64_t p = 0; p < k; ++p) {
        const long double product = static_cast<long double>(a[static_cast<size_t>(i * sa.row + p * sa.column)]) *
                                    b[static_cast<size_t>(p * sb.row + j * sb.column)];
        exact += product;
        size += std::abs(product);
      }
      const long double error = std::abs(c[static_cast<size_t>(i * n + j)] - exact);
      const long double unit = std::numeric_limits<S>::epsilon() * (size + std::numeric_limits<S>::min());
      worst = std::isnan(error) ? HUGE_VAL : std::max(worst, static_cast<double>(error / unit));
    }
  return worst;
}

template <class S>
void check_all() {
  constexpr int64_t sizes[][3] = {{1, 1, 1},      {1, 17, 33},  {17, 1, 33},  {5, 7, 3},      {6, 16, 8},
                                  {12, 32, 64},   {13, 33, 65}, {64, 64, 64}, {31, 129, 257}, {100, 3, 600},
                                  {3, 100, 600},  {2, 200, 1},  {4, 5, 0},    {0, 5, 4},      {5, 0, 4},
                                  {70, 300, 300}, {1, 700, 900}};
  for (int level : levels())
    for (const auto& [m, n, k] : sizes)
      for (int variant = 0; variant < 8; ++variant) {
        const bool a = variant & 1, b = variant & 2, bias = variant & 4;
        INFO("level " << level << ", m n k " << m << " " << n << " " << k << ", transposed " << a << b << ", bias "
                      << bias);
        CHECK(worst_error<S>(level, m, n, k, a, b, bias) < 16);
      }
}

}  // namespace

TEST_CASE("float32") { check_all<float>(); }
TEST_CASE("float64") { check_all<double>(); }

TEST_CASE("an element does not depend on the rows and columns around it") {
  constexpr int64_t m = 40, n = 70, k = 500;
  const std::vector<float> a = numbers<float>(m * k, 1), b = numbers<float>(k * n, 2);
  for (int level : levels()) {
    const GemmKernel gemm = kernels_at(level).gemm[0];
    std::vector<float> whole(m * n), part(m * n);
    gemm({m, n, k, a.data(), k, 1, b.data(), n, 1, whole.data(), n, nullptr});
    for (int64_t i = 0; i < m; i += 7)
      for (int64_t j = 0; j < n; j += 19)
        gemm({std::min<int64_t>(7, m - i), std::min<int64_t>(19, n - j), k, a.data() + i * k, k, 1, b.data() + j, n, 1,
              part.data() + i * n + j, n, nullptr});
    CHECK(whole == part);
  }
}
