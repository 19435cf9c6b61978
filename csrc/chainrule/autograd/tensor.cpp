#include "chainrule/autograd/tensor.h"

#include <cmath>
#include <cstring>
#include <mutex>
#include <new>

#include "chainrule/autograd/annotations.h"
#include "chainrule/autograd/node.h"
#include "chainrule/core/allocator.h"
#include "chainrule/core/error.h"
#include "chainrule/core/thread_end.h"

namespace chainrule {

namespace {

constexpr int64_t inline_bytes_limit = 256;
constexpr size_t data_alignment = 16;

size_t header_bytes(size_t ndim) {
  const size_t bytes = sizeof(TensorImpl) + 2 * ndim * sizeof(int64_t);
  return (bytes + data_alignment - 1) / data_alignment * data_alignment;
}

// Field by field: a tensor is made in every op, and clearing all of it first costs as much as the rest.
[[gnu::always_inline]] inline TensorImpl* new_block(DType dtype, size_t ndim, int64_t numel, size_t inline_bytes) {
  SmallBlocks& blocks = small_blocks();
  const size_t bytes = header_bytes(ndim) + inline_bytes;
  auto* impl = static_cast<TensorImpl*>(allocate_small(blocks, bytes));
  ++blocks.live_tensors;
  impl->refs = 1;
  impl->dtype = dtype;
  impl->ndim = static_cast<uint8_t>(ndim);
  impl->output = 0;
  impl->requires_grad = false;
  impl->retains_grad = false;
  impl->named = false;
  impl->detached = false;
  impl->contiguous = true;
  impl->block_bytes = static_cast<uint16_t>(bytes);
  impl->version = 0;
  impl->numel = numel;
  impl->data = nullptr;
  impl->storage = nullptr;
  impl->node = nullptr;
  impl->grad = nullptr;
  impl->wrapper = nullptr;
  return impl;
}

// A few words, for which a call of memmove costs more than the copy.
inline void copy_words(const int64_t* from, size_t count, int64_t* to) {
  for (size_t i = 0; i < count; ++i) to[i] = from[i];
}

[[gnu::always_inline]] inline TensorImpl* new_block(DType dtype, IntSpan shape, int64_t numel, size_t inline_bytes) {
  TensorImpl* impl = new_block(dtype, shape.size(), numel, inline_bytes);
  copy_words(shape.data(), shape.size(), impl->sizes_data());
  return impl;
}

inline void set_contiguous_strides(TensorImpl* impl) {
  int64_t* sizes = impl->sizes_data();
  int64_t step = 1;
  for (int i = impl->ndim - 1; i >= 0; --i) {
    sizes[impl->ndim + i] = step;
    step *= std::max<int64_t>(sizes[i], 1);
  }
}

inline void free_block(TensorImpl* impl) noexcept {
  if (impl->named) [[unlikely]]
    detail::forget_name(impl);
  SmallBlocks& blocks = small_blocks();
  --blocks.live_tensors;
  free_small(blocks, impl, impl->block_bytes);
}

TensorImpl* block_of(Storage* storage) {
  return reinterpret_cast<TensorImpl*>(reinterpret_cast<char*>(storage) - offsetof(TensorImpl, own));
}

[[noreturn]] void fail_allocation(DType dtype, IntSpan shape, int64_t bytes) {
  fail(ErrorKind::memory, "allocate",
       std::to_string(bytes) + " bytes for shape " + to_string(shape) + " of " + name_of(dtype),
       "the system has no memory left", "use a smaller batch or free tensors");
}

void check_known(IntSpan shape) {
  if (!is_known(shape))
    fail(ErrorKind::graph, "allocate", "a tensor with values of shape " + to_string(shape),
         "N is not known before the graph runs",
         "make it from a placeholder, such as x * 0, or give x its whole shape");
}

// Memory for the elements of a block whose sizes are set, and dense strides.
TensorImpl* allocate_dense(DType dtype, IntSpan shape, int64_t numel) {
  const int64_t bytes = numel * size_of(dtype);
  const bool in_block = bytes <= inline_bytes_limit;
  if (bytes >= unknown_size) [[unlikely]]
    check_known(shape);
  TensorImpl* impl = new_block(dtype, shape, numel, in_block ? static_cast<size_t>(bytes) : 0);
  set_contiguous_strides(impl);
  Storage& storage = impl->own;
  storage.refs = 1;
  storage.version = storage.recorded_version = 0;
  storage.changed_by = nullptr;
  storage.is_literal = false;
  storage.unrecorded_op = no_op;
  storage.release = nullptr;
  storage.bytes = 0;
  if (in_block) {
    storage.data = reinterpret_cast<char*>(impl) + header_bytes(shape.size());
  } else {
    try {
      storage.data = static_cast<char*>(allocate_buffer(static_cast<size_t>(bytes)));
    } catch (const std::bad_alloc&) {
      free_block(impl);
      fail_allocation(dtype, shape, bytes);
    }
    storage.bytes = bytes;
  }
  impl->storage = &storage;
  impl->data = storage.data;
  return impl;
}

}  // namespace

[[gnu::tls_model("initial-exec")]] thread_local constinit bool grad_mode = true;

// The block of a tensor outlives it while views use the storage inside.
void destroy(TensorImpl* impl) noexcept {
  Node* node = std::exchange(impl->node, nullptr);
  TensorImpl* grad = std::exchange(impl->grad, nullptr);
  if (node) {
    if (node->leaf == impl) {
      if (impl->named) [[unlikely]]
        detail::inherit_name(node, impl);
      node->leaf = nullptr;
    }
    if (impl->retains_grad && node->outputs()[impl->output].retainer == impl)
      node->outputs()[impl->output].retainer = nullptr;
  }
  Storage* storage = impl->storage;
  const bool is_view = storage != &impl->own;
  if (is_view) free_block(impl);
  if (storage) release(storage);
  if (node) release(node);
  if (grad) release(grad);
}

void destroy(Storage* storage) noexcept {
  if (storage->release) storage->release(storage->owner);
  else if (storage->bytes) free_buffer(storage->data, static_cast<size_t>(storage->bytes));
  free_block(block_of(storage));
}

Tensor Tensor::empty(DType dtype, IntSpan shape) { return Tensor(allocate_dense(dtype, shape, numel_of(shape))); }
Tensor Tensor::empty(DType dtype, IntSpan shape, int64_t numel) { return Tensor(allocate_dense(dtype, shape, numel)); }
Tensor Tensor::empty_like(const Tensor& x, DType dtype) { return Tensor(allocate_dense(dtype, x.shape(), x.numel())); }

Tensor Tensor::full(DType dtype, IntSpan shape, Number value) {
  Tensor tensor = empty(dtype, shape);
  dispatch(dtype, [&]<class S>() {
    S lane;
    if constexpr (std::is_same_v<S, uint8_t>) lane = value.is_integer ? value.integer != 0 : value.real != 0;
    else lane = value.is_integer ? static_cast<S>(value.integer) : static_cast<S>(value.real);
    std::fill_n(tensor.data<S>(), tensor.numel(), lane);
  });
  return tensor;
}

Tensor Tensor::wrap(DType dtype, IntSpan shape, IntSpan strides, void* data, void (*release)(void*), void* owner) {
  Tensor tensor(new_block(dtype, shape, numel_of(shape), 0));
  std::copy(strides.begin(), strides.end(), tensor->sizes_data() + tensor->ndim);
  tensor->contiguous = chainrule::is_contiguous(shape, strides);
  tensor->own = {1, 0, 0, false, no_op, nullptr, release, {owner}, static_cast<char*>(data)};
  tensor->storage = &tensor->own;
  tensor->data = tensor->own.data;
  return tensor;
}

Tensor Tensor::on_storage(Storage* storage, char* data, DType dtype, IntSpan shape, IntSpan strides) {
  Tensor result(new_block(dtype, shape, numel_of(shape), 0));
  std::copy(strides.begin(), strides.end(), result->sizes_data() + result->ndim);
  result->contiguous = chainrule::is_contiguous(shape, strides);
  result->storage = storage;
  result->data = data;
  result->version = storage->version;
  ++storage->refs;
  return result;
}

Tensor Tensor::view(IntSpan shape, IntSpan strides, int64_t offset) const {
  if (impl_->storage)
    return on_storage(impl_->storage, impl_->data + offset * size_of(dtype()), dtype(), shape, strides);
  if (is_placeholder()) fail_without_value();
  Tensor result = hollow(dtype(), shape);
  std::copy(strides.begin(), strides.end(), result->sizes_data() + result->ndim);
  result->contiguous = chainrule::is_contiguous(shape, strides);
  return result;
}

Tensor Tensor::hollow(DType dtype, IntSpan shape) {
  Tensor result(new_block(dtype, shape, numel_of(shape), 0));
  set_contiguous_strides(result.impl_);
  return result;
}

Tensor Tensor::placeholder(const Meta& meta) {
  Tensor result = hollow(meta);
  release(gradient_node(result.get()));  // the tensor itself holds it from now on
  result->requires_grad = is_floating(meta.dtype);
  return result;
}

void Tensor::fail_without_value() const {
  if (!impl_->node) internal_error("tensor", "the value of a tensor that was saved without one");
  fail(ErrorKind::graph, "placeholder", "a tensor of shape " + to_string(shape()) + " that has no value yet",
       "a graph is assembled before any forward pass, so numbers cannot be read or changed while it is",
       "use where(condition, a, b) in place of `if`, and Graph.forward(...) to compute values");
}

namespace {

// Literals come back in every step of a loop: the latest of each thread are kept. They do not count as alive, and are
// not freed with their thread. A graph that saved one may have been handed to another thread, which will count it down:
// until then it is neither given out again nor replaced, for a count is changed by one thread at a time only. So a
// thread that ends leaves its table as it is to the next one that needs a table.
constexpr size_t kept_constants = 32;
struct KeptConstant {
  TensorImpl* tensor;
  uint64_t bits;
  bool is_integer;
};
struct KeptConstants {
  KeptConstant slots[kept_constants] = {};
  KeptConstants* next = nullptr;  // of those without a thread
};
thread_local constinit KeptConstants* constants = nullptr;

struct LeftConstants {
  std::mutex mutex;
  KeptConstants* first = nullptr;
};
LeftConstants& left_constants() {
  static auto* instance = new LeftConstants;  // never destroyed: threads may end later
  return *instance;
}

void leave_constants(void* table) {
  auto* const mine = static_cast<KeptConstants*>(table);
  constants = nullptr;
  LeftConstants& left = left_constants();
  const std::lock_guard lock(left.mutex);
  mine->next = std::exchange(left.first, mine);
}

void find_constants() {
  static const ThreadEnd at_end(&leave_constants);
  LeftConstants& left = left_constants();
  {
    const std::lock_guard lock(left.mutex);
    constants = left.first;
    if (constants) left.first = constants->next;
  }
  if (!constants) constants = new KeptConstants;
  at_end.will_get(constants);
}

bool held_elsewhere(const TensorImpl* tensor) { return tensor && (tensor->refs != 1 || tensor->storage->refs != 1); }

Tensor literal(DType dtype, Number value) {
  Tensor tensor = Tensor::full(dtype, {}, value);
  tensor->storage->is_literal = true;
  return tensor;
}

Tensor kept_constant(DType dtype, Number value) {
  uint64_t bits;
  if (value.is_integer) std::memcpy(&bits, &value.integer, sizeof bits);
  else std::memcpy(&bits, &value.real, sizeof bits);
  const uint64_t hash =
      (bits ^ (bits >> 29) ^ (static_cast<uint64_t>(dtype) << 3) ^ value.is_integer) * 0x9E3779B97F4A7C15u;
  if (!constants) [[unlikely]]
    find_constants();
  KeptConstant& slot = constants->slots[hash >> 59];
  if (held_elsewhere(slot.tensor)) return literal(dtype, value);
  const bool found =
      slot.tensor && slot.bits == bits && slot.is_integer == value.is_integer && slot.tensor->dtype == dtype;
  if (!found) {
    TensorImpl* fresh = literal(dtype, value).take();
    --small_blocks().live_tensors;
    if (slot.tensor) {
      ++small_blocks().live_tensors;
      release(slot.tensor);
    }
    slot = {fresh, bits, value.is_integer};
  }
  return Tensor::share(slot.tensor);
}

}  // namespace

Tensor Tensor::constant(Number value) const {
  DType type = dtype();
  if (!value.is_integer && !is_floating(type)) type = DType::float32;
  if (value.is_integer && type == DType::boolean) type = DType::int64;
  if (value.is_integer && type == DType::int32 && value.integer != static_cast<int32_t>(value.integer))
    fail(ErrorKind::value, "scalar", std::to_string(value.integer) + " beside an int32 tensor", "it must fit in int32",
         "convert the tensor with .long()");
  if (is_placeholder() && value.is_integer && !is_known(value.integer)) return size_literal(type, value);
  return kept_constant(type, value);
}

double Tensor::item() const {
  double value = 0;
  dispatch(dtype(), [&]<class S>() { value = static_cast<double>(*data<S>()); });
  return value;
}
int64_t Tensor::item_integer() const {
  int64_t value = 0;
  dispatch(dtype(), [&]<class S>() { value = static_cast<int64_t>(*data<S>()); });
  return value;
}

bool Tensor::is_leaf() const { return !impl_->node || impl_->node->is_leaf(); }

const Tensor& Tensor::requires_grad_(bool value) const {
  if (value && !is_floating(dtype()))
    fail(ErrorKind::dtype, "requires_grad_", std::string("a tensor of dtype ") + name_of(dtype()),
         "only floating tensors can require gradients", "convert it with .float()");
  if (!value && !is_leaf())
    fail(ErrorKind::graph, "requires_grad_", "False for the result of " + std::string(impl_->node->name()),
         "only leaves can change it", "use detach()");
  impl_->requires_grad = value;
  return *this;
}

void Tensor::retain_grad() const {
  if (!requires_grad())
    fail(ErrorKind::graph, "retain_grad", "a tensor that does not require gradients",
         "only tensors with requires_grad=True have one");
  if (is_leaf()) return;
  impl_->retains_grad = true;
  impl_->node->outputs()[impl_->output].retainer = impl_;
}

void Tensor::set_grad(Tensor grad) const {
  if (grad) {
    if (!same(grad.shape(), shape()))
      fail(ErrorKind::shape, "grad",
           "a gradient of shape " + to_string(grad.shape()) + " for a tensor of shape " + to_string(shape()),
           "the shapes must be equal");
    if (grad.dtype() != dtype())
      fail(ErrorKind::dtype, "grad",
           std::string("a gradient of dtype ") + name_of(grad.dtype()) + " for a tensor of dtype " + name_of(dtype()),
           "the dtypes must be equal");
    if (grad.get() == impl_) fail(ErrorKind::graph, "grad", "the tensor itself", "it cannot be its own gradient");
  }
  TensorImpl* old = std::exchange(impl_->grad, grad.take());
  if (old) release(old);
}

}  // namespace chainrule
