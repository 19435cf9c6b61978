"""Samples of the ops that fold dims: sum, mean, extrema, var, and the softmax family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import BadCall, Call, Op, bad, bools, call, floats, ints

nan, inf = np.nan, np.inf
INTS = ints([[3, -1, 2], [0, 5, -4]])
INTS32 = INTS.astype(np.int32)
BOOLS = bools([[True, False, True], [False, False, False]])
SPECIAL = floats([[nan, 1.0, 2.0], [inf, 1.0, -inf], [inf, 0.0, inf], [-inf, -inf, -inf]])
LONG = (3, 137)  # more than one block of every pairwise or vector reduction of a short row


def axes(dim: Any) -> Any:
    return None if dim == () else dim


def folding(fold: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy reduction under the names dim and keepdim; dim=() means all."""

    def reduced(x: np.ndarray, dim: Any = (), keepdim: bool = False) -> Any:
        return fold(np.asarray(x), axis=axes(dim), keepdims=keepdim)

    return reduced


def variance(x: np.ndarray, dim: Any = (), correction: float = 1, keepdim: bool = False) -> Any:
    count = x.size if dim == () else np.prod([x.shape[d] for d in np.atleast_1d(dim)])
    deviation = x - x.mean(axis=axes(dim), keepdims=True)
    total = np.square(deviation).sum(axis=axes(dim), keepdims=keepdim)
    return total / np.maximum(np.float64(count) - correction, 0)


def logsumexp(x: np.ndarray, dim: Any = (), keepdim: bool = False) -> Any:
    x = np.asarray(x, dtype=np.float64)
    top = x.max(axis=axes(dim), keepdims=True, initial=-inf)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.exp(x - top).sum(axis=axes(dim), keepdims=True)) + top
    return total if keepdim else total.squeeze(axes(dim))


def log_softmax(x: np.ndarray, dim: int) -> Any:
    shifted = x - x.max(axis=dim, keepdims=True, initial=-inf)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def softmax(x: np.ndarray, dim: int) -> Any:
    return np.exp(log_softmax(x, dim))


def extremum(value: Callable[..., Any], index: Callable[..., Any]) -> Callable[..., Any]:
    def pair(x: np.ndarray, dim: int, keepdim: bool = False) -> Any:
        if x.ndim == 0:
            return x, np.int64(0)
        return value(x, axis=dim, keepdims=keepdim), index(x, axis=dim, keepdims=keepdim)

    return pair


def arg(index: Callable[..., Any]) -> Callable[..., Any]:
    def position(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> Any:
        return index(x, axis=dim, keepdims=keepdim) if x.ndim else np.int64(0)

    return position


def over_dims(*, empty: bool = True) -> list[Call]:
    """Every way to name dims; `empty` where the op has a value for nothing."""
    calls = [
        call(()), call((5,)), call((2, 3)), call((2, 3), dim=0), call((2, 3), dim=-1),
        call((2, 3), dim=1, keepdim=True), call((2, 3), keepdim=True), call((2, 3, 4), dim=(0, 2)),
        call((2, 3, 4), dim=(-1, 0), keepdim=True), call((2, 1, 4), dim=1), call((0, 3), dim=1),
        call((5,), dim=(0,)), call(LONG, dim=1), call(LONG, dim=0), call(LONG),
        call(SPECIAL, dim=1, grad=False),
    ]  # fmt: skip
    if empty:
        calls += [call((0,)), call((2, 0, 3), dim=1), call((0, 3), keepdim=True)]
    return calls


def over_one_dim(**attributes: Any) -> list[Call]:
    return [
        call((5,), dim=0), call((2, 3), dim=0), call((2, 3), dim=-1, **attributes),
        call((2, 3, 4), dim=1), call((0, 3), dim=1), call(LONG, dim=1), call(LONG, dim=0),
        call(SPECIAL, dim=1, grad=False),
    ]  # fmt: skip


def bad_dims(name: str, *, many: bool) -> list[BadCall]:
    calls = [
        bad(IndexError, rf"^{name}: .*\b2\b.*; ", (2, 3), dim=2),
        bad(IndexError, rf"^{name}: .*-3.*; ", (2, 3), dim=-3),
        bad(TypeError, "dim", (2, 3), dim="rows"),
    ]
    twice = [bad(ValueError, rf"^{name}: .*; ", (2, 3), dim=(0, -2))]
    return calls + twice if many else calls


def nothing(name: str, **attributes: Any) -> BadCall:
    """A fold that has no value over no elements."""
    return bad(ValueError, rf"^{name}: .*\(0, 3\).*; ", (0, 3), **attributes)


WHOLE = [call(INTS, dim=1, grad=False), call(INTS32, dim=0, grad=False)]
TRUTH = [call(BOOLS, dim=1, grad=False)]
TIES = floats([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])

OPS = [
    Op(
        "sum",
        folding(np.sum),
        [*over_dims(), *WHOLE, *TRUTH, call(BOOLS, grad=False)],
        bad_dims("sum", many=True),
        result="accumulated",
        float32_rtol=1e-5,
    ),
    Op(
        "mean",
        folding(np.mean),
        over_dims(),
        [*bad_dims("mean", many=True), bad(TypeError, r"^mean: .*int64.*; ", INTS)],
    ),
    *(
        Op(
            name,
            folding(fold),
            [*over_dims(empty=False), *WHOLE, *TRUTH],
            [*bad_dims(name, many=True), nothing(name), nothing(name, dim=0)],
        )
        for name, fold in {"amax": np.max, "amin": np.min}.items()
    ),
    *(
        Op(
            name,
            extremum(value, index),
            [
                *over_one_dim(keepdim=True), *WHOLE, *TRUTH,
                call((), dim=0), call(TIES, dim=1, grad=False),
            ],
            [*bad_dims(name, many=False), nothing(name, dim=0)],
            result=("promoted", "int64"),
        )
        for name, value, index in [("max", np.max, np.argmax), ("min", np.min, np.argmin)]
    ),
    *(
        Op(
            name,
            arg(index),
            [*over_one_dim(keepdim=True), *WHOLE, call(TIES, dim=1), call((), dim=0)],
            [*bad_dims(name, many=False), nothing(name, dim=0)],
            result="int64",
        )
        for name, index in [("argmax", np.argmax), ("argmin", np.argmin)]
    ),
    Op(
        "var",
        variance,
        [
            *over_dims()[1:], call((), grad=False), call((), correction=0),
            call((2, 3), correction=0), call((2, 3), dim=1, correction=2, keepdim=True),
        ],
        [*bad_dims("var", many=True), bad(TypeError, r"^var: .*int64.*; ", INTS)],
        float32_rtol=1e-5,
    ),
    *(
        Op(
            name,
            reference,
            [*over_one_dim(), call((), dim=0), call(floats(1e4, -1e4, 0.0), dim=0)],
            bad_dims(name, many=False),
            float32_rtol=1e-5,
        )
        for name, reference in {"softmax": softmax, "log_softmax": log_softmax}.items()
    ),
    Op(
        "logsumexp",
        logsumexp,
        [*over_dims(), call(floats([1e4, 1e4], [-1e4, 0.0]), dim=1, grad=False)],
        bad_dims("logsumexp", many=True),
        result="real",
        float32_rtol=1e-5,
    ),
]  # fmt: skip
