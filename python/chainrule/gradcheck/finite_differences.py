"""How the outputs of a function move when its inputs are moved, measured in float64 if possible."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr

FLOATING = (cr.float32, cr.float64)
Array = np.ndarray[Any, Any]


def as_tuple(op: str, what: str, value: Any) -> tuple[cr.Tensor, ...]:
    """Returns one Tensor or several as a tuple."""
    if isinstance(value, cr.Tensor):
        return (value,)
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"{op}: {what} is a {type(value).__name__}; it must be a Tensor or a tuple of Tensors"
        )
    for k, each in enumerate(value):
        if not isinstance(each, cr.Tensor):
            raise TypeError(f"{op}: {what}[{k}] is a {type(each).__name__}; it must be a Tensor")
    return tuple(value)


def floating_outputs(results: Any) -> list[cr.Tensor]:
    """Returns what a function returned, without what has no gradient."""
    found = as_tuple("check_grads", "the result of fn", results)
    return [each for each in found if each.dtype in FLOATING]


def flat(tensors: list[cr.Tensor]) -> Array:
    """Returns the elements of all tensors, one after another."""
    parts = [np.asarray(each.detach().numpy(), np.float64).ravel() for each in tensors]
    return np.concatenate(parts) if parts else np.zeros(0)


def name_of(fn: Any, tensors: tuple[cr.Tensor, ...], index: int) -> str:
    """Returns the name of a tensor, or of the parameter of fn that it is given to; or ""."""
    name = getattr(tensors[index], "name", None)
    if isinstance(name, str) and name:
        return name
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return ""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if index < len(parameters) and parameters[index].kind in positional:
        return parameters[index].name
    return ""


@dataclass
class Slopes:
    """Change per unit of step, weighted: one number for each column of weights."""

    central: Array
    forward: Array
    backward: Array
    noise: Array  # what rounding of the outputs may have added to central


class FiniteDifferences:
    """Moves one input of a function at a time."""

    def __init__(self, fn: Any, tensors: tuple[cr.Tensor, ...]) -> None:
        self.fn = fn
        self.tensors = tensors
        self.values = [np.array(t.detach().numpy()) for t in tensors]
        self.wide = False
        if any(t.dtype == cr.float32 for t in tensors):
            self.wide = self._takes_float64()
        elif all(y.dtype == cr.float64 for y in self.outputs()):
            self.wide = True
        if self.wide:
            self.values = [v.astype(np.float64) if v.dtype.kind == "f" else v for v in self.values]
        self.machine = float(np.finfo(np.float64 if self.wide else np.float32).eps)
        self.start = flat(self.outputs())

    def _takes_float64(self) -> bool:
        """Whether fn computes in float64 when its inputs are converted."""
        kept = self.values
        self.values = [v.astype(np.float64) if v.dtype.kind == "f" else v for v in kept]
        try:
            return all(y.dtype == cr.float64 for y in self.outputs())
        except (TypeError, ValueError):  # float32 weights beside them, say
            return False
        finally:
            self.values = kept

    def outputs(self, index: int = -1, moved: Array | None = None) -> list[cr.Tensor]:
        """Returns the outputs, with another value of one input."""
        arguments = []
        for k, (tensor, value) in enumerate(zip(self.tensors, self.values, strict=True)):
            now = moved if k == index and moved is not None else value
            # numpy makes scalars of 0-d arrays; and fn may itself ask for gradients
            copy = cr.tensor(np.asarray(now, value.dtype))
            arguments.append(copy.requires_grad_(tensor.requires_grad))
        return floating_outputs(self.fn(*arguments))

    def change(self, index: int, direction: Array, step: float) -> tuple[Array, Array]:
        """Returns the outputs after a step in a direction and after one against it."""
        value = self.values[index]
        ahead = flat(self.outputs(index, value + step * direction))
        behind = flat(self.outputs(index, value - step * direction))
        if ahead.shape != self.start.shape or behind.shape != self.start.shape:
            raise ValueError(
                "check_grads: the outputs of fn change their shape with the values of its inputs; "
                "such a function has no gradient to check"
            )
        return ahead, behind

    def slopes(self, index: int, direction: Array, step: float, weights: Array) -> Slopes:
        """Returns central and one-sided differences of the weighted outputs."""
        ahead, behind = self.change(index, direction, step)
        with np.errstate(invalid="ignore"):
            size = np.maximum(np.abs(ahead), np.abs(behind))
            return Slopes(
                (ahead - behind) @ weights / (2 * step),
                (ahead - self.start) @ weights / step,
                (self.start - behind) @ weights / step,
                4 * self.machine * (size @ np.abs(weights)) / step,
            )

    def one_hot(self, index: int, element: int) -> Array:
        """Returns the direction of one element."""
        direction = np.zeros(self.values[index].size)
        direction[element] = 1.0
        return direction.reshape(self.values[index].shape)
