// partial.h - the first few lanes of a pack to and from memory: what is left over at the end of a row costs one
// vector, not one turn for each element. Floor: kernels; anonymous namespace like simd.h.
// The other lanes hold `padding`, and memory behind the last element is never touched.
#pragma once
#include "chainrule/kernels/simd.h"

namespace chainrule {
namespace {

// AVX-512 reads and writes under a mask. GCC's own builtins, as in simd.h.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__x86_64__) && !defined(__clang__)
constexpr bool has_masked_memory = true;
#else
constexpr bool has_masked_memory = false;
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__x86_64__) && !defined(__clang__)
template <class S>
inline Vector<S, lanes<S>> masked_load(const S* p, const Vector<S, lanes<S>>& padding, uint64_t mask) {
  using V = Vector<S, lanes<S>>;
  if constexpr (sizeof(S) == 1) {
    return (V)__builtin_ia32_loaddquqi512_mask((const char*)p, (Vector<char, 64>)padding, mask);
  } else if constexpr (sizeof(S) == 4) {
    return (V)__builtin_ia32_loaddqusi512_mask((const int*)p, (Vector<int, 16>)padding,
                                               static_cast<unsigned short>(mask));
  } else {
    return (V)__builtin_ia32_loaddqudi512_mask((const long long*)p, (Vector<long long, 8>)padding,
                                               static_cast<unsigned char>(mask));
  }
}
template <class S>
inline void masked_store(S* p, const Vector<S, lanes<S>>& v, uint64_t mask) {
  if constexpr (sizeof(S) == 1) {
    __builtin_ia32_storedquqi512_mask((char*)p, (Vector<char, 64>)v, mask);
  } else if constexpr (sizeof(S) == 4) {
    __builtin_ia32_storedqusi512_mask((int*)p, (Vector<int, 16>)v, static_cast<unsigned short>(mask));
  } else {
    __builtin_ia32_storedqudi512_mask((long long*)p, (Vector<long long, 8>)v, static_cast<unsigned char>(mask));
  }
}
#endif

/// Lane k is p[k] for k < count <= N.
template <class S, int N>
inline Pack<S, N> load_first(const S* p, int64_t count, S padding = 0) {
  // A scalar is written here and read there all the time, and what was written under a mask is slow to read again.
  if (count == 1) {
    Pack<S, N> one = broadcast<S, Pack<S, N>::width>(padding);
    one.raw[0] = *p;
    return one;
  }
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__x86_64__) && !defined(__clang__)
  if constexpr (N == lanes<S>)
    return masked_load<S>(p, broadcast<S, N>(padding), count == N ? ~uint64_t{0} : (uint64_t{1} << count) - 1);
#endif
  S lane[Pack<S, N>::width];
  for (int k = 0; k < Pack<S, N>::width; ++k) lane[k] = k < count ? p[k] : padding;
  Pack<S, N> result;
  __builtin_memcpy(&result.raw, lane, sizeof lane);
  return result;
}

/// p[k] is lane k for k < count <= N.
template <class S, int N>
inline void store_first(const Pack<S, N>& value, S* p, int64_t count) {
  if (count == 1 && !Pack<S, N>::is_boolean) {
    *p = value.raw[0];
    return;
  }
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__x86_64__) && !defined(__clang__)
  if constexpr (N == lanes<S> && !Pack<S, N>::is_boolean)
    return masked_store<S>(p, value.raw, count == N ? ~uint64_t{0} : (uint64_t{1} << count) - 1);
#endif
  S lane[N];
  value.store(lane);
  for (int64_t k = 0; k < count; ++k) p[k] = lane[k];
}

/// The first `count` lanes; the others are zero.
template <class S, int N>
inline Pack<S, N> keep_first(const Pack<S, N>& value, int64_t count) {
  using P = Pack<S, N>;
  using Lane = typename P::SignedLane;
  const auto index = vector_of<Lane, P::width>([](int k) CR_INLINE_BODY { return static_cast<Lane>(k); });
  return select(typename P::Mask{index < broadcast<Lane, P::width>(static_cast<Lane>(count))}, value, 0);
}

}  // namespace
}  // namespace chainrule
