#include "chainrule/ops/attention.h"

#include <algorithm>

#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/thread_pool.h"
#include "chainrule/kernels/copy.h"

namespace chainrule {

// ---- Tril ----

Meta Tril::infer(const Meta& x) const {
  if (x.shape.size() < 2)
    fail(ErrorKind::shape, info.name, "x has shape " + to_string(x.shape), "it must have at least 2 dimensions");
  return x;
}
void Tril::forward(const Tensor& x, Tensor& y) const {
  if (y.numel() == 0) return;
  copy_strided(y.data(), y.dtype(), y.strides(), x.data(), x.dtype(), x.strides(), x.shape());
  const int64_t rows = y.size(y.ndim() - 2), columns = y.shape().back(), size = size_of(y.dtype());
  char* to = static_cast<char*>(y.data());
  for (int64_t i = 0; i < y.numel() / columns; ++i, to += columns * size) {
    const int64_t row = i % rows;
    // Of a diagonal far away the sum could overflow.
    const int64_t kept =
        diagonal >= columns ? columns : std::clamp<int64_t>(row + 1 + std::max(diagonal, -rows), 0, columns);
    std::fill(to + kept * size, to + columns * size, char{0});
  }
}

// ---- ScaledDotProductAttention ----

namespace {

constexpr int64_t flops_per_block = 1 << 20;  // of one thread's turn

// Offset of matrix number `index` of a tensor (..., rows, columns).
int64_t matrix_offset(const Tensor& x, int64_t index) {
  int64_t offset = 0;
  for (int d = x.ndim() - 3; d >= 0; --d) {
    offset += index % x.size(d) * x.strides()[d];
    index /= x.size(d);
  }
  return offset;
}

char* matrix_at(const Tensor& x, int64_t index) {
  return static_cast<char*>(x.data()) + matrix_offset(x, index) * size_of(x.dtype());
}
char* matrix_or_null(const Tensor& x, int64_t index) { return x ? matrix_at(x, index) : nullptr; }

struct Heads {
  const Tensor& query;
  const Tensor& key;
  const Tensor& value;
  AttentionArguments all;
  int64_t count, flops;  // flops of a head's forward pass

  Heads(const ScaledDotProductAttention& op, const Tensor& q, const Tensor& k, const Tensor& v)
      : query(q), key(k), value(v), all{} {
    const size_t row = static_cast<size_t>(q.ndim()) - 2;
    all.queries = q.shape()[row];
    all.keys = k.shape()[row];
    all.width = q.shape()[row + 1];
    all.value_width = v.shape()[row + 1];
    for (size_t d : {0u, 1u}) {
      all.query_step[d] = q.strides()[row + d];
      all.key_step[d] = k.strides()[row + d];
      all.value_step[d] = v.strides()[row + d];
    }
    all.scale = op.scale;
    all.is_causal = op.is_causal;
    count = numel_of(q.shape().first(row));
    flops = 2 * all.queries * all.keys * (all.width + all.value_width) / (op.is_causal ? 2 : 1);
  }
  AttentionArguments head(int64_t index) const {
    AttentionArguments a = all;
    a.query = matrix_at(query, index);
    a.key = matrix_at(key, index);
    a.value = matrix_at(value, index);
    return a;
  }
};

// Calls task(i) for every i below count, several at a turn when each is small.
template <class Task>
void for_each_task(int64_t count, int64_t flops_of_one, const Task& task) {
  const int64_t turn = std::max<int64_t>(1, flops_per_block / std::max<int64_t>(1, flops_of_one));
  parallel_for((count + turn - 1) / turn, [&](int64_t block) noexcept {
    for (int64_t i = block * turn; i < std::min(count, (block + 1) * turn); ++i) task(i);
  });
}

bool same_batch(const Meta& a, const Meta& b) {
  const IntSpan x = a.shape, y = b.shape;
  return x.size() == y.size() && same(x.first(x.size() - 2), y.first(y.size() - 2));
}

}  // namespace

Meta ScaledDotProductAttention::infer(const Meta& query, const Meta& key, const Meta& value) const {
  require_floating(query, info.name);
  require_same_dtype(query, key, info.name);
  require_same_dtype(query, value, info.name);
  const auto refuse = [&](const std::string& rule) {
    fail(ErrorKind::shape, info.name,
         "query has shape " + to_string(query.shape) + ", key has shape " + to_string(key.shape) +
             ", value has shape " + to_string(value.shape),
         rule);
  };
  for (const Meta* x : {&query, &key, &value})
    if (x->shape.size() < 2) refuse("each must have at least 2 dimensions, (..., length, features)");
  if (!same_batch(query, key) || !same_batch(query, value)) refuse("the dimensions before the last two must be equal");
  const int row = query.shape.size() - 2;
  if (query.shape.back() != key.shape.back())
    refuse("query.shape[-1] must equal key.shape[-1] (" + size_text(query.shape.back()) +
           " != " + size_text(key.shape.back()) + ")");
  if (key.shape[row] != value.shape[row])
    refuse("key.shape[-2] must equal value.shape[-2] (" + size_text(key.shape[row]) +
           " != " + size_text(value.shape[row]) + ")");
  Meta y = query;
  y.shape[row + 1] = value.shape.back();
  return y;
}

void ScaledDotProductAttention::forward(const Tensor& query, const Tensor& key, const Tensor& value, Tensor& y) const {
  if (y.numel() == 0) return;
  const Heads heads(*this, query, key, value);
  const int64_t queries = heads.all.queries;
  const int64_t blocks = (queries + attention_query_block - 1) / attention_query_block;
  const auto kernel = active_kernels().attention.forward[static_cast<int>(y.dtype())];
  for_each_task(heads.count * blocks, heads.flops / blocks, [&](int64_t task) noexcept {
    const int64_t head = task / blocks, first = task % blocks * attention_query_block;
    kernel(heads.head(head), first, std::min(attention_query_block, queries - first), matrix_at(y, head));
  });
}

void ScaledDotProductAttention::backward(unsigned owed, const Tensor& gy, const Tensor& query, const Tensor& key,
                                         const Tensor& value, const Tensor& y, Tensor* gx) const {
  const Tensor* inputs[] = {&query, &key, &value};
  for (int k = 0; k < 3; ++k)
    if (owed >> k & 1) gx[k] = Tensor::empty(inputs[k]->dtype(), inputs[k]->shape());
  const Heads heads(*this, query, key, value);
  const size_t row = static_cast<size_t>(gy.ndim()) - 2;
  AttentionGradients all{};
  for (size_t d : {0u, 1u}) {
    all.gy_step[d] = gy.strides()[row + d];
    all.y_step[d] = y.strides()[row + d];
  }
  const auto kernel = active_kernels().attention.backward[static_cast<int>(gy.dtype())];
  for_each_task(heads.count, 3 * heads.flops, [&](int64_t head) noexcept {
    AttentionGradients g = all;
    g.query = matrix_or_null(gx[0], head);
    g.key = matrix_or_null(gx[1], head);
    g.value = matrix_or_null(gx[2], head);
    g.gy = matrix_at(gy, head);
    g.y = matrix_at(y, head);
    kernel(heads.head(head), g);
  });
}

}  // namespace chainrule
