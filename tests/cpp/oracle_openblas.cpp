// Our matrix products against those of OpenBLAS: sizes that the triple loop of test_gemm.cpp would be slow on, every
// level, all layouts, both dtypes, one and two threads; and which products come from where. Built with
// -DCHAINRULE_OPENBLAS=ON.
#include <cblas.h>

#include <cmath>

#include "chainrule/core/thread_pool.h"
#include "chainrule/ops/openblas.h"
#include "support.h"

using namespace chainrule;
using chainrule::testing::levels;

namespace {

constexpr int64_t sizes[][3] = {{1, 10, 128},    {1, 1000, 784},  {4, 128, 784},    {32, 10, 128},   {100, 16, 16},
                                {64, 64, 64},    {128, 784, 32},  {10, 1024, 256},  {256, 10, 1024}, {256, 1024, 10},
                                {32, 128, 784},  {257, 513, 255}, {300, 1100, 700}, {1000, 37, 513}, {517, 1, 1024},
                                {400, 410, 640}, {1, 1, 3000},    {2000, 300, 1}};

void oracle(bool a_transposed, bool b_transposed, int m, int n, int k, const Tensor& a, const Tensor& b, Tensor& c) {
  const CBLAS_TRANSPOSE ta = a_transposed ? CblasTrans : CblasNoTrans, tb = b_transposed ? CblasTrans : CblasNoTrans;
  const int lda = a_transposed ? m : k, ldb = b_transposed ? k : n;
  if (a.dtype() == DType::float32)
    scipy_cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1, a.data<float>(), lda, b.data<float>(), ldb, 0, c.data<float>(),
                      n);
  else
    scipy_cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1, a.data<double>(), lda, b.data<double>(), ldb, 0,
                      c.data<double>(), n);
}

/// The largest difference of two sums of k products of normal numbers. Partial sums grow with the root of k and are
/// rounded k times, so it is a few of these units; a wrong sum is off by the root of k.
double distance(const Tensor& c, const Tensor& expected, int64_t k) {
  const std::vector<double> x = chainrule::testing::values_of(c), y = chainrule::testing::values_of(expected);
  const double unit = (c.dtype() == DType::float32 ? 0x1p-23 : 0x1p-52) * static_cast<double>(k + 10);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = std::abs(x[i] - y[i]);
    worst = std::isnan(difference) ? HUGE_VAL : std::max(worst, difference / unit);
  }
  return worst;
}

GemmArguments arguments(const Tensor& a, const Tensor& b, Tensor& c) {
  return {c.shape()[0], c.shape()[1],   a.shape()[1],   a.data(), a.strides()[0], a.strides()[1],
          b.data(),     b.strides()[0], b.strides()[1], c.data(), c.strides()[0], nullptr};
}

bool is_routed(const GemmArguments& g, DType dtype) { return openblas_kernel_for(g, dtype) != nullptr; }

void check(DType dtype, int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed) {
  Tensor a = empty(a_transposed ? Shape{k, m} : Shape{m, k}, dtype);
  Tensor b = empty(b_transposed ? Shape{n, k} : Shape{k, n}, dtype);
  normal_(a, 0, 1);
  normal_(b, 0, 1);
  Tensor expected = empty(Shape{m, n}, dtype);
  oracle(a_transposed, b_transposed, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), a, b, expected);
  const Tensor left = a_transposed ? matrix_transpose(a) : a, right = b_transposed ? matrix_transpose(b) : b;
  CHECK(distance(matmul(left, right), expected, k) < 4);
  Tensor ours = empty(Shape{m, n}, dtype);
  active_kernels().gemm[static_cast<int>(dtype)](arguments(left, right, ours));
  CHECK(distance(ours, expected, k) < 4);
}

}  // namespace

TEST_CASE("matmul agrees with OpenBLAS") {
  const int threads_before = num_threads();
  scipy_openblas_set_num_threads(1);
  for (int level : levels()) {
    force_level(level);
    for (int threads : {1, 2}) {
      set_num_threads(threads);
      for (const auto& [m, n, k] : sizes)
        for (int variant = 0; variant < 8; ++variant) {
          INFO("level " << level << ", threads " << threads << ", m n k " << m << " " << n << " " << k << ", variant "
                        << variant);
          check(variant & 4 ? DType::float64 : DType::float32, m, n, k, variant & 1, variant & 2);
        }
    }
  }
  force_level(best_level());
  set_num_threads(threads_before);
}

TEST_CASE("narrow products come from OpenBLAS, the others do not") {
  const struct {
    int m, n, k;
    bool a_transposed, b_transposed, from_openblas;
  } cases[] = {{1, 128, 784, false, true, true},  {4, 128, 784, false, true, true},  {32, 10, 128, false, true, true},
               {128, 1, 784, false, false, true}, {32, 10, 128, true, false, true},  {100, 16, 16, false, true, false},
               {1, 16, 16, false, true, false},   {64, 64, 64, false, false, false}, {4, 1000, 784, false, true, false},
               {4, 128, 0, false, true, false}};
  for (DType dtype : {DType::float32, DType::float64})
    for (const auto& p : cases) {
      INFO("m n k " << p.m << " " << p.n << " " << p.k << " of " << name_of(dtype));
      Tensor a = empty(p.a_transposed ? Shape{p.k, p.m} : Shape{p.m, p.k}, dtype);
      Tensor b = empty(p.b_transposed ? Shape{p.n, p.k} : Shape{p.k, p.n}, dtype);
      normal_(a, 0, 1);
      normal_(b, 0, 1);
      const Tensor left = p.a_transposed ? matrix_transpose(a) : a, right = p.b_transposed ? matrix_transpose(b) : b;
      Tensor ours = empty(Shape{p.m, p.n}, dtype), theirs = zeros(Shape{p.m, p.n}, dtype);
      const GemmArguments g = arguments(left, right, ours);
      CHECK(is_routed(g, dtype) == p.from_openblas);
      active_kernels().gemm[static_cast<int>(dtype)](g);
      if (p.k > 0) oracle(p.a_transposed, p.b_transposed, p.m, p.n, p.k, a, b, theirs);
      const std::vector<double> product = chainrule::testing::values_of(matmul(left, right));
      CHECK(product == chainrule::testing::values_of(p.from_openblas ? theirs : ours));
      CHECK(distance(ours, theirs, p.k) < 4);
    }
}

TEST_CASE("operands that BLAS cannot take are ours") {
  const Tensor x = ones(Shape{4, 100}), row = expand(ones(Shape{1, 100}), Shape{4, 100});
  const Tensor apart = transpose(ones(Shape{100, 2, 20}), 1, 2);  // (100, 20, 2)
  Tensor c = empty(Shape{4, 4});
  CHECK(is_routed(arguments(x, matrix_transpose(x), c), DType::float32));
  CHECK(!is_routed(arguments(row, matrix_transpose(x), c), DType::float32));
  for (double value : chainrule::testing::values_of(matmul(row, matrix_transpose(x)))) CHECK(value == 100);
  Tensor wide = empty(Shape{4, 20});
  const Tensor columns = select(apart, 2, 1);  // (100, 20), every row 40 apart, every element 1
  CHECK(is_routed(arguments(x, columns, wide), DType::float32));
  for (double value : chainrule::testing::values_of(matmul(x, columns))) CHECK(value == 100);
}

TEST_CASE("linear agrees with OpenBLAS, bias included") {
  Tensor x = empty(Shape{64, 784}), weight = empty(Shape{130, 784}), bias = empty(Shape{130});
  normal_(x, 0, 1);
  normal_(weight, 0, 1);
  normal_(bias, 0, 1);
  Tensor product = empty(Shape{64, 130});
  oracle(false, true, 64, 130, 784, x, weight, product);
  const Tensor y = linear(x, weight, bias);
  CHECK(distance(y, product + bias, 784) < 4);
  Tensor row = empty(Shape{1, 784}), row_product = empty(Shape{1, 130});
  normal_(row, 0, 1);
  oracle(false, true, 1, 130, 784, row, weight, row_product);
  CHECK(distance(linear(row, weight, bias), row_product + bias, 784) < 4);
}
