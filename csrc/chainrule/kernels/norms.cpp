// norms.cpp - layer normalization of rows and its gradients, float32 and float64. Compiled once per level. Floor:
// kernels. A row is read three times and stays in cache: for the mean, for the variance about the mean (exact also
// where the mean is large), for the result. The gradients compute mean and variance again rather than store them.
#include "chainrule/kernels/kernel_table.h"
#include "chainrule/kernels/pairwise.h"

namespace chainrule {
namespace {

constexpr int block_vectors = 4;  // sums in flight: they hide the latency of an addition
constexpr int block_steps = 8;    // vectors that each of them adds before they join the tree

template <class S>
using Wide = Pack<S, lanes<S>>;

template <class S>
inline Wide<S> load_padded(const S* x, int64_t count) {
  S lane[lanes<S>];
  for (int64_t k = 0; k < lanes<S>; ++k) lane[k] = k < count ? x[k] : S(0);
  return Wide<S>::load(lane);
}
template <class S>
inline void store_first(Wide<S> value, S* y, int64_t count) {
  S lane[lanes<S>];
  value.store(lane);
  for (int64_t k = 0; k < count; ++k) y[k] = lane[k];
}

/// Calls whole(j) for the whole vectors of a row and rest(j, count) for what is left.
template <class S, class Whole, class Rest>
inline void for_each_vector(int64_t columns, const Whole& whole, const Rest& rest) {
  int64_t j = 0;
  for (; j + lanes<S> <= columns; j += lanes<S>) whole(j);
  if (j < columns) rest(j, columns - j);
}

/// Sums over the columns of several quantities at once: term(j, count, t) sets t to their values for the columns
/// [j, j + count), and to 0 in the lanes from count on.
template <class S, int quantities, class Term>
inline void sum_terms(int64_t columns, S (&totals)[quantities], const Term& term) {
  constexpr int64_t width = lanes<S>, block = width * block_vectors * block_steps;
  PairwiseSum<S, lanes<S>, quantities> tree;
  Wide<S> sum[quantities];
  int64_t j = 0;
  for (; j + block <= columns; j += block) {
    Wide<S> flying[block_vectors][quantities];
#pragma GCC unroll 4
    for (int v = 0; v < block_vectors; ++v) term(j + v * width, width, flying[v]);
    for (int64_t at = j + block_vectors * width; at < j + block; at += block_vectors * width)
#pragma GCC unroll 4
      for (int v = 0; v < block_vectors; ++v) {
        Wide<S> more[quantities];
        term(at + v * width, width, more);
        for (int q = 0; q < quantities; ++q) flying[v][q] = flying[v][q] + more[q];
      }
    for (int q = 0; q < quantities; ++q) sum[q] = (flying[0][q] + flying[1][q]) + (flying[2][q] + flying[3][q]);
    tree.add(sum);
  }
  if (j < columns) {
    for (int q = 0; q < quantities; ++q) sum[q] = S(0);
    for (; j < columns; j += width) {
      Wide<S> more[quantities];
      term(j, columns - j < width ? columns - j : width, more);
      for (int q = 0; q < quantities; ++q) sum[q] = sum[q] + more[q];
    }
    tree.add(sum);
  }
  tree.total(sum);
  for (int q = 0; q < quantities; ++q) totals[q] = reduce_add(sum[q]);
}

template <class S>
inline Wide<S> load_or_zero(const S* x, int64_t count) {
  return count == lanes<S> ? Wide<S>::load(x) : load_padded(x, count);
}

template <class S>
struct Statistics {
  S mean, scale;  // scale = 1 / sqrt(variance + eps)
};
template <class S>
Statistics<S> statistics(const S* x, int64_t columns, double eps) {
  S total[1];
  sum_terms<S>(columns, total, [&](int64_t j, int64_t count, Wide<S>(&t)[1]) { t[0] = load_or_zero(x + j, count); });
  const S mean = total[0] / static_cast<S>(columns);
  const Wide<S> shift = Wide<S>::splat(&mean);
  sum_terms<S>(columns, total, [&](int64_t j, int64_t count, Wide<S>(&t)[1]) {
    Wide<S> d = load_or_zero(x + j, count) - shift;
    if (count != lanes<S>) {
      S lane[lanes<S>];
      d.store(lane);
      d = load_padded(lane, count);
    }
    t[0] = d * d;
  });
  const S shifted = total[0] / static_cast<S>(columns) + static_cast<S>(eps);
  return {mean, S(1) / sqrt(Wide<S>::splat(&shifted))[0]};
}

template <class S>
void forward(void* out, const void* in, const void* weights, const void* biases, double eps, int64_t rows,
             int64_t columns) {
  const S* weight = static_cast<const S*>(weights);
  const S* bias = static_cast<const S*>(biases);
  for (int64_t i = 0; i < rows; ++i) {
    const S* x = static_cast<const S*>(in) + i * columns;
    S* y = static_cast<S*>(out) + i * columns;
    const Statistics<S> row = statistics(x, columns, eps);
    const Wide<S> mean = Wide<S>::splat(&row.mean), scale = Wide<S>::splat(&row.scale);
    const auto normalized = [&](Wide<S> v, Wide<S> w, Wide<S> b) { return fma((v - mean) * scale, w, b); };
    for_each_vector<S>(
        columns,
        [&](int64_t j) {
          normalized(Wide<S>::load(x + j), Wide<S>::load(weight + j), Wide<S>::load(bias + j)).store(y + j);
        },
        [&](int64_t j, int64_t count) {
          store_first(
              normalized(load_padded(x + j, count), load_padded(weight + j, count), load_padded(bias + j, count)),
              y + j, count);
        });
  }
}

/// gx = scale (g - mean(g) - n mean(g n)) with g = gy weight and n = (x - mean) scale.
template <class S>
void backward(const LayerNormGradients& a, double eps, int64_t rows, int64_t columns) {
  const S* weight = static_cast<const S*>(a.weight);
  S* gweight = static_cast<S*>(a.gweight);
  S* gbias = static_cast<S*>(a.gbias);
  if (gweight) __builtin_memset(gweight, 0, sizeof(S) * columns);
  if (gbias) __builtin_memset(gbias, 0, sizeof(S) * columns);
  for (int64_t i = 0; i < rows; ++i) {
    const S* x = static_cast<const S*>(a.x) + i * columns;
    const S* gy = static_cast<const S*>(a.gy) + i * columns;
    S* gx = a.gx ? static_cast<S*>(a.gx) + i * columns : nullptr;
    const Statistics<S> row = statistics(x, columns, eps);
    const Wide<S> mean = Wide<S>::splat(&row.mean), scale = Wide<S>::splat(&row.scale);
    S total[2];
    sum_terms<S>(columns, total, [&](int64_t j, int64_t count, Wide<S>(&t)[2]) {
      const Wide<S> g = load_or_zero(gy + j, count);
      const Wide<S> product = g * ((load_or_zero(x + j, count) - mean) * scale);
      const Wide<S> w = load_or_zero(weight + j, count);
      if (count == lanes<S>) {
        if (gweight) (Wide<S>::load(gweight + j) + product).store(gweight + j);
        if (gbias) (Wide<S>::load(gbias + j) + g).store(gbias + j);
      } else {
        if (gweight) store_first(load_padded(gweight + j, count) + product, gweight + j, count);
        if (gbias) store_first(load_padded(gbias + j, count) + g, gbias + j, count);
      }
      t[0] = g * w;
      t[1] = product * w;
    });
    if (!gx) continue;
    const S means[2] = {total[0] / static_cast<S>(columns), total[1] / static_cast<S>(columns)};
    const Wide<S> mean_g = Wide<S>::splat(means), mean_gn = Wide<S>::splat(means + 1);
    const auto gradient = [&](Wide<S> v, Wide<S> g, Wide<S> w) {
      return scale * ((g * w - mean_g) - (v - mean) * scale * mean_gn);
    };
    for_each_vector<S>(
        columns,
        [&](int64_t j) {
          gradient(Wide<S>::load(x + j), Wide<S>::load(gy + j), Wide<S>::load(weight + j)).store(gx + j);
        },
        [&](int64_t j, int64_t count) {
          store_first(gradient(load_padded(x + j, count), load_padded(gy + j, count), load_padded(weight + j, count)),
                      gx + j, count);
        });
  }
}

}  // namespace

template <>
LayerNormKernels layer_norm_kernels<level>() {
  return {.forward = {&forward<float>, &forward<double>}, .backward = {&backward<float>, &backward<double>}};
}

}  // namespace chainrule
