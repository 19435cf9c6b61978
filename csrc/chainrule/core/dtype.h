// dtype.h - the five element types, their C++ lane types and how they promote. Floor: core.
// bool is stored as one byte holding 0 or 1; its lane type is uint8_t.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace chainrule {

enum class DType : uint8_t { float32, float64, int64, int32, boolean };
inline constexpr int dtype_count = 5;
inline constexpr DType all_dtypes[dtype_count] = {DType::float32, DType::float64, DType::int64, DType::int32,
                                                  DType::boolean};

/// bool < integral < floating: a higher category always wins a promotion.
enum class Category : uint8_t { boolean, integral, floating };

struct DTypeInfo {
  const char* name;
  int size;  ///< bytes of one element
  Category category;
};

// Not inside the function: there it would be built on the stack in every call.
inline constexpr DTypeInfo dtype_table[dtype_count] = {{"float32", 4, Category::floating},
                                                       {"float64", 8, Category::floating},
                                                       {"int64", 8, Category::integral},
                                                       {"int32", 4, Category::integral},
                                                       {"bool", 1, Category::boolean}};
constexpr const DTypeInfo& info(DType dtype) { return dtype_table[static_cast<int>(dtype)]; }
constexpr const char* name_of(DType dtype) { return info(dtype).name; }
constexpr int64_t size_of(DType dtype) { return info(dtype).size; }
constexpr bool is_floating(DType dtype) { return dtype <= DType::float64; }  // asked in every op: no table

constexpr std::optional<DType> dtype_named(std::string_view name) {
  for (DType dtype : all_dtypes)
    if (name == name_of(dtype)) return dtype;
  return std::nullopt;
}

/// The smaller dtype that holds both, within PyTorch's lattice: bool < int32 < int64 < float32 < float64.
constexpr DType promote(DType a, DType b) {
  constexpr int rank[dtype_count] = {3, 4, 2, 1, 0};
  return rank[static_cast<int>(a)] >= rank[static_cast<int>(b)] ? a : b;
}

template <class S>
constexpr DType dtype_for() {
  if constexpr (std::is_same_v<S, float>) return DType::float32;
  else if constexpr (std::is_same_v<S, double>) return DType::float64;
  else if constexpr (std::is_same_v<S, int64_t>) return DType::int64;
  else if constexpr (std::is_same_v<S, int32_t>) return DType::int32;
  else {
    static_assert(std::is_same_v<S, uint8_t>, "not an element type of chainrule");
    return DType::boolean;
  }
}

/// Calls f.template operator()<S>() with the lane type S of `dtype`.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    case DType::int64: return f.template operator()<int64_t>();
    case DType::int32: return f.template operator()<int32_t>();
    default: return f.template operator()<uint8_t>();
  }
}

}  // namespace chainrule
