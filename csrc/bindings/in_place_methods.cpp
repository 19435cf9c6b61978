// in_place_methods.cpp - methods that change a tensor's own memory and return the tensor. Floor: bindings.
#include "arguments.h"
#include "chainrule/autograd/in_place.h"
#include "chainrule/core/error.h"
#include "chainrule/ops/creation.h"
#include "chainrule/ops/functional.h"
#include "module.h"

namespace chainrule::python {

namespace {

// x.add_(other), x.add_(other, alpha=2): x = x op alpha * other.
template <class Op>
PyObject* changed_by(const Arguments& a) {
  const Tensor x = a.tensor(0);
  Tensor other = a.operand(1, x);
  if (a.has(2)) other = other * Tensor::full(other.dtype(), {}, a.number(2));
  run_in_place(op_table()[id_of<Op>], nullptr, x, other, a.op().c_str());
  return new_reference(a[0]);
}

PyObject* filled_with(const Arguments& a, Number value) {
  const Tensor x = a.tensor(0);
  copy_in_place(x, full({}, value, x.dtype()), a.op().c_str());
  return new_reference(a[0]);
}

PyObject* copied_from(const Arguments& a) {
  const Tensor x = a.tensor(0);
  copy_in_place(x, a.operand(1, x), a.op().c_str());
  return new_reference(a[0]);
}

constexpr Function table[] = {
    {"add_(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor", R"(Adds alpha * other in place.

Args:
    input: Any shape; no leaf that requires gradients, except under no_grad().
    other: A number, or a tensor that broadcasts to the shape of the input.
    alpha: A factor.

Returns:
    The tensor itself; the change is recorded.

Raises:
    ValueError: The other does not broadcast to the shape.
    TypeError: The result does not fit in the dtype.
    RuntimeError: The tensor is a leaf that requires gradients.

Example:
    >>> cr.tensor([1., 2.]).add_(1)
    tensor([2., 3.])
)",
     &changed_by<Add>, Scope::method},
    {"sub_(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor",
     R"(Subtracts alpha * other in place; see add_.

Example:
    >>> cr.tensor([1., 2.]).sub_(1)
    tensor([0., 1.])
)",
     &changed_by<Sub>, Scope::method},
    {"mul_(input: Tensor, other: Tensor | float) -> Tensor", R"(Multiplies in place; see add_.

Example:
    >>> cr.tensor([1., 2.]).mul_(3)
    tensor([3., 6.])
)",
     &changed_by<Mul>, Scope::method},
    {"div_(input: Tensor, other: Tensor | float) -> Tensor", R"(Divides in place; see add_.

Example:
    >>> cr.tensor([1., 2.]).div_(2)
    tensor([0.5000, 1.0000])
)",
     &changed_by<Div>, Scope::method},
    {"zero_(input: Tensor) -> Tensor", R"(Fills with zeros; the history ends here.

Example:
    >>> cr.ones(2).zero_()
    tensor([0., 0.])
)",
     [](const Arguments& a) { return filled_with(a, 0); }, Scope::method},
    {"fill_(input: Tensor, value: float) -> Tensor", R"(Fills with one value; the history ends here.

Raises:
    ValueError: The value does not fit in the dtype.

Example:
    >>> cr.ones(2).fill_(3)
    tensor([3., 3.])
)",
     [](const Arguments& a) { return filled_with(a, a.number(1)); }, Scope::method},
    {"copy_(input: Tensor, source: Tensor | float) -> Tensor",
     R"(Takes the values of another tensor, broadcast and cast.

Args:
    input: Any shape and dtype.
    source: Broadcasts to the shape of the input; gradients flow to it.

Raises:
    ValueError: The source does not broadcast to the shape.

Example:
    >>> cr.zeros(2).copy_(cr.tensor([1, 2]))
    tensor([1., 2.])
)",
     &copied_from, Scope::method},
    {"uniform_(input: Tensor, low: float = 0, high: float = 1) -> Tensor",
     R"(Fills with random numbers, uniform on [low, high); not recorded.

Example:
    >>> bool((cr.empty(100).uniform_(2, 3) >= 2).sum() == 100)
    True
)",
     [](const Arguments& a) {
       uniform_(a.tensor(0), a.real(1, 0), a.real(2, 1));
       return new_reference(a[0]);
     },
     Scope::method},
    {"normal_(input: Tensor, mean: float = 0, std: float = 1) -> Tensor",
     R"(Fills with normal random numbers; not recorded.

Example:
    >>> cr.empty(2).normal_(3, 0)
    tensor([3., 3.])
)",
     [](const Arguments& a) {
       normal_(a.tensor(0), a.real(1, 0), a.real(2, 1));
       return new_reference(a[0]);
     },
     Scope::method},
};

}  // namespace

void add_in_place_methods(py::module_& m) { add_table<table>(m); }

}  // namespace chainrule::python
