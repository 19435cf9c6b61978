"""Errors of the transcendental functions in units in the last place, at every instruction set.

The bounds are those promised for this library; the reference is the 80-bit long double of the x86.
tests/cpp/test_simd_math.cpp holds the same bounds over all exponents and special values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C

POINTS = 40_001
# Name: reference, interval, bound for float32, bound for float64.
BOUNDS: dict[str, tuple[Any, tuple[float, float], float, float]] = {
    "exp": (np.exp, (-87.0, 88.0), 2, 2),
    "log": (np.log, (1e-30, 1e30), 2, 2),
    "sqrt": (np.sqrt, (0.0, 1e30), 0.5, 0.5),
    "tanh": (np.tanh, (-10.0, 10.0), 2, 2),
    "sin": (np.sin, (-100.0, 100.0), 2, 2),
    "cos": (np.cos, (-100.0, 100.0), 2, 2),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), (-80.0, 80.0), 3, 2),
}


def errors(name: str, dtype: Any, points: np.ndarray) -> np.ndarray:
    x = points.astype(dtype)
    exact = BOUNDS[name][0](x.astype(np.longdouble))
    found = getattr(_C.ops, name)(cr.tensor(x)).numpy()
    unit = np.spacing(np.maximum(abs(exact.astype(dtype)), np.finfo(dtype).tiny))
    return abs(found.astype(np.longdouble) - exact) / unit


def points_of(name: str) -> np.ndarray:
    low, high = BOUNDS[name][1]
    dense = np.linspace(low, high, POINTS)
    small = np.logspace(-30, 0, 2000)
    near_one = 1 + np.linspace(-1e-3, 1e-3, 2001)
    signed = np.concatenate([dense, small, -small, near_one])
    return signed[(signed >= low) & (signed <= high)]


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize(("dtype", "column"), [(np.float32, 2), (np.float64, 3)])
@pytest.mark.parametrize("name", BOUNDS)
def test_units_in_the_last_place(name: str, dtype: Any, column: int, isa: str) -> None:
    _C.force_isa(isa)
    points = points_of(name)
    found = errors(name, dtype, points)
    worst = int(found.argmax())
    assert found[worst] <= BOUNDS[name][column], f"{found[worst]} at {points[worst]!r}"


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize("x", [1e5, 1e6, 2.0**22 * np.pi, 1e10, 1e15])
def test_large_angles(name: str, x: float, isa: str) -> None:
    _C.force_isa(isa)
    reference = getattr(np, name)
    assert getattr(cr, name)(cr.tensor(x, dtype=cr.float64)).item() == pytest.approx(
        float(reference(np.float64(x))), rel=1e-10, abs=1e-12
    )
    narrow = np.float32(x)
    assert getattr(cr, name)(cr.tensor(float(narrow))).item() == pytest.approx(
        float(reference(np.float64(narrow))), rel=1e-5, abs=1e-6
    )
