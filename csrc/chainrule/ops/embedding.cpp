#include "chainrule/ops/embedding.h"

#include <cstring>
#include <vector>

#include "chainrule/kernels/indexing.h"

namespace chainrule {

namespace {

Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

}  // namespace

Meta Embedding::infer(const Meta& weight, const Meta& index) const {
  if (index.dtype != DType::int64)
    fail(ErrorKind::dtype, info.name, std::string("an index of dtype ") + name_of(index.dtype), "indices must be int64",
         "convert with .long()");
  if (weight.shape.empty())
    fail(ErrorKind::shape, info.name, "weight has shape ()", "it must have at least 1 dimension, its rows");
  if (padding_idx < -1 || padding_idx >= weight.shape[0])
    fail(ErrorKind::index, info.name, "padding_idx " + std::to_string(padding_idx),
         "it must be one of the " + std::to_string(weight.shape[0]) + " rows, or -1 for none");
  Meta y{weight.dtype, index.shape};
  for (int d = 1; d < weight.shape.size(); ++d) y.shape.push_back(weight.shape[d]);
  return y;
}

void Embedding::forward(const Tensor& weight, const Tensor& index, Tensor& y) const {
  const Tensor table = dense(weight), rows = dense(index);
  const int64_t count = rows.numel(), size = table.size(0), length = numel_of(table.shape().subspan(1));
  const int64_t* at = rows.data<int64_t>();
  const int64_t outside = first_outside(at, count, size);
  if (outside >= 0)
    fail(ErrorKind::index, info.name,
         "index " + std::to_string(at[outside]) + " in a table of " + std::to_string(size) + " rows",
         "it must be in [0, " + std::to_string(size - 1) + "]");
  std::vector<int64_t> offsets(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) offsets[static_cast<size_t>(i)] = at[i] * length;
  take_rows(y.data(), table.data(), offsets.data(), count, length, size_of(y.dtype()));
}

// Rows are added in the order of the indices: the same bits for any number of threads, since there is one.
void Embedding::backward(unsigned owed, const Tensor& gy, const Tensor& weight, const Tensor& index, const Tensor&,
                         Tensor* gx) const {
  if (!(owed & 1)) return;
  const Tensor g = dense(gy), rows = dense(index);
  gx[0] = Tensor::empty(g.dtype(), weight.shape());
  const int64_t count = rows.numel(), length = numel_of(weight.shape().subspan(1));
  std::memset(gx[0].data(), 0, static_cast<size_t>(gx[0].numel() * size_of(g.dtype())));
  std::vector<int64_t> offsets(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) offsets[static_cast<size_t>(i)] = rows.data<int64_t>()[i] * length;
  add_rows(gx[0].data(), g.data(), offsets.data(), count, length, g.dtype());
  if (padding_idx < 0 || length == 0) return;
  const int64_t bytes = length * size_of(g.dtype());
  std::memset(static_cast<char*>(gx[0].data()) + padding_idx * bytes, 0, static_cast<size_t>(bytes));
}

}  // namespace chainrule
