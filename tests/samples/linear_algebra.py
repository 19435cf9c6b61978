"""Samples of matmul and linear; the sizes cross the register tile and the packing of the GEMM."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Op, bad, bools, call, floats, ints

nan, inf = np.nan, np.inf


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> Any:
    y = x @ weight.T
    return y if bias is None else y + bias


SHAPES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((1, 1), (1, 1)),
    ((4, 2, 3), (4, 3, 2)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((4, 2, 3), (3,)),
    ((3,), (4, 3, 2)), ((2, 1, 2, 3), (3, 3, 1)), ((1, 2, 3), (4, 3, 2)),
    ((2, 3, 5, 4), (2, 3, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 0, 3, 2), (2, 1, 2, 3)),
    ((3, 2, 0), (3, 0, 2)), ((2, 3, 4, 5), (5, 2)), ((1, 4), (3, 4, 1)),
    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0,), (0,)), ((0, 2, 3), (3, 2)),
]  # fmt: skip
BLOCKS = [((7, 13), (13, 19)), ((17, 33), (33, 5)), ((1, 67), (67, 3)), ((19, 2), (2, 35))]

OPS = [
    Op(
        "matmul",
        np.matmul,
        [
            *(call(a, b) for a, b in SHAPES),
            *(call(a, b, grad=False) for a, b in BLOCKS),
            call(ints([[1, 2], [3, 4]]), ints([[5], [-6]])),
            call(ints(1, 2, dtype=np.int32), ints(3, 4, dtype=np.int32)),
            call(floats([[nan, 0.0], [inf, 1.0]]), floats([[1.0], [2.0]]), grad=False),
        ],
        [
            bad(ValueError, r"^matmul: .*\(2, 3\).*\(4, 5\).*; .*3 != 4", (2, 3), (4, 5)),
            bad(ValueError, r"^matmul: .*\(3,\).*\(4,\).*; ", (3,), (4,)),
            bad(ValueError, r"^matmul: .*\(2, 2, 3\).*\(5, 3, 2\).*; ", (2, 2, 3), (5, 3, 2)),
            bad(ValueError, r"^matmul: .*\(\).*; ", (), (3,)),
            bad(TypeError, r"^matmul: .*float64.*int64.*; ", (2, 3), ints([[1], [2], [3]])),
            bad(TypeError, r"^matmul: .*bool.*; ", bools([[True]]), bools([[True]])),
        ],
        float32_rtol=2e-5,
    ),
    Op(
        "linear",
        linear,
        [
            call((2, 3), (4, 3), (4,)), call((3,), (4, 3), (4,)), call((5, 2, 3), (4, 3), (4,)),
            call((2, 3, 2, 5), (4, 5), (4,)), call((2, 0, 3), (4, 3), (4,)),
            call((3, 2), (0, 2), (0,)),
            call((0, 3), (4, 3), (4,)), call((2, 0), (4, 0), (4,)), call((1, 1), (1, 1), (1,)),
            call((9, 13), (21, 13), (21,), grad=False), call((2, 3), (4, 3), None),
        ],
        [
            bad(ValueError, r"^linear: .*\(2, 3\).*\(4, 5\).*; .*3 != 5", (2, 3), (4, 5), (4,)),
            bad(ValueError, r"^linear: .*\(4, 3\).*\(5,\).*; ", (2, 3), (4, 3), (5,)),
            bad(ValueError, r"^linear: .*\(\).*; ", (), (4, 3), (4,)),
        ],
        float32_rtol=2e-5,
    ),
]  # fmt: skip
