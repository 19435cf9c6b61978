// Matrix products against the triple loop: every level, all orientations, sizes around the edges of tiles, slivers
// and panels, in a small and a large workspace.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>

#include "chainrule/autograd/engine.h"
#include "chainrule/core/thread_pool.h"
#include "support.h"

using namespace chainrule;
using chainrule::testing::kernels_at;
using chainrule::testing::levels;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

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

void* workspace() {
  static const Tensor memory = Tensor::empty(DType::boolean, Shape{gemm_workspace_bytes});
  return memory.data();
}

template <class S>
GemmKernel gemm_at(int level) {
  return kernels_at(level).gemm[static_cast<int>(dtype_for<S>())];
}

/// The largest error of c, in units of what rounding k products may lose.
template <class S>
double worst_error(const GemmArguments& g) {
  const auto *a = static_cast<const S*>(g.a), *b = static_cast<const S*>(g.b), *bias = static_cast<const S*>(g.bias);
  double worst = 0;
  for (int64_t i = 0; i < g.m; ++i)
    for (int64_t j = 0; j < g.n; ++j) {
      long double exact = bias ? bias[j] : 0, size = std::abs(exact);
      for (int64_t p = 0; p < g.k; ++p) {
        const long double product = static_cast<long double>(a[i * g.a_row_step + p * g.a_column_step]) *
                                    b[p * g.b_row_step + j * g.b_column_step];
        exact += product;
        size += std::abs(product);
      }
      const long double error = std::abs(static_cast<const S*>(g.c)[i * g.c_row_step + j] - exact);
      const long double unit = std::numeric_limits<S>::epsilon() * (size + std::numeric_limits<S>::min());
      worst = std::isnan(error) ? HUGE_VAL : std::max(worst, static_cast<double>(error / unit));
    }
  return worst;
}

template <class S>
double worst_error(int level, int64_t m, int64_t n, int64_t k, int variant) {
  const std::vector<S> a = numbers<S>(m * k, 1), b = numbers<S>(k * n, 2), bias = numbers<S>(n, 3);
  std::vector<S> c(static_cast<size_t>(m * n), static_cast<S>(not_a_number));
  const Steps sa = steps(m, k, variant & 1), sb = steps(k, n, variant & 2);
  const GemmArguments g{m,
                        n,
                        k,
                        a.data(),
                        sa.row,
                        sa.column,
                        b.data(),
                        sb.row,
                        sb.column,
                        c.data(),
                        n,
                        variant & 4 ? bias.data() : nullptr,
                        variant & 8 ? workspace() : nullptr};
  gemm_at<S>(level)(g);
  return worst_error<S>(g);
}

template <class S>
void check_all() {
  constexpr int64_t sizes[][3] = {
      {1, 1, 1},      {1, 17, 33},    {17, 1, 33},    {5, 7, 3},       {6, 16, 8},     {12, 32, 64},   {13, 33, 65},
      {64, 64, 64},   {31, 129, 257}, {100, 3, 600},  {3, 100, 600},   {2, 200, 1},    {4, 5, 0},      {0, 5, 4},
      {5, 0, 4},      {70, 300, 300}, {1, 700, 900},  {8, 40, 70},     {90, 5, 530},   {130, 10, 70},  {10, 130, 70},
      {100, 600, 40}, {40, 560, 30},  {300, 270, 40}, {200, 280, 260}, {32, 128, 300}, {1100, 70, 20}, {600, 530, 9}};
  for (int level : levels())
    for (const auto& [m, n, k] : sizes)
      for (int variant = 0; variant < 16; ++variant) {
        INFO("level " << level << ", m n k " << m << " " << n << " " << k << ", variant " << variant);
        CHECK(worst_error<S>(level, m, n, k, variant) < 16);
      }
}

}  // namespace

TEST_CASE("float32") { check_all<float>(); }
TEST_CASE("float64") { check_all<double>(); }

TEST_CASE("an element does not depend on the rows and columns around it") {
  constexpr int64_t m = 60, n = 140, k = 500;
  constexpr int64_t cuts[][2] = {{7, 19}, {1, 64}, {3, 33}, {50, 1}, {60, 3}, {49, 140}};
  const std::vector<float> a = numbers<float>(m * k, 1), b = numbers<float>(k * n, 2), bias = numbers<float>(n, 3);
  for (int level : levels())
    for (int variant = 0; variant < 4; ++variant) {
      const Steps sa = steps(m, k, variant & 1), sb = steps(k, n, variant & 2);
      const GemmArguments all{m,        n,      k,         a.data(), sa.row, sa.column,
                              b.data(), sb.row, sb.column, nullptr,  n,      bias.data()};
      std::vector<float> whole(m * n);
      GemmArguments g = all;
      g.c = whole.data();
      g.workspace = workspace();
      gemm_at<float>(level)(g);
      for (const auto& [rows, columns] : cuts) {
        INFO("level " << level << ", variant " << variant << ", cut into " << rows << " x " << columns);
        std::vector<float> part(m * n);
        for (int64_t i = 0; i < m; i += rows)
          for (int64_t j = 0; j < n; j += columns) {
            g = all;
            g.m = std::min(rows, m - i);
            g.n = std::min(columns, n - j);
            g.a = a.data() + i * sa.row;
            g.b = b.data() + j * sb.column;
            g.c = part.data() + i * n + j;
            g.bias = bias.data() + j;
            gemm_at<float>(level)(g);
          }
        CHECK(whole == part);
      }
    }
}

TEST_CASE("the layout of the operands does not change the bits") {
  constexpr int64_t m = 50, n = 70, k = 300;
  const std::vector<double> a = numbers<double>(m * k, 1), b = numbers<double>(k * n, 2);
  std::vector<double> at(m * k), bt(k * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) at[static_cast<size_t>(p * m + i)] = a[static_cast<size_t>(i * k + p)];
  for (int64_t p = 0; p < k; ++p)
    for (int64_t j = 0; j < n; ++j) bt[static_cast<size_t>(j * k + p)] = b[static_cast<size_t>(p * n + j)];
  for (int level : levels()) {
    std::vector<double> straight(m * n), turned(m * n);
    gemm_at<double>(level)({m, n, k, a.data(), k, 1, b.data(), n, 1, straight.data(), n, nullptr});
    gemm_at<double>(level)({m, n, k, at.data(), 1, m, bt.data(), 1, k, turned.data(), n, nullptr});
    CHECK(straight == turned);
  }
}

TEST_CASE_TEMPLATE("a panel that nearly fills the workspace stays within it", S, float, double) {
  constexpr int64_t m = 60, k = 191, guard_bytes = 64 * 1024;
  constexpr int64_t fitting = gemm_workspace_bytes / static_cast<int64_t>(sizeof(S)) / k;
  const Tensor memory = Tensor::empty(DType::boolean, Shape{gemm_workspace_bytes + guard_bytes});
  uint8_t* const end = memory.data<uint8_t>() + gemm_workspace_bytes;
  const std::vector<S> a = numbers<S>(m * k, 1), b = numbers<S>(k * (fitting + 1), 2);
  std::vector<S> c(static_cast<size_t>(m * (fitting + 1)));
  for (int level : levels())
    for (int64_t n = fitting - 20; n <= fitting + 1; ++n) {
      INFO("level " << level << ", n " << n);
      std::fill_n(end, guard_bytes, uint8_t{0xA5});
      gemm_at<S>(level)({m, n, k, a.data(), k, 1, b.data(), 1, k, c.data(), n, nullptr, memory.data()});
      CHECK(std::count(end, end + guard_bytes, uint8_t{0xA5}) == guard_bytes);
    }
}

TEST_CASE("steps: repeated, backwards, far apart, misaligned, and c in the middle of a wider matrix") {
  constexpr int64_t m = 53, n = 37, k = 41, wide = 8191, step = 3;
  const std::vector<float> numbers_a = numbers<float>(wide * m, 1), numbers_b = numbers<float>(wide * k, 2);
  const struct {
    const char* name;
    int64_t a_row, a_column, a_first, b_row, b_column, b_first;
  } cases[] = {{"a repeats one row", 0, 1, 0, n, 1, 0},
               {"a and b repeat one element", 0, 0, 0, 0, 0, 0},
               {"b repeats one row and one column", k, 1, 0, 0, 1, 0},
               {"b repeats one column", k, 1, 0, 1, 0, 0},
               {"backwards", -k, -1, m * k - 1, -n, -1, k * n - 1},
               {"far apart", wide, step, 0, wide, step, 0},
               {"overlapping rows", 1, 1, 0, 1, 1, 0},
               {"misaligned by one element", k, 1, 1, n, 1, 1}};
  for (int level : levels())
    for (const auto& c : cases) {
      INFO("level " << level << ", " << c.name);
      constexpr int64_t row_step = n + 9;
      std::vector<float> result(m * row_step, 77);
      const GemmArguments g{m,
                            n,
                            k,
                            numbers_a.data() + c.a_first,
                            c.a_row,
                            c.a_column,
                            numbers_b.data() + c.b_first,
                            c.b_row,
                            c.b_column,
                            result.data() + 5,
                            row_step,
                            nullptr};
      gemm_at<float>(level)(g);
      CHECK(worst_error<float>(g) < 16);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < row_step; ++j)
          if (j < 5 || j >= 5 + n) REQUIRE(result[static_cast<size_t>(i * row_step + j)] == 77);
    }
}

namespace {

/// Elements between two pages that nobody may touch: against the first, or against the last.
class Guarded {
 public:
  Guarded(int64_t elements, bool at_end) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)),
                 used = static_cast<size_t>(elements) * sizeof(float);
    const size_t middle = (used + page - 1) / page * page;
    bytes_ = middle + 2 * page;
    memory_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(memory_ != MAP_FAILED);
    REQUIRE(mprotect(memory_ + page, middle, PROT_READ | PROT_WRITE) == 0);
    data_ = reinterpret_cast<float*>(memory_ + page + (at_end ? middle - used : 0));
    fill_normal(data_, elements, {1, 0});
  }
  ~Guarded() { munmap(memory_, bytes_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  float* data() const { return data_; }

 private:
  size_t bytes_ = 0;
  char* memory_ = nullptr;
  float* data_ = nullptr;
};

}  // namespace

TEST_CASE("nothing before or after the operands is touched") {
  constexpr int64_t sizes[][3] = {{1, 17, 33},  {3, 20, 20},  {1, 10, 128}, {32, 10, 130},
                                  {8, 16, 260}, {60, 35, 40}, {4, 4, 4},    {9, 90, 300}};
  for (int level : levels())
    for (const auto& [m, n, k] : sizes)
      for (int variant = 0; variant < 8; ++variant) {
        INFO("level " << level << ", m n k " << m << " " << n << " " << k << ", variant " << variant);
        const Steps sa = steps(m, k, variant & 1), sb = steps(k, n, variant & 2);
        const bool at_end = variant & 4;
        const Guarded a(m * k, at_end), b(k * n, at_end), c(m * n, at_end), bias(n, at_end);
        const GemmArguments g{m,        n,      k,         a.data(), sa.row, sa.column,
                              b.data(), sb.row, sb.column, c.data(), n,      bias.data()};
        gemm_at<float>(level)(g);
        CHECK(worst_error<float>(g) < 16);
      }
}

TEST_CASE("NaN, infinities and signed zeros") {
  constexpr int64_t sizes[][3] = {{1, 40, 20}, {40, 1, 20}, {20, 40, 60}, {70, 40, 20}, {3, 3, 3}};
  for (int level : levels())
    for (const auto& [m, n, k] : sizes)
      for (int variant = 0; variant < 4; ++variant) {
        INFO("level " << level << ", m n k " << m << " " << n << " " << k << ", variant " << variant);
        const Steps sa = steps(m, k, variant & 1), sb = steps(k, n, variant & 2);
        std::vector<float> a(static_cast<size_t>(m * k), 0), b(static_cast<size_t>(k * n), 1);
        std::vector<float> c(static_cast<size_t>(m * n));
        const GemmArguments g{m, n, k, a.data(), sa.row, sa.column, b.data(), sb.row, sb.column, c.data(), n, nullptr};
        b[static_cast<size_t>((k - 1) * sb.row + (n - 1) * sb.column)] = static_cast<float>(inf);
        gemm_at<float>(level)(g);
        CHECK(std::isnan(c.back()));  // 0 * inf, also where every element of a is 0
        CHECK((n == 1 || c.front() == 0));
        a[static_cast<size_t>((m - 1) * sa.row)] = static_cast<float>(not_a_number);
        gemm_at<float>(level)(g);
        CHECK(std::isnan(c[static_cast<size_t>((m - 1) * n)]));
        CHECK((m == 1 || n == 1 || c.front() == 0));
        std::fill(a.begin(), a.end(), static_cast<float>(-inf));
        gemm_at<float>(level)(g);
        CHECK(c.back() == -inf);
      }
}

TEST_CASE("no product is the sum of none: zero, and the bias alone") {
  for (int level : levels()) {
    std::vector<double> c(12, not_a_number);
    const std::vector<double> bias{1, 2, 3, 4};
    gemm_at<double>(level)({3, 4, 0, nullptr, 0, 1, nullptr, 4, 1, c.data(), 4, nullptr});
    CHECK(c == std::vector<double>(12, 0));
    gemm_at<double>(level)({3, 4, 0, nullptr, 0, 1, nullptr, 4, 1, c.data(), 4, bias.data()});
    CHECK(c == std::vector<double>{1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4});
  }
}

TEST_CASE("the same bits for any number of threads, and for batches one by one") {
  const int before = num_threads();
  const struct {
    Shape a, b;
    bool transposed;
  } cases[] = {{{200, 300}, {300, 260}, false}, {{256, 784}, {300, 784}, true},
               {{700, 600}, {600, 10}, false},  {{3, 900}, {700, 900}, true},
               {{37, 50, 40}, {40, 60}, false}, {{6, 5, 64, 32}, {6, 5, 64, 32}, true}};
  for (const auto& c : cases) {
    Tensor a = empty(c.a), b = empty(c.b);
    normal_(a, 0, 1);
    normal_(b, 0, 1);
    if (c.transposed) b = matrix_transpose(b);
    std::vector<std::vector<double>> results;
    for (int threads : {1, 2, 3, 8}) {
      set_num_threads(threads);
      results.push_back(chainrule::testing::values_of(matmul(a, b)));
    }
    INFO("a " << to_string(c.a) << ", b " << to_string(c.b));
    for (const auto& result : results) CHECK(result == results[0]);
  }
  set_num_threads(before);
}

namespace {

Tensor normal(const Shape& shape) {
  Tensor x = empty(shape, DType::float64);
  normal_(x, 0, 1);
  return x;
}

/// Gradients by the fused rule and by the formulas must agree, up to the order of sums.
void check_fused(const Tensor& y, std::vector<Tensor> inputs, const Tensor& gy) {
  const std::vector<Tensor> fused = gradients({&y, 1}, inputs, {&gy, 1}, {.retain_graph = true});
  const std::vector<Tensor> formulas = gradients({&y, 1}, inputs, {&gy, 1}, {.create_graph = true});
  for (size_t k = 0; k < inputs.size(); ++k) {
    CHECK(same(fused[k].shape(), inputs[k].shape()));
    const std::vector<double> a = chainrule::testing::values_of(fused[k]);
    const std::vector<double> b = chainrule::testing::values_of(formulas[k]);
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-12).scale(1));
  }
}

Tensor scalar_like(const Tensor& x) { return full({}, 0.5, x.dtype()); }
Tensor leaf(const Tensor& x) { return detach(x).requires_grad_(); }

}  // namespace

TEST_CASE("fused gradients of linear: leading dims, views that are not rows, repeated gy") {
  const Tensor weight = leaf(matrix_transpose(normal({6, 4}))), bias = leaf(normal({4}));
  const Tensor turned = leaf(transpose(normal({3, 2, 5, 6}), 0, 2));  // (5, 2, 3, 6): no matrix of rows
  for (const Tensor& x : {leaf(normal({7, 6})), leaf(normal({6})), leaf(normal({2, 3, 6})), turned,
                          leaf(matrix_transpose(normal({6, 5}))), leaf(expand(normal({6}), Shape{5, 6}))}) {
    INFO("x " << to_string(x.shape()) << ", strides " << to_string(x.strides()));
    const Tensor y = linear(x, weight, bias);
    check_fused(y, {x, weight, bias}, normal(Shape(y.shape())));
    check_fused(y, {x, weight, bias}, expand(scalar_like(y), y.shape()));
    if (y.ndim() > 1) check_fused(y, {weight, x}, transpose(normal(Shape(transpose(y, 0, 1).shape())), 0, 1));
  }
}

TEST_CASE("fused gradients of matmul: batches, broadcast ones, views") {
  const struct {
    Shape a, b;
  } cases[] = {
      {{3, 4}, {4, 5}},       {{2, 3, 4}, {4, 5}},          {{3, 4}, {2, 4, 5}},          {{2, 1, 3, 4}, {3, 4, 5}},
      {{2, 3, 4}, {2, 4, 5}}, {{2, 2, 3, 4}, {2, 2, 4, 5}}, {{2, 2, 3, 4}, {1, 2, 4, 5}}, {{1, 3, 4}, {4, 5}}};
  for (const auto& c : cases)
    for (bool turned : {false, true}) {
      const auto make = [&](const Shape& shape) {
        if (!turned) return leaf(normal(shape));
        Shape flipped = shape;
        std::swap(flipped[flipped.size() - 1], flipped[flipped.size() - 2]);
        return leaf(matrix_transpose(normal(flipped)));
      };
      INFO("a " << to_string(c.a) << ", b " << to_string(c.b) << ", turned " << turned);
      const Tensor a = make(c.a), b = make(c.b), y = matmul(a, b);
      check_fused(y, {a, b}, normal(Shape(y.shape())));
      check_fused(y, {b}, expand(scalar_like(y), y.shape()));
    }
}
