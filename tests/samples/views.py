"""Samples of the ops that move or copy elements: views, cast, clone, cat and their adjoints."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr

from .base import Op, bad, bools, call, floats, ints

nan, inf = np.nan, np.inf
NAMES = {
    cr.float32: np.float32, cr.float64: np.float64, cr.int64: np.int64, cr.int32: np.int32,
    cr.bool: np.bool_,
}  # fmt: skip


def cast(x: np.ndarray, dtype: Any) -> Any:
    return x.astype(NAMES[dtype])


def expand(x: np.ndarray, shape: tuple[int, ...]) -> Any:
    missing = len(shape) - x.ndim
    kept = [x.shape[d - missing] if size == -1 else size for d, size in enumerate(shape)]
    return np.broadcast_to(x, kept)


def select(x: np.ndarray, dim: int, index: int) -> Any:
    return np.take(x, index, axis=dim)


def sliced(x: np.ndarray, dim: int, start: int, stop: int, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, stop, step),)]


def embed_slice(x: np.ndarray, dim: int, start: int, step: int, size: int) -> Any:
    shape = list(x.shape)
    shape[dim] = size
    y = np.zeros(shape, x.dtype)
    places = (slice(None),) * (dim % x.ndim) + (start + step * np.arange(x.shape[dim]),)
    y[places] = x
    return y


def cat(tensors: list[np.ndarray], dim: int = 0) -> Any:
    return np.concatenate(tensors, axis=dim)


INTS = ints([[1, -2, 3], [4, 5, -6]])
OVERFLOW = (4194305, 4194305, 211106198978564)  # the product wraps to a small number
NARROW = floats(0.0, -0.0, 1.0, -2.75, 3.99, 1e5)

OPS = [
    Op(
        "cast",
        cast,
        [
            call((2, 3), dtype=cr.float64, gives="float64"),
            call((), dtype=cr.float64, gives="float64"),
            call((0, 2), dtype=cr.float64, gives="float64"),
            call((2, 3), dtype=cr.float32, grad=False, gives="float32"),
            call(NARROW, dtype=cr.int64, grad=False, gives="int64"),
            call(NARROW, dtype=cr.int32, grad=False, gives="int32"),
            call(floats(nan, inf, -inf, 0.0, -0.0, 0.3), dtype=cr.bool, grad=False, gives="bool"),
            call(INTS, dtype=cr.float32, grad=False, gives="float32"),
            call(INTS, dtype=cr.int32, grad=False, gives="int32"),
            call(INTS, dtype=cr.bool, grad=False, gives="bool"),
            call(bools(True, False), dtype=cr.float64, grad=False, gives="float64"),
        ],
        [bad(TypeError, "dtype", (2,), dtype="float16")],
    ),
    Op(
        "clone",
        np.copy,
        [call(()), call((2, 3)), call((0,)), call((37,)), call(INTS), call(bools(True, False))],
    ),
    Op("detach", np.copy, [call(INTS), call(bools(True, False))]),  # no gradient passes
    Op(
        "reshape",
        lambda x, shape: x.reshape(shape),
        [
            call((2, 3), shape=(3, 2)), call((2, 3), shape=(6,)), call((2, 3), shape=(3, 1, 2)),
            call((), shape=(1, 1)), call((1,), shape=()), call((2, 3, 4), shape=(6, 4)),
            call((0, 3), shape=(3, 0)), call((0, 3), shape=(0,)), call(INTS, shape=(6,)),
        ],
        [
            bad(ValueError, r"^reshape: .*\(2, 3\).*\(4,\).*; ", (2, 3), shape=(4,)),
            bad(ValueError, r"^reshape: .*-2.*; .*negative", (2, 3), shape=(-2, 3)),
            bad(MemoryError, r"^reshape: .*; ", (2, 3), shape=OVERFLOW),
        ],
    ),
    Op(
        "permute",
        lambda x, dims: np.transpose(x, dims),
        [
            call((2, 3), dims=(1, 0)), call((2, 3, 4), dims=(2, 0, 1)), call((), dims=()),
            call((2, 3, 4), dims=(-1, 0, -2)), call((0, 3), dims=(1, 0)), call(INTS, dims=(1, 0)),
        ],
        [
            bad(ValueError, r"^permute: .*\(0, 0\).*; ", (2, 3), dims=(0, 0)),
            bad(ValueError, r"^permute: .*; ", (2, 3), dims=(0,)),
            bad(IndexError, r"^permute: .*2.*; ", (2, 3), dims=(0, 2)),
        ],
    ),
    Op(
        "expand",
        expand,
        [
            call((1, 3), shape=(2, 3)), call((3,), shape=(2, 3)), call((2, 1), shape=(4, 2, 3)),
            call((), shape=(2, 2)), call((1, 3), shape=(0, 3)), call((2, 1), shape=(2, 5)),
            call((2, 3), shape=(2, 3)), call(ints([[1], [2]]), shape=(2, 3)),
        ],
        [
            bad(ValueError, r"^expand: .*\(2, 3\).*\(4, 3\).*; ", (2, 3), shape=(4, 3)),
            bad(ValueError, r"^expand: .*\(2, 3\).*\(3,\).*; ", (2, 3), shape=(3,)),
            bad(ValueError, r"^expand: .*; .*negative", (3,), shape=(-1, 3)),
            bad(MemoryError, r"^expand: .*; ", (1,), shape=OVERFLOW),
        ],
    ),
    Op(
        "select",
        select,
        [
            call((2, 3), dim=0, index=1), call((2, 3), dim=-1, index=-3),
            call((4,), dim=0, index=2),
            call((2, 0), dim=0, index=1), call((2, 3, 4), dim=1, index=2),
            call(INTS, dim=1, index=0),
        ],
        [
            bad(IndexError, r"^select: .*\b2\b.*; ", (2, 3), dim=0, index=2),
            bad(IndexError, r"^select: .*-4.*; ", (2, 3), dim=1, index=-4),
            bad(IndexError, r"^select: .*; ", (2, 3), dim=2, index=0),
            bad(IndexError, r"^select: .*; ", (), dim=0, index=0),
        ],
    ),
    Op(
        "slice",
        sliced,
        [
            call((7,), dim=0, start=1, stop=5, step=1), call((7,), dim=0, start=0, stop=7, step=3),
            call((7,), dim=0, start=-3, stop=-1, step=1),
            call((2, 3), dim=1, start=1, stop=3, step=1),
            call((7,), dim=0, start=5, stop=2, step=1), call((7,), dim=0, start=2, stop=99, step=2),
            call((2, 3), dim=-2, start=1, stop=2, step=1),
            call((0,), dim=0, start=0, stop=0, step=1),
            call(INTS, dim=1, start=0, stop=3, step=2),
        ],
        [
            bad(ValueError, r"^slice: .*\b0\b.*; ", (7,), dim=0, start=0, stop=7, step=0),
            bad(ValueError, r"^slice: .*-1.*; ", (7,), dim=0, start=6, stop=0, step=-1),
            bad(IndexError, r"^slice: .*; ", (7,), dim=1, start=0, stop=7, step=1),
        ],
    ),
    Op(
        "embed_slice",
        embed_slice,
        [
            call((3,), dim=0, start=1, step=2, size=7),
            call((2, 3), dim=1, start=0, step=1, size=5),
            call((2, 3), dim=0, start=2, step=1, size=4),
            call((0,), dim=0, start=0, step=1, size=3),
            call(INTS, dim=1, start=1, step=1, size=4),
        ],
        [
            bad(ValueError, r"^embed_slice: ", (3,), dim=0, start=2, step=2, size=4),
            bad(IndexError, r"^embed_slice: ", (3,), dim=3, start=0, step=1, size=4),
        ],
    ),
    Op(
        "cat",
        cat,
        [
            call([(2, 3), (2, 3)], dim=0), call([(2, 3), (2, 1), (2, 4)], dim=1),
            call([(3,)], dim=0),
            call([(2, 3), (2, 2)], dim=-1), call([(0, 3), (2, 3)], dim=0),
            call([(37,), (7,)], dim=0),
            call([(2, 1, 2), (2, 3, 2)], dim=1),
            call([INTS, INTS], dim=1, grad=False, gives="int64"),
        ],
        [
            bad(ValueError, r"^cat: .*\(2, 3\).*\(4, 4\).*; ", [(2, 3), (4, 4)], dim=0),
            bad(ValueError, r"^cat: .*; ", [(2, 3), (2,)], dim=0),
            bad(ValueError, r"^cat: .*; ", [(), ()], dim=0),
            bad(ValueError, r"^cat: ", [], dim=0),
            bad(IndexError, r"^cat: .*\b2\b.*; ", [(2, 3), (2, 3)], dim=2),
        ],
    ),
]  # fmt: skip
