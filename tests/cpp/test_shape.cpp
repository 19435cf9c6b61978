// Shapes: sizes are checked, broadcasting is NumPy's, errors name what arrived.
#include "chainrule/core/shape.h"

#include <cstdlib>
#include <limits>

#include "support.h"

using namespace chainrule;
using chainrule::testing::contains;
using chainrule::testing::message_of;

TEST_CASE("text of a shape") {
  CHECK(to_string(Shape{}) == "()");
  CHECK(to_string(Shape{5}) == "(5,)");
  CHECK(to_string(Shape{2, 3}) == "(2, 3)");
}

TEST_CASE("a shape is a small vector") {
  Shape shape{2, 3};
  shape.push_back(4);
  shape.insert(0, 1);
  CHECK(shape == Shape{1, 2, 3, 4});
  shape.erase(1);
  CHECK(shape == Shape{1, 3, 4});
  shape.resize(5, 7);
  CHECK(shape == Shape{1, 3, 4, 7, 7});
  CHECK(shape.contains(3));
  CHECK_FALSE(shape.contains(2));
  CHECK(shape.back() == 7);
}

TEST_CASE("a shape has at most 8 dimensions") {
  Shape shape{1, 1, 1, 1, 1, 1, 1, 1};
  CHECK(contains(message_of([&] { shape.push_back(1); }, ErrorKind::shape), "9 dimensions"));
  CHECK(shape.size() == 8);
  const std::vector<int64_t> nine(9, 1);
  CHECK(contains(message_of([&] { Shape{std::span<const int64_t>(nine)}; }, ErrorKind::shape), "at most 8"));
}

TEST_CASE("the number of elements does not wrap around") {
  const Shape wraps{4194305, 4194305, 211106198978564};
  CHECK(contains(message_of([&] { checked_numel(wraps, 4, "zeros"); }, ErrorKind::memory), "zeros: shape (4194305, "));
  CHECK(contains(message_of([] { checked_numel(Shape{3, -1}, 4, "zeros"); }, ErrorKind::shape), "(3, -1)"));
  CHECK(contains(message_of([] { checked_numel(Shape{0, -1}, 4, "zeros"); }, ErrorKind::shape), "(0, -1)"));
  const Shape strides_wrap{int64_t{1} << 62, 0, int64_t{1} << 62};
  CHECK_FALSE(message_of([&] { checked_numel(strides_wrap, 8, "zeros"); }, ErrorKind::memory).empty());
  CHECK(checked_numel(Shape{1000, 0, 1000}, 8, "zeros") == 0);
  CHECK(checked_numel(Shape{}, 8, "zeros") == 1);
  CHECK(checked_numel(Shape{int64_t{1} << 59}, 8, "zeros") == int64_t{1} << 59);
}

TEST_CASE("contiguity") {
  CHECK(contiguous_strides(Shape{2, 3, 4}) == Shape{12, 4, 1});
  CHECK(is_contiguous(Shape{2, 3}, Shape{3, 1}));
  CHECK(is_contiguous(Shape{1, 3}, Shape{77, 1}));
  CHECK(is_contiguous(Shape{0, 3}, Shape{1, 77}));
  CHECK_FALSE(is_contiguous(Shape{3, 2}, Shape{1, 3}));
}

TEST_CASE("dims count from both ends") {
  CHECK(normalize_dim(-1, 3, "sum") == 2);
  CHECK(normalize_dim(0, 0, "sum") == 0);
  CHECK(message_of([] { normalize_dim(3, 3, "sum"); }, ErrorKind::index) ==
        "sum: dim 3 of a tensor with 3 dimensions; dim must be in [-3, 2]");
  CHECK(dim_mask(Shape{0, -1}, 3, "sum") == 0b101);
  CHECK(dim_mask(Shape{}, 3, "sum") == 0b111);
  CHECK(contains(message_of([] { dim_mask(Shape{1, -2}, 3, "sum"); }, ErrorKind::value), "twice"));
  CHECK(reduced_shape(Shape{2, 3, 4}, 0b101, false) == Shape{3});
  CHECK(reduced_shape(Shape{2, 3, 4}, 0b101, true) == Shape{1, 3, 1});
}

TEST_CASE("broadcasting") {
  CHECK(broadcast_shapes(Shape{4, 1, 3}, Shape{2, 1}, "add") == Shape{4, 2, 3});
  CHECK(broadcast_shapes(Shape{}, Shape{2, 0}, "add") == Shape{2, 0});
  CHECK(broadcast_shapes(Shape{1}, Shape{0}, "add") == Shape{0});
  CHECK(broadcast_strides(Shape{2, 1}, Shape{1, 1}, Shape{4, 2, 3}) == Shape{0, 1, 0});
  const std::string text = message_of([] { broadcast_shapes(Shape{2, 3}, Shape{4, 3}, "add"); }, ErrorKind::shape);
  CHECK(contains(text, "add: shapes (2, 3) and (4, 3)"));
}

TEST_CASE("a size that is not known yet stays readable through arithmetic") {
  CHECK(to_string(Shape{unknown_size, 64}) == "(N, 64)");
  CHECK(to_string(Shape{64 * unknown_size}) == "(64*N,)");
  CHECK(size_text(unknown_size - 1) == "N - 1");
  CHECK(size_text(2 * unknown_size + 3) == "2*N + 3");
  CHECK(in_terms_of_n(28 * unknown_size - 4).at(10) == 276);
  for (int64_t size : {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(), unknown_size / 2,
                       unknown_size / 2 + 1, -unknown_size / 2 - 1}) {
    const SizeInN n = in_terms_of_n(size);
    CHECK(static_cast<__int128>(n.times) * unknown_size + n.plus == size);
  }
  CHECK(is_known(Shape{1 << 30, 7}));
  CHECK_FALSE(is_known(Shape{7, unknown_size}));
}
