#include "chainrule/ops/functional.h"

#include "chainrule/core/error.h"
#include "chainrule/ops/op_rules.h"

namespace chainrule {

namespace {

// A requested shape with its one -1 filled in.
Shape resolve_shape(const Tensor& x, IntSpan requested, std::string_view op) {
  Shape shape(requested);
  int unknown = -1;
  int64_t known = 1;
  for (int d = 0; d < shape.size(); ++d) {
    if (shape[d] == -1) {
      if (unknown >= 0) fail(ErrorKind::shape, op, "shape " + to_string(requested), "at most one size may be -1");
      unknown = d;
    } else if (__builtin_mul_overflow(known, shape[d], &known)) {
      known = 0;
    }
  }
  if (unknown < 0) return shape;
  if (known <= 0 || x.numel() % known != 0)
    fail(ErrorKind::shape, op, "x has shape " + to_string(x.shape()) + ", the new shape is " + to_string(requested),
         "-1 must stand for a whole size");
  shape[unknown] = x.numel() / known;
  return shape;
}

template <class Op>
std::pair<Tensor, Tensor> with_positions(const Op& op, const Tensor& x) {
  const Tensor* inputs[] = {&x};
  Tensor outputs[max_outputs];
  run(op_table()[id_of<Op>], &op, inputs, outputs);
  return {outputs[0], outputs[1]};
}

// Without a dim, the position is that in the flattened tensor.
template <class Op>
Tensor position(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  if (dim) return Tensor::call(Op{*dim, keepdim}, x);
  const Tensor flat = Tensor::call(Op{0, false}, flatten(x));
  return keepdim ? reshape(flat, reduced_shape(x.shape(), ~0u, true)) : flat;
}

}  // namespace

// ---- Shapes ----

Tensor reshape(const Tensor& x, IntSpan shape) { return Tensor::call(Reshape{resolve_shape(x, shape, "reshape")}, x); }

Tensor view(const Tensor& x, IntSpan shape) {
  const Reshape op{resolve_shape(x, shape, "view")};
  if (checked_numel(op.shape, size_of(x.dtype()), "view") != x.numel())
    fail(ErrorKind::shape, "view", "x has shape " + to_string(x.shape()) + ", the new shape is " + to_string(op.shape),
         "the number of elements must stay the same");
  if (!op.view(x))
    fail(ErrorKind::shape, "view",
         "x has shape " + to_string(x.shape()) + " and strides " + to_string(x.strides()) + ", the new shape is " +
             to_string(op.shape),
         "these strides allow no such view", "use reshape()");
  return Tensor::call(op, x);
}

Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1) {
  const int a = normalize_dim(dim0, x.ndim(), "transpose"), b = normalize_dim(dim1, x.ndim(), "transpose");
  return Tensor::call(Permute::swap(x.ndim(), a, b), x);
}
Tensor matrix_transpose(const Tensor& x) {
  if (x.ndim() < 2)
    fail(ErrorKind::shape, "mT", "x of shape " + to_string(x.shape()), "it must have at least 2 dimensions");
  return transpose(x, -2, -1);
}
Tensor reverse_dims(const Tensor& x) {
  Permute op;
  for (int d = x.ndim() - 1; d >= 0; --d) op.dims.push_back(d);
  return Tensor::call(op, x);
}
Tensor permute(const Tensor& x, IntSpan dims) { return Tensor::call(Permute{Shape(dims)}, x); }

Tensor expand(const Tensor& x, IntSpan shape) {
  Shape target(shape);
  const int lead = target.size() - x.ndim();
  for (int d = std::max(lead, 0); d < target.size(); ++d)
    if (target[d] == -1) target[d] = x.size(d - lead);
  return Tensor::call(Expand{target}, x);
}

Tensor squeeze(const Tensor& x, std::optional<IntSpan> dims) {
  const uint32_t mask = dims ? (dims->empty() ? 0 : dim_mask(*dims, x.ndim(), "squeeze")) : ~0u;
  Shape shape;
  for (int d = 0; d < x.ndim(); ++d)
    if (x.size(d) != 1 || !(mask >> d & 1)) shape.push_back(x.size(d));
  return Tensor::call(Reshape{shape}, x);
}
Tensor unsqueeze(const Tensor& x, int64_t dim) {
  Shape shape(x.shape());
  shape.insert(normalize_dim(dim, x.ndim() + 1, "unsqueeze"), 1);
  return Tensor::call(Reshape{shape}, x);
}
Tensor flatten(const Tensor& x, int64_t start_dim, int64_t end_dim) {
  const int first = normalize_dim(start_dim, x.ndim(), "flatten"), last = normalize_dim(end_dim, x.ndim(), "flatten");
  if (first > last)
    fail(ErrorKind::value, "flatten",
         "start_dim " + std::to_string(start_dim) + " and end_dim " + std::to_string(end_dim),
         "start_dim must not come after end_dim");
  Shape shape;
  int64_t merged = 1;
  for (int d = 0; d < x.ndim(); ++d) {
    if (d < first || d > last) shape.push_back(x.size(d));
    else merged *= x.size(d);
    if (d == last) shape.push_back(merged);
  }
  if (x.ndim() == 0) shape.push_back(1);
  return Tensor::call(Reshape{shape}, x);
}

Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : Tensor::call(Clone{}, x); }
Tensor cast(const Tensor& x, DType dtype) { return x.dtype() == dtype ? x : Tensor::call(Cast{dtype}, x); }
Tensor detach(const Tensor& x) {
  if (x.is_placeholder()) return Tensor::call(Detach{}, x);
  Tensor result = x.alias();
  result->detached = grad_enabled() && (x.requires_grad() || x->detached);
  // What holds the memory alone must know it, too; a leaf is in the graph anyway, with all that shares its memory.
  if (result->detached && !x.is_leaf()) result->storage->unrecorded_op = id_of<Detach>;
  return result;
}

Tensor stack(std::span<const Tensor> tensors, int64_t dim) {
  if (tensors.empty()) fail(ErrorKind::value, "stack", "no tensors", "there must be at least one");
  const int at = normalize_dim(dim, tensors[0].ndim() + 1, "stack");
  std::vector<Tensor> raised;
  for (const Tensor& x : tensors) {
    if (!same(x.shape(), tensors[0].shape()))
      fail(ErrorKind::shape, "stack", "shapes " + to_string(tensors[0].shape()) + " and " + to_string(x.shape()),
           "all shapes must be equal");
    raised.push_back(unsqueeze(x, at));
  }
  return Tensor::call_many(Cat{at}, raised);
}

// ---- Reductions ----

Tensor sum(const Tensor& x, IntSpan dim, bool keepdim) { return Tensor::call(Sum{Shape(dim), keepdim}, x); }
Tensor mean(const Tensor& x, IntSpan dim, bool keepdim) { return Tensor::call(Mean{Shape(dim), keepdim}, x); }
Tensor max(const Tensor& x) { return Tensor::call(Amax{}, x); }
Tensor min(const Tensor& x) { return Tensor::call(Amin{}, x); }
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim) {
  return with_positions(Max{dim, keepdim}, x);
}
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim) {
  return with_positions(Min{dim, keepdim}, x);
}
Tensor argmax(const Tensor& x, std::optional<int64_t> dim, bool keepdim) { return position<Argmax>(x, dim, keepdim); }
Tensor argmin(const Tensor& x, std::optional<int64_t> dim, bool keepdim) { return position<Argmin>(x, dim, keepdim); }

// ---- Linear algebra ----

// A 1-d operand is a row (left) or a column (right); its extra dim is dropped from the result.
Tensor matmul(const Tensor& a, const Tensor& b) {
  if (a.ndim() == 0 || b.ndim() == 0)
    fail(ErrorKind::shape, "matmul", "a has shape " + to_string(a.shape()) + ", b has shape " + to_string(b.shape()),
         "both must have at least 1 dimension", "multiply by a scalar with *");
  const bool row = a.ndim() == 1, column = b.ndim() == 1;
  if (a.shape().back() != b.size(column ? 0 : b.ndim() - 2))
    fail(ErrorKind::shape, "matmul", "a has shape " + to_string(a.shape()) + ", b has shape " + to_string(b.shape()),
         std::string("a.shape[-1] must equal b.shape[") + (column ? "-1" : "-2") + "] (" + size_text(a.shape().back()) +
             " != " + size_text(b.size(column ? 0 : b.ndim() - 2)) + ")");
  Tensor y = Tensor::call(Matmul{}, row ? unsqueeze(a, 0) : a, column ? unsqueeze(b, 1) : b);
  if (!row && !column) return y;
  Shape shape(y.shape());
  if (column) shape.erase(shape.size() - 1);
  if (row) shape.erase(shape.size() - (column ? 1 : 2));
  return Tensor::call(Reshape{shape}, y);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (bias) return Tensor::call(Linear{}, x, weight, bias);
  if (weight.ndim() != 2 || x.ndim() == 0 || x.shape().back() != weight.size(1))
    fail(ErrorKind::shape, "linear",
         "x has shape " + to_string(x.shape()) + ", weight has shape " + to_string(weight.shape()),
         "weight must be (out, in) and x.shape[-1] must equal in");
  return matmul(x, matrix_transpose(weight));
}

// ---- Images ----

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2d& options) {
  if (bias) return Tensor::call(options, x, weight, bias);
  const int64_t out = weight.ndim() ? weight.size(0) : 0;
  return Tensor::call(options, x, weight, Tensor::zeros(weight.dtype(), Shape{out}));
}
std::pair<Tensor, Tensor> max_pool2d(const Tensor& x, const MaxPool2d& options) { return with_positions(options, x); }

// ---- Indexing ----

Tensor select(const Tensor& x, int64_t dim, int64_t index) { return Tensor::call(Select{dim, index}, x); }
Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t stop, int64_t step) {
  return Tensor::call(Slice{dim, start, stop, step}, x);
}
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index) { return Tensor::call(Gather{dim}, x, index); }

// The indexed dims are brought to the front, and what they became goes back to their place.
Tensor index(const Tensor& x, std::span<const Tensor> indices, int64_t first_dim) {
  const int first = normalize_dim(first_dim, x.ndim(), "index"), count = static_cast<int>(indices.size());
  if (first + count > x.ndim())
    fail(ErrorKind::index, "index",
         std::to_string(count) + " index arrays from dim " + std::to_string(first) + " of a tensor of shape " +
             to_string(x.shape()),
         "there must be a dimension for each");
  Permute to_front;
  for (int d = 0; d < count; ++d) to_front.dims.push_back(first + d);
  for (int d = 0; d < x.ndim(); ++d)
    if (d < first || d >= first + count) to_front.dims.push_back(d);
  std::vector<Tensor> inputs{first == 0 ? x : Tensor::call(to_front, x)};
  for (const Tensor& i : indices) inputs.push_back(i.dtype() == DType::int32 ? cast(i, DType::int64) : i);
  const Tensor y = Tensor::call_many(Index{}, inputs);
  if (first == 0) return y;
  const int chosen = y.ndim() - (x.ndim() - count);
  Permute back;
  for (int d = 0; d < first; ++d) back.dims.push_back(chosen + d);
  for (int d = 0; d < chosen; ++d) back.dims.push_back(d);
  for (int d = chosen + first; d < y.ndim(); ++d) back.dims.push_back(d);
  return Tensor::call(back, y);
}

Tensor nonzero(const Tensor& mask) {
  const GradMode unrecorded(false);
  const Tensor dense = contiguous(cast(mask, DType::boolean));
  const uint8_t* bytes = dense.data<uint8_t>();
  const int64_t count = std::count(bytes, bytes + dense.numel(), uint8_t{1});
  const Tensor positions = Tensor::empty(DType::int64, Shape{count, mask.ndim()});
  int64_t* out = positions.data<int64_t>();
  const Shape strides = contiguous_strides(mask.shape());
  for (int64_t i = 0; i < dense.numel(); ++i) {
    if (!bytes[i]) continue;
    int64_t rest = i;
    for (int d = 0; d < mask.ndim(); ++d) {
      *out++ = rest / strides[d];
      rest %= strides[d];
    }
  }
  return positions;
}

// ---- Losses ----

Tensor mse_loss(const Tensor& input, const Tensor& target) { return Tensor::call(MseLoss{}, input, target); }

Tensor cross_entropy(const Tensor& logits, const Tensor& target) {
  return Tensor::call(CrossEntropy{.mean = true}, logits, target);
}

}  // namespace chainrule
