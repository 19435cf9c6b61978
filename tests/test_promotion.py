"""The dtype of a result: PyTorch's promotion rules as literal tables (checked against 2.13)."""

from __future__ import annotations

from typing import Any

import pytest

import chainrule as cr

NAMES = ["bool", "int32", "int64", "float32", "float64"]
B, I, L, F, D = NAMES  # noqa: E741

# Two operands that both have dims: the higher category, then the wider type. Rows: left operand.
BOTH_HAVE_DIMS = {
    "bool": [B, I, L, F, D],
    "int32": [I, I, L, F, D],
    "int64": [L, L, L, F, D],
    "float32": [F, F, F, F, D],
    "float64": [D, D, D, D, D],
}
# The right operand has none: only a higher category changes the result.
RIGHT_IS_0D = {
    "bool": [B, I, L, F, D],
    "int32": [I, I, I, F, D],
    "int64": [L, L, L, F, D],
    "float32": [F, F, F, F, F],
    "float64": [D, D, D, D, D],
}
# The right operand is True, 2 or 2.0.
PYTHON_SCALAR = {
    "bool": [B, L, F],
    "int32": [I, I, F],
    "int64": [L, L, F],
    "float32": [F, F, F],
    "float64": [D, D, D],
}
# True division of integers and bools gives the default float.
DIVISION = {
    "bool": [F, F, F, F, D],
    "int32": [F, F, F, F, D],
    "int64": [F, F, F, F, D],
    "float32": [F, F, F, F, D],
    "float64": [D, D, D, D, D],
}


def named(name: str) -> Any:
    return getattr(cr, name)


def pairs(table: dict[str, list[str]], columns: list[Any]) -> list[tuple[str, Any, str]]:
    return [(a, b, out) for a, row in table.items() for b, out in zip(columns, row, strict=True)]


@pytest.mark.parametrize(("left", "right", "out"), pairs(BOTH_HAVE_DIMS, NAMES))
def test_both_have_dims(left: str, right: str, out: str) -> None:
    a, b = cr.ones(2, dtype=named(left)), cr.ones(1, dtype=named(right))
    for y in (a + b, a * b, b * a, cr.maximum(a, b), cr.where(a == 1, a, b)):
        assert y.dtype == named(out)


@pytest.mark.parametrize(("left", "right", "out"), pairs(BOTH_HAVE_DIMS, NAMES))
def test_joined_tensors(left: str, right: str, out: str) -> None:
    a, b = cr.ones(1, dtype=named(left)), cr.ones(1, dtype=named(right))
    for y in (cr.cat([a, b]), cr.stack([a, b])):
        assert y.dtype == named(out)


@pytest.mark.parametrize(("left", "right", "out"), pairs(RIGHT_IS_0D, NAMES))
def test_one_is_0d(left: str, right: str, out: str) -> None:
    a, b = cr.ones(2, dtype=named(left)), cr.ones((), dtype=named(right))
    for y in (a + b, b + a, a * b, cr.minimum(b, a)):
        assert y.dtype == named(out)


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize(("left", "right", "out"), pairs(PYTHON_SCALAR, [True, 2, 2.0]))
def test_python_scalar(shape: tuple[int, ...], left: str, right: Any, out: str) -> None:
    x = cr.ones(shape, dtype=named(left))
    for y in (x + right, right + x, x * right, right * x):
        assert y.dtype == named(out)


@pytest.mark.parametrize(("left", "right", "out"), pairs(DIVISION, NAMES))
def test_division(left: str, right: str, out: str) -> None:
    assert (cr.ones(2, dtype=named(left)) / cr.ones(2, dtype=named(right))).dtype == named(out)


@pytest.mark.parametrize("name", NAMES)
def test_comparisons_give_bool(name: str) -> None:
    x = cr.ones(2, dtype=named(name))
    for y in (x == x, x != 1, x < 2.5, x > x, x <= x, x >= 0):
        assert y.dtype == cr.bool


def test_comparison_sees_the_exact_integer() -> None:
    big = cr.tensor([2**53, 2**53 + 1])
    assert (big == 2**53 + 1).tolist() == [False, True]
    assert (big > 2**53).tolist() == [False, True]


def test_a_scalar_keeps_double_precision_until_the_operation() -> None:
    assert (cr.ones((), dtype=cr.float64) * 0.1).item() == 0.1
    assert (cr.tensor(1, dtype=cr.int64) + 0.5).item() == 1.5


def test_integers_do_not_pass_through_floats() -> None:
    assert (cr.tensor([2**62]) + 1).tolist() == [2**62 + 1]
    assert (cr.tensor([3**39]) * 1).tolist() == [3**39]
    assert cr.tensor([2**53 + 1, 2**53]).sum().item() == 2**54 + 1
    assert cr.tensor([2**53 + 1, 2**53]).max().item() == 2**53 + 1


@pytest.mark.parametrize("name", ["int32", "int64"])
def test_integer_overflow_wraps(name: str) -> None:
    width = {"int32": 32, "int64": 64}[name]
    top = cr.tensor([2 ** (width - 1) - 1], dtype=named(name))
    assert (top + 1).tolist() == [-(2 ** (width - 1))]


def test_gradients_have_the_dtype_of_their_leaf() -> None:
    a = cr.ones(2, dtype=cr.float32, requires_grad=True)
    b = cr.ones(2, dtype=cr.float64, requires_grad=True)
    (a * b * cr.tensor([1, 2])).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (cr.float32, cr.float64)
    assert a.grad.tolist() == b.grad.tolist() == [1.0, 2.0]
