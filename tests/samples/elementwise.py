"""Samples of the elementwise ops. A new one is a line in UNARY or BINARY, here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .base import BadCall, Call, Op, bad, bools, call, floats, ints

nan, inf = np.nan, np.inf
INTS = ints(-3, -1, 0, 1, 2, 5)
INTS32 = ints(-3, -1, 0, 1, 2, 5, dtype=np.int32)
BOOLS = bools(True, False)
SPECIAL = floats(nan, inf, -inf, -0.0, 0.0, 1.0, -1.0, 1e-310, 1e300, -1e300, 0.5, -0.5, 3e5)
# 7 and 37 leave a tail behind every vector width; 37 also runs through the unrolled body.
SHAPES = [(), (1,), (7,), (2, 3), (2, 1, 3), (0,), (2, 0, 3), (37,)]
PAIRS = [
    ((), ()), ((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()),
    ((0, 3), (1, 3)), ((2, 1, 3), (2, 1)), ((37,), (37,)), ((37,), (1,)), ((3, 11), (3, 1)),
]  # fmt: skip
SPECIAL_PAIR = np.meshgrid(floats(nan, inf, -inf, -0.0, 0.0, 1.0, -2.5, 1e300), SPECIAL[:9])
INT_PAIR = (ints([[-7], [0], [3]]), ints(-2, 1, 4))
INT32_PAIR = (ints(5, -3, 2, dtype=np.int32), ints(2, 2, -9, dtype=np.int32))
BOOL_PAIR = (bools([[True], [False]]), bools(True, False))


def real(reference: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that sees integers and bools as float64."""

    def of_floats(*inputs: Any, **attributes: Any) -> Any:
        return reference(*(np.asarray(x, dtype=np.float64) for x in inputs), **attributes)

    return of_floats


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))


erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def ndtr(x: np.ndarray) -> np.ndarray:
    return erfc(-x / math.sqrt(2)) / 2


def gelu(x: np.ndarray) -> np.ndarray:
    return np.where(x == -inf, 0.0, x * ndtr(x))  # the limit: no 0 times infinity


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0, np.zeros_like(x), x)


def clamp(x: np.ndarray, min: float = -inf, max: float = inf) -> np.ndarray:
    bounded = np.clip(np.asarray(x, dtype=np.float64), min, max)
    whole = np.issubdtype(np.asarray(x).dtype, np.integer)
    return bounded.astype(x.dtype) if whole else bounded


def power(a: Any, b: Any) -> Any:
    both_whole = all(np.asarray(x).dtype.kind in "iub" for x in (a, b))
    return np.power(a, b) if both_whole else np.power(*np.broadcast_arrays(a, b), dtype=np.float64)


def divide(a: Any, b: Any) -> Any:
    return np.divide(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))


REAL = [call(INTS, grad=False), call(INTS32, grad=False), call(BOOLS, grad=False)]
WHOLE = [call(INTS, grad=False), call(INTS32, grad=False)]
MISMATCH = r"shapes? \(2, 3\).*\(4,\)"


def unary(
    name: str,
    reference: Callable[..., Any],
    others: Sequence[Call],
    domain: tuple[float, float] = (-2.0, 2.0),
    kinks: Sequence[float] = (),
    result: str = "promoted",
    bad: Sequence[BadCall] = (),
) -> Op:
    """An op of one tensor: every shape and the special values, then what it has of its own."""
    calls = [call(shape) for shape in SHAPES] + [call(SPECIAL, grad=False), *others]
    return Op(name, reference, calls, bad, domain, kinks, result)


def binary(
    name: str,
    reference: Callable[..., Any],
    others: Sequence[Call],
    domain: Any = (-2.0, 2.0),
    kinks: Sequence[float] = (),
    result: str = "promoted",
    bad_calls: Sequence[BadCall] = (),
) -> Op:
    """An op of two tensors: every broadcast, scalars on both sides, special pairs."""
    scalar = 1.5
    calls = [call(a, b) for a, b in PAIRS]
    calls += [call((2, 3), scalar), call(scalar, (2, 3)), call(*SPECIAL_PAIR, grad=False), *others]
    mismatch = bad(ValueError, rf"^{name}: .*{MISMATCH}.*; ", (2, 3), (4,))
    return Op(name, reference, calls, [mismatch, *bad_calls], domain, kinks, result)


def pairs(*operands: tuple[np.ndarray, np.ndarray], gives: str | None = None) -> list[Call]:
    return [call(a, b, grad=False, gives=gives) for a, b in operands]


WHOLE_PAIRS = pairs(INT_PAIR, INT32_PAIR)
ALL_PAIRS = pairs(INT_PAIR, INT32_PAIR, BOOL_PAIR)
# Other dtypes meet: the value's category decides, then the width (PyTorch's table, test_tensor.py).
MIXED = [
    call(ints(1, -2, 3), floats(0.5, 1.5, 2.5), grad=False, gives="float64"),
    call(bools(True, False), ints(3, 4), grad=False, gives="int64"),
    call(INTS32, ints([7]), grad=False, gives="int64"),
    call(INTS32, ints(7), grad=False, gives="int32"),
    call(floats(0.5, 1.5), ints(3), grad=False, gives="float64"),
]
UNARY = [
    unary("neg", np.negative, WHOLE, bad=[bad(TypeError, r"^neg: .*bool", BOOLS)]),
    unary("exp", real(np.exp), REAL, result="real"),
    unary("log", real(np.log), REAL, domain=(0.2, 4.0), result="real"),
    unary("sqrt", real(np.sqrt), REAL, domain=(0.2, 4.0), result="real"),
    unary("tanh", real(np.tanh), REAL, result="real"),
    unary("sigmoid", real(sigmoid), REAL, result="real"),
    unary("sin", real(np.sin), REAL, domain=(-4.0, 4.0), result="real"),
    unary("cos", real(np.cos), REAL, domain=(-4.0, 4.0), result="real"),
    unary("erf", real(erf), REAL, result="real"),
    unary("ndtr", real(ndtr), REAL, result="real"),
    unary(
        "normal_pdf",
        real(lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
        REAL,
        result="real",
    ),
    unary(  # its gradient is read off the output: y / x
        "gelu", real(gelu), [*REAL, call(floats(0.0, -0.0, 1e-3, -3.0, 3.0))], result="real"
    ),
    unary("gelu_tanh", real(gelu_tanh), REAL, result="real"),
    unary("silu", real(lambda x: x * sigmoid(x)), REAL, result="real"),
    unary("relu", relu, WHOLE, kinks=[0.0]),
    unary("abs", np.abs, WHOLE, kinks=[0.0]),
    unary("square", np.square, WHOLE),
    unary("isnan", lambda x: np.isnan(x), [*REAL], result="bool"),
    unary("logical_not", np.logical_not, REAL, result="bool"),
    Op(
        "clamp",
        clamp,
        [call(shape, min=-0.5, max=0.75) for shape in SHAPES]
        + [call((7,), min=0.25), call((7,), max=-0.25), call((7,)), call((7,), min=1.0, max=-1.0)]
        + [call(SPECIAL, min=-1.0, max=1.0, grad=False), call(INTS, min=-1, max=2, grad=False)],
        [bad(TypeError, "min", (3,), min="low")],
        kinks=[-0.5, 0.75, 0.25, -0.25],
    ),
]

BINARY = [
    binary("add", np.add, ALL_PAIRS + MIXED),
    binary(
        "sub",
        np.subtract,
        WHOLE_PAIRS,
        bad_calls=[bad(TypeError, r"^sub: .*bool", *BOOL_PAIR)],
    ),
    binary("mul", np.multiply, ALL_PAIRS + MIXED),
    binary("div", divide, ALL_PAIRS, domain=[(-2.0, 2.0), (0.5, 3.0)], result="real"),
    binary(
        "pow",
        power,
        [
            *pairs((ints([[-7], [0], [3]]), ints(0, 1, 4))),
            call((7,), 2), call((7,), 3.0), call((7,), 0.0), call((7,), -1.0), call((7,), 0.5),
            call(2.0, (7,)), call(INTS, 2, grad=False),
            call(INTS, 0.5, grad=False, gives="float32"),
            call(floats(-1.5, -0.5, 0.7), 3.0), call(floats(-1.5, -0.5, 0.7), -2.0),
        ],
        domain=[(0.3, 2.0), (-2.0, 2.0)],
        bad_calls=[bad(ValueError, r"^pow: .*-1.*; ", ints(1, 2), -1)],
    ),
    binary("maximum", np.maximum, ALL_PAIRS, kinks=[1.5]),
    binary("minimum", np.minimum, ALL_PAIRS, kinks=[1.5]),
    *(
        binary(name, reference, ALL_PAIRS, result="bool")
        for name, reference in {
            "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
            "eq": np.equal, "ne": np.not_equal,
            "logical_and": np.logical_and, "logical_or": np.logical_or,
        }.items()
    ),
]  # fmt: skip

CONDITION = bools([[True, False, True], [False, False, True]])
WHERE = Op(
    "where",
    np.where,
    [
        call(CONDITION, (2, 3), (2, 3)),
        call(CONDITION, (3,), (2, 1)),
        call(CONDITION, (), (2, 3)),
        call(bools(True), (2, 3), (3,)),
        call(CONDITION, (2, 3), 0.0),
        call(CONDITION, 1.0, (2, 3)),
        call(bools(np.ones((0, 3))), (0, 3), (1, 3)),
        call(bools(np.arange(37) % 3 == 0), (37,), (37,)),
        call(CONDITION, np.full((2, 3), nan), ints(0).astype(np.float64), grad=False),
        call(CONDITION, ints(1, 2, 3), ints(4, 5, 6), grad=False),
        call(CONDITION, bools(True, False, True), bools(False), grad=False),
    ],
    [
        bad(TypeError, r"^where: .*bool", (2, 3), (2, 3), (2, 3)),
        bad(ValueError, r"^where: .*\(2, 3\).*\(4,\).*; ", CONDITION, (2, 3), (4,)),
    ],
    result="last",
)

OPS = [*UNARY, *BINARY, WHERE]
