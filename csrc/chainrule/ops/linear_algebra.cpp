#include "chainrule/ops/linear_algebra.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/ops/matrix_product.h"
#include "chainrule/ops/reduce.h"

namespace chainrule {

namespace {

[[noreturn]] void fail_shapes(std::string_view op, std::string_view a_name, const Meta& a, std::string_view b_name,
                              const Meta& b, const std::string& rule) {
  std::string arrived(a_name);
  arrived.append(" has shape ").append(to_string(a.shape)).append(", ").append(b_name);
  arrived.append(" has shape ").append(to_string(b.shape));
  fail(ErrorKind::shape, op, arrived, rule);
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

/// The last two dims of a tensor, as memory; the transpose is the same memory.
struct Matrix {
  const void* data;
  int64_t rows, columns, row_step, column_step;
};
Matrix matrix(const Tensor& x) {
  const int last = x.ndim() - 1;
  return {x.data(), x.size(last - 1), x.size(last), x.strides()[last - 1], x.strides()[last]};
}
Matrix transposed(const Matrix& x) { return {x.data, x.columns, x.rows, x.column_step, x.row_step}; }

GemmArguments product(const Matrix& a, const Matrix& b, const Tensor& y) {
  return {a.rows, b.columns,  a.columns,     a.data,   a.row_step, a.column_step,
          b.data, b.row_step, b.column_step, y.data(), b.columns,  nullptr};
}

Shape batch_steps(const Tensor& x, IntSpan batch) {
  const size_t dims = x.shape().size() - 2;
  return broadcast_strides(x.shape().first(dims), x.strides().first(dims), batch);
}

/// All dims but the last as the rows of a matrix; false if the strides allow no such view.
bool view_as_rows(const Tensor& x, Matrix& rows) {
  const int last = x.ndim() - 1;
  rows = {x.data(), 1, x.size(last), x.size(last), x.strides()[last]};
  for (int d = last - 1; d >= 0; --d) {
    if (x.size(d) == 1) continue;
    if (rows.rows == 1) rows.row_step = x.strides()[d];
    else if (x.strides()[d] != rows.rows * rows.row_step && x.numel() != 0) return false;
    rows.rows *= x.size(d);
  }
  return true;
}

/// The same, from a copy where it must be; `keep` holds it.
Matrix rows_of(const Tensor& x, Tensor& keep) {
  Matrix rows;
  keep = x;
  if (view_as_rows(x, rows)) return rows;
  keep = installed().contiguous_copy(x);
  view_as_rows(keep, rows);
  return rows;
}

void sum_rows(const Matrix& x, const Tensor& like, const Tensor& y) {
  const Tensor view = like.view(Shape{x.rows, x.columns}, Shape{x.row_step, x.column_step}, 0);
  reduce_with(active_kernels().reductions.sum[static_cast<int>(y.dtype())], view, 1, y);
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
  Meta y{a.dtype, {}};
  if (a.shape.size() > 2 || b.shape.size() > 2) {
    const Shape a_batch = without_matrix(a.shape), b_batch = without_matrix(b.shape);
    if (!do_broadcast(a_batch, b_batch))
      fail_shapes(info.name, "a", a, "b", b, "the dimensions before the last two must broadcast");
    y.shape = broadcast_shapes(a_batch, b_batch, info.name);
  }
  y.shape.push_back(a.shape[a.shape.size() - 2]);
  y.shape.push_back(b.shape.back());
  checked_numel(y.shape, size_of(y.dtype), info.name);
  return y;
}

void Matmul::forward(const Tensor& a, const Tensor& b, Tensor& y) const {
  const GemmArguments g = product(matrix(a), matrix(b), y);
  if (y.ndim() == 2) return multiply(g, y.dtype());
  const Shape batch = without_matrix(y.shape());
  multiply(g, {batch, batch_steps(a, batch), batch_steps(b, batch)}, y.dtype());
}

// Where an operand repeats over batches, its gradient is their sum: a single product when it is a plain matrix and the
// batches of the other one are rows, the rules in ops otherwise.
void Matmul::backward(unsigned owed, const Tensor& gy, const Tensor& a, const Tensor& b, const Tensor&,
                      Tensor* gx) const {
  const IntSpan batch = gy.shape().first(gy.shape().size() - 2);
  const auto batches = [&](const Tensor& x) { return same(x.shape().first(x.shape().size() - 2), batch); };
  const bool whole_a = batches(a), whole_b = batches(b);
  if ((owed & 1) && whole_a) {
    gx[0] = Tensor::empty(a.dtype(), a.shape());
    const GemmArguments g = product(matrix(gy), transposed(matrix(b)), gx[0]);
    if (batch.empty()) multiply(g, a.dtype());
    else multiply(g, {Shape(batch), batch_steps(gy, batch), batch_steps(b, batch)}, a.dtype());
  }
  if (!(owed & 2)) return;
  Matrix a_rows, gy_rows;
  if (whole_b) {
    gx[1] = Tensor::empty(b.dtype(), b.shape());
    const GemmArguments g = product(transposed(matrix(a)), matrix(gy), gx[1]);
    if (batch.empty()) multiply(g, b.dtype());
    else multiply(g, {Shape(batch), batch_steps(a, batch), batch_steps(gy, batch)}, b.dtype());
  } else if (b.ndim() == 2 && whole_a && gy.numel() != 0 && view_as_rows(a, a_rows) && view_as_rows(gy, gy_rows)) {
    gx[1] = Tensor::empty(b.dtype(), b.shape());
    multiply(product(transposed(a_rows), gy_rows, gx[1]), b.dtype());
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
                         ? " (" + size_text(x.shape.back()) + " != " + size_text(weight.shape[1]) + ")"
                         : ""));
  if (!same(bias.shape, Shape{weight.shape[0]}))
    fail_shapes(info.name, "weight", weight, "bias", bias, "bias must have shape (out,)");
  Meta y = x;
  y.shape[y.shape.size() - 1] = weight.shape[0];
  return y;
}

void Linear::forward(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) const {
  if (y.numel() == 0) return;
  const Tensor flat_bias = bias.is_contiguous() ? bias : installed().contiguous_copy(bias);
  Tensor keep;
  GemmArguments g = product(rows_of(x, keep), transposed(matrix(weight)), y);
  g.bias = flat_bias.data();
  multiply(g, y.dtype());
}

void Linear::backward(unsigned owed, const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor&,
                      const Tensor&, Tensor* gx) const {
  Tensor keep_gy, keep_x;
  const Matrix g = rows_of(gy, keep_gy), w = matrix(weight);
  if (owed & 1) {
    gx[0] = Tensor::empty(x.dtype(), x.shape());
    multiply(product(g, w, gx[0]), x.dtype());
  }
  if (owed & 2) {
    gx[1] = Tensor::empty(weight.dtype(), weight.shape());
    multiply(product(transposed(g), rows_of(x, keep_x), gx[1]), weight.dtype());
  }
  if (owed & 4) {
    gx[2] = Tensor::empty(gy.dtype(), Shape{w.rows});
    sum_rows(g, keep_gy, gx[2]);
  }
}

}  // namespace chainrule
