"""Samples of the public functions and methods that are composed of ops, called the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

from . import views
from .base import BadCall, Call, Op, bad, bools, call, floats, ints
from .linear_algebra import linear
from .losses import cross_entropy
from .reductions import extremum, folding, log_softmax, logsumexp, softmax, variance

nan, inf = np.nan, np.inf
INTS = ints([[3, -1, 2], [0, 5, -4]])


def method(
    name: str, reference: Callable[..., Any], calls: list[Call], bad: list[BadCall], **more: Any
) -> Op:
    return Op(name, reference, calls, bad, path="Tensor.{}", label=f"Tensor.{name}", **more)


def function(
    name: str, reference: Callable[..., Any], calls: list[Call], bad: list[BadCall], **more: Any
) -> Op:
    return Op(name, reference, calls, bad, path="cr.{}", label=f"cr.{name}", **more)


def loss(
    name: str, reference: Callable[..., Any], calls: list[Call], bad: list[BadCall], **more: Any
) -> Op:
    return Op(name, reference, calls, bad, path="F.{}", label=f"functional.{name}", **more)


def spelled(label: str, how: Callable[..., Any], reference: Callable[..., Any], *calls: Call) -> Op:
    """A spelling that has no name of its own: a property, an operator, an index expression."""
    return Op(label, reference, calls, path=how, label=label)


def squeeze(x: np.ndarray, dim: int | None = None) -> Any:
    if dim is None or x.ndim == 0:
        return x.squeeze()
    return x.squeeze(dim) if x.shape[dim] == 1 else x


def flatten(x: np.ndarray, start_dim: int = 0, end_dim: int = -1) -> Any:
    if x.ndim == 0:
        return x.reshape(1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    joined = int(np.prod(x.shape[start : end + 1]))
    return x.reshape(*x.shape[:start], joined, *x.shape[end + 1 :])


def reduced(losses: Any, reduction: str) -> Any:
    return {"none": np.asarray, "sum": np.sum, "mean": np.mean}[reduction](losses)


def mse_loss(x: np.ndarray, target: np.ndarray, reduction: str = "mean") -> Any:
    return reduced(np.square(x - target), reduction)


def averaged(losses: Any, target: Any, ignore_index: int, reduction: str) -> Any:
    """The mean counts only the samples that are kept, as PyTorch's does."""
    if reduction != "mean":
        return reduced(losses, reduction)
    return np.sum(losses) / np.float64(np.sum(target != ignore_index))


def mean_cross_entropy(
    x: np.ndarray, target: np.ndarray, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    return averaged(cross_entropy(x, target, ignore_index), target, ignore_index, reduction)


def nll_loss(
    x: np.ndarray, target: np.ndarray, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    class_dim = 0 if x.ndim == 1 else 1
    kept = target != ignore_index
    picked = np.expand_dims(np.where(kept, target, 0), class_dim)
    losses = np.where(kept, -np.take_along_axis(x, picked, class_dim).squeeze(class_dim), 0.0)
    return averaged(losses, target, ignore_index, reduction)


SHAPING = [
    method(
        "view",
        lambda x, *shape: x.reshape(shape),
        [call((2, 3), 3, 2), call((2, 3), -1), call((0, 2), 2, 0), call(INTS, 6)],
        [
            bad(ValueError, r"^view: .*\(2, 3\).*\(4,\).*; ", (2, 3), 4),
            bad(ValueError, r"^view: .*; ", (2, 3), 5, -1),
        ],
    ),
    method(
        "reshape",
        lambda x, *shape: x.reshape(shape),
        [call((2, 3), 3, -1), call((2, 3), 6), call((2, 3), -1), call((0, 3), -1)],
        [
            bad(ValueError, r"^reshape: .*\(4, -1\).*; ", (2, 3), 4, -1),
            bad(ValueError, r"^reshape: .*; ", (2, 3), -1, -1),
            bad(ValueError, r"^reshape: .*-2.*; ", (2, 3), -2, 3),
            bad(ValueError, r"^reshape: .*; ", (0, 3), 0, -1),
        ],
    ),
    method("permute", lambda x, *d: x.transpose(d), [call((2, 3, 4), 1, 2, 0)], []),
    method(
        "expand",
        lambda x, *shape: views.expand(x, shape),
        [call((1, 3), 2, 3), call((2, 1), -1, 5), call((3,), 2, -1)],
        [
            bad(ValueError, r"^expand: .*; ", (3,), -1, 3),
            bad(ValueError, r"^expand: .*-2.*; ", (1,), -2),
        ],
    ),
    method(
        "transpose",
        np.swapaxes,
        [call((2, 3), 0, 1), call((2, 3, 4), -1, 0), call((2, 3), 1, 1), call(INTS, 0, 1)],
        [bad(IndexError, r"^transpose: .*\b2\b.*; ", (2, 3), 0, 2)],
    ),
    method(
        "squeeze",
        squeeze,
        [call((2, 1, 3, 1)), call((2, 1, 3), 1), call((2, 1, 3), 0), call((1, 1)), call((), dim=0)],
        [bad(IndexError, r"^squeeze: .*; ", (2, 1), 2)],
    ),
    method(
        "unsqueeze",
        np.expand_dims,
        [call((2, 3), 0), call((2, 3), 2), call((2, 3), -1), call((2, 3), -3), call((), 0)],
        [bad(IndexError, r"^unsqueeze: .*\b3\b.*; ", (2, 3), 3)],
    ),
    method(
        "flatten",
        flatten,
        [
            call((2, 3, 4)), call((2, 3, 4), 1), call((2, 3, 4), 0, 1), call((2, 3, 4), -2, -1),
            call(()), call((0, 3)), call((2, 3, 4), start_dim=1, end_dim=1),
        ],
        [bad(ValueError, r"^flatten: .*; ", (2, 3, 4), 2, 0)],
    ),
    spelled("x.T", lambda x: x.T, np.transpose, call((2, 3)), call((2, 0))),
    function(
        "stack",
        lambda tensors, dim=0: np.stack(tensors, axis=dim),
        [
            call([(2, 3), (2, 3)]), call([(2, 3), (2, 3), (2, 3)], dim=1),
            call([(2,), (2,)], dim=-1),
            call([(), ()]), call([(0, 2), (0, 2)], dim=1), call([INTS, INTS], grad=False),
        ],
        [
            bad(ValueError, r"^stack: .*\(2, 3\).*\(3, 2\).*; ", [(2, 3), (3, 2)]),
            bad(ValueError, r"^stack: ", []),
            bad(IndexError, r"^stack: .*\b4\b.*; ", [(2, 3), (2, 3)], dim=4),
        ],
    ),
    function(
        "cat",
        lambda tensors, dim=0: np.concatenate(tensors, axis=dim),
        [
            call([(2, 3), (1, 3)]), call([(2, 3), (2, 1)], 1),
            call([INTS, floats([[0.5] * 3])], gives="float64"),
            call([bools([True]), ints([7])], gives="int64"),
        ],
        [],
    ),
    function(
        "gather",
        lambda x, dim, index: np.take_along_axis(x, index, dim),
        [call((2, 3), 1, ints([[2], [0]])), call((2, 3), 1, ints([[2], [0]], dtype=np.int32))],
        [],
        result="first",
    ),
]  # fmt: skip

EXTREMA = [
    op
    for name, fold, elementwise, index in [
        ("max", np.max, np.maximum, np.argmax),
        ("min", np.min, np.minimum, np.argmin),
    ]
    for op in (
        function(name, fold, [call((2, 3)), call(()), call(INTS), call((37,))], [
            bad(ValueError, rf"^{name}: .*\(0,\).*; ", (0,)),
        ]),
        spelled(
            f"cr.{name}(x, y)",
            getattr(cr, name),
            elementwise,
            call((2, 3), (3,)),
        ),
        method(
            name, extremum(fold, index), [call((2, 3), 1), call((2, 3), 0, keepdim=True)], [],
            result=("promoted", "int64"),
        ),
    )
]  # fmt: skip

FOLDS = [
    method("sum", lambda x, axis=None, keepdims=False: x.sum(axis=axis, keepdims=keepdims), [
        call((2, 3)), call((2, 3), axis=1), call((2, 3), axis=(0, 1), keepdims=True),
    ], []),
    method("mean", folding(np.mean), [call((2, 3)), call((2, 3), 1), call((2, 3), dim=(0, 1))], []),
    method("var", variance, [call((2, 3)), call((2, 3), 1), call((2, 3), dim=0, correction=0)], []),
    method("argmax", np.argmax, [call((2, 3)), call((2, 3), 1)], [
        bad(ValueError, r"^argmax: .*\(0,\).*; ", (0,)),
    ], result="int64"),
    method("argmin", np.argmin, [call((2, 3)), call((2, 3), 0)], [], result="int64"),
    method("softmax", softmax, [call((2, 3), -1)], []),
    method("log_softmax", log_softmax, [call((2, 3), dim=0)], []),
    method("logsumexp", logsumexp, [call((2, 3), 1), call((2, 3), dim=(0, 1))], []),
    function("softmax", softmax, [call((2, 3), dim=1)], []),
    loss("log_softmax", log_softmax, [call((2, 3), dim=1)], []),
]  # fmt: skip

BOUNDS = method(
    "clamp",
    lambda x, min=None, max=None: np.clip(x, min, max),
    [call((7,), min=0.25), call((7,), max=0.25), call((7,), -0.5, 0.5), call((7,), None, 0.5)],
    [bad(ValueError, r"^clamp: .*; ", (3,))],
    kinks=[0.25, -0.5, 0.5],
)

OPERATORS = [
    spelled("2 - x", lambda x: 2 - x, lambda x: 2 - x, call((2, 3))),
    spelled("2 / x", lambda x: 2 / x, lambda x: 2 / x, call(floats(0.5, -2.0))),
    spelled("2 ** x", lambda x: 2**x, lambda x: 2.0**x, call((2, 3))),
    spelled("-x", lambda x: -x, lambda x: -x, call((2, 3))),
    spelled("abs(x)", abs, np.abs, call(floats(0.5, -2.0))),
    spelled("x @ y", lambda x, y: x @ y, np.matmul, call((2, 3), (3, 2)), call((3,), (3,))),
    spelled("x ** 2 * y", lambda x, y: x**2 * y, lambda x, y: x**2 * y, call((2, 3), (3,))),
    spelled("x[1]", lambda x: x[1], lambda x: x[1], call((2, 3)), call((3,))),
    spelled("x[-1, 1:]", lambda x: x[-1, 1:], lambda x: x[-1, 1:], call((2, 3)), call((2, 3, 2))),
    spelled("x[..., ::2]", lambda x: x[..., ::2], lambda x: x[..., ::2], call((2, 5)), call((5,))),
    spelled("x[None, :, 1]", lambda x: x[None, :, 1], lambda x: x[None, :, 1], call((2, 3))),
    spelled("x[[1, 0, 1]]", lambda x: x[[1, 0, 1]], lambda x: x[[1, 0, 1]], call((2, 3))),
    spelled("x[:, [2, 0]]", lambda x: x[:, [2, 0]], lambda x: x[:, [2, 0]], call((2, 3))),
    spelled("x[x > 0]", lambda x: x[x > 0], lambda x: x[x > 0], call(floats(1.0, -1.0, 2.0))),
]

TARGETS = ints(0, 2, -100, 1)
LOSSES = [
    loss(
        "mse_loss",
        mse_loss,
        [
            call((2, 3), (2, 3)), call((2, 3), (2, 3), reduction="sum"), call((), ()),
            call((2, 3), (2, 3), reduction="none"), call((0, 3), (0, 3)),
        ],
        [
            bad(ValueError, r"^mse_loss: .*\(2, 3\).*\(4,\).*; ", (2, 3), (4,)),
            bad(ValueError, r"^mse_loss: .*'median'.*; ", (2,), (2,), reduction="median"),
        ],
    ),
    loss(
        "cross_entropy",
        mean_cross_entropy,
        [
            call((4, 3), TARGETS), call((4, 3), TARGETS, reduction="sum"),
            call((4, 3), TARGETS, reduction="none"),
            call((4, 3), ints(0, 2, 2, 1), ignore_index=2),
            call((2, 3), ints(-100, -100), grad=False), call((0, 3), ints([]), grad=False),
        ],
        [
            bad(IndexError, r"^cross_entropy: .*\b3\b.*; ", (2, 3), ints(0, 3)),
            bad(ValueError, r"^cross_entropy: .*'median'.*; ", (1, 2), ints([0]),
                reduction="median"),
        ],
        result="first",
        float32_rtol=1e-5,
    ),
    loss(
        "nll_loss",
        nll_loss,
        [
            call((4, 3), TARGETS), call((4, 3), TARGETS, reduction="sum"),
            call((4, 3), TARGETS, reduction="none"),
            call((4, 3), ints(0, 2, 2, 1), ignore_index=2),
        ],
        [
            bad(IndexError, r"^nll_loss: .*\b3\b.*; ", (2, 3), ints(0, 3)),
            bad(ValueError, r"^nll_loss: .*\(2, 3\).*\(3,\).*; ", (2, 3), ints(0, 1, 2)),
        ],
        result="first",
    ),
    loss("linear", linear, [call((2, 3), (4, 3)), call((2, 3), (4, 3), (4,))], []),
    loss("relu", lambda x: np.maximum(x, 0), [call((7,))], [], kinks=[0.0]),
]  # fmt: skip

OPS = [*SHAPING, *EXTREMA, *FOLDS, BOUNDS, *OPERATORS, *LOSSES]
assert len({str(op) for op in OPS}) == len(OPS), "two composites have the same label"
