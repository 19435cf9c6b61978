#include "chainrule/ops/losses.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/ops/reduce.h"

namespace chainrule {

Meta CrossEntropy::infer(const Meta& logits, const Meta& target) const {
  require_floating(logits, info.name);
  if (target.dtype != DType::int64)
    fail(ErrorKind::dtype, info.name, std::string("target has dtype ") + name_of(target.dtype),
         "class numbers must be int64", "convert with .long()");
  if (logits.shape.size() != 2 || !same(target.shape, Shape{logits.shape[0]}))
    fail(ErrorKind::shape, info.name,
         "logits have shape " + to_string(logits.shape) + ", target has shape " + to_string(target.shape),
         "they must be (n, classes) and (n,)");
  return {logits.dtype, target.shape};
}

void CrossEntropy::forward(const Tensor& logits, const Tensor& target, Tensor& y) const {
  const int64_t n = logits.size(0), classes = logits.size(1);
  const int64_t* t = target.data<int64_t>();
  const int64_t t_step = target.strides()[0];
  for (int64_t i = 0; i < n; ++i) {
    const int64_t label = t[i * t_step];
    if (label != ignore_index && (label < 0 || label >= classes))
      fail(ErrorKind::index, info.name, "target " + std::to_string(label) + " at position " + std::to_string(i),
           "a class number must be in [0, " + std::to_string(classes - 1) + "], or ignore_index (" +
               std::to_string(ignore_index) + ")");
  }
  const int64_t size = size_of(logits.dtype());
  const Rows all{logits.data(), n, logits.strides()[0], classes, logits.strides()[1]};
  const ReduceKernel log_sum_exp = active_kernels().rows.logsumexp[static_cast<int>(logits.dtype())];
  for_row_chunks(all, size, [&](const Rows& part, int64_t first) noexcept {
    log_sum_exp(static_cast<char*>(y.data()) + first * size, part, false);
  });
  auto subtract_chosen = [&]<class S>() {
    S* loss = y.data<S>();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t label = t[i * t_step];
      loss[i] = label == ignore_index ? S(0) : loss[i] - logits.data<S>()[i * all.row_step + label * all.column_step];
    }
  };
  if (logits.dtype() == DType::float32) subtract_chosen.template operator()<float>();
  else subtract_chosen.template operator()<double>();
}

}  // namespace chainrule
