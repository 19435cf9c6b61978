"""repr of tensors: PyTorch 2.13's text with this library's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import chainrule as cr
from chainrule import nn

nan, inf = float("nan"), float("inf")
LONG_ROW = """\
tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,
        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,
        36, 37, 38, 39])"""
LONG_FLOATS = """\
tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,
        14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26., 27.,
        28., 29., 30., 31., 32., 33., 34., 35., 36., 37., 38., 39.])"""
CUBE = """\
tensor([[[0., 1.],
         [2., 3.]],

        [[4., 5.],
         [6., 7.]]])"""

LITERALS: list[tuple[Callable[[], Any], str]] = [
    (lambda: cr.tensor(3.5), "tensor(3.5000)"),
    (lambda: cr.tensor(7), "tensor(7)"),
    (lambda: cr.tensor(True), "tensor(True)"),
    (lambda: cr.tensor(1e-20), "tensor(1.0000e-20)"),
    (lambda: cr.tensor(1 / 3, dtype=cr.float64), "tensor(0.3333, dtype=chainrule.float64)"),
    (lambda: cr.tensor([1.0, 2.0, 3.0]), "tensor([1., 2., 3.])"),
    (lambda: cr.tensor([1, 2, 3]), "tensor([1, 2, 3])"),
    (lambda: cr.tensor([-1, 10, 100]), "tensor([ -1,  10, 100])"),
    (lambda: cr.tensor([True, False]), "tensor([ True, False])"),
    (lambda: cr.tensor([[True], [False]]), "tensor([[ True],\n        [False]])"),
    (lambda: cr.tensor([0.1, 0.25]), "tensor([0.1000, 0.2500])"),
    (lambda: cr.tensor([-0.0]), "tensor([-0.])"),
    (
        lambda: cr.tensor([[1.5, -2.25], [3.0, 4.0]]),
        "tensor([[ 1.5000, -2.2500],\n        [ 3.0000,  4.0000]])",
    ),
    (
        lambda: cr.tensor([[-1.5, 100.25], [nan, 2.0]]),
        "tensor([[ -1.5000, 100.2500],\n        [     nan,   2.0000]])",
    ),
    (lambda: cr.tensor([nan, inf, -inf, 1.0]), "tensor([nan, inf, -inf, 1.])"),
    (lambda: cr.tensor([nan, inf]), "tensor([nan, inf])"),
    (lambda: cr.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
    (lambda: cr.tensor([1e10, 1.0]), "tensor([1.0000e+10, 1.0000e+00])"),
    (lambda: cr.tensor([1e5, 1.5]), "tensor([1.0000e+05, 1.5000e+00])"),
    (lambda: cr.tensor([123456.0, 7.0]), "tensor([1.2346e+05, 7.0000e+00])"),
    (lambda: cr.tensor([0.00011, 1.0]), "tensor([1.1000e-04, 1.0000e+00])"),
    (lambda: cr.tensor([1e8]), "tensor([100000000.])"),
    (lambda: cr.tensor([1e9]), "tensor([1.0000e+09])"),
    (lambda: cr.tensor([]), "tensor([])"),
    (lambda: cr.zeros(2, 0), "tensor([], size=(2, 0))"),
    (lambda: cr.zeros(0, 3, dtype=cr.int64), "tensor([], size=(0, 3), dtype=chainrule.int64)"),
    (lambda: cr.tensor([1.0, 2.0], dtype=cr.float64), "tensor([1., 2.], dtype=chainrule.float64)"),
    (lambda: cr.tensor([1, 2], dtype=cr.int32), "tensor([1, 2], dtype=chainrule.int32)"),
    (lambda: cr.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    (lambda: cr.arange(40), LONG_ROW),
    (lambda: cr.arange(40.0), LONG_FLOATS),
    (lambda: cr.arange(8.0).reshape(2, 2, 2), CUBE),
    (lambda: cr.arange(4.0).reshape(2, 2).T, "tensor([[0., 2.],\n        [1., 3.]])"),
    (lambda: cr.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
    (
        lambda: nn.Parameter(cr.tensor([1.0, 2.0])),
        "Parameter containing:\ntensor([1., 2.], requires_grad=True)",
    ),
]


@pytest.mark.parametrize(("make", "text"), LITERALS, ids=[text for _, text in LITERALS])
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == str(make()) == text


@pytest.mark.parametrize(
    ("make", "start"),
    [
        (lambda x: x * 2, "tensor([2., 4.], grad_fn=<Mul"),
        (lambda x: x.sum(), "tensor(3., grad_fn=<Sum"),
    ],
)
def test_repr_names_the_op_of_a_result(make: Any, start: str) -> None:
    text = repr(make(cr.tensor([1.0, 2.0], requires_grad=True)))
    assert text.startswith(start)
    assert text.endswith(">)")


def test_repr_does_not_record_or_change() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    repr(x)
    assert (x._version, x.grad, x.grad_fn) == (0, None, None)


def test_repr_of_a_large_tensor_is_short() -> None:
    assert len(repr(cr.zeros(1000, 1000))) < 1000


def test_format_of_a_scalar_takes_a_float_format() -> None:
    assert f"{cr.tensor(1.5):.3f}" == "1.500"
    assert f"{cr.tensor([1.0])}" == "tensor([1.])"
