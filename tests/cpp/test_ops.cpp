// Public operations from C++: values, names, errors; gradients of every elementwise op against finite differences.
#include "chainrule/ops/op_table.h"

#include <cmath>
#include <cstring>
#include <set>

#include "chainrule/ops/format.h"
#include "chainrule/ops/optimizer_steps.h"
#include "support.h"

using namespace chainrule;
using namespace chainrule::testing;

namespace {

using Operands = std::vector<Tensor>;

Tensor run_elementwise(const OpRow& row, const Operands& inputs) {
  alignas(16) char attributes[max_attribute_bytes] = {};
  if (row.construct) row.construct(attributes);
  std::vector<const Tensor*> list;
  for (const Tensor& x : inputs) list.push_back(&x);
  Tensor outputs[max_outputs];
  run(row, attributes, list, outputs);
  return outputs[0];
}

// Away from kinks and poles: positive, distinct.
Operands operands_of(const OpRow& row) {
  Operands inputs;
  for (int k = 0; k < row.inputs; ++k) {
    if (row.mask_input && k == 0) inputs.push_back(from_values<uint8_t>(std::vector<uint8_t>{1, 0, 1}, Shape{3}));
    else inputs.push_back(doubles({0.3 + k, 1.7 - 0.4 * k, 0.9 + 0.2 * k}, Shape{3}));
  }
  return inputs;
}

void check_gradient(const OpRow& row, int k) {
  constexpr double step = 1e-6;
  Operands inputs = operands_of(row);
  const Tensor x = inputs[static_cast<size_t>(k)];
  x.requires_grad_();
  backward(sum(run_elementwise(row, inputs)));
  REQUIRE(x.grad());
  for (int64_t i = 0; i < 3; ++i) {
    double sides[2];
    for (int side = 0; side < 2; ++side) {
      const Tensor moved = contiguous(detach(x)) + 0.0;
      moved.data<double>()[i] += side ? step : -step;
      Operands others = inputs;
      others[static_cast<size_t>(k)] = moved;
      sides[side] = sum(run_elementwise(row, others)).item();
    }
    CHECK(x.grad().data<double>()[i] == doctest::Approx((sides[1] - sides[0]) / (2 * step)).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("names are unique and found") {
  std::set<std::string> names;
  for (const OpRow& row : op_table()) {
    CHECK(names.insert(row.info->name).second);
    CHECK(&op_named(row.info->name) == &row);
    CHECK(std::strlen(row.info->doc) > 0);
  }
  CHECK(names.count("matmul") == 1);
  CHECK_THROWS_WITH_AS(op_named("tanhh"), doctest::Contains("tanh"), Error);
}

TEST_CASE("gradients of elementwise ops") {
  for (const OpRow& row : op_table()) {
    if (!row.elementwise || !row.vjp) continue;
    for (int k = row.mask_input; k < row.inputs; ++k) {
      INFO(row.info->name << " input " << k);
      check_gradient(row, k);
    }
  }
}

TEST_CASE("promotion") {
  const Tensor ints = arange(0, 3, 1, DType::int32), bools = ones(Shape{3}, DType::boolean);
  CHECK((ints + bools).dtype() == DType::int32);
  CHECK((ints + 1.5).dtype() == DType::float32);
  CHECK((ints + zeros(Shape{3}, DType::float64)).dtype() == DType::float64);
  CHECK((zeros(Shape{3}) + scalar(1)).dtype() == DType::float32);
  CHECK((ints / ints).dtype() == DType::float32);
  CHECK((ints > 1).dtype() == DType::boolean);
  CHECK(sum(bools).item_integer() == 3);
}

TEST_CASE("matrix products") {
  const Tensor a = floats({1, 2, 3, 4, 5, 6}, Shape{2, 3}), v = floats({1, 0, -1}, Shape{3});
  CHECK(values_of(matmul(a, matrix_transpose(a))) == std::vector<double>{14, 32, 32, 77});
  CHECK(values_of(matmul(a, v)) == std::vector<double>{-2, -2});
  CHECK(matmul(v, v).item() == 2);
  CHECK(matmul(expand(a, Shape{4, 1, 2, 3}), ones(Shape{5, 3, 7})).meta().shape == Shape{4, 5, 2, 7});
  CHECK(contains(message_of([&] { matmul(a, a); }, ErrorKind::shape), "(2, 3)"));
}

TEST_CASE("reductions and normalisations") {
  const Tensor x = floats({1, 5, 2, 5, 0, 4}, Shape{2, 3});
  CHECK(sum(x).item() == 17);
  CHECK(values_of(sum(x, Shape{0})) == std::vector<double>{6, 5, 6});
  CHECK(values_of(mean(x * 3, Shape{1}, true)) == std::vector<double>{8, 9});
  const auto [values, indices] = max(x, 1);
  CHECK(values_of(values) == std::vector<double>{5, 5});
  CHECK(values_of(indices) == std::vector<double>{1, 0});
  CHECK(values_of(argmin(x, 1)) == std::vector<double>{0, 1});
  CHECK(cross_entropy(x, from_values<int64_t>(std::vector<int64_t>{1, 0}, Shape{2})).item() ==
        doctest::Approx((std::log(std::exp(-4) + 1 + std::exp(-3)) + std::log(1 + std::exp(-5) + std::exp(-1))) / 2));
}

TEST_CASE("text of tensors") {
  CHECK(to_string(floats({1, 2, 3, 4}, Shape{2, 2})) == "tensor([[1., 2.],\n        [3., 4.]])");
  CHECK(to_string(floats({0.1f, -2}, Shape{2})) == "tensor([ 0.1000, -2.0000])");
  CHECK(to_string(variable(1) * variable(2)) == "tensor(2., dtype=chainrule.float64, grad_fn=<MulBackward0>)");
}

TEST_CASE("an optimizer step writes all or nothing") {
  const Tensor good = ones(Shape{2}).requires_grad_(), bad = ones(Shape{2}).requires_grad_();
  backward(sum(good * 3) + sum(bad * 4));
  Buffers buffers = {Tensor(), zeros(Shape{3})};
  const Tensor parameters[] = {good, bad};
  const SgdSettings settings{
      .lr = 0.5, .momentum = 0.9, .dampening = 0, .weight_decay = 0, .nesterov = false, .maximize = false};
  CHECK(contains(message_of([&] { sgd_step(parameters, buffers, settings); }, ErrorKind::shape), "parameter 1"));
  CHECK(values_of(good) == std::vector<double>{1, 1});
  CHECK_FALSE(buffers[0]);
  buffers[1] = Tensor();
  sgd_step(parameters, buffers, settings);
  CHECK(values_of(good) == std::vector<double>{-0.5, -0.5});
  CHECK(values_of(bad) == std::vector<double>{-1, -1});
  CHECK(values_of(buffers[1]) == std::vector<double>{4, 4});
  CHECK(good->storage->version == 1);
}
