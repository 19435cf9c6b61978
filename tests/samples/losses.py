"""Samples of the loss ops. The op gives one loss a sample; reductions are composites."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Op, bad, call, floats, ints
from .reductions import log_softmax

nan, inf = np.nan, np.inf


def cross_entropy(
    logits: np.ndarray, target: np.ndarray, ignore_index: int = -100, mean: bool = False
) -> Any:
    kept = target != ignore_index
    class_dim = 0 if logits.ndim == 1 else 1
    picked = np.expand_dims(np.where(kept, target, 0), class_dim)
    chosen = np.take_along_axis(log_softmax(logits, class_dim), picked, class_dim)
    losses = np.where(kept, -chosen.squeeze(class_dim), 0.0)
    return losses.sum() / kept.sum() if mean else losses


OPS = [
    Op(
        "cross_entropy",
        cross_entropy,
        [
            call((2, 3), ints(0, 2)), call((4, 2), ints(1, 1, 0, 1)), call((1, 1), ints([0])),
            call((3, 4), ints(0, -100, 3)), call((3, 4), ints(0, 1, 3), ignore_index=1),
            call((0, 3), ints([])), call((3, 11), ints(10, 0, 5)),
            call((2, 3), ints(0, 2, dtype=np.int32)),
            call((2, 3), ints(0, 2), mean=True), call((5, 37), ints(0, 36, 9, 17, 1), mean=True),
            call((4, 3), ints(0, -100, -100, 2), mean=True), call((0, 3), ints([]), mean=True),
            call((70, 19), ints(list(range(19)) * 3 + [4] * 13)),
            call(floats([[1e4, -1e4], [-1e4, 1e4]]), ints(0, 0), grad=False),
        ],
        [
            bad(IndexError, r"^cross_entropy: .*\b3\b.*; ", (2, 3), ints(0, 3)),
            bad(IndexError, r"^cross_entropy: .*-1.*; ", (2, 3), ints(0, -1)),
            bad(ValueError, r"^cross_entropy: .*\(2, 3\).*\(3,\).*; ", (2, 3), ints(0, 1, 2)),
            bad(TypeError, r"^cross_entropy: .*float64.*; ", (2, 3), floats(0.0, 1.0)),
        ],
        result="first",
        float32_rtol=1e-5,
    ),
    Op(
        "mse_loss",
        lambda input, target: np.square(input - target).mean(),
        [
            call((), ()), call((5,), (5,)), call((3, 37), (3, 37)), call((2, 3, 4), (2, 3, 4)),
            call((0, 3), (0, 3)), call(floats(1.0, nan), floats(0.0, 1.0), grad=False),
            call(floats(inf, 1.0), floats(1.0, 1.0), grad=False),
        ],
        [
            bad(ValueError, r"^mse_loss: .*\(2, 3\).*\(3, 2\).*; ", (2, 3), (3, 2)),
            bad(ValueError, r"^mse_loss: .*\(2, 1\).*\(2,\).*; ", (2, 1), (2,)),
            bad(TypeError, r"^mse_loss: .*int64.*; ", ints(1, 2), ints(1, 2)),
        ],
        result="first",
        float32_rtol=1e-5,
    ),
]  # fmt: skip
