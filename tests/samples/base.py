"""The words in which samples are written: Op, call, bad.

An input of a call is a shape (a tuple of ints, filled with random floats from the op's domain), a
NumPy array, a Python scalar, or a list of such (for cat). Random inputs depend only on the op's
name and the call's position, keep a distance from each other, so that there are no accidental ties,
and keep away from the op's kinks, so that finite differences make sense.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

KINK_DISTANCE = 0.03


@dataclass(frozen=True, eq=False)
class Call:
    """One good call; `gives` names the result's dtype where the op's rule does not say it."""

    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    grad: bool = True
    gives: str | None = None

    def __str__(self) -> str:
        words = [describe(value) for value in self.inputs]
        words += [f"{key}={value}" for key, value in self.attributes.items()]
        return ",".join(words).replace(" ", "")


@dataclass(frozen=True, eq=False)
class BadCall:
    """One call that must fail: with this exception, a text that matches, and no other effect."""

    error: type[Exception]
    text: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]

    __str__ = Call.__str__


@dataclass(frozen=True, eq=False)
class Op:
    """An op's reference and samples.

    `result` is the dtype rule: "promoted" (of equal operand dtypes), "real" (integers become
    float32), "accumulated" (integers become int64), "first" and "last" (of the operands' dtypes),
    "bool", "int64"; a tuple for several outputs.
    `path` says where Python finds the op; `{}` stands for the name.
    """

    name: str
    reference: Callable[..., Any]
    calls: Sequence[Call]
    bad: Sequence[BadCall] = ()
    domain: tuple[float, float] | Sequence[tuple[float, float]] = (-2.0, 2.0)
    kinks: Sequence[float] = ()
    result: str | tuple[str, ...] = "promoted"
    path: str | Callable[..., Any] = "_C.ops.{}"
    label: str = ""
    float32_rtol: float = 3e-6

    def __str__(self) -> str:
        return self.label or self.name

    def inputs(self, sample: Call | BadCall) -> list[Any]:
        """The NumPy inputs of a sample, the same on every run."""
        position = list(self.calls).index(sample) if isinstance(sample, Call) else 1000
        seed = zlib.crc32(f"{self}/{position}".encode())
        rng = np.random.default_rng(seed)
        return [
            draw(value, self.domain_of(position), self.kinks, rng)
            for position, value in enumerate(sample.inputs)
        ]

    def domain_of(self, position: int) -> tuple[float, float]:
        if isinstance(self.domain[0], tuple):
            return self.domain[min(position, len(self.domain) - 1)]  # type: ignore[return-value]
        return self.domain  # type: ignore[return-value]

    def expected(self, sample: Call, inputs: Sequence[Any]) -> tuple[np.ndarray, ...]:
        """The reference's outputs, always as a tuple."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
            out = self.reference(*inputs, **sample.attributes)
        return tuple(np.asarray(y) for y in (out if isinstance(out, tuple) else (out,)))


def call(*inputs: Any, grad: bool = True, gives: str | None = None, **attributes: Any) -> Call:
    """A good call; `grad=False` keeps it out of the gradient checks (special values)."""
    return Call(inputs, attributes, grad, gives)


def bad(error: type[Exception], text: str, *inputs: Any, **attributes: Any) -> BadCall:
    """A bad call: the exception's type and a regular expression for its text come first."""
    return BadCall(error, text, inputs, attributes)


def is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(size, int) for size in value)


def describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}"
    return f"[{'+'.join(map(describe, value))}]" if isinstance(value, list) else str(value)


def draw(
    value: Any, domain: tuple[float, float], kinks: Sequence[float], rng: np.random.Generator
) -> Any:
    """Turns a written input into a NumPy one: shapes are filled, everything else stays."""
    if isinstance(value, list):
        return [draw(each, domain, kinks, rng) for each in value]
    return spread(value, domain, kinks, rng) if is_shape(value) else value


def spread(
    shape: tuple[int, ...],
    domain: tuple[float, float],
    kinks: Sequence[float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Random floats, one in each of n equal cells of the domain, in random order."""
    count = int(np.prod(shape))
    low, high = domain
    cells = rng.permutation(count) + rng.uniform(0.2, 0.8, count)
    values = low + (high - low) * cells / max(count, 1)
    for kink in kinks:
        side = np.where(values >= kink, 1.0, -1.0)
        values = np.where(abs(values - kink) < KINK_DISTANCE, kink + side * KINK_DISTANCE, values)
    return values.reshape(shape)


def ints(*values: Any, dtype: Any = np.int64) -> np.ndarray:
    """An integer array literal: ints(1, 2) or ints([[1], [2]])."""
    return np.array(values[0] if len(values) == 1 else values, dtype=dtype)


def floats(*values: Any) -> np.ndarray:
    """A float64 array literal."""
    return np.array(values[0] if len(values) == 1 else values, dtype=np.float64)


def bools(*values: Any) -> np.ndarray:
    """A bool array literal."""
    return np.array(values[0] if len(values) == 1 else values, dtype=np.bool_)
