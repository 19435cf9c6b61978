#include "chainrule/autograd/elementwise.h"

#include <atomic>
#include <cstdlib>
#include <utility>

#include "chainrule/core/error.h"
#include "chainrule/core/thread_pool.h"

namespace chainrule {

namespace {

// ---- Instruction sets ----

const Kernels& kernels_for(int level) {
  return level == 4 ? kernels_of_level<4>() : level == 3 ? kernels_of_level<3>() : kernels_of_level<2>();
}

// Null until it is first asked for: CHAINRULE_ISA may name what this CPU lacks, which is an error of that first op.
constinit std::atomic<const Kernels*> active_table = nullptr;
constinit std::atomic<int> level_in_use = 0;

void choose() {
  const char* forced = std::getenv("CHAINRULE_ISA");
  force_level(forced ? level_named(forced, "CHAINRULE_ISA") : best_level());
}

// ---- Strided loops ----

constexpr int64_t block_elements = 16384;      // of one thread's turn; fixed, so results never depend on the threads

/// Part of a loop: `rows` rows of `n` elements.
template <int operands>
struct Plane {
  int64_t offset[operands], row_step[operands], step[operands];
  int64_t rows, n;
};

// The dims of one elementwise loop over several operands, adjacent dims merged where every operand allows it. Operand 0
// is written.
template <int operands>
struct Loop {
  Shape shape;
  Shape strides[operands];

  // The order in which operand 0 lies in memory: what is dense in some permuted order runs as one dense loop.
  void sort() {
    const auto magnitude = [&](int d) { return strides[0][d] < 0 ? -strides[0][d] : strides[0][d]; };
    for (int d = 1; d < shape.size(); ++d)
      for (int e = d; e > 0 && magnitude(e - 1) < magnitude(e); --e) {
        std::swap(shape[e - 1], shape[e]);
        for (Shape& s : strides) std::swap(s[e - 1], s[e]);
      }
  }

  void merge() {
    for (int d = shape.size() - 1; d > 0; --d) {
      bool mergeable = true;
      for (const Shape& s : strides) mergeable &= shape[d] == 1 || shape[d - 1] == 1 || s[d - 1] == s[d] * shape[d];
      if (!mergeable) continue;
      for (Shape& s : strides) {
        if (shape[d] != 1) s[d - 1] = s[d];
        s.erase(d);
      }
      shape[d - 1] *= shape[d];
      shape.erase(d);
    }
  }

  // Calls body(plane) for planes that together cover every element once, on several threads when many.
  template <class Body>
  void each_plane(const Body& body) const {
    const int dims = shape.size();
    const int64_t inner = dims ? shape.back() : 1, rows = dims > 1 ? shape[dims - 2] : 1;
    const int64_t all_rows = numel_of(shape) / std::max<int64_t>(inner, 1);
    if (inner == 0 || all_rows == 0) return;
    Plane<operands> whole{};
    for (int k = 0; k < operands; ++k) {
      whole.step[k] = dims ? strides[k].back() : 0;
      whole.row_step[k] = dims > 1 ? strides[k][dims - 2] : 0;
    }
    const int64_t pieces = (inner + block_elements - 1) / block_elements;
    const int64_t rows_per_block = std::max<int64_t>(1, block_elements / inner);
    const int64_t blocks = (all_rows + rows_per_block - 1) / rows_per_block * pieces;
    const auto run = [&](int64_t block) noexcept {
      const int64_t begin = block % pieces * block_elements;
      int64_t row = block / pieces * rows_per_block;
      const int64_t end = std::min(all_rows, row + rows_per_block);
      Plane<operands> plane = whole;
      plane.n = pieces == 1 ? inner : std::min(block_elements, inner - begin);
      for (; row < end; row += plane.rows) {
        plane.rows = std::min(end - row, rows - row % rows);
        offsets_of(row, begin, plane);
        body(plane);
      }
    };
    if (inner * all_rows >= one_thread_elements) return parallel_for(blocks, run);
    for (int64_t block = 0; block < blocks; ++block) run(block);
  }

 private:
  void offsets_of(int64_t row, int64_t column, Plane<operands>& plane) const {
    for (int k = 0; k < operands; ++k) plane.offset[k] = column * plane.step[k];
    for (int d = shape.size() - 2; d >= 0; --d) {
      const int64_t index = row % shape[d];
      row /= shape[d];
      for (int k = 0; k < operands; ++k) plane.offset[k] += index * strides[k][d];
    }
  }
};

int dtype_index(DType dtype) { return static_cast<int>(dtype); }

const char* offset_by(const void* data, int64_t elements, int64_t element_size) {
  return static_cast<const char*>(data) + elements * element_size;
}

}  // namespace

int best_level() {
  static const int level = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v4") ? 4 : __builtin_cpu_supports("x86-64-v3") ? 3 : 2;
  }();
  return level;
}
const Kernels& active_kernels() {
  const Kernels* table = active_table.load(std::memory_order_acquire);
  if (!table) [[unlikely]] {
    choose();
    table = active_table.load(std::memory_order_acquire);
  }
  return *table;
}
int active_level() {
  active_kernels();
  return level_in_use.load(std::memory_order_relaxed);
}
void force_level(int level) {
  level_in_use.store(level, std::memory_order_relaxed);
  active_table.store(&kernels_for(level), std::memory_order_release);
}

int level_named(std::string_view name, std::string_view who) {
  for (int level = 2; level <= best_level(); ++level) {
    const std::string digit = std::to_string(level);
    if (name == digit || name == "v" + digit || name == "x86-64-v" + digit) return level;
  }
  fail(ErrorKind::value, who, "'" + std::string(name) + "'",
       "it must name an instruction set that this CPU has: x86-64-v2 up to x86-64-v" + std::to_string(best_level()));
}

DType computation_dtype(const OpRow& row, std::span<const Meta> inputs) {
  if (row.mask_input) {
    if (inputs[0].dtype != DType::boolean)
      fail(ErrorKind::dtype, row.info->name, std::string("the condition has dtype ") + name_of(inputs[0].dtype),
           "it must be bool", "write a comparison, or convert it with .bool()");
    inputs = inputs.subspan(1);
  }
  DType sized = DType::boolean, scalar = DType::boolean;
  for (const Meta& x : inputs) {
    DType& group = x.shape.empty() ? scalar : sized;
    group = promote(group, x.dtype);
  }
  bool any_sized = false;
  for (const Meta& x : inputs) any_sized |= !x.shape.empty();
  const bool scalar_wins = !any_sized || info(scalar).category > info(sized).category;
  const DType dtype = scalar_wins ? scalar : sized;
  if (row.info->domain == Domain::real && !is_floating(dtype)) return DType::float32;
  if (row.info->domain == Domain::number && dtype == DType::boolean)
    fail(ErrorKind::dtype, row.info->name, "bool", "it works on numbers", "convert with .long() or use ~ & |");
  return dtype;
}

void infer_elementwise(const OpRow& row, std::span<const Meta> inputs, Meta* output) {
  output->dtype = computation_dtype(row, inputs);
  if (row.mask_output) output->dtype = DType::boolean;
  output->shape = inputs[0].shape;
  for (const Meta& x : inputs.subspan(1)) output->shape = broadcast_shapes(output->shape, x.shape, row.info->name);
  checked_numel(output->shape, size_of(output->dtype), row.info->name);
}

void forward_one_run(const OpRow& row, const void* op, DType dtype, ForwardArguments& a, const Tensor& y) {
  a.y = y.data();
  a.y_step = 1;
  a.n = y.numel();
  a.rows = 1;
  active_kernels().elementwise[row.id].forward[dtype_index(dtype)](op, a);
}

void forward_elementwise(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, const Tensor& y) {
  const int n = row.inputs;
  const DType dtype = inputs[n - 1]->dtype();
  ForwardArguments one_run;
  bool is_one_run = y.is_contiguous() && y.numel() < one_thread_elements;
  for (int k = 0; k < n; ++k) {
    const Tensor& x = *inputs[k];
    const bool dense = x.is_contiguous() && same(x.shape(), y.shape());
    is_one_run &= dense || x.numel() == 1;
    one_run.x[k] = x.data();
    one_run.x_step[k] = dense;
  }
  if (is_one_run) return forward_one_run(row, op, dtype, one_run, y);
  const ForwardKernel kernel = active_kernels().elementwise[row.id].forward[dtype_index(dtype)];
  constexpr int operands = max_operands + 1;
  Loop<operands> loop{Shape(y.shape()), {}};
  for (Shape& strides : loop.strides) strides = Shape(y.strides());
  for (int k = 0; k < n; ++k)
    loop.strides[k + 1] = broadcast_strides(inputs[k]->shape(), inputs[k]->strides(), y.shape());
  loop.sort();
  loop.merge();
  loop.each_plane([&](const Plane<operands>& plane) {
    ForwardArguments a{};
    a.y = const_cast<char*>(offset_by(y.data(), plane.offset[0], size_of(y.dtype())));
    a.y_step = plane.step[0];
    a.y_row_step = plane.row_step[0];
    a.n = plane.n;
    a.rows = plane.rows;
    for (int k = 0; k < n; ++k) {
      a.x[k] = offset_by(inputs[k]->data(), plane.offset[k + 1], size_of(inputs[k]->dtype()));
      a.x_step[k] = plane.step[k + 1];
      a.x_row_step[k] = plane.row_step[k + 1];
    }
    kernel(op, a);
  });
}

namespace {

[[gnu::noinline]] void backward_strided(BackwardKernel kernel, const void* op, const Tensor& gy,
                                        std::span<const Operand> inputs, const Operand& y,
                                        const BackwardArguments& base) {
  const size_t n = inputs.size();
  // Operands of the loop: 0 the dense gradients, 1..3 the inputs, 4 gy, 5 y; unread ones follow the gradients.
  constexpr int operands = max_operands + 3;
  Loop<operands> loop{Shape(gy.shape()), {}};
  for (Shape& strides : loop.strides) strides = contiguous_strides(gy.shape());
  for (size_t k = 0; k < n; ++k)
    if (inputs[k].dims) loop.strides[k + 1] = broadcast_strides(inputs[k].sizes(), inputs[k].strides(), gy.shape());
  loop.strides[4] = Shape(gy.strides());
  if (y.dims) loop.strides[5] = Shape(y.strides());
  loop.merge();
  const int64_t size = size_of(gy.dtype());
  loop.each_plane([&](const Plane<operands>& plane) {
    BackwardArguments a = base;
    a.n = plane.n;
    a.rows = plane.rows;
    a.gx_row_step = plane.row_step[0];
    for (size_t k = 0; k < n; ++k) {
      if (a.gx[k]) a.gx[k] = static_cast<char*>(a.gx[k]) + plane.offset[0] * size;
      if (a.x[k]) a.x[k] = offset_by(a.x[k], plane.offset[k + 1], size_of(inputs[k].dtype));
      a.x_step[k] = plane.step[k + 1];
      a.x_row_step[k] = plane.row_step[k + 1];
    }
    a.gy = offset_by(gy.data(), plane.offset[4], size);
    a.gy_step = plane.step[4];
    a.gy_row_step = plane.row_step[4];
    if (a.y) a.y = offset_by(a.y, plane.offset[5], size);
    a.y_step = plane.step[5];
    a.y_row_step = plane.row_step[5];
    kernel(op, a);
  });
}

}  // namespace

void backward_elementwise(const OpRow& row, const void* op, Tensor gy, std::span<const Operand> inputs,
                          const Operand& y, unsigned owed, Tensor* gx) {
  const BackwardKernel kernel = active_kernels().elementwise[row.id].backward[dtype_index(gy.dtype())];
  const size_t n = inputs.size();
  BackwardArguments base;
  bool dense = gy.is_contiguous() && gy.numel() < one_thread_elements && !y.dims;
  bool reuse = exclusively_ours(gy);
  for (size_t k = 0; k < n; ++k) {
    base.x[k] = inputs[k].data;
    base.x_step[k] = 1;
    dense &= !inputs[k].dims;
    base.gx[k] = nullptr;
    if (!(owed >> k & 1)) continue;
    gx[k] = std::exchange(reuse, false) ? gy : Tensor::empty_like(gy, gy.dtype());
    base.gx[k] = gx[k].data();
  }
  base.gy = gy.data();
  base.y = y.data;
  base.gy_step = base.y_step = 1;
  base.n = gy.numel();
  base.rows = 1;
  if (dense) [[likely]]
    return kernel(op, base);
  backward_strided(kernel, op, gy, inputs, y, base);
}

void add_in_place(const Tensor& sum, const Tensor& more) {
  if (sum.numel() == 1) {  // scalars gather gradients most, and one addition is all that a kernel would do
    if (sum.dtype() == DType::float32) *sum.data<float>() += *more.data<float>();
    else *sum.data<double>() += *more.data<double>();
    return;
  }
  const OpRow& add = *installed().add_row;
  if (sum.numel() >= one_thread_elements || !more.is_contiguous()) {
    const Tensor* inputs[] = {&sum, &more};
    return forward_elementwise(add, nullptr, inputs, sum);
  }
  ForwardArguments a;
  a.x[0] = sum.data();
  a.x[1] = more.data();
  a.x_step[0] = a.x_step[1] = 1;
  forward_one_run(add, nullptr, sum.dtype(), a, sum);
}

}  // namespace chainrule
