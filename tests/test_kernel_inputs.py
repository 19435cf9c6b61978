"""Inputs that loops get wrong: odd lengths, NaN, strides of all kinds, misaligned memory.

Every case runs at every instruction set and is compared with NumPy on the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C

nan, inf = np.nan, np.inf
# Around the widths of vectors (4, 8, 16), groups of columns (8), blocks (128) and tiles (16, 512).
LENGTHS = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 257, 513, 1025]


@pytest.fixture(autouse=True, params=_C.available_isas())
def _isa(request: pytest.FixtureRequest, global_settings: None) -> None:
    _C.force_isa(request.param)


def softmax(x: np.ndarray, dim: int) -> Any:
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=dim, keepdims=True))
        return e / e.sum(axis=dim, keepdims=True)


def misaligned(x: np.ndarray, offset: int) -> np.ndarray:
    """The same numbers at an address that is `offset` bytes off."""
    memory = np.empty(x.nbytes + 64, np.uint8)
    view = memory[offset : offset + x.nbytes].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


REDUCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (lambda x, d: x.sum(d), lambda x, d: x.sum(axis=d)),
    "mean": (lambda x, d: x.mean(d), lambda x, d: x.mean(axis=d)),
    "amax": (lambda x, d: x.amax(d), lambda x, d: x.max(axis=d)),
    "amin": (lambda x, d: x.amin(d), lambda x, d: x.min(axis=d)),
    "argmax": (lambda x, d: x.argmax(d), lambda x, d: x.argmax(axis=d)),
    "softmax": (lambda x, d: cr.softmax(x, d), softmax),
    "logsumexp": (lambda x, d: x.logsumexp(d), lambda x, d: np.log(np.exp(x).sum(axis=d))),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_every_length(name: str, dtype: Any, rng: np.random.Generator) -> None:
    ours, reference = REDUCTIONS[name]
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for rows in (1, 3, 17, 140, 600):
        for length in LENGTHS:
            x = rng.standard_normal((length, rows)).astype(dtype)
            for matrix, dim in ((x, 0), (x.T, 1), (x.T.copy(), 1), (x[::-1, ::-1], 0)):
                expected = reference(matrix.astype(np.float64), dim)
                np.testing.assert_allclose(
                    ours(cr.tensor(matrix), dim).numpy(), expected, **close, err_msg=f"{x.shape}"
                )


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("name", ["sum", "amax", "amin", "softmax", "logsumexp"])
def test_one_special_value_anywhere(name: str, value: float, rng: np.random.Generator) -> None:
    """In the body of a row, in its tail, in a group of columns and in what is left of one."""
    ours, reference = REDUCTIONS[name]
    for shape in ((37, 21), (11, 140), (5, 3)):
        for position in {(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] - 2)}:
            x = rng.standard_normal(shape)
            x[position] = value
            for dim in (0, 1):
                found = ours(cr.tensor(x), dim).numpy()
                np.testing.assert_allclose(found, reference(x, dim), rtol=1e-12)


@pytest.mark.parametrize("offset", [1, 2, 4, 12, 31])
def test_misaligned_memory(offset: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((19, 37)).astype(np.float32)
    expected = np.tanh(x.astype(np.float64))
    try:
        t = cr.from_numpy(misaligned(x, offset))
    except ValueError:  # memory that no element may start at is refused, never read
        assert offset % 4 != 0
        t = cr.tensor(misaligned(x, offset))
    np.testing.assert_array_equal(t.numpy(), x)
    np.testing.assert_allclose(cr.tanh(t).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose((t + t[:1]).numpy(), x + x[:1], rtol=1e-6)
    for dim in (0, 1):
        np.testing.assert_allclose(t.sum(dim).numpy(), x.sum(axis=dim), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(cr.softmax(t, dim).numpy(), softmax(x, dim), rtol=1e-5)


def layouts(x: np.ndarray) -> list[np.ndarray]:
    """The same shape by other strides: negative, transposed, with gaps, repeated."""
    n, m = x.shape
    gaps = np.zeros((n * 3, m * 5), x.dtype)[::3, ::5]
    gaps[...] = x
    huge = np.zeros((n, 70_001), x.dtype)[:, :: 70_000 // max(m, 1)][:, :m]
    huge[...] = x
    return [
        x, x.T.copy().T, x[::-1], x[:, ::-1], gaps, huge,
        np.broadcast_to(x[:1], x.shape), np.broadcast_to(x[:, :1], x.shape),
        np.broadcast_to(x[:1, :1], x.shape),
    ]  # fmt: skip


def tensor_of(array: np.ndarray) -> cr.Tensor:
    """A tensor with the array's strides, where chainrule has such strides."""
    if 0 in array.strides:
        kept = tuple(slice(0, 1) if step == 0 else slice(None) for step in array.strides)
        return cr.tensor(array[kept]).expand(array.shape)
    return cr.tensor(array) if min(array.strides) < 0 else cr.from_numpy(array)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (17, 33), (40, 600), (600, 40), (0, 3), (3, 0)])
def test_elementwise_strides(shape: tuple[int, int], rng: np.random.Generator) -> None:
    a, b = (rng.standard_normal(shape) for _ in range(2))
    if a.size == 0:
        assert (cr.tensor(a) * cr.tensor(b)).shape == shape
        return
    for left in layouts(a):
        x = tensor_of(left)
        for right in layouts(b):
            y = tensor_of(right)
            np.testing.assert_array_equal((x * y).numpy(), left * right)
            np.testing.assert_array_equal((x < y).numpy(), left < right)
            np.testing.assert_array_equal(cr.where(x < y, x, y).numpy(), np.minimum(left, right))


def test_gradients_of_strided_operands(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((40, 70)), rng.standard_normal((40, 70))
    for left in layouts(a):
        for right in layouts(b):
            x, y = tensor_of(left).detach(), tensor_of(right).detach()
            x.requires_grad_()
            y.requires_grad_()
            (x * y * x).sum().backward()
            np.testing.assert_allclose(x.grad.numpy(), 2 * left * right, rtol=1e-12)
            np.testing.assert_allclose(y.grad.numpy(), left * left, rtol=1e-12)


@pytest.mark.parametrize("shape", [(7,), (1, 7), (5, 1), (1, 1), (), (1,)])
def test_broadcast_rows_and_columns(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((5, 7)), rng.standard_normal(shape)
    x, y = cr.tensor(a), cr.tensor(b)
    x.requires_grad_()
    y.requires_grad_()
    z = x + y
    np.testing.assert_array_equal(z.detach().numpy(), a + b)
    (z * z).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * (a + b), rtol=1e-12)
    lead = tuple(range(2 - b.ndim))
    kept = tuple(i for i in range(2) if i >= 2 - b.ndim and b.shape[i - 2 + b.ndim] == 1)
    expected = (2 * (a + b)).sum(axis=lead + kept).reshape(shape)
    np.testing.assert_allclose(y.grad.numpy(), expected, rtol=1e-12)


def test_a_change_in_place_of_a_transposed_view(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((33, 65)), rng.standard_normal((65, 33))
    x = cr.tensor(a)
    x.T.add_(cr.tensor(b))
    np.testing.assert_array_equal(x.numpy(), a + b.T)
    x[::2].mul_(2.0)
    np.testing.assert_array_equal(x.numpy()[::2], 2 * (a + b.T)[::2])


def test_a_sum_is_as_exact_as_pairwise(rng: np.random.Generator) -> None:
    """Adding 2**20 numbers one after the other would lose four digits."""
    x = rng.uniform(0, 1, (1 << 19, 3)).astype(np.float32)
    exact = x.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(cr.tensor(x).sum(0).numpy(), exact, rtol=3e-7)
    np.testing.assert_allclose(cr.tensor(x.T.copy()).sum(1).numpy(), exact, rtol=3e-7)
    np.testing.assert_allclose(cr.tensor(x).sum().item(), exact.sum(), rtol=3e-7)
