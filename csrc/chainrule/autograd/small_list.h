// small_list.h - a list of known length whose first few elements need no allocation. Floor: autograd.
#pragma once
#include <array>
#include <span>
#include <vector>

namespace chainrule {

template <class T, size_t N>
class SmallList {
 public:
  explicit SmallList(size_t size) : size_(size) {
    if (size > N) long_.resize(size);
  }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return const_cast<SmallList*>(this)->data()[i]; }
  size_t size() const { return size_; }
  T* data() { return size_ > N ? long_.data() : short_.data(); }
  operator std::span<const T>() { return {data(), size_}; }

 private:
  size_t size_;
  std::array<T, N> short_;
  std::vector<T> long_;
};

}  // namespace chainrule
