// shape.h - small vectors of sizes, strides and dims; the arithmetic on them, checked. Floor: core.
// Dims is a plain value of fixed capacity: it is an op attribute, so it must be trivially copyable.
#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace chainrule {

inline constexpr int max_dims = 8;

/// A list of at most max_dims integers.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> values) : Shape(std::span<const int64_t>(values.begin(), values.size())) {}
  explicit Shape(std::span<const int64_t> values);

  int size() const { return static_cast<int>(size_); }
  bool empty() const { return size_ == 0; }
  int64_t& operator[](int i) { return values_[i]; }
  int64_t operator[](int i) const { return values_[i]; }
  int64_t back() const { return values_[size_ - 1]; }
  const int64_t* begin() const { return values_; }
  const int64_t* end() const { return values_ + size_; }
  int64_t* begin() { return values_; }
  int64_t* end() { return values_ + size_; }
  operator std::span<const int64_t>() const { return {values_, static_cast<size_t>(size_)}; }

  void push_back(int64_t value);
  void insert(int position, int64_t value);
  void erase(int position);
  void resize(int size, int64_t fill);
  bool contains(int64_t value) const { return std::find(begin(), end(), value) != end(); }
  bool operator==(const Shape& other) const { return std::ranges::equal(*this, other); }

 private:
  int64_t size_ = 0;
  int64_t values_[max_dims] = {};
};

/// A height and a width: of a window, of its step, of a border. An op attribute like Shape.
struct Pair {
  int64_t height = 1, width = 1;
};

using IntSpan = std::span<const int64_t>;

inline bool same(IntSpan a, IntSpan b) { return std::ranges::equal(a, b); }

// Note [The unknown size]
// A graph may be assembled before the size of a batch is known. That size is written as a number so large and prime
// that no real size comes near it: then every shape rule works on it unchanged, and what comes out says what it is, 64
// times it or one less than it. What is not within a million of a multiple of it is an ordinary size.
inline constexpr int64_t unknown_size = 66'600'000'013;  // its multiples keep away from powers of 2 and of 10

/// times * N + plus, where N is the unknown size.
struct SizeInN {
  int64_t times = 0, plus = 0;
  bool is_known() const { return times == 0; }
  int64_t at(int64_t n) const { return times * n + plus; }
};
inline SizeInN in_terms_of_n(int64_t size) {
  if (size < unknown_size / 2 && size > -unknown_size / 2) return {0, size};
  SizeInN n{size / unknown_size, size % unknown_size};  // any integer may come: no sum that could overflow
  if (n.plus > unknown_size / 2) ++n.times, n.plus -= unknown_size;
  if (n.plus < -unknown_size / 2) --n.times, n.plus += unknown_size;
  return n.plus > 1'000'000 || n.plus < -1'000'000 ? SizeInN{0, size} : n;
}
inline bool is_known(int64_t size) { return in_terms_of_n(size).is_known(); }
inline bool is_known(IntSpan shape) {
  return std::ranges::all_of(shape, [](int64_t size) { return is_known(size); });
}
/// "12", "N", "64*N", "N - 1".
std::string size_text(int64_t size);

/// "(2, 3)", "(5,)", "()", "(N, 64)".
std::string to_string(IntSpan shape);

/// Elements of a shape; fails on a negative size, or when elements * element_size does not fit in memory.
int64_t checked_numel(IntSpan shape, int64_t element_size, std::string_view op);
/// Elements of a shape that is known to be good.
int64_t numel_of(IntSpan shape);
Shape contiguous_strides(IntSpan shape);
bool is_contiguous(IntSpan shape, IntSpan strides);

/// dim in [-ndim, ndim) as [0, ndim); 0-d counts as one dim, as in PyTorch. Fails with IndexError.
int normalize_dim(int64_t dim, int ndim, std::string_view op);
/// dims as a bit mask; an empty list means all of them. Fails on a repeated dim.
uint32_t dim_mask(IntSpan dims, int ndim, std::string_view op);

/// The shape that both broadcast to (NumPy's rule); fails naming both.
Shape broadcast_shapes(IntSpan a, IntSpan b, std::string_view op);
/// Strides with which a tensor of `shape` and `strides` is read as `target`: 0 where it repeats.
Shape broadcast_strides(IntSpan shape, IntSpan strides, IntSpan target);
/// What is left after reducing the dims in `mask`.
Shape reduced_shape(IntSpan shape, uint32_t mask, bool keepdim);

}  // namespace chainrule
