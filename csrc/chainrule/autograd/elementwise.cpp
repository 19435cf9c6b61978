#include "chainrule/autograd/elementwise.h"

#include <atomic>
#include <cstdlib>

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

constexpr int64_t block_elements = 16384;  // of one thread's turn; fixed, so results never depend on the threads

// The dims of one elementwise loop over several operands, adjacent dims merged where every operand allows it.
template <int operands>
struct Loop {
  Shape shape;
  Shape strides[operands];

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

  // Calls body(offsets, steps, n) for runs that together cover every element once, on several threads when many.
  template <class Body>
  void each_run(const Body& body) const {
    const int64_t inner = shape.empty() ? 1 : shape.back();
    const int64_t outer = numel_of(shape) / std::max<int64_t>(inner, 1);
    if (inner == 0 || outer == 0) return;
    int64_t steps[operands];
    for (int k = 0; k < operands; ++k) steps[k] = shape.empty() ? 0 : strides[k].back();
    const int64_t pieces = (inner + block_elements - 1) / block_elements;
    const int64_t rows_per_block = std::max<int64_t>(1, block_elements / inner);
    const int64_t row_blocks = (outer + rows_per_block - 1) / rows_per_block;
    parallel_for(row_blocks * pieces, [&](int64_t block) noexcept {
      const int64_t first = block / pieces * rows_per_block, begin = block % pieces * block_elements;
      const int64_t n = std::min(block_elements, inner - begin);
      for (int64_t row = first; row < std::min(outer, first + rows_per_block); ++row) {
        int64_t offsets[operands];
        offsets_of(row, offsets);
        for (int k = 0; k < operands; ++k) offsets[k] += begin * steps[k];
        body(offsets, steps, pieces == 1 ? inner : n);
      }
    });
  }

 private:
  void offsets_of(int64_t row, int64_t* offsets) const {
    for (int k = 0; k < operands; ++k) offsets[k] = 0;
    for (int d = shape.size() - 2; d >= 0; --d) {
      const int64_t index = row % shape[d];
      row /= shape[d];
      for (int k = 0; k < operands; ++k) offsets[k] += index * strides[k][d];
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

void forward_elementwise(const OpRow& row, const void* op, std::span<const Tensor* const> inputs, const Tensor& y) {
  const int n = row.inputs;
  const DType dtype = inputs[n - 1]->dtype();
  const ForwardKernel kernel = active_kernels().elementwise[row.id].forward[dtype_index(dtype)];
  bool one_run = y.is_contiguous() && y.numel() <= block_elements;
  const void* operands[max_operands];
  int64_t operand_steps[max_operands];
  for (int k = 0; k < n; ++k) {
    const Tensor& x = *inputs[k];
    const bool dense = x.is_contiguous() && same(x.shape(), y.shape());
    one_run &= dense || x.numel() == 1;
    operands[k] = x.data();
    operand_steps[k] = dense;
  }
  if (one_run) [[likely]]
    return kernel(op, y.data(), 1, operands, operand_steps, y.numel());
  Loop<max_operands + 1> loop{Shape(y.shape()), {}};
  for (Shape& strides : loop.strides) strides = Shape(y.strides());
  for (int k = 0; k < n; ++k)
    loop.strides[k + 1] = broadcast_strides(inputs[k]->shape(), inputs[k]->strides(), y.shape());
  loop.merge();
  loop.each_run([&](const int64_t* offsets, const int64_t* steps, int64_t count) {
    const void* data[max_operands];
    for (int k = 0; k < n; ++k) data[k] = offset_by(inputs[k]->data(), offsets[k + 1], size_of(inputs[k]->dtype()));
    void* to = const_cast<char*>(offset_by(y.data(), offsets[0], size_of(y.dtype())));
    kernel(op, to, steps[0], data, steps + 1, count);
  });
}

void backward_elementwise(const OpRow& row, const void* op, Tensor gy, std::span<const Operand> inputs,
                          const Operand& y, unsigned owed, Tensor* gx) {
  const BackwardKernel kernel = active_kernels().elementwise[row.id].backward[dtype_index(gy.dtype())];
  const size_t n = inputs.size();
  BackwardArguments base;
  bool dense = gy.is_contiguous() && gy.numel() <= block_elements && !y.dims;
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
  if (dense) [[likely]]
    return kernel(op, base, gy.numel());
  // Operands of the loop: 0 the dense gradients, 1..3 the inputs, 4 gy, 5 y; unread ones follow the gradients.
  Loop<max_operands + 3> loop{Shape(gy.shape()), {}};
  for (Shape& strides : loop.strides) strides = contiguous_strides(gy.shape());
  for (size_t k = 0; k < n; ++k)
    if (inputs[k].dims) loop.strides[k + 1] = broadcast_strides(inputs[k].sizes(), inputs[k].strides(), gy.shape());
  loop.strides[4] = Shape(gy.strides());
  if (y.dims) loop.strides[5] = Shape(y.strides());
  loop.merge();
  const int64_t size = size_of(gy.dtype());
  loop.each_run([&](const int64_t* offsets, const int64_t* steps, int64_t count) {
    BackwardArguments a = base;
    for (size_t k = 0; k < n; ++k) {
      if (a.gx[k]) a.gx[k] = static_cast<char*>(a.gx[k]) + offsets[0] * size;
      if (a.x[k]) a.x[k] = offset_by(a.x[k], offsets[k + 1], size_of(inputs[k].dtype));
      a.x_step[k] = steps[k + 1];
    }
    a.gy = offset_by(a.gy, offsets[4], size);
    a.gy_step = steps[4];
    if (a.y) a.y = offset_by(a.y, offsets[5], size);
    a.y_step = steps[5];
    kernel(op, a, count);
  });
}

void add_in_place(const Tensor& sum, const Tensor& more) {
  const OpRow& add = *installed().add_row;
  if (sum.numel() > block_elements || !more.is_contiguous()) {
    const Tensor* inputs[] = {&sum, &more};
    return forward_elementwise(add, nullptr, inputs, sum);
  }
  const void* operands[] = {sum.data(), more.data()};
  constexpr int64_t steps[] = {1, 1};
  active_kernels().elementwise[add.id].forward[dtype_index(sum.dtype())](nullptr, sum.data(), 1, operands, steps,
                                                                         sum.numel());
}

}  // namespace chainrule
