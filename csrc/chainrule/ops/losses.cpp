#include "chainrule/ops/losses.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/ops/reduce.h"

namespace chainrule {

namespace {

const Kernels& kernels() { return active_kernels(); }
int index_of(DType dtype) { return static_cast<int>(dtype); }

Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

char* at(const Tensor& x, int64_t i) { return static_cast<char*>(x.data()) + i * size_of(x.dtype()); }

Targets targets_of(const Tensor& target, int64_t ignored) {
  return {target.data<int64_t>(), target.strides()[0], ignored};
}

Targets from_row(Targets targets, int64_t row) {
  targets.at += row * targets.step;
  return targets;
}

Rows rows_of(const Tensor& x) { return {x.data(), x.size(0), x.size(1), x.size(1), 1}; }

int64_t counted_rows(const Targets& targets, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += targets.at[i * targets.step] != targets.ignored;
  return count;
}

// y = value, rounded to its dtype.
void store(const Tensor& y, double value) {
  if (y.dtype() == DType::float32) *y.data<float>() = static_cast<float>(value);
  else *y.data<double>() = value;
}
double value_of(const Tensor& y) {
  return y.dtype() == DType::float32 ? static_cast<double>(*y.data<float>()) : *y.data<double>();
}

void check_same_shape(const Meta& input, const Meta& target, std::string_view op) {
  if (!same(input.shape, target.shape))
    fail(ErrorKind::shape, op,
         "input has shape " + to_string(input.shape) + ", target has shape " + to_string(target.shape),
         "they must be equal", "reshape or expand one of them");
}

}  // namespace

// ---- Cross entropy ------------------------------------------------------------------------------------------

Meta CrossEntropy::infer(const Meta& logits, const Meta& target) const {
  require_floating(logits, info.name);
  if (target.dtype != DType::int64)
    fail(ErrorKind::dtype, info.name, std::string("target has dtype ") + name_of(target.dtype),
         "class numbers must be int64", "convert with .long()");
  if (logits.shape.size() != 2 || !same(target.shape, Shape{logits.shape[0]}))
    fail(ErrorKind::shape, info.name,
         "logits have shape " + to_string(logits.shape) + ", target has shape " + to_string(target.shape),
         "they must be (n, classes) and (n,)");
  return {logits.dtype, mean ? Shape() : Shape(target.shape)};
}

void CrossEntropy::forward(const Tensor& logits, const Tensor& target, Tensor& y) const {
  const int64_t n = logits.size(0), classes = logits.size(1);
  const Targets targets = targets_of(target, ignore_index);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t label = targets.at[i * targets.step];
    if (label != ignore_index && (label < 0 || label >= classes))
      fail(ErrorKind::index, info.name, "target " + std::to_string(label) + " at position " + std::to_string(i),
           "a class number must be in [0, " + std::to_string(classes - 1) + "], or ignore_index (" +
               std::to_string(ignore_index) + ")");
  }
  const Tensor x = dense(logits), loss = mean ? Tensor::empty(y.dtype(), target.shape()) : y;
  const CrossEntropyKernel kernel = kernels().losses.cross_entropy[index_of(x.dtype())];
  for_row_chunks(rows_of(x), size_of(x.dtype()), [&](const Rows& part, int64_t first) noexcept {
    kernel(at(loss, first), part, from_row(targets, first));
  });
  if (!mean) return;
  kernels().reductions.sum[index_of(y.dtype())](y.data(), {loss.data(), 1, n, n, 1}, false);
  store(y, value_of(y) / static_cast<double>(counted_rows(targets, n)));
}

void CrossEntropy::backward(unsigned, const Tensor& gy, const Tensor& logits, const Tensor& target, const Tensor&,
                            Tensor* gx) const {
  const Targets targets = targets_of(target, ignore_index);
  const Tensor x = dense(logits);
  gx[0] = Tensor::empty(x.dtype(), x.shape());
  Tensor scale = gy;
  if (mean) {
    scale = Tensor::empty(gy.dtype(), {});
    store(scale, value_of(gy) / static_cast<double>(std::max<int64_t>(1, counted_rows(targets, x.size(0)))));
  }
  const int64_t step = mean ? 0 : scale.strides()[0];
  const CrossEntropyBackwardKernel kernel = kernels().losses.cross_entropy_backward[index_of(x.dtype())];
  for_row_chunks(rows_of(x), size_of(x.dtype()), [&](const Rows& part, int64_t first) noexcept {
    kernel(at(gx[0], first * part.columns), at(scale, first * step), step, part, from_row(targets, first));
  });
}

// ---- Mean squared error ---------------------------------------------------------------------------------------

Meta MseLoss::infer(const Meta& input, const Meta& target) const {
  require_floating(input, info.name);
  require_same_dtype(input, target, info.name);
  check_same_shape(input, target, info.name);
  return {input.dtype, {}};
}

constexpr int64_t error_block = 1 << 15;  // of one thread's turn

void MseLoss::forward(const Tensor& input, const Tensor& target, Tensor& y) const {
  const Tensor a = dense(input), b = dense(target);
  const int64_t n = a.numel(), blocks = (n + error_block - 1) / error_block;
  const SquaredErrorKernel kernel = kernels().losses.squared_error[index_of(y.dtype())];
  if (blocks <= 1) {
    kernel(y.data(), a.data(), b.data(), n);
  } else {
    const Tensor partial = Tensor::empty(y.dtype(), Shape{blocks});
    for_blocks(blocks, n, [&](int64_t block) noexcept {
      const int64_t first = block * error_block;
      kernel(at(partial, block), at(a, first), at(b, first), std::min(error_block, n - first));
    });
    kernels().reductions.sum[index_of(y.dtype())](y.data(), {partial.data(), 1, blocks, blocks, 1}, false);
  }
  store(y, value_of(y) / static_cast<double>(n));
}

void MseLoss::backward(unsigned owed, const Tensor& gy, const Tensor& input, const Tensor& target, const Tensor&,
                       Tensor* gx) const {
  const Tensor a = dense(input), b = dense(target), scale = Tensor::empty(gy.dtype(), {});
  const int64_t n = a.numel();
  store(scale, value_of(gy) * (2 / static_cast<double>(std::max<int64_t>(n, 1))));
  const ScaledDifferenceKernel kernel = kernels().losses.scaled_difference[index_of(gy.dtype())];
  const auto fill = [&](const Tensor& to, const Tensor& from, const Tensor& subtracted) {
    for_blocks((n + error_block - 1) / error_block, n, [&](int64_t block) noexcept {
      const int64_t first = block * error_block;
      kernel(at(to, first), scale.data(), at(from, first), at(subtracted, first), std::min(error_block, n - first));
    });
  };
  if (owed & 1) fill(gx[0] = Tensor::empty(a.dtype(), a.shape()), a, b);
  if (owed & 2) fill(gx[1] = Tensor::empty(a.dtype(), a.shape()), b, a);
}

}  // namespace chainrule
