#include "chainrule/ops/matrix_product.h"

#include "chainrule/autograd/elementwise.h"
#include "chainrule/core/thread_pool.h"
#include "chainrule/ops/openblas.h"

namespace chainrule {

namespace {

constexpr int64_t flops_per_part = 1 << 20;       // about 4 microseconds: what a thread is woken for
constexpr double flops_of_long_part = 2e7;        // more than long_loop at any speed
constexpr int64_t flops_for_workspace = 1 << 22;  // smaller products pack into the kernel's own scratch
constexpr int64_t column_bytes = 128;             // parts begin at whole slivers of the widest tile
constexpr int64_t row_grain = 4;
constexpr int64_t panel_columns = 512;

template <class T>
T* moved(T* p, int64_t elements, DType dtype) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return static_cast<Byte*>(p) + elements * size_of(dtype);
}

int64_t up_to_multiple(int64_t x, int64_t of) { return (x + of - 1) / of * of; }

/// Multiplications weigh 1; so does what a part does for each element of b and a that it reads, copies or transposes.
/// Where that hardly matters, threads share out rows: what one of them writes then lies together, as do the elements
/// that it gets in the next operation, an optimizer's step say, and fewer lines move from core to core.
struct Grid {
  int64_t row_parts = 1, column_parts = 1, rows = 0, columns = 0;
};

Grid grid_for(const GemmArguments& g, int64_t parts, DType dtype) {
  const int64_t packing = g.b_column_step == 1 ? 1 : 10;
  constexpr int64_t copying = 4;
  const int64_t column_grain = column_bytes / size_of(dtype);
  Grid best;
  int64_t least = INT64_MAX;
  for (int64_t column_parts = 1; column_parts <= parts; ++column_parts) {
    const int64_t rows = up_to_multiple((g.m + parts / column_parts - 1) / (parts / column_parts), row_grain);
    const int64_t columns = up_to_multiple((g.n + column_parts - 1) / column_parts, column_grain);
    const int64_t cost = rows * columns + packing * columns + copying * rows;
    if (cost >= least) continue;
    least = cost;
    best = {0, 0, rows, columns};
  }
  // Pieces that a kernel packs at a time: a thread that works long is seen to make progress.
  const int64_t pieces = (best.columns + panel_columns - 1) / panel_columns;
  best.columns = up_to_multiple((best.columns + pieces - 1) / pieces, column_grain);
  best.row_parts = (g.m + best.rows - 1) / best.rows;
  best.column_parts = (g.n + best.columns - 1) / best.columns;
  return best;
}

GemmArguments part_of(const GemmArguments& g, const Grid& grid, int64_t part, DType dtype) {
  GemmArguments result = g;
  const int64_t row = part / grid.column_parts * grid.rows, column = part % grid.column_parts * grid.columns;
  result.m = std::min(grid.rows, g.m - row);
  result.n = std::min(grid.columns, g.n - column);
  result.a = moved(g.a, row * g.a_row_step, dtype);
  result.b = moved(g.b, column * g.b_column_step, dtype);
  result.c = moved(g.c, row * g.c_row_step + column, dtype);
  if (g.bias) result.bias = moved(g.bias, column, dtype);
  return result;
}

// In doubles: sizes are checked one by one, and their product may be too large for an integer.
double flops_of(const GemmArguments& g) {
  return 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
}

GemmKernel kernel_for(const GemmArguments& g, DType dtype) {
  const GemmKernel of_openblas = openblas_kernel_for(g, dtype);
  return of_openblas ? of_openblas : active_kernels().gemm[static_cast<int>(dtype)];
}

int64_t parts_for(double flops) {
  const double parts = flops / flops_per_part;
  return parts < 2 ? 1 : std::min<int64_t>(num_threads(), static_cast<int64_t>(std::min(parts, 1e6)));
}

/// Memory for the kernels of some parts, or none where the kernel's own does.
class Workspaces {
 public:
  Workspaces(double flops, int64_t parts) {
    if (flops >= flops_for_workspace) memory_ = Tensor::empty(DType::boolean, Shape{parts * gemm_workspace_bytes});
  }
  void* of(int64_t part) const {
    return memory_ ? static_cast<char*>(memory_.data()) + part * gemm_workspace_bytes : nullptr;
  }

 private:
  Tensor memory_;
};

void multiply_floats(const GemmArguments& g, DType dtype) {
  const GemmKernel kernel = kernel_for(g, dtype);
  const double flops = flops_of(g);
  if (flops < flops_for_workspace && parts_for(flops) == 1) return kernel(g);
  const Grid grid = grid_for(g, parts_for(flops), dtype);
  const int64_t parts = grid.row_parts * grid.column_parts;
  const Workspaces workspaces(flops, parts);
  parallel_for(
      parts,
      [&](int64_t i) noexcept {
        GemmArguments part = part_of(g, grid, i, dtype);
        part.workspace = workspaces.of(i);
        kernel(part);
      },
      flops >= flops_of_long_part * static_cast<double>(parts));
}

// Integers are rare: the plain triple loop, wrapping around as elementwise arithmetic does.
template <class S>
void multiply_integers(const GemmArguments& g) {
  using Unsigned = std::make_unsigned_t<S>;
  for (int64_t i = 0; i < g.m; ++i)
    for (int64_t j = 0; j < g.n; ++j) {
      Unsigned sum = 0;
      for (int64_t p = 0; p < g.k; ++p)
        sum += static_cast<Unsigned>(static_cast<const S*>(g.a)[i * g.a_row_step + p * g.a_column_step]) *
               static_cast<Unsigned>(static_cast<const S*>(g.b)[p * g.b_row_step + j * g.b_column_step]);
      static_cast<S*>(g.c)[i * g.c_row_step + j] = static_cast<S>(sum);
    }
}

/// The products of a range of batches, one after the other.
class BatchCursor {
 public:
  BatchCursor(const GemmArguments& g, const Batches& batches, DType dtype, int64_t index)
      : product(g), batches_(batches), dtype_(dtype) {
    product.c = moved(g.c, index * g.m * g.n, dtype);
    for (int d = batches.sizes.size() - 1; d >= 0; --d) {
      at_[d] = index % batches.sizes[d];
      index /= batches.sizes[d];
      move(at_[d] * batches.a_steps[d], at_[d] * batches.b_steps[d]);
    }
  }
  void next() {
    product.c = moved(product.c, product.m * product.n, dtype_);
    for (int d = batches_.sizes.size() - 1; d >= 0; --d) {
      move(batches_.a_steps[d], batches_.b_steps[d]);
      if (++at_[d] < batches_.sizes[d]) return;
      move(-at_[d] * batches_.a_steps[d], -at_[d] * batches_.b_steps[d]);
      at_[d] = 0;
    }
  }
  GemmArguments product;

 private:
  void move(int64_t a, int64_t b) {
    product.a = moved(product.a, a, dtype_);
    product.b = moved(product.b, b, dtype_);
  }
  const Batches& batches_;
  DType dtype_;
  int64_t at_[max_dims];
};

/// Batches whose matrices follow one another in a, and that share b, are more rows of one product.
void merge_into_rows(GemmArguments& g, Batches& batches) {
  while (!batches.sizes.empty()) {
    const int last = batches.sizes.size() - 1;
    if (batches.sizes[last] != 1) {
      if (batches.b_steps[last] != 0) return;
      if (g.m == 1) g.a_row_step = batches.a_steps[last];
      else if (batches.a_steps[last] != g.m * g.a_row_step) return;
      g.m *= batches.sizes[last];
    }
    batches.sizes.resize(last, 0);
  }
}

void multiply_batches(const GemmArguments& g, const Batches& batches, DType dtype) {
  const int64_t count = numel_of(batches.sizes);
  const GemmKernel kernel = kernel_for(g, dtype);
  const double flops = flops_of(g);
  const int64_t parts = std::min(count, parts_for(flops * static_cast<double>(count)));
  const Workspaces workspaces(flops, parts);
  parallel_for(
      parts,
      [&](int64_t part) noexcept {
        const int64_t first = part * count / parts, end = (part + 1) * count / parts;
        BatchCursor cursor(g, batches, dtype, first);
        cursor.product.workspace = workspaces.of(part);
        for (int64_t i = first; i < end; ++i, cursor.next()) kernel(cursor.product);
      },
      flops * static_cast<double>(count) >= flops_of_long_part * static_cast<double>(parts));
}

}  // namespace

void multiply(const GemmArguments& g, DType dtype) {
  if (is_floating(dtype)) multiply_floats(g, dtype);
  else if (dtype == DType::int64) multiply_integers<int64_t>(g);
  else multiply_integers<int32_t>(g);
}

void multiply(const GemmArguments& product, const Batches& all, DType dtype) {
  GemmArguments g = product;
  Batches batches = all;
  const int64_t count = numel_of(batches.sizes);
  if (count == 0 || g.m == 0 || g.n == 0) return;
  merge_into_rows(g, batches);
  if (batches.sizes.empty()) return multiply(g, dtype);
  const bool splits_well = flops_of(g) >= 8.0 * flops_per_part && numel_of(batches.sizes) < 2 * num_threads();
  if (is_floating(dtype) && !splits_well) return multiply_batches(g, batches, dtype);
  BatchCursor cursor(g, batches, dtype, 0);
  for (int64_t i = numel_of(batches.sizes); i > 0; --i, cursor.next()) multiply(cursor.product, dtype);
}

}  // namespace chainrule
