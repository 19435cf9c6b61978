// Tensors: memory, views, versions, changes in place, foreign memory.
#include "chainrule/autograd/tensor.h"

#include "chainrule/autograd/in_place.h"
#include "chainrule/core/allocator.h"
#include "support.h"

using namespace chainrule;
using namespace chainrule::testing;

TEST_CASE("making tensors") {
  for (DType dtype : all_dtypes) {
    const Tensor x = full(Shape{2, 3}, 1, dtype);
    CHECK(x.dtype() == dtype);
    CHECK(x.numel() == 6);
    CHECK(values_of(x) == std::vector<double>(6, 1));
  }
  CHECK(values_of(eye(2, 3)) == std::vector<double>{1, 0, 0, 0, 1, 0});
  CHECK(values_of(arange(5, 0, -2, DType::int64)) == std::vector<double>{5, 3, 1});
  CHECK(values_of(arange(0.0, 1.0, 0.25, DType::float32)) == std::vector<double>{0, 0.25, 0.5, 0.75});
  CHECK(values_of(linspace(0, 1, 5)) == std::vector<double>{0, 0.25, 0.5, 0.75, 1});
  CHECK(values_of(linspace(3, 4, 1)) == std::vector<double>{3});
  CHECK(scalar(2.5).item() == 2.5);
  CHECK(full({}, int64_t{1} << 60, DType::int64).item_integer() == int64_t{1} << 60);
}

TEST_CASE("bad requests") {
  CHECK(contains(message_of([] { zeros(Shape{2, -1}); }, ErrorKind::shape), "zeros: shape (2, -1)"));
  CHECK(contains(message_of([] { arange(0, 5, 0, DType::int64); }, ErrorKind::value), "step must not be 0"));
  CHECK(contains(message_of([] { full({}, int64_t{1} << 40, DType::int32); }, ErrorKind::value), "1099511627776"));
  CHECK(contains(message_of([] { full({}, std::numeric_limits<double>::quiet_NaN(), DType::int64); }, ErrorKind::value),
                 "nan"));
  CHECK(contains(message_of([] { rand(Shape{2}, DType::int64); }, ErrorKind::dtype), "rand: dtype int64"));
  CHECK(contains(message_of([] { randint(5, 5, Shape{2}); }, ErrorKind::value), "low must be below high"));
  CHECK(contains(message_of([] { arange(0, 5, 1, DType::int64).requires_grad_(); }, ErrorKind::dtype), "int64"));
}

TEST_CASE("views share memory, at any size") {
  for (int64_t n : {2, 200}) {
    const Tensor x = zeros(Shape{n, 3});
    const Tensor column = select(x, 1, 1);
    copy_in_place(column, ones(Shape{n}));
    CHECK(sum(x).item() == static_cast<double>(n));
    CHECK(transpose(x, 0, 1)->storage == x->storage);
    CHECK(reshape(x, Shape{3, -1})->storage == x->storage);
    CHECK(reshape(transpose(x, 0, 1), Shape{-1})->storage != x->storage);
    CHECK(expand(slice(x, 0, 0, 1), Shape{5, 3}).strides()[0] == 0);
  }
}

TEST_CASE("a view keeps the memory alive") {
  const int64_t before = live_tensors();
  Tensor view = select(full(Shape{3, 2}, 7, DType::float32), 0, 2);
  CHECK(values_of(view) == std::vector<double>{7, 7});
  view = Tensor();
  CHECK(live_tensors() == before);
}

TEST_CASE("foreign memory is given back once, after the last view") {
  static int released;
  released = 0;
  float memory[6] = {0, 1, 2, 3, 4, 5};
  {
    Tensor view;
    {
      const Tensor x =
          Tensor::wrap(DType::float32, Shape{3, 2}, Shape{1, 3}, memory, [](void*) { ++released; }, nullptr);
      CHECK(values_of(x) == std::vector<double>{0, 3, 1, 4, 2, 5});
      view = select(x, 1, 1);
    }
    CHECK(released == 0);
    CHECK(values_of(view) == std::vector<double>{3, 4, 5});
  }
  CHECK(released == 1);
}

TEST_CASE("a change in place is counted for every view") {
  const Tensor x = zeros(Shape{4}), view = slice(x, 0, 0, 2);
  copy_in_place(view, ones(Shape{2}));
  CHECK(x->storage->version == 1);
  CHECK(values_of(x) == std::vector<double>{1, 1, 0, 0});
}

TEST_CASE("changes in place that cannot be") {
  const Tensor leaf = ones(Shape{2}).requires_grad_();
  CHECK(contains(message_of([&] { copy_in_place(leaf, zeros(Shape{2})); }, ErrorKind::graph), "no_grad"));
  const Tensor repeated = expand(ones(Shape{1}), Shape{3});
  CHECK(contains(message_of([&] { copy_in_place(repeated, zeros(Shape{3})); }, ErrorKind::graph), "expanded"));
  const Tensor x = ones(Shape{2});
  CHECK_FALSE(message_of([&] { copy_in_place(x, zeros(Shape{3})); }, ErrorKind::shape).empty());
  CHECK(values_of(x) == std::vector<double>{1, 1});
}

TEST_CASE("overlapping copies read before they write") {
  const Tensor x = arange(0, 6, 1, DType::float32);
  copy_in_place(slice(x, 0, 1, 6), slice(x, 0, 0, 5));
  CHECK(values_of(x) == std::vector<double>{0, 0, 1, 2, 3, 4});
}
