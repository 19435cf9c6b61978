#include "chainrule/ops/linear_algebra.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/thread_pool.h"

namespace chainrule {

namespace {

[[noreturn]] void fail_shapes(std::string_view op, std::string_view a_name, const Meta& a, std::string_view b_name,
                              const Meta& b, const std::string& rule) {
  std::string arrived(a_name);
  arrived.append(" has shape ").append(to_string(a.shape)).append(", ").append(b_name);
  arrived.append(" has shape ").append(to_string(b.shape));
  fail(ErrorKind::shape, op, arrived, rule);
}

// Rows of c that one thread computes at a turn; each element is summed in the same order wherever the cuts fall.
constexpr int64_t flops_per_block = 1 << 20;

void multiply(const GemmArguments& all, DType dtype) {
  const int64_t size = size_of(dtype), row_cost = std::max<int64_t>(1, 2 * all.n * all.k);
  int64_t rows = std::max<int64_t>(1, flops_per_block / row_cost);
  rows = (rows + 11) / 12 * 12;  // whole register tiles
  const GemmKernel kernel = active_kernels().gemm[static_cast<int>(dtype)];
  parallel_for((all.m + rows - 1) / rows, [&](int64_t block) noexcept {
    GemmArguments part = all;
    const int64_t first = block * rows;
    part.m = std::min(rows, all.m - first);
    part.a = static_cast<const char*>(all.a) + first * all.a_row_step * size;
    part.c = static_cast<char*>(all.c) + first * all.c_row_step * size;
    kernel(part);
  });
}

// Integers are rare: the plain triple loop, wrapping around as elementwise arithmetic does.
template <class S>
void multiply_integers(const GemmArguments& g) {
  using Unsigned = std::make_unsigned_t<S>;
  for (int64_t i = 0; i < g.m; ++i)
    for (int64_t j = 0; j < g.n; ++j) {
      Unsigned sum = 0;
      for (int64_t p = 0; p < g.k; ++p)
        sum += static_cast<Unsigned>(static_cast<const S*>(g.a)[i * g.a_row_step + p * g.a_column_step]) *
               static_cast<Unsigned>(static_cast<const S*>(g.b)[p * g.b_row_step + j * g.b_column_step]);
      static_cast<S*>(g.c)[i * g.c_row_step + j] = static_cast<S>(sum);
    }
}

void multiply_any(const GemmArguments& g, DType dtype) {
  if (is_floating(dtype)) multiply(g, dtype);
  else if (dtype == DType::int64) multiply_integers<int64_t>(g);
  else multiply_integers<int32_t>(g);
}

// Aligned from the right, are all sizes equal or 1?
bool do_broadcast(IntSpan a, IntSpan b) {
  for (size_t i = 1; i <= std::min(a.size(), b.size()); ++i) {
    const int64_t x = a[a.size() - i], y = b[b.size() - i];
    if (x != y && x != 1 && y != 1) return false;
  }
  return true;
}

Shape without_matrix(IntSpan shape) { return Shape(shape.first(shape.size() - 2)); }

// Offset of batch number `index` in a tensor whose batch dims broadcast to `batch`.
int64_t batch_offset(const Tensor& x, IntSpan batch, int64_t index) {
  const IntSpan shape = x.shape().first(x.shape().size() - 2), strides = x.strides().first(shape.size());
  const Shape steps = broadcast_strides(shape, strides, batch);
  int64_t offset = 0;
  for (int d = steps.size() - 1; d >= 0; --d) {
    offset += index % batch[d] * steps[d];
    index /= batch[d];
  }
  return offset;
}

}  // namespace

Meta Matmul::infer(const Meta& a, const Meta& b) const {
  if (a.shape.size() < 2 || b.shape.size() < 2)
    fail_shapes(info.name, "a", a, "b", b, "both must have at least 2 dimensions here");
  require_same_dtype(a, b, info.name);
  if (a.dtype == DType::boolean)
    fail(ErrorKind::dtype, info.name, "bool", "it works on numbers", "convert with .float()");
  const int64_t inner = a.shape.back(), rows = b.shape[b.shape.size() - 2];
  if (inner != rows)
    fail_shapes(info.name, "a", a, "b", b,
                "a.shape[-1] must equal b.shape[-2] (" + std::to_string(inner) + " != " + std::to_string(rows) + ")");
  const Shape a_batch = without_matrix(a.shape), b_batch = without_matrix(b.shape);
  if (!do_broadcast(a_batch, b_batch))
    fail_shapes(info.name, "a", a, "b", b, "the dimensions before the last two must broadcast");
  Meta y{a.dtype, broadcast_shapes(a_batch, b_batch, info.name)};
  y.shape.push_back(a.shape[a.shape.size() - 2]);
  y.shape.push_back(b.shape.back());
  checked_numel(y.shape, size_of(y.dtype), info.name);
  return y;
}

void Matmul::forward(const Tensor& a, const Tensor& b, Tensor& y) const {
  const int a_rows = a.ndim() - 2, b_rows = b.ndim() - 2, y_rows = y.ndim() - 2;
  const Shape batch = without_matrix(y.shape());
  const int64_t size = size_of(y.dtype()), count = numel_of(batch);
  GemmArguments g{y.size(y_rows), y.shape().back(),    a.shape().back(),
                  a.data(),       a.strides()[a_rows], a.strides()[a_rows + 1],
                  b.data(),       b.strides()[b_rows], b.strides()[b_rows + 1],
                  y.data(),       y.shape().back(),    nullptr};
  if (g.m == 0 || g.n == 0) return;
  for (int64_t i = 0; i < count; ++i) {
    g.a = static_cast<const char*>(a.data()) + batch_offset(a, batch, i) * size;
    g.b = static_cast<const char*>(b.data()) + batch_offset(b, batch, i) * size;
    g.c = static_cast<char*>(y.data()) + i * g.m * g.n * size;
    multiply_any(g, y.dtype());
  }
}

Meta Linear::infer(const Meta& x, const Meta& weight, const Meta& bias) const {
  require_floating(x, info.name);
  require_same_dtype(x, weight, info.name);
  require_same_dtype(x, bias, info.name);
  if (weight.shape.size() != 2 || x.shape.empty() || x.shape.back() != weight.shape[1])
    fail_shapes(info.name, "x", x, "weight", weight,
                "weight must be (out, in) and x.shape[-1] must equal in" +
                    (weight.shape.size() == 2 && !x.shape.empty()
                         ? " (" + std::to_string(x.shape.back()) + " != " + std::to_string(weight.shape[1]) + ")"
                         : ""));
  if (!same(bias.shape, Shape{weight.shape[0]}))
    fail_shapes(info.name, "weight", weight, "bias", bias, "bias must have shape (out,)");
  Meta y = x;
  y.shape[y.shape.size() - 1] = weight.shape[0];
  return y;
}

void Linear::forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) const {
  const int64_t n = y.shape().back(), k = x.shape().back(), m = n ? y.numel() / n : 0;
  if (m == 0) return;
  const bool rows_in_place = x.ndim() == 2 || x.is_contiguous();
  const Tensor rows = rows_in_place ? x : installed().contiguous_copy(x);
  const Tensor flat_bias = bias.is_contiguous() ? bias : installed().contiguous_copy(bias);
  const bool strided = rows.ndim() == 2;
  multiply({m, n, k, rows.data(), strided ? rows.strides()[0] : k, strided ? rows.strides()[1] : 1, weight.data(),
            weight.strides()[1], weight.strides()[0], y.data(), n, flat_bias.data()},
           y.dtype());
}

}  // namespace chainrule
