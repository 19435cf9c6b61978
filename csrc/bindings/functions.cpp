// functions.cpp - reductions, linear algebra and losses as functions and methods, by PyTorch's names. Floor: bindings.
// Elementwise functions come from the op table instead: see op_calls.cpp.
#include "arguments.h"
#include "chainrule/ops/functional.h"
#include "chainrule/ops/op_rules.h"
#include "module.h"
#include "scalars.h"
#include "values_indices.h"

namespace chainrule::python {

namespace {

// sum(x, dim, keepdim, dtype=...) casts first.
Tensor input_as(const Arguments& a, int dtype) {
  const Tensor x = a.tensor(0);
  return a.has(dtype) ? cast(x, a.dtype(dtype)) : x;
}

std::optional<int64_t> optional_dim(const Arguments& a, int i) {
  return a.has(i) ? std::optional<int64_t>(a.integer(i)) : std::nullopt;
}

// max(x), max(x, dim, keepdim) and max(a, b).
template <class Elementwise, Tensor (*all)(const Tensor&),
          std::pair<Tensor, Tensor> (*along)(const Tensor&, int64_t, bool)>
PyObject* extremum(const Arguments& a) {
  const Tensor x = a.tensor(0);
  if (!a.has(1)) {
    if (a.has(2)) fail(ErrorKind::dtype, a.op(), "keepdim without dim", "keepdim belongs to dim");
    if (x.numel() == 0)
      fail(ErrorKind::shape, a.op(), "a tensor of shape " + to_string(x.shape()), "there must be at least one element");
    return wrap(all(x));
  }
  if (is_tensor(a[1])) return wrap(Tensor::call(Elementwise{}, x, a.tensor(1)));
  auto [values, indices] = along(x, a.integer(1), a.boolean(2, false));
  return wrap_values_indices(std::move(values), std::move(indices));
}

// A bound is a number, a tensor or None.
Tensor clamped(const Arguments& a) {
  Tensor x = a.tensor(0);
  if (!a.has(1) && !a.has(2)) fail(ErrorKind::value, "clamp", "neither min nor max", "at least one must be given");
  const bool tensors = (a.has(1) && is_tensor(a[1])) || (a.has(2) && is_tensor(a[2]));
  if (!tensors) return Tensor::call(Clamp{a.real(1, Clamp{}.min), a.real(2, Clamp{}.max)}, x);
  if (a.has(1)) x = maximum(x, a.operand(1, x));
  if (a.has(2)) x = minimum(x, a.operand(2, x));
  return x;
}

constexpr Function table[] = {
    {"sum(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dtype | None = None) "
     "-> Tensor",
     R"(Sum over dims.

Args:
    input: Any shape and dtype; bools and int32 add up as int64.
    dim: The dims to sum over; all if None.
    keepdim: Whether they stay, with size 1.
    dtype: Cast to this first.

Returns:
    The shape without those dims. The sum over nothing is 0.

Raises:
    IndexError: There is no such dim.

Example:
    >>> cr.tensor([[1., 2.], [3., 4.]]).sum(0)
    tensor([4., 6.])
)",
     [](const Arguments& a) { return wrap(sum(input_as(a, 3), a.integers_or_empty(1), a.boolean(2, false))); }},

    {"mean(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: dtype | None = None) "
     "-> Tensor",
     R"(Arithmetic mean over dims.

Args:
    input: Any shape; a floating dtype.
    dim: The dims to average over; all if None.
    keepdim: Whether they stay, with size 1.
    dtype: Cast to this first.

Returns:
    The shape without those dims. The mean of nothing is nan.

Raises:
    IndexError: There is no such dim.
    TypeError: The dtype is not floating.

Example:
    >>> cr.tensor([[1., 2.], [3., 4.]]).mean()
    tensor(2.5000)
)",
     [](const Arguments& a) { return wrap(mean(input_as(a, 3), a.integers_or_empty(1), a.boolean(2, false))); }},

    {"var(input: Tensor, dim: int | Sequence[int] | None = None, *, correction: int = 1, keepdim: bool = False) -> Tensor",
     R"(Variance over dims: sum((x - mean) ** 2) / (n - correction).

Args:
    input: Any shape; a floating dtype.
    dim: The dims to fold; all if None.
    correction: 1 for the unbiased estimate (Bessel's correction), 0 for the population's variance.
    keepdim: Whether the dims stay, with size 1.

Returns:
    The shape without those dims; nan where n <= correction.

Raises:
    IndexError: There is no such dim.
    TypeError: The dtype is not floating.

Example:
    >>> cr.tensor([1., 2., 3., 4.]).var()
    tensor(1.6667)
)",
     [](const Arguments& a) {
       return wrap(Tensor::call(Var{a.integers_or_empty(1), a.integer(2, 1), a.boolean(3, false)}, a.tensor(0)));
     }},

    {"max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any",
     R"(The largest element; along a dim, with its position; or, of two tensors, elementwise.

Args:
    input: Any shape and dtype, not empty.
    dim: None for the largest of all, a dim, or a second tensor (as maximum).
    keepdim: Whether the dim stays, with size 1.

Returns:
    A tensor; with a dim, the named tuple (values, indices). Ties share the gradient over all elements or between two
    tensors; along a dim, the first gets it.

Raises:
    ValueError: There are no elements.
    IndexError: There is no such dim.

Example:
    >>> cr.tensor([1., 5., 3.]).max()
    tensor(5.)
    >>> cr.tensor([[1., 5.], [4., 3.]]).max(1).indices
    tensor([1, 0])
)",
     &extremum<Maximum, max, max>},

    {"min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any",
     R"(The smallest element; along a dim, with its position; or, of two tensors, elementwise.

Args:
    input: Any shape and dtype, not empty.
    dim: None for the smallest of all, a dim, or a second tensor (as minimum).
    keepdim: Whether the dim stays, with size 1.

Returns:
    A tensor; with a dim, the named tuple (values, indices). Ties share the gradient over all elements or between two
    tensors; along a dim, the first gets it.

Raises:
    ValueError: There are no elements.
    IndexError: There is no such dim.

Example:
    >>> cr.tensor([1., 5., 3.]).min()
    tensor(1.)
    >>> cr.tensor([[1., 5.], [4., 3.]]).min(1).indices
    tensor([0, 1])
)",
     &extremum<Minimum, min, min>},

    {"amax(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor",
     R"(The largest element over dims; ties share the gradient.

Args:
    input: Any shape and dtype, not empty along the dims.
    dim: The dims to fold; all if None.
    keepdim: Whether they stay, with size 1.

Returns:
    The shape without those dims.

Raises:
    ValueError: A dim is empty.
    IndexError: There is no such dim.

Example:
    >>> cr.tensor([[1., 5.], [4., 3.]]).amax(1)
    tensor([5., 4.])
)",
     [](const Arguments& a) {
       return wrap(Tensor::call(Amax{a.integers_or_empty(1), a.boolean(2, false)}, a.tensor(0)));
     }},

    {"amin(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor",
     R"(The smallest element over dims; ties share the gradient.

Args:
    input: Any shape and dtype, not empty along the dims.
    dim: The dims to fold; all if None.
    keepdim: Whether they stay, with size 1.

Returns:
    The shape without those dims.

Raises:
    ValueError: A dim is empty.
    IndexError: There is no such dim.

Example:
    >>> cr.tensor([[1., 5.], [4., 3.]]).amin(1)
    tensor([1., 3.])
)",
     [](const Arguments& a) {
       return wrap(Tensor::call(Amin{a.integers_or_empty(1), a.boolean(2, false)}, a.tensor(0)));
     }},

    {"argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor",
     R"(Position of the largest element, the first of equals.

Args:
    input: Any shape and dtype, not empty.
    dim: The dim to search along; None for the position in the flattened tensor.
    keepdim: Whether the dim stays, with size 1.

Returns:
    int64; no gradient.

Raises:
    ValueError: There are no elements.
    IndexError: There is no such dim.

Example:
    >>> cr.tensor([1., 5., 3.]).argmax()
    tensor(1)
)",
     [](const Arguments& a) { return wrap(argmax(a.tensor(0), optional_dim(a, 1), a.boolean(2, false))); }},

    {"argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor",
     R"(Position of the smallest element, the first of equals.

Args:
    input: Any shape and dtype, not empty.
    dim: The dim to search along; None for the position in the flattened tensor.
    keepdim: Whether the dim stays, with size 1.

Returns:
    int64; no gradient.

Raises:
    ValueError: There are no elements.
    IndexError: There is no such dim.

Example:
    >>> cr.tensor([1., 5., 3.]).argmin()
    tensor(0)
)",
     [](const Arguments& a) { return wrap(argmin(a.tensor(0), optional_dim(a, 1), a.boolean(2, false))); }},

    {"softmax(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor",
     R"(exp(x) / sum(exp(x)) along a dim, computed without overflow.

Args:
    input: Any shape; a floating dtype.
    dim: The dim along which the results add up to 1.
    dtype: Cast to this first.

Returns:
    The shape of the input.

Raises:
    IndexError: There is no such dim.

Example:
    >>> cr.softmax(cr.zeros(2), 0)
    tensor([0.5000, 0.5000])
)",
     [](const Arguments& a) { return wrap(Tensor::call(Softmax{a.integer(1)}, input_as(a, 2))); }},

    {"log_softmax(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor",
     R"(x - log(sum(exp(x))) along a dim, computed without overflow.

Args:
    input: Any shape; a floating dtype.
    dim: The dim along which exp of the results adds up to 1.
    dtype: Cast to this first.

Returns:
    The shape of the input.

Raises:
    IndexError: There is no such dim.

Example:
    >>> cr.log_softmax(cr.zeros(2), 0)
    tensor([-0.6931, -0.6931])
)",
     [](const Arguments& a) { return wrap(Tensor::call(LogSoftmax{a.integer(1)}, input_as(a, 2))); }},

    {"logsumexp(input: Tensor, dim: int | Sequence[int], keepdim: bool = False) -> Tensor",
     R"(log(sum(exp(x))) over dims, computed without overflow.

Args:
    input: Any shape; integers and bools become float32.
    dim: The dims to fold.
    keepdim: Whether they stay, with size 1.

Returns:
    The shape without those dims.

Raises:
    IndexError: There is no such dim.

Example:
    >>> cr.zeros(2).logsumexp(0)
    tensor(0.6931)
)",
     [](const Arguments& a) { return wrap(Tensor::call(LogSumExp{a.integers(1), a.boolean(2, false)}, a.tensor(0))); }},

    {"matmul(input: Tensor, other: Tensor) -> Tensor", R"(Matrix product; also a @ b.

Args:
    input: (..., m, k), or (k,).
    other: (..., k, n), or (k,); the same dtype.

Returns:
    (..., m, n); leading dims broadcast, and a 1-d operand's dim disappears.

Raises:
    ValueError: The inner sizes differ.
    TypeError: The dtypes differ.

Example:
    >>> cr.matmul(cr.tensor([[1., 2.], [3., 4.]]), cr.tensor([1., 1.]))
    tensor([3., 7.])
)",
     [](const Arguments& a) { return wrap(matmul(a.tensor(0), a.tensor(1))); }},

    {"clamp(input: Tensor, min: float | Tensor | None = None, max: float | Tensor | None = None) -> Tensor",
     R"(Keeps elements within [min, max]; the gradient passes at the bounds.

Args:
    input: Any shape; any dtype but bool.
    min: The lower bound, a number or a tensor; None for none.
    max: The upper bound, a number or a tensor; None for none.

Returns:
    The shape of the input. Where min is above max, the result is max.

Raises:
    ValueError: Neither bound is given.

Example:
    >>> cr.tensor([-2., 0.5, 3.]).clamp(min=0, max=1)
    tensor([0.0000, 0.5000, 1.0000])
)",
     [](const Arguments& a) { return wrap(clamped(a)); }},
};

}  // namespace

void add_functions(py::module_& m) { add_table<table>(m); }

}  // namespace chainrule::python
