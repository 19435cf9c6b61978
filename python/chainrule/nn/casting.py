"""Module.to: what its arguments mean, and the cast of all floating tensors of a module."""

from __future__ import annotations

from chainrule import _C
from chainrule._C import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule.nn.module import Module

_FLOATING = (_C.float32, _C.float64)


def wanted_dtype(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _C.dtype | None:
    """Returns the dtype among the arguments of `to`, or None if they name only the device."""
    unknown = sorted(kwargs.keys() - {"dtype", "device"})
    if unknown:
        raise TypeError(f"to: keyword {unknown[0]!r} arrived; the keywords are dtype and device")
    dtype = None
    for arg in (*args, *kwargs.values()):
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, _C.dtype):
            dtype = arg
        elif isinstance(arg, str):
            if arg != "cpu":
                raise ValueError(f"to: device is {arg!r}; chainrule computes on the CPU; use 'cpu'")
        elif arg is not None:
            raise TypeError(
                f"to: a {type(arg).__name__} arrived; it takes a dtype, 'cpu' or a Tensor"
            )
    return dtype


def cast(module: Module, dtype: _C.dtype) -> None:
    """Casts parameters (in place: an optimizer may hold them), their gradients, and buffers."""
    if dtype not in _FLOATING:
        raise TypeError(
            f"to: dtype is {dtype}; parameters must be floating; use float32 or float64"
        )
    for parameter in module.parameters():
        if parameter.dtype in _FLOATING and parameter.dtype != dtype:
            grad, parameter.grad = parameter.grad, None
            parameter.data = parameter.data.to(dtype)
            parameter.grad = None if grad is None else grad.detach().to(dtype)
    for owner in module.modules():
        for name, buffer in owner._buffers.items():
            if buffer is not None and buffer.dtype in _FLOATING:
                setattr(owner, name, buffer.to(dtype))
