"""Changes in place: values, dtypes, versions, aliases, and what the tape does not allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

CHANGES: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "add_": (lambda x: x.add_(2.0), [3.0, 4.0]),
    "add_ tensor": (lambda x: x.add_(cr.tensor([10.0, 20.0])), [11.0, 22.0]),
    "add_ alpha": (lambda x: x.add_(cr.tensor([10.0, 20.0]), alpha=0.5), [6.0, 12.0]),
    "sub_": (lambda x: x.sub_(1.0), [0.0, 1.0]),
    "mul_": (lambda x: x.mul_(cr.tensor(3.0)), [3.0, 6.0]),
    "div_": (lambda x: x.div_(2.0), [0.5, 1.0]),
    "zero_": (lambda x: x.zero_(), [0.0, 0.0]),
    "fill_": (lambda x: x.fill_(7), [7.0, 7.0]),
    "copy_": (lambda x: x.copy_(cr.tensor([5, 6])), [5.0, 6.0]),
    "copy_ broadcast": (lambda x: x.copy_(cr.tensor(9.0)), [9.0, 9.0]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_returns_self_and_counts(name: str) -> None:
    change, expected = CHANGES[name]
    x = cr.tensor([1.0, 2.0])
    pointer = x.data_ptr()
    assert x._version == 0
    assert change(x) is x
    assert x.tolist() == expected
    assert (x._version, x.data_ptr()) == (1, pointer)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize(
    "part",
    [lambda x: x[:, 1], lambda x: x.T[1], lambda x: x[::2, 0], lambda x: x.T[0, 1:]],
    ids=["column", "transposed row", "stepped", "tail"],
)
def test_change_of_a_view_changes_only_its_part(name: str, part: Any) -> None:
    change, expected = CHANGES[name]
    base = np.full((3, 2), 50.0, np.float32)
    part(base)[:2] = [1.0, 2.0]
    x = cr.tensor(base)
    change(part(x)[:2])
    part(base)[:2] = expected
    np.testing.assert_array_equal(x.numpy(), base)


def test_augmented_assignment_is_in_place() -> None:
    x = cr.tensor([1.0, 2.0])
    alias = x
    x += 1
    x *= 3
    x -= 2.0
    x /= 2
    assert alias is x
    assert x.tolist() == [2.0, 3.5]
    assert x._version == 4


def test_aliases_share_the_version() -> None:
    x = cr.zeros(4)
    views = [x[1:], x.reshape(2, 2), x.detach()]
    views[0].add_(1)
    assert [v._version for v in (x, *views)] == [1, 1, 1, 1]
    assert x.clone()._version == 0


def test_in_place_with_itself() -> None:
    x = cr.tensor([1.0, 2.0])
    assert x.mul_(x).tolist() == [1.0, 4.0]
    y = cr.arange(4.0)
    assert y[1:].add_(y[:-1]).tolist() == [1.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("target", "change"),
    [
        (cr.int64, lambda x: x.add_(0.5)),
        (cr.int64, lambda x: x.mul_(cr.tensor([0.5, 0.5]))),
        (cr.int64, lambda x: x.div_(2)),
        (cr.bool, lambda x: x.add_(1)),
    ],
    ids=["float scalar", "float tensor", "true division", "int into bool"],
)
def test_result_must_fit_the_dtype(target: Any, change: Any) -> None:
    x = cr.ones(2, dtype=target)
    with pytest.raises(TypeError, match=rf"^\w+_: .*{str(target).rpartition('.')[2]}.*; "):
        change(x)
    assert (x.tolist(), x._version) == ([1, 1], 0)


@pytest.mark.parametrize("change", ["add_", "mul_", "copy_"])
def test_operand_must_broadcast_into_the_target(change: str) -> None:
    x = cr.ones(2)
    for operand in (cr.ones(3), cr.ones(2, 2)):
        with pytest.raises(ValueError, match=rf"^{change}: .*\(2,\).*; "):
            getattr(x, change)(operand)
    assert (x.tolist(), x._version) == ([1, 1], 0)


def test_expanded_memory_cannot_be_written() -> None:
    x = cr.ones(1, 3).expand(2, 3)
    with pytest.raises(RuntimeError, match=r"^add_: .*expand"):
        x.add_(1)
    assert x.tolist() == [[1] * 3] * 2


def test_leaf_that_requires_grad_cannot_be_changed() -> None:
    x = cr.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"^add_: .*leaf.*; .*no_grad"):
        x.add_(1)
    with pytest.raises(RuntimeError, match=r"leaf"):
        x[0] = 3.0
    with pytest.raises(RuntimeError, match=r"leaf"):
        x[:1].mul_(2.0)
    assert (x.tolist(), x._version) == ([1, 1], 0)
    with cr.no_grad():
        x.add_(1)
    assert (x.tolist(), x._version) == ([2, 2], 1)
    assert x.requires_grad


def test_recorded_change_has_the_gradient_of_the_operation() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1.0
    y.mul_(x)
    y += 3 * x
    assert y.tolist() == [4.0, 10.0]
    y.sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]


def test_change_by_a_value_that_requires_grad() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = cr.zeros(2)
    y.add_(x * x)
    assert y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_zero_fill_and_copy_cut_the_history() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    for change in (lambda y: y.zero_(), lambda y: y.fill_(1.0), lambda y: y.copy_(cr.ones(2))):
        y = x * 2
        change(y)
        (y * x).sum().backward()
        assert x.grad.tolist() == y.tolist()
        x.grad = None


def test_data_is_a_way_around_the_tape() -> None:
    x = cr.ones(2, requires_grad=True)
    x.data.add_(1)
    assert (x.tolist(), x.requires_grad) == ([2, 2], True)
