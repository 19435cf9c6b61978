// attention.cpp - softmax(scale * q k^T) v of one head, and its gradients, float32 and float64. Compiled once per
// level. Floor: kernels. The scores exist only as blocks of a few rows of queries by a few keys, in cache; a row's
// softmax is kept up to date from block to block by its maximum and its sum (Milakov and Gimelshein, Online normalizer
// calculation for softmax, 2018; Dao et al., FlashAttention, 2022). The gradients compute the scores again. Invariant:
// every sum runs in the order of its index within blocks of fixed size, so bits depend on the sizes of one head only.
#include "chainrule/kernels/gemm_tile.h"
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/scratch.h"
#include "chainrule/kernels/simd_math.h"

namespace chainrule {
namespace {

constexpr double infinity = __builtin_inf();
constexpr int64_t key_block = 64;         // a multiple of every number of lanes

template <class S>
using Wide = Pack<S, lanes<S>>;

template <class S>
struct Matrix {
  const S* data;
  int64_t row_step, column_step;
  const S* at(int64_t i, int64_t j) const { return data + i * row_step + j * column_step; }
  Matrix from(int64_t i, int64_t j) const { return {at(i, j), row_step, column_step}; }
  Matrix transposed() const { return {data, column_step, row_step}; }
};

/// What one thread works with: the scores, their gradient, the statistics of the rows, a packed sliver.
template <class S>
struct Workspace {
  S scores[attention_query_block * key_block];
  S gradient[attention_query_block * key_block];
  S largest[attention_query_block], sum[attention_query_block], inner[attention_query_block];
  S packed[max_block_length * sliver_width<S>];
};
static_assert(sizeof(Workspace<double>) <= scratch_bytes);

// ---- Products ----------------------------------------------------------------------------------------------------

/// c(m, n) (+)= a(m, k) b(k, n); rows of c are contiguous.
template <class S>
void multiply(int64_t m, int64_t n, int64_t k, const Matrix<S>& a, const Matrix<S>& b, S* c, int64_t c_step,
              bool accumulate, S* packed) {
  constexpr int64_t width = sliver_width<S>;
  const int64_t tiles = (m + tile_rows - 1) / tile_rows;
  Tile<S> t{};
  t.a_row_step = a.row_step;
  t.a_column_step = a.column_step;
  t.c_row_step = c_step;
  t.c_column_step = 1;
  for_each_block(k, [&](int64_t p, int64_t length) {
    t.k = length;
    t.first = !accumulate && p == 0;
    for (int64_t column = 0; column < n; column += width) {
      t.columns = n - column < width ? n - column : width;
      t.b = b.at(p, column);
      t.b_row_step = b.row_step;
      if (b.column_step != 1 || t.columns != width) {
        pack_sliver(packed, width, t.b, b.row_step, b.column_step, length, t.columns);
        t.b = packed;
        t.b_row_step = width;
      }
      const TileKernel<S>* const kernels =
          t.columns <= lanes<S> ? kernels_of_rows<S, 1, false>() : kernels_of_rows<S, tile_vectors, false>();
      for (int64_t i = 0, row = 0; i < tiles; ++i) {
        const int64_t rows = m / tiles + (i < m % tiles);
        t.a = a.at(row, p);
        t.c = c + row * c_step + column;
        kernels[rows - 1](t);
        row += rows;
      }
    }
  });
}

// ---- Scores ------------------------------------------------------------------------------------------------------

/// A block of one head: rows of queries [first_query, + queries) by keys [first_key, + keys).
struct Block {
  int64_t first_query, queries, first_key, keys;
};

/// How many keys the queries of a block see at most.
inline int64_t visible_keys(const AttentionArguments& a, int64_t first_query, int64_t queries) {
  const int64_t past = first_query + queries;
  return a.is_causal && past < a.keys ? past : a.keys;
}

/// Scaled scores of a block; -infinity for keys that a query must not see and in the padding to whole vectors.
template <class S>
void compute_scores(const AttentionArguments& a, const Block& block, Workspace<S>& w) {
  const Matrix<S> q{static_cast<const S*>(a.query), a.query_step[0], a.query_step[1]};
  const Matrix<S> k{static_cast<const S*>(a.key), a.key_step[0], a.key_step[1]};
  multiply(block.queries, block.keys, a.width, q.from(block.first_query, 0), k.from(block.first_key, 0).transposed(),
           w.scores, key_block, false, w.packed);
  constexpr int width = lanes<S>;
  const Wide<S> scale = a.scale;
  for (int64_t i = 0; i < block.queries; ++i) {
    S* row = w.scores + i * key_block;
    int64_t seen = block.keys;
    if (a.is_causal) {
      seen = block.first_query + i - block.first_key + 1;
      seen = seen < 0 ? 0 : seen < block.keys ? seen : block.keys;
    }
    for (int64_t j = 0; j < seen; j += width) (Wide<S>::load(row + j) * scale).store(row + j);
    for (int64_t j = seen; j < key_block; ++j) row[j] = -infinity;
  }
}

/// Number of columns of the block in whole vectors; the padding is -infinity, or 0 after exp.
template <class S>
inline int64_t padded(int64_t keys) {
  return (keys + lanes<S> - 1) / lanes<S> * lanes<S>;
}

/// scores = exp(scores - largest so far), and the row's maximum and sum with this block. `rescale(i, factor)` is told
/// by what the earlier blocks' contributions to row i must be multiplied.
template <class S, class Rescale>
void accumulate_softmax(const Block& block, Workspace<S>& w, const Rescale& rescale) {
  constexpr int width = lanes<S>;
  const int64_t columns = padded<S>(block.keys);
  for (int64_t i = 0; i < block.queries; ++i) {
    S* row = w.scores + i * key_block;
    Wide<S> best = -infinity;
    for (int64_t j = 0; j < columns; j += width) best = max_or_nan(best, Wide<S>::load(row + j));
    const S before = w.largest[i], block_best = reduce_max(best);
    const S largest = before > block_best || before != before ? before : block_best;
    // While all are -infinity, nothing may become NaN: another block may bring a number.
    const S shift_lane = largest == -infinity ? S(0) : largest;
    const Wide<S> shift = Wide<S>::splat(&shift_lane);
    Wide<S> sum = S(0);
    for (int64_t j = 0; j < columns; j += width) {
      const Wide<S> e = exp(Wide<S>::load(row + j) - shift);
      e.store(row + j);
      sum = sum + e;
    }
    if (before == largest || before == -infinity) {
      w.sum[i] = w.sum[i] + reduce_add(sum);
    } else {
      const S difference = before - largest;
      const S factor = exp(Wide<S>::splat(&difference))[0];
      rescale(i, factor);
      w.sum[i] = w.sum[i] * factor + reduce_add(sum);
    }
    w.largest[i] = largest;
  }
}

template <class S>
void start_rows(Workspace<S>& w, int64_t queries) {
  for (int64_t i = 0; i < queries; ++i) {
    w.largest[i] = -infinity;
    w.sum[i] = 0;
  }
}

template <class S, class F>
inline void map_row(S* row, int64_t n, const F& f) {
  int64_t j = 0;
  for (; j + lanes<S> <= n; j += lanes<S>) f(Wide<S>::load(row + j)).store(row + j);
  for (; j < n; ++j) row[j] = f(Wide<S>::splat(row + j))[0];
}

// ---- Forward -----------------------------------------------------------------------------------------------------

/// Queries [first, first + count), count <= attention_query_block.
template <class S>
void forward(const AttentionArguments& a, int64_t first, int64_t count, void* out) {
  Workspace<S>& w = *static_cast<Workspace<S>*>(kernel_scratch());
  S* y = static_cast<S*>(out) + first * a.value_width;
  const Matrix<S> v{static_cast<const S*>(a.value), a.value_step[0], a.value_step[1]};
  start_rows(w, count);
  const int64_t keys = visible_keys(a, first, count);
  if (keys == 0) {
    for (int64_t j = 0; j < count * a.value_width; ++j) y[j] = 0;
    return;
  }
  for (int64_t key = 0; key < keys; key += key_block) {
    const Block block{first, count, key, keys - key < key_block ? keys - key : key_block};
    compute_scores(a, block, w);
    accumulate_softmax(block, w, [&](int64_t i, S factor) {
      map_row(y + i * a.value_width, a.value_width, [&](Wide<S> x) { return x * Wide<S>::splat(&factor); });
    });
    multiply(count, a.value_width, block.keys, Matrix<S>{w.scores, key_block, 1}, v.from(key, 0), y, a.value_width,
             key > 0, w.packed);
  }
  for (int64_t i = 0; i < count; ++i) {
    const Wide<S> sum = Wide<S>::splat(&w.sum[i]);
    map_row(y + i * a.value_width, a.value_width, [&](Wide<S> x) { return x / sum; });
  }
}

// ---- Backward ----------------------------------------------------------------------------------------------------

/// The inner product of gy and y, which is that of the probabilities and their gradients.
template <class S>
S inner_product(const S* gy, int64_t step, const S* y, int64_t n) {
  constexpr int width = lanes<S>;
  Wide<S> sum = S(0);
  int64_t j = 0;
  for (; j + width <= n; j += width) {
    const Wide<S> g = step == 1 ? Wide<S>::load(gy + j) : Wide<S>::gather(gy + j * step, step);
    sum = fma(g, Wide<S>::load(y + j), sum);
  }
  S total = reduce_add(sum);
  for (; j < n; ++j) total += gy[j * step] * y[j];
  return total;
}

/// scores = probabilities, gradient = the gradient of the scores before scaling.
template <class S>
void score_gradients(const AttentionArguments& a, const Block& block, Workspace<S>& w) {
  constexpr int width = lanes<S>;
  const int64_t columns = padded<S>(block.keys);
  const Wide<S> scale = a.scale;
  for (int64_t i = 0; i < block.queries; ++i) {
    S* p = w.scores + i * key_block;
    S* g = w.gradient + i * key_block;
    const Wide<S> inner = Wide<S>::splat(&w.inner[i]);
    for (int64_t j = 0; j < columns; j += width)
      (Wide<S>::load(p + j) * (Wide<S>::load(g + j) - inner) * scale).store(g + j);
  }
}

template <class S>
void probabilities(const Block& block, Workspace<S>& w, bool exponentiated) {
  constexpr int width = lanes<S>;
  const int64_t columns = padded<S>(block.keys);
  for (int64_t i = 0; i < block.queries; ++i) {
    S* p = w.scores + i * key_block;
    const Wide<S> largest = Wide<S>::splat(&w.largest[i]), sum = Wide<S>::splat(&w.sum[i]);
    for (int64_t j = 0; j < columns; j += width) {
      const Wide<S> x = Wide<S>::load(p + j);
      ((exponentiated ? x : exp(x - largest)) / sum).store(p + j);
    }
  }
}

/// All gradients of one head; those whose pointer is null are not computed.
template <class S>
void backward(const AttentionArguments& a, const AttentionGradients& g) {
  Workspace<S>& w = *static_cast<Workspace<S>*>(kernel_scratch());
  const Matrix<S> q{static_cast<const S*>(a.query), a.query_step[0], a.query_step[1]};
  const Matrix<S> k{static_cast<const S*>(a.key), a.key_step[0], a.key_step[1]};
  const Matrix<S> v{static_cast<const S*>(a.value), a.value_step[0], a.value_step[1]};
  const Matrix<S> gy{static_cast<const S*>(g.gy), g.gy_step[0], g.gy_step[1]};
  const Matrix<S> y{static_cast<const S*>(g.y), g.y_step[0], g.y_step[1]};
  S* const gq = static_cast<S*>(g.query);
  S* const gk = static_cast<S*>(g.key);
  S* const gv = static_cast<S*>(g.value);
  if (gk) __builtin_memset(gk, 0, sizeof(S) * a.keys * a.width);
  if (gv) __builtin_memset(gv, 0, sizeof(S) * a.keys * a.value_width);
  if (gq && a.keys == 0) __builtin_memset(gq, 0, sizeof(S) * a.queries * a.width);
  for (int64_t first = 0; first < a.queries; first += attention_query_block) {
    const int64_t count = a.queries - first < attention_query_block ? a.queries - first : attention_query_block;
    const int64_t keys = visible_keys(a, first, count);
    const bool one_block = keys <= key_block;
    start_rows(w, count);
    for (int64_t i = 0; i < count; ++i)
      w.inner[i] = inner_product(gy.at(first + i, 0), gy.column_step, y.at(first + i, 0), a.value_width);
    for (int64_t key = 0; key < keys; key += key_block) {
      const Block block{first, count, key, keys - key < key_block ? keys - key : key_block};
      compute_scores(a, block, w);
      accumulate_softmax(block, w, [](int64_t, S) {});
    }
    for (int64_t key = 0; key < keys; key += key_block) {
      const Block block{first, count, key, keys - key < key_block ? keys - key : key_block};
      if (!one_block) compute_scores(a, block, w);
      probabilities(block, w, one_block);
      const Matrix<S> p{w.scores, key_block, 1}, gs{w.gradient, key_block, 1};
      if (gv)
        multiply(block.keys, a.value_width, count, p.transposed(), gy.from(first, 0), gv + key * a.value_width,
                 a.value_width, true, w.packed);
      if (!gq && !gk) continue;
      multiply(count, block.keys, a.value_width, gy.from(first, 0), v.from(key, 0).transposed(), w.gradient, key_block,
               false, w.packed);
      score_gradients(a, block, w);
      if (gq)
        multiply(count, a.width, block.keys, gs, k.from(key, 0), gq + first * a.width, a.width, key > 0, w.packed);
      if (gk)
        multiply(block.keys, a.width, count, gs.transposed(), q.from(first, 0), gk + key * a.width, a.width, true,
                 w.packed);
    }
  }
}

}  // namespace

template <>
AttentionKernels attention_kernels<level>() {
  return {.forward = {&forward<float>, &forward<double>}, .backward = {&backward<float>, &backward<double>}};
}

}  // namespace chainrule
