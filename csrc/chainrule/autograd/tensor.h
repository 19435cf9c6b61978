// tensor.h - Storage, TensorImpl and the Tensor handle. Floor: autograd.
// A tensor is one block from the small-block lists: header, sizes, strides and, when they are few, the elements.
// Counts are not atomic: a tensor and all that shares its graph or storage belong to one thread at a time (under
// Python the GIL sees to that). Version numbers live in the storage, so every view sees a change in place.
#pragma once
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "chainrule/core/dtype.h"
#include "chainrule/core/shape.h"
#include "chainrule/math/op_list.h"

namespace chainrule {

struct Node;
struct TensorImpl;

/// dtype and shape: all that a shape rule sees.
struct Meta {
  DType dtype = DType::float32;
  Shape shape;
};

/// The memory behind a tensor and its views.
struct Storage {
  int32_t refs;               ///< tensors that use it
  uint32_t version;           ///< counts changes in place
  uint32_t recorded_version;  ///< version of the last change in place that is part of a graph
  bool is_literal;            ///< a number in the code of a formula or of the user
  int16_t unrecorded_op;      ///< Note [Unrecorded results]: id of the first op that was not recorded, or no_op
  const char* changed_by;     ///< name of the last change in place, for errors
  void (*release)(void* owner);  ///< gives foreign memory back; null for our own
  union {
    void* owner;    ///< of foreign memory, for release
    int64_t bytes;  ///< of our own buffer; 0 when the elements stand in the tensor's own block
  };
  char* data;
};

inline constexpr int16_t no_op = -1;

/// Counts a change in place and remembers who made it: a name that lasts as long as the program.
inline void note_change(Storage& storage, const char* who) {
  ++storage.version;
  storage.changed_by = who;
}

// Note [Unrecorded results]
// A comparison, an index, what was detached: no gradient passes, so the tape does not lead from it to the tensors that
// it was computed from. A graph taken from the tape can only keep its value as it was, which is no longer right when
// the graph runs with other values. So the memory remembers the op, and the graph warns. What is detached has the
// memory of another tensor and is marked itself, until an op gives it memory of its own.

struct TensorImpl {
  int32_t refs;
  DType dtype;
  uint8_t ndim;
  uint8_t output;       ///< which output of `node` this is
  bool requires_grad;
  bool retains_grad : 1;
  bool named : 1;  ///< has an entry in annotations.cpp
  bool detached : 1;  ///< shares the memory of a tensor that requires gradients: Note [Unrecorded results]
  bool contiguous;
  uint16_t block_bytes;
  uint32_t version;     ///< of the storage when this tensor got its value and history
  int64_t numel;
  char* data;           ///< first element; null in a hollow tensor
  Storage* storage;     ///< null in a hollow tensor
  Node* node;           ///< what made it, or the accumulator of a leaf; null if never needed
  TensorImpl* grad;
  void* wrapper;        ///< not counted: the object a binding shows for this tensor, while there is one
  Storage own;          ///< what `storage` points to, unless this is a view

  int64_t* sizes_data() { return reinterpret_cast<int64_t*>(this + 1); }
  IntSpan sizes() const { return {reinterpret_cast<const int64_t*>(this + 1), ndim}; }
  IntSpan strides() const { return {reinterpret_cast<const int64_t*>(this + 1) + ndim, ndim}; }
};

inline bool same_sizes(const TensorImpl& a, const TensorImpl& b) {
  if (a.ndim != b.ndim) return false;
  const int64_t* const of_a = a.sizes().data();
  const int64_t* const of_b = b.sizes().data();
  int64_t different = 0;
  for (int d = 0; d < a.ndim; ++d) different |= of_a[d] ^ of_b[d];
  return different == 0;
}

void destroy(TensorImpl* impl) noexcept;  ///< when nobody holds it any more
void destroy(Storage* storage) noexcept;
inline void release(TensorImpl* impl) noexcept {
  if (--impl->refs == 0) destroy(impl);
}
inline void release(Storage* storage) noexcept {
  if (--storage->refs == 0) destroy(storage);
}

/// A counted reference to a tensor; copying shares it. A default-made one is empty: test with operator bool.
class Tensor {
 public:
  using symbolic = void;  // may stand for T in an op's formula
  using Mask = Tensor;

  Tensor() = default;
  explicit Tensor(TensorImpl* impl) : impl_(impl) {}  ///< takes over one reference
  Tensor(const Tensor& other) : impl_(other.impl_) {
    if (impl_) ++impl_->refs;
  }
  Tensor(Tensor&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
  }
  ~Tensor() {
    if (impl_) release(impl_);
  }

  static Tensor share(TensorImpl* impl) {
    if (impl) ++impl->refs;
    return Tensor(impl);
  }
  TensorImpl* take() { return std::exchange(impl_, nullptr); }
  TensorImpl* get() const { return impl_; }
  TensorImpl* operator->() const { return impl_; }
  explicit operator bool() const { return impl_ != nullptr; }

  // ---- Making one ----
  static Tensor empty(DType dtype, IntSpan shape);  ///< uninitialised; `shape` is known to be good
  static Tensor empty(DType dtype, IntSpan shape, int64_t numel);  ///< of which the number of elements is known
  static Tensor empty(const Meta& meta) { return empty(meta.dtype, meta.shape); }
  static Tensor empty_like(const Tensor& x, DType dtype);  ///< of x's shape, dense
  static Tensor full(DType dtype, IntSpan shape, Number value);
  static Tensor zeros(DType dtype, IntSpan shape) { return full(dtype, shape, 0); }
  /// Memory of someone else, given back by release(owner) when the last tensor on it dies.
  static Tensor wrap(DType dtype, IntSpan shape, IntSpan strides, void* data, void (*release)(void*), void* owner);
  /// The same storage seen otherwise; no history.
  Tensor view(IntSpan shape, IntSpan strides, int64_t offset) const;
  Tensor alias() const { return view(shape(), strides(), 0); }  ///< the same elements, no history
  static Tensor on_storage(Storage* storage, char* data, DType dtype, IntSpan shape, IntSpan strides);
  Tensor hollow() const { return hollow(dtype(), shape()); }  ///< dtype and shape only
  /// A leaf that has no value: ops on it are recorded and not computed. The graph assembled before a forward pass.
  static Tensor placeholder(const Meta& meta);
  static Tensor hollow(DType dtype, IntSpan shape);
  static Tensor hollow(const Meta& meta) { return hollow(meta.dtype, meta.shape); }
  /// A literal beside this tensor, as a 0-d tensor: this dtype, unless the literal is of a higher category. It may be
  /// shared with other uses of the literal: an operand, never to be changed.
  Tensor constant(Number value) const;

  // ---- Asking ----
  DType dtype() const { return impl_->dtype; }
  IntSpan shape() const { return impl_->sizes(); }
  IntSpan strides() const { return impl_->strides(); }
  int64_t size(int dim) const { return impl_->sizes()[dim]; }
  int ndim() const { return impl_->ndim; }
  int64_t numel() const { return impl_->numel; }
  bool is_contiguous() const { return impl_->contiguous; }
  Meta meta() const { return {dtype(), Shape(shape())}; }
  /// Whether it was computed from tensors that require gradients without being recorded: Note [Unrecorded results].
  bool is_unrecorded() const { return unrecorded_op() != no_op; }
  /// The first op that was not recorded, or no_op.
  int16_t unrecorded_op() const {
    if (impl_->detached) return id_of<Detach>;
    return impl_->storage ? impl_->storage->unrecorded_op : no_op;
  }
  /// Whether it has no value yet, a placeholder or computed from one: a hollow tensor with a history.
  bool is_placeholder() const { return !impl_->storage && impl_->node; }
  void* data() const {
    if (!impl_->storage) [[unlikely]]
      fail_without_value();
    return impl_->data;
  }
  template <class S>
  S* data() const {
    return static_cast<S*>(data());
  }
  /// The value of a tensor with one element.
  double item() const;
  int64_t item_integer() const;

  // ---- Gradients ----
  bool requires_grad() const { return impl_->requires_grad; }
  bool is_leaf() const;
  /// Fails for integers and bools, and for setting false on what has a history.
  const Tensor& requires_grad_(bool value = true) const;
  void retain_grad() const;
  Tensor grad() const { return share(impl_->grad); }
  void set_grad(Tensor grad) const;

  // ---- Ops ----
  template <class Op, class... A>
  static Tensor call(const Op& op, const A&... inputs);
  template <class Op>
  static Tensor call_many(const Op& op, std::span<const Tensor> inputs);  ///< for ops with any number of inputs
  static Tensor call_id(int id, const void* op, std::span<const Tensor* const> inputs);

 private:
  [[noreturn]] void fail_without_value() const;

  TensorImpl* impl_ = nullptr;
};

template <class Op, class... A>
Tensor Tensor::call(const Op& op, const A&... inputs) {
  const Tensor* list[] = {&inputs...};
  return call_id(id_of<Op>, &op, list);
}

template <class Op>
Tensor Tensor::call_many(const Op& op, std::span<const Tensor> inputs) {
  std::vector<const Tensor*> list;
  for (const Tensor& x : inputs) list.push_back(&x);
  return call_id(id_of<Op>, &op, list);
}

// ---- Grad mode, of this thread ----
[[gnu::tls_model("initial-exec")]] extern thread_local constinit bool grad_mode;
inline bool grad_enabled() { return grad_mode; }
inline bool set_grad_enabled(bool enabled) { return std::exchange(grad_mode, enabled); }  ///< returns the mode before

/// Sets the mode until the end of the block.
class GradMode {
 public:
  explicit GradMode(bool enabled) : before_(set_grad_enabled(enabled)) {}
  ~GradMode() { set_grad_enabled(before_); }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

}  // namespace chainrule
