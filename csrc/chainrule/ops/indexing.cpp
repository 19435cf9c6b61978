#include "chainrule/ops/indexing.h"

#include <cstring>

#include "chainrule/kernels/copy.h"
#include "chainrule/kernels/indexing.h"

namespace chainrule {

namespace {

Tensor dense(const Tensor& x) { return x.is_contiguous() ? x : installed().contiguous_copy(x); }

void require_index_dtype(const Meta& index, std::string_view op) {
  if (index.dtype != DType::int64)
    fail(ErrorKind::dtype, op, std::string("an index of dtype ") + name_of(index.dtype), "indices must be int64",
         "convert with .long()");
}

// Gather and its adjoint: index must fit in `shape` in every other dim.
int check_gather(IntSpan shape, const Meta& index, int64_t dim, std::string_view op) {
  require_index_dtype(index, op);
  const int at = normalize_dim(dim, static_cast<int>(shape.size()), op);
  bool fits = static_cast<size_t>(index.shape.size()) == shape.size();
  for (int d = 0; fits && d < index.shape.size(); ++d) fits = d == at || index.shape[d] <= shape[d];
  if (!fits)
    fail(ErrorKind::shape, op, "x has shape " + to_string(shape) + ", index has shape " + to_string(index.shape),
         "they must have as many dims, and index may be larger only along dim " + std::to_string(at));
  return at;
}

[[noreturn]] void fail_index(int64_t value, int64_t size, int dim, std::string_view op) {
  fail(ErrorKind::index, op,
       "index " + std::to_string(value) + " on dim " + std::to_string(dim) + " of size " + std::to_string(size),
       "it must be in [0, " + std::to_string(size - 1) + "]");
}

void zero(const Tensor& y) { std::memset(y.data(), 0, static_cast<size_t>(y.numel() * size_of(y.dtype()))); }

// The shape that the index arrays broadcast to; x has `ndim` dims.
Shape index_shape(Args<Meta> inputs, int ndim, std::string_view op) {
  const int count = static_cast<int>(inputs.size()) - 1;
  if (count < 1 || count > ndim)
    fail(ErrorKind::index, op,
         std::to_string(count) + " index arrays for a tensor with " + std::to_string(ndim) + " dimensions",
         "there must be at least one and at most one per dimension");
  Shape shape;
  for (const Meta& index : inputs.subspan(1)) {
    require_index_dtype(index, op);
    shape = broadcast_shapes(shape, index.shape, op);
  }
  return shape;
}

// Row offsets, in elements, that the index arrays choose in a dense tensor of `shape`. Negative indices count from
// the end.
std::vector<int64_t> row_offsets(Args<Tensor> inputs, IntSpan chosen, IntSpan shape, std::string_view op) {
  std::vector<int64_t> offsets(static_cast<size_t>(numel_of(chosen)), 0);
  const Shape strides = contiguous_strides(shape);
  const Tensor spread = Tensor::empty(DType::int64, chosen);
  for (size_t d = 0; d + 1 < inputs.size(); ++d) {
    const Tensor& index = inputs[d + 1];
    copy_strided(spread.data(), DType::int64, spread.strides(), index.data(), DType::int64,
                 broadcast_strides(index.shape(), index.strides(), chosen), chosen);
    for (size_t i = 0; i < offsets.size(); ++i) {
      int64_t value = spread.data<int64_t>()[i];
      if (value < -shape[d] || value >= shape[d])
        fail(ErrorKind::index, op,
             "index " + std::to_string(value) + " on dim " + std::to_string(d) + " of a tensor of shape " +
                 to_string(shape),
             "it must be in [" + std::to_string(-shape[d]) + ", " + std::to_string(shape[d] - 1) + "]");
      offsets[i] += (value < 0 ? value + shape[d] : value) * strides[static_cast<int>(d)];
    }
  }
  return offsets;
}

}  // namespace

// ---- Gather, ScatterZeros ----

Meta Gather::infer(const Meta& x, const Meta& index) const {
  check_gather(x.shape, index, dim, info.name);
  return {x.dtype, index.shape};
}
void Gather::forward(const Tensor& x, const Tensor& index, Tensor& y) const {
  const int at = normalize_dim(dim, x.ndim(), info.name);
  const Tensor positions = dense(index);
  const int64_t size = x.ndim() ? x.size(at) : 1;
  const int64_t bad = chainrule::gather(y.data(), x.data(), x.strides(), size, positions.data<int64_t>(),
                                        positions.shape(), at, size_of(x.dtype()));
  if (bad >= 0) fail_index(positions.data<int64_t>()[bad], size, at, info.name);
}

Meta ScatterZeros::infer(const Meta& x, const Meta& index) const {
  check_gather(shape, index, dim, info.name);
  if (!same(x.shape, index.shape))
    fail(ErrorKind::shape, info.name,
         "x has shape " + to_string(x.shape) + ", index has shape " + to_string(index.shape), "they must be equal");
  return {x.dtype, shape};
}
void ScatterZeros::forward(const Tensor& x, const Tensor& index, Tensor& y) const {
  const int at = normalize_dim(dim, y.ndim(), info.name);
  const Tensor values = dense(x), positions = dense(index);
  const int64_t size = y.ndim() ? y.size(at) : 1;
  zero(y);
  const int64_t bad = chainrule::scatter_add(y.data(), y.strides(), size, values.data(), positions.data<int64_t>(),
                                             positions.shape(), at, y.dtype());
  if (bad >= 0) fail_index(positions.data<int64_t>()[bad], size, at, info.name);
}

// ---- Index, IndexZeros ----

Meta Index::infer(Args<Meta> inputs) const {
  const Meta& x = inputs[0];
  Meta y{x.dtype, index_shape(inputs, x.shape.size(), info.name)};
  for (int d = static_cast<int>(inputs.size()) - 1; d < x.shape.size(); ++d) y.shape.push_back(x.shape[d]);
  return y;
}
void Index::forward(Args<Tensor> inputs, Tensor& y) const {
  const Tensor x = dense(inputs[0]);
  const int indexed = static_cast<int>(inputs.size()) - 1;
  const int64_t length = numel_of(x.shape().subspan(static_cast<size_t>(indexed)));
  const Shape chosen(y.shape().first(static_cast<size_t>(y.ndim() - (x.ndim() - indexed))));
  const std::vector<int64_t> offsets = row_offsets(inputs, chosen, x.shape(), info.name);
  take_rows(y.data(), x.data(), offsets.data(), static_cast<int64_t>(offsets.size()), length, size_of(x.dtype()));
}

Meta IndexZeros::infer(Args<Meta> inputs) const {
  Shape expected = index_shape(inputs, shape.size(), info.name);
  for (int d = static_cast<int>(inputs.size()) - 1; d < shape.size(); ++d) expected.push_back(shape[d]);
  if (!same(inputs[0].shape, expected))
    fail(ErrorKind::shape, info.name, "x has shape " + to_string(inputs[0].shape),
         "for these indices it must be " + to_string(expected));
  return {inputs[0].dtype, shape};
}
void IndexZeros::forward(Args<Tensor> inputs, Tensor& y) const {
  const Tensor x = dense(inputs[0]);
  const size_t indexed = inputs.size() - 1;
  const int64_t length = numel_of(y.shape().subspan(indexed));
  const Shape chosen(x.shape().first(x.shape().size() - (y.shape().size() - indexed)));
  const std::vector<int64_t> offsets = row_offsets(inputs, chosen, y.shape(), info.name);
  zero(y);
  add_rows(y.data(), x.data(), offsets.data(), static_cast<int64_t>(offsets.size()), length, y.dtype());
}

// ---- Cat ----

Meta Cat::infer(Args<Meta> tensors) const {
  if (tensors.empty()) fail(ErrorKind::value, info.name, "no tensors", "there must be at least one");
  Meta y = tensors[0];
  if (y.shape.empty()) fail(ErrorKind::shape, info.name, "a 0-d tensor", "it has no dim to join along", "use stack()");
  const int at = normalize_dim(dim, y.shape.size(), info.name);
  for (const Meta& x : tensors.subspan(1)) {
    require_same_dtype(tensors[0], x, info.name);
    bool fits = x.shape.size() == y.shape.size();
    for (int d = 0; fits && d < x.shape.size(); ++d) fits = d == at || x.shape[d] == y.shape[d];
    if (!fits)
      fail(ErrorKind::shape, info.name, "shapes " + to_string(tensors[0].shape) + " and " + to_string(x.shape),
           "all sizes but those of dim " + std::to_string(at) + " must be equal");
    if (__builtin_add_overflow(y.shape[at], x.shape[at], &y.shape[at]))
      fail(ErrorKind::memory, info.name, "sizes of dim " + std::to_string(at), "their sum must fit in 64 bits");
  }
  checked_numel(y.shape, size_of(y.dtype), info.name);
  return y;
}
void Cat::forward(Args<Tensor> tensors, Tensor& y) const {
  const int at = normalize_dim(dim, y.ndim(), info.name);
  char* to = static_cast<char*>(y.data());
  for (const Tensor& x : tensors) {
    copy_strided(to, y.dtype(), y.strides(), x.data(), x.dtype(), x.strides(), x.shape());
    to += x.size(at) * y.strides()[at] * size_of(y.dtype());
  }
}

}  // namespace chainrule
