"""What several test files share: samples into tensors, layouts, finite differences."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import _C
from chainrule.nn import functional
from samples import BadCall, Call, Op

ROOTS = {"_C": _C, "cr": cr, "F": functional, "Tensor": cr.Tensor}
STEP = 1e-6


def function_of(op: Op) -> Callable[..., Any]:
    """The callable that an entry of the table describes."""
    if not isinstance(op.path, str):
        return op.path
    root, *names = op.path.format(op.name).split(".")
    found: Any = ROOTS[root]
    for name in names:
        found = getattr(found, name)
    return found


def run(op: Op, sample: Call | BadCall, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Calls the op; the outputs are always a tuple."""
    out = function_of(op)(*inputs, **sample.attributes)
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


def mapped(function: Callable[[np.ndarray], Any], value: Any) -> Any:
    """Applies a function to every array of an input, lists included; scalars stay."""
    if isinstance(value, list):
        return [mapped(function, each) for each in value]
    return function(value) if isinstance(value, np.ndarray) else value


def flat(inputs: Sequence[Any]) -> list[Any]:
    """All arrays (or tensors) of the inputs, in order."""
    found: list[Any] = []
    for value in inputs:
        if isinstance(value, list):
            found += flat(value)
        elif isinstance(value, (np.ndarray, cr.Tensor)):
            found.append(value)
    return found


def contiguous(array: np.ndarray) -> Any:
    return cr.tensor(array)


def transposed(array: np.ndarray) -> Any:
    back = tuple(reversed(range(array.ndim)))
    return cr.tensor(np.ascontiguousarray(array.T)).permute(back) if back else cr.tensor(array)


def stepped(array: np.ndarray) -> Any:
    """Every second element of a row twice as long."""
    if array.ndim == 0:
        return cr.tensor(np.array([0, array], array.dtype))[1]
    return cr.tensor(np.repeat(array[..., ::-1], 2, axis=-1)[..., ::-1].copy())[..., ::2]


def offset(array: np.ndarray) -> Any:
    """The middle of a larger array: the storage starts elsewhere."""
    if array.ndim == 0:
        return cr.tensor(np.array([0, 0, array], array.dtype))[-1]
    return cr.tensor(np.pad(array, [(1, 1)] + [(0, 0)] * (array.ndim - 1)))[1:-1]


LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "transposed": transposed,
    "stepped": stepped,
    "offset": offset,
}


def to_tensors(
    inputs: Sequence[Any], layout: Callable[[np.ndarray], Any] = contiguous
) -> list[Any]:
    return [mapped(layout, value) for value in inputs]


def to_leaves(inputs: Sequence[Any], layout: Callable[[np.ndarray], Any] = contiguous) -> list[Any]:
    """Tensors of the inputs; the floating ones require a gradient."""

    def leaf(array: np.ndarray) -> Any:
        made = layout(array).detach()
        return made.requires_grad_() if array.dtype.kind == "f" else made

    return [mapped(leaf, value) for value in inputs]


def wanting(tensors: Sequence[Any]) -> list[Any]:
    return [t for t in flat(tensors) if t.requires_grad]


def to_float32(inputs: Sequence[Any]) -> list[Any]:
    def narrow(array: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return array.astype(np.float32) if array.dtype == np.float64 else array

    return [mapped(narrow, value) for value in inputs]


def to_float64(inputs: Sequence[Any]) -> list[Any]:
    def widen(array: np.ndarray) -> np.ndarray:
        return array.astype(np.float64) if array.dtype == np.float32 else array

    return [mapped(widen, value) for value in inputs]


def to_numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy()


def dtype_name(tensor: Any) -> str:
    return str(tensor.dtype).rpartition(".")[2]


def numeric_gradients(objective: Callable[[list[Any]], float], inputs: list[Any]) -> list[Any]:
    """Central differences of a number with respect to every float64 array of the inputs."""
    gradients = []
    for array in flat(inputs):
        if array.dtype != np.float64:
            continue
        gradient = np.zeros(array.shape)
        for place in np.ndindex(*array.shape):
            middle = array[place]
            array[place] = middle + STEP
            above = objective(inputs)
            array[place] = middle - STEP
            below = objective(inputs)
            array[place] = middle
            gradient[place] = (above - below) / (2 * STEP)
        gradients.append(gradient)
    return gradients


def run_python(code: str, *, stack_kib: int | None = None, **env: str) -> str:
    """Runs code in a fresh interpreter, optionally with a small stack, and returns its output."""
    command = [sys.executable, "-c", code]
    if stack_kib is not None:
        command = ["bash", "-c", f'ulimit -s {stack_kib} && exec "$@"', "bash", *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        cwd=Path(__file__).parent,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
