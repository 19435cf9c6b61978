"""Memory that is hard to work on, at every level: odd addresses, huge strides, no elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C, nn, optim
from helpers import run_python

LEVELS = _C.available_isas()
Function = Callable[[cr.Tensor, cr.Tensor], cr.Tensor]

# Functions of two (37, 53) matrices; the sizes leave a tail in every vector loop.
FUNCTIONS: dict[str, Function] = {
    "add": lambda x, y: x + y,
    "exp": lambda x, y: x.exp(),
    "tanh": lambda x, y: x.tanh(),
    "broadcast": lambda x, y: x * y[:1] + y[:, :1],
    "matmul": lambda x, y: x @ y.T,
    "matmul, transposed": lambda x, y: x.T @ y,
    "matrix-vector": lambda x, y: x @ y[0],
    "linear": lambda x, y: nn.functional.linear(x, y, y[:, 0]),
    "sum": lambda x, y: x.sum(),
    "sum over dim 0": lambda x, y: x.sum(0),
    "sum over dim 1": lambda x, y: x.sum(1),
    "max over dim 1": lambda x, y: x.max(1)[0],
    "var": lambda x, y: x.var(),
    "softmax": lambda x, y: x.softmax(1),
    "softmax over dim 0": lambda x, y: x.softmax(0),
    "logsumexp": lambda x, y: x.logsumexp(1),
    "cross entropy": lambda x, y: nn.functional.cross_entropy(x, cr.arange(37)),
    "transpose and copy": lambda x, y: x.T.contiguous(),
    "cast": lambda x, y: x.to(cr.float64 if x.dtype == cr.float32 else cr.float32),
    "gather": lambda x, y: x[cr.arange(0, 37, 3)],
    "concatenate": lambda x, y: cr.cat([x, y], 1),
    "where": lambda x, y: cr.where(x > y, x, y),
}


def at_odd_address(array: np.ndarray, shift: int = 1) -> np.ndarray:
    """A copy whose first byte lies `shift` bytes behind an aligned one."""
    memory = np.zeros(array.nbytes + 64 + shift, np.uint8)
    start = -memory.ctypes.data % 64 + shift
    odd = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    odd[...] = array
    assert odd.ctypes.data % 64 == shift
    return odd


def outcome(function: Function, arrays: list[np.ndarray]) -> list[bytes]:
    leaves = [cr.from_numpy(array).requires_grad_() for array in arrays]
    y = function(*leaves)
    y.backward(cr.ones_like(y.detach()))
    parts = [y.detach(), *(x.grad for x in leaves if x.grad is not None)]
    return [np.ascontiguousarray(part.numpy()).tobytes() for part in parts]


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_odd_addresses_give_the_same_bits(
    name: str, dtype: Any, isa: str, rng: np.random.Generator
) -> None:
    """Memory shared with NumPy may start anywhere, between two elements too."""
    _C.force_isa(isa)
    arrays = [rng.standard_normal((37, 53)).astype(dtype) for _ in range(2)]
    expected = outcome(FUNCTIONS[name], arrays)
    for shift in (1, 4, 30):
        odd = [at_odd_address(array, shift) for array in arrays]
        assert outcome(FUNCTIONS[name], odd) == expected, f"{shift} bytes off"


@pytest.mark.parametrize("isa", LEVELS)
@pytest.mark.parametrize("make", [optim.SGD, optim.Adam], ids=["SGD", "Adam"])
def test_steps_and_changes_in_place_at_odd_addresses(
    make: Any, isa: str, rng: np.random.Generator
) -> None:
    _C.force_isa(isa)
    values, slopes = (rng.standard_normal(1003).astype(np.float32) for _ in range(2))
    found = []
    for shift in (0, 3):
        memory = at_odd_address(values, shift)
        x = cr.from_numpy(memory).requires_grad_()
        x.grad = cr.from_numpy(at_odd_address(slopes, shift))
        make([x], lr=0.1).step()
        with cr.no_grad():
            x.mul_(2.0).add_(cr.from_numpy(at_odd_address(slopes, shift)))
            x[5:500].zero_()
        found.append(memory.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("isa", LEVELS)
def test_huge_strides(isa: str) -> None:
    """128 MiB and more between two elements; almost none of that memory exists."""
    _C.force_isa(isa)
    memory = np.zeros((3, 1 << 26), np.float32)
    view = memory[:, :: 1 << 25]
    view[...] = [[1, 2], [3, 4], [5, 6]]
    x = cr.from_numpy(view)
    assert x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert (x + 1).sum().item() == 27
    assert x.sum(0).tolist() == [9, 12]
    assert (x @ x.T).tolist() == [[5, 11, 17], [11, 25, 39], [17, 39, 61]]
    assert x.T.contiguous().tolist() == [[1, 3, 5], [2, 4, 6]]
    x.add_(x)
    assert view.tolist() == [[2, 4], [6, 8], [10, 12]]


@pytest.mark.parametrize("isa", LEVELS)
def test_expanded_memory_is_read_and_never_written(isa: str) -> None:
    _C.force_isa(isa)
    row = cr.tensor([1.0, 2.0, 3.0])
    x = row.expand(10**9, 3)  # 12 GB, were it copied
    assert x[10**9 - 1].tolist() == [1.0, 2.0, 3.0]
    few = row.expand(1000, 3)
    assert few.sum(0).tolist() == [1000.0, 2000.0, 3000.0]
    assert (few.T @ few).tolist() == [[1000.0 * a * b for a in (1, 2, 3)] for b in (1, 2, 3)]
    for change in (
        lambda: few.add_(1.0),
        lambda: few.copy_(cr.zeros(3)),
        lambda: few[:10].zero_(),
        lambda: few.__setitem__(slice(3, 9), 0.0),
        lambda: few.__iadd__(cr.ones(3)),
        lambda: few.uniform_(),
    ):
        with pytest.raises(RuntimeError, match=r"share one memory cell"):
            change()
    assert row.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("isa", LEVELS)
def test_no_elements(isa: str) -> None:
    _C.force_isa(isa)
    a = cr.zeros(3, 0, requires_grad=True)
    b = cr.zeros(0, 4, requires_grad=True)
    y = a @ b
    assert y.tolist() == [[0.0] * 4] * 3
    y.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.shape, b.grad.shape) == ((3, 0), (0, 4))
    assert (cr.zeros(0, 5) @ cr.zeros(5, 4)).shape == (0, 4)
    assert (
        nn.functional.linear(cr.zeros(2, 0), cr.zeros(3, 0), cr.ones(3)).tolist() == [[1.0] * 3] * 2
    )
    assert cr.zeros(0, 7).softmax(1).shape == (0, 7)
    assert cr.zeros(7, 0).sum(1).tolist() == [0.0] * 7
    assert (cr.zeros(0) + 1).exp().sum().item() == 0.0


def test_sizes_that_overflow_are_refused() -> None:
    """Products past 2**63 must not wrap around to something that fits."""
    code = """
import chainrule as cr
for make in (
    lambda: cr.zeros(2**62, 4),
    lambda: cr.zeros(2**32, 2**32),
    lambda: cr.zeros(2**31, 2**31, 2**31),
    lambda: cr.empty(2**61),
    lambda: cr.zeros(1, 1).expand(2**40, 2**40),
    lambda: cr.ones(2**40, 0, 2**40),
):
    try:
        x = make()
        print("made", x.numel())
    except (MemoryError, ValueError) as error:
        print(type(error).__name__, error)
"""
    lines = run_python(code).splitlines()
    assert len(lines) == 6
    assert all(":" in line for line in lines[:5]), lines
