"""What users do wrong most often: each error names the op, what arrived, the rule, and the place.

The op-by-op list is in tests/samples; here are the cross-cutting ones: sizes, ragged lists, and the
path of the layer inside a model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

OVERFLOW = (4194305, 4194305, 211106198978564)  # its product wraps to a small positive int64
MAKERS: dict[str, Callable[[tuple[int, ...]], Any]] = {
    "zeros": cr.zeros,
    "ones": cr.ones,
    "empty": cr.empty,
    "full": lambda shape: cr.full(shape, 1.0),
    "rand": cr.rand,
    "randn": cr.randn,
    "randint": lambda shape: cr.randint(0, 5, shape),
}


def test_the_overflowing_shape_would_indeed_wrap() -> None:
    product = OVERFLOW[0] * OVERFLOW[1] * OVERFLOW[2] * 4
    assert product >= 2**64
    assert product % 2**64 < 2**24


@pytest.mark.parametrize("name", MAKERS)
def test_overflowing_size(name: str) -> None:
    with pytest.raises(MemoryError, match=rf"^{name}: .*\(4194305, 4194305, 211106198978564\).*; "):
        MAKERS[name](OVERFLOW)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.expand(OVERFLOW),
        lambda x: x.reshape(OVERFLOW),
        lambda x: x.view(OVERFLOW),
        lambda x: x.reshape(1, 1, 1).expand(*OVERFLOW) + 1,
        lambda x: cr.zeros(2**31, 0, 2**31).sum(1).expand(-1, -1) * 2,
    ],
    ids=["expand", "reshape", "view", "expand and add", "sum over an empty dim"],
)
def test_overflowing_size_of_a_view(make: Any) -> None:
    x = cr.ones(1)
    with pytest.raises((MemoryError, ValueError), match=r"^\w+: .*; "):
        make(x)
    assert x.tolist() == [1.0]


@pytest.mark.parametrize("name", MAKERS)
def test_negative_size(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: .*\(2, -3\).*; .*negative"):
        MAKERS[name]((2, -3))


def test_sizes_that_are_no_integers() -> None:
    with pytest.raises(TypeError, match=r"zeros.*float"):
        cr.zeros(2.5)
    with pytest.raises(TypeError, match=r"zeros.*str"):
        cr.zeros("2")
    with pytest.raises((OverflowError, ValueError, MemoryError), match=r"."):
        cr.zeros(2**64)


def test_out_of_memory_says_bytes_and_shape() -> None:
    """2 ** 47 bytes is the whole user half of the address space."""
    with pytest.raises(MemoryError) as caught:
        cr.empty(2**45)
    assert "(35184372088832,)" in str(caught.value)
    assert "140737488355328 bytes" in str(caught.value)
    with pytest.raises(MemoryError, match=r"bytes"):
        cr.ones(1).expand(2**45) + 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([[1.0, 2.0], [3.0]], r"^tensor: .*\b1\b.*\b2\b.*; |^tensor: .*\b2\b.*\b1\b.*; "),
        ([[1.0], 2.0], r"^tensor: .*; "),
        ([1.0, [2.0]], r"^tensor: .*; "),
        ([[[1], [2]], [[3]]], r"^tensor: .*; "),
    ],
)
def test_ragged_list(data: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cr.tensor(data)


@pytest.mark.parametrize("data", ["text", None, object(), ["a"], [None], {"a": 1}, {1}, 1j, [1j]])
def test_data_that_is_no_number(data: Any) -> None:
    with pytest.raises(TypeError, match=r"^tensor: .*; "):
        cr.tensor(data)


def test_integers_too_large_for_the_dtype() -> None:
    with pytest.raises((OverflowError, ValueError), match=r"tensor: .*9223372036854775808"):
        cr.tensor(2**63)
    with pytest.raises((OverflowError, ValueError), match=r"tensor: .*2147483648.*int32"):
        cr.tensor([2**31], dtype=cr.int32)


def test_a_list_that_contains_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match=r"^tensor: .*; "):
        cr.tensor(endless)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: cr.arange(0, 5, 0), ValueError, r"^arange: .*step.*0.*; "),
        (lambda: cr.arange(5, 0), ValueError, r"^arange: .*5.*0.*; "),
        (lambda: cr.arange(float("nan")), ValueError, r"^arange: .*nan.*; "),
        (lambda: cr.arange(float("inf")), ValueError, r"^arange: .*inf.*; "),
        (lambda: cr.linspace(0, 1, -1), ValueError, r"^linspace: .*-1.*; "),
        (lambda: cr.eye(-1), ValueError, r"^eye: .*-1.*; "),
        (lambda: cr.eye(2**40), MemoryError, r"^eye: .*; |bytes"),
        (lambda: cr.zeros(2, dtype="float32"), TypeError, r"zeros: .*str.*; |dtype"),
        (lambda: cr.zeros(2, dtype=np.float32), TypeError, r"dtype"),
        (lambda: cr.zeros(2, colour="red"), TypeError, r"colour"),
        (lambda: cr.zeros_like([1.0]), TypeError, r"zeros_like.*list"),
    ],
    ids=["step", "direction", "nan", "inf", "linspace", "eye", "large eye", "dtype", "numpy dtype",
         "keyword", "like a list"],
)  # fmt: skip
def test_creation(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x: Any) -> Any:
        return self.encoder(x)


def test_shape_error_names_the_layer() -> None:
    x = cr.ones(5, 64)
    with pytest.raises(ValueError, match=r"^linear: .*\(5, 32\).*\(10, 16\).*; ") as caught:
        Net()(x)
    assert str(caught.value).endswith(
        "in net.encoder.2 (Linear(in_features=16, out_features=10, bias=True))"
    )
    assert (x.tolist(), x._version, x.grad) == ([[1.0] * 64] * 5, 0, None)


def test_dtype_error_names_the_layer() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).double())
    with pytest.raises(
        TypeError, match=r"^linear: .*float32.*float64.*; .*in sequential\.1 \(Linear"
    ):
        net(cr.ones(1, 4))


def test_a_failed_layer_works_again() -> None:
    net = Net()
    with pytest.raises(ValueError, match="linear"):
        net(cr.ones(5, 63))
    assert net.encoder[0](cr.ones(5, 64)).shape == (5, 32)


def test_loss_errors() -> None:
    logits, target = cr.ones(3, 2, requires_grad=True), cr.tensor([0, 1, 2])
    with pytest.raises(IndexError, match=r"^cross_entropy: .*\b2\b.*; "):
        nn.CrossEntropyLoss()(logits, target)
    with pytest.raises(ValueError, match=r"^mse_loss: .*\(3, 2\).*\(3,\).*; "):
        nn.MSELoss()(logits, cr.ones(3))
    assert logits.grad is None


OPERATORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "add shapes": (lambda: cr.ones(2, 3) + cr.ones(4), ValueError, r"^add: .*\(2, 3\).*\(4,\).*; "),
    "matmul": (
        lambda: cr.ones(2, 3) @ cr.ones(4, 5),
        ValueError,
        r"^matmul: a has shape \(2, 3\), b has shape \(4, 5\); .*\(3 != 4\)",
    ),
    "add text": (lambda: cr.ones(2) + "text", TypeError, r"unsupported operand|^add: "),
    "neg bool": (lambda: -cr.tensor(True), TypeError, r"^neg: .*bool.*; "),
    "sub bools": (lambda: cr.tensor(True) - cr.tensor(True), TypeError, r"^sub: .*bool.*; "),
    "pow": (lambda: cr.tensor([2]) ** -1, ValueError, r"^pow: .*-1.*; "),
    "dim": (lambda: cr.ones(2, 3).sum(2), IndexError, r"^sum: .*2.*; .*\[-2, 1\]"),
    "index": (lambda: cr.ones(2, 3)[2], IndexError, r"\b2\b.*; "),
    "matmul dtype": (
        lambda: cr.ones(2) @ cr.ones(2, dtype=cr.float64),
        TypeError,
        r"^matmul: .*float32.*float64.*; ",
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    make, error, text = OPERATORS[name]
    with pytest.raises(error, match=text):
        make()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for make, error, _ in OPERATORS.values():
        with contextlib.suppress(error):
            make()
    assert capfd.readouterr() == ("", "")
