"""Samples of indexing by integer arrays, and of the adjoints that scatter gradients back."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Op, bad, call, ints


def around(index: np.ndarray, dim: int) -> tuple[np.ndarray, ...]:
    """The full NumPy index that gather reads: the position itself except along dim."""
    grid = list(np.indices(index.shape))
    grid[dim] = index
    return tuple(grid)


def gather(x: np.ndarray, index: np.ndarray, dim: int) -> Any:
    return x[around(index, dim)] if x.ndim else np.broadcast_to(x, index.shape)


def scatter_zeros(x: np.ndarray, index: np.ndarray, dim: int, shape: tuple[int, ...]) -> Any:
    y = np.zeros(shape, x.dtype)
    np.add.at(y, around(index, dim), x)
    return y


def index_zeros(x: np.ndarray, *indices: np.ndarray, shape: tuple[int, ...]) -> Any:
    y = np.zeros(shape, x.dtype)
    np.add.at(y, indices, x)
    return y


ROWS = ints(2, 0, 0)
GRID = ints([[0, 2], [1, 1]])
INTS = ints([[1, -2, 3], [4, 5, -6]])

OPS = [
    Op(
        "gather",
        gather,
        [
            call((2, 3), ints([[0, 1, 1]]), dim=0), call((2, 3), ints([[2, 2], [0, 1]]), dim=1),
            call((2, 3), ints([[2], [0]]), dim=-1), call((5,), ints(4, 4, 0, 1), dim=0),
            call((2, 3, 2), np.zeros((1, 3, 1), np.int64), dim=2),
            call((2, 3), np.zeros((0, 3), np.int64), dim=0),
            call(INTS, ints([[0, 1, 1]]), dim=0),
        ],
        [
            bad(IndexError, r"^gather: .*\b2\b.*; ", (2, 3), ints([[2]]), dim=0),
            bad(IndexError, r"^gather: .*-1.*; ", (2, 3), ints([[-1]]), dim=0),
            bad(IndexError, r"^gather: .*; ", (2, 3), ints([[0]]), dim=2),
            bad(ValueError, r"^gather: .*\(2, 3\).*\(1,\).*; ", (2, 3), ints([0]), dim=0),
            bad(ValueError, r"^gather: .*\(3, 1\).*; ", (2, 3), ints([[0], [0], [0]]), dim=1),
            bad(TypeError, r"^gather: .*float64.*; ", (2, 3), (2, 3), dim=0),
        ],
        result="first",
    ),
    Op(
        "scatter_zeros",
        scatter_zeros,
        [
            call((1, 3), ints([[0, 1, 1]]), dim=0, shape=(2, 3)),
            call((2, 2), ints([[2, 2], [0, 1]]), dim=1, shape=(2, 3)),
            call((4,), ints(4, 4, 0, 1), dim=0, shape=(5,)),
            call((0, 3), np.zeros((0, 3), np.int64), dim=0, shape=(2, 3)),
        ],
        [
            bad(IndexError, r"^scatter_zeros: .*\b2\b", (1,), ints([2]), dim=0, shape=(2,)),
            bad(TypeError, r"^scatter_zeros: ", (1,), (1,), dim=0, shape=(2,)),
        ],
        result="first",
    ),
    Op(
        "index",
        lambda x, *indices: x[indices],
        [
            call((4, 3), ROWS), call((4,), ROWS), call((4, 3), GRID), call((4, 3), ints(-1, -4)),
            call((4, 3), ROWS, ints(0, 2, 2)), call((4, 3), GRID, ints(0, 1)),
            call((4, 3, 2), ROWS, ints(1)), call((4, 3), np.zeros((0,), np.int64)),
            call((4, 3), ROWS.astype(np.int32)), call((0, 3), np.zeros((0,), np.int64)),
            call((4, 0), ROWS), call(INTS, ints(1, 1, 0)),
        ],
        [
            bad(IndexError, r"^index: .*\b4\b.*; ", (4, 3), ints(4)),
            bad(IndexError, r"^index: .*-5.*; ", (4, 3), ints(0, -5)),
            bad(IndexError, r"^index: .*; ", (4,), ROWS, ROWS),
            bad(ValueError, r"^index: .*\(3,\).*\(2,\).*; ", (4, 3), ROWS, ints(0, 1)),
            bad(TypeError, r"^index: .*float64.*; ", (4, 3), (2,)),
        ],
        result="first",
    ),
    Op(
        "index_zeros",
        index_zeros,
        [
            call((3, 2), ROWS, shape=(4, 2)), call((3,), ROWS, ints(0, 2, 2), shape=(4, 3)),
            call((2, 2, 3), GRID, shape=(4, 3)), call((2,), ints(-1, -4), shape=(4,)),
        ],
        [bad(IndexError, r"^index_zeros: .*\b4\b", (1,), ints([4]), shape=(4,))],
        result="first",
    ),
]  # fmt: skip
