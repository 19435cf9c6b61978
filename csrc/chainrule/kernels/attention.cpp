// attention.cpp - softmax(scale * q k^T) v of one head, and its gradients, float32 and float64. Compiled once per
// level. Floor: kernels. The scores exist only as blocks of a few rows of queries by a few keys, in cache; a row's
// softmax is kept up to date from block to block by its maximum and its sum (Milakov and Gimelshein, Online normalizer
// calculation for softmax, 2018; Dao et al., FlashAttention, 2022). The gradients compute the scores again. Invariant:
// every sum runs in the order of its index within blocks of fixed size, so bits depend on the sizes of one head only.
#include "chainrule/kernels/gemm_pack.h"
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/scratch.h"
#include "chainrule/kernels/simd_math.h"

namespace chainrule {
namespace {

constexpr double infinity = __builtin_inf();
constexpr int64_t key_block = 64;         // a multiple of every number of lanes
constexpr int64_t max_inner_block = 256;  // of the inner dim of a product: a packed sliver stays in the first cache
constexpr int tile_rows = vector_bytes == 64 ? 12 : 6;  // with tile_vectors: the sums fill the registers
constexpr int tile_vectors = 2;

template <class S>
using Wide = Pack<S, lanes<S>>;
template <class S>
constexpr int64_t sliver_width = tile_vectors * lanes<S>;

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
  S packed[max_inner_block * sliver_width<S>];
};
static_assert(sizeof(Workspace<double>) <= scratch_bytes);

// ---- Products ----------------------------------------------------------------------------------------------------

/// c(rows, columns) (+)= a(rows, k) b(k, columns): b contiguous in rows of tile_vectors vectors.
template <class S, int rows>
void multiply_tile(int64_t k, const Matrix<S>& a_matrix, const S* b, int64_t b_step, S* c, int64_t c_step,
                   int64_t columns, bool accumulate) {
  using P = Wide<S>;
  constexpr int width = lanes<S>;
  P sum[rows][tile_vectors];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < tile_vectors; ++v) sum[i][v] = P(0);
  const S* a = a_matrix.data;
  const int64_t a_row = a_matrix.row_step, a_column = a_matrix.column_step;
  for (int64_t p = k; p > 0; --p, a += a_column, b += b_step) {
    P b_row[tile_vectors];
#pragma GCC unroll 2
    for (int v = 0; v < tile_vectors; ++v) b_row[v] = P::load(b + v * width);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const P a_element = P::splat(a + i * a_row);
#pragma GCC unroll 2
      for (int v = 0; v < tile_vectors; ++v) sum[i][v] = fma(a_element, b_row[v], sum[i][v]);
    }
  }
  if (columns == tile_vectors * width) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
      for (int v = 0; v < tile_vectors; ++v) {
        S* at = c + i * c_step + v * width;
        (accumulate ? P::load(at) + sum[i][v] : sum[i][v]).store(at);
      }
    return;
  }
  S sums[rows][tile_vectors * width];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < tile_vectors; ++v) sum[i][v].store(sums[i] + v * width);
  for (int i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      S* at = c + i * c_step + j;
      *at = accumulate ? *at + sums[i][j] : sums[i][j];
    }
}

template <class S>
using TileKernel = void (*)(int64_t, const Matrix<S>&, const S*, int64_t, S*, int64_t, int64_t, bool);
template <class S>
inline TileKernel<S> tile_kernel(int64_t rows) {
  return [=]<int... R>(std::integer_sequence<int, R...>) {
    static constexpr TileKernel<S> kernels[] = {&multiply_tile<S, R + 1>...};
    return kernels[rows - 1];
  }(std::make_integer_sequence<int, tile_rows>{});
}

/// packed[p][j] = b(p, j), padded with zeros to a whole sliver.
template <class S>
void pack_sliver(S* packed, const Matrix<S>& b, int64_t k, int64_t columns) {
  constexpr int width = lanes<S>;
  constexpr int64_t step = sliver_width<S>;
  int64_t p = 0;
  if (b.row_step == 1 && columns == step) {
    for (; p + width <= k; p += width)
      for (int v = 0; v < tile_vectors; ++v) {
        Vector<S, width> square[width];
        load_transposed(square, RowWalk<S>(b.at(p, v * width), b.column_step));
        for (int i = 0; i < width; ++i)
          __builtin_memcpy(packed + (p + i) * step + v * width, &square[i], sizeof square[i]);
      }
  }
  for (; p < k; ++p) {
    for (int64_t j = 0; j < columns; ++j) packed[p * step + j] = *b.at(p, j);
    for (int64_t j = columns; j < step; ++j) packed[p * step + j] = 0;
  }
}

/// c(m, n) (+)= a(m, k) b(k, n); rows of c are contiguous.
template <class S>
void multiply(int64_t m, int64_t n, int64_t k, const Matrix<S>& a, const Matrix<S>& b, S* c, int64_t c_step,
              bool accumulate, S* packed) {
  constexpr int64_t width = sliver_width<S>;
  const int64_t tiles = (m + tile_rows - 1) / tile_rows;
  int64_t p = 0;
  do {  // once also for k = 0, which gives zeros
    const int64_t length = k - p < max_inner_block ? k - p : max_inner_block;
    for (int64_t column = 0; column < n; column += width) {
      const int64_t columns = n - column < width ? n - column : width;
      const S* from = b.at(p, column);
      int64_t step = b.row_step;
      if (b.column_step != 1 || columns != width) {
        pack_sliver(packed, b.from(p, column), length, columns);
        from = packed;
        step = width;
      }
      for (int64_t i = 0, row = 0; i < tiles; ++i) {
        const int64_t rows = m / tiles + (i < m % tiles);
        tile_kernel<S>(rows)(length, a.from(row, p), from, step, c + row * c_step + column, c_step, columns,
                             accumulate || p > 0);
        row += rows;
      }
    }
    p += length;
  } while (p < k);
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
