"""The gradients that are checked: those of autograd, or of a rule of the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule.gradcheck.draws import Draw
from chainrule.gradcheck.finite_differences import FLOATING, Array, as_tuple


class Gradients:
    """Runs a function, and differentiates weighted sums of what it returns."""

    def __init__(self, fn: Any, inputs: Any, grad_fn: Any) -> None:
        self.fn, self.grad_fn = fn, grad_fn
        self.tensors = as_tuple("check_grads", "inputs", inputs)
        self.is_single = isinstance(inputs, cr.Tensor)
        self.checked = [
            k
            for k, t in enumerate(self.tensors)
            if t.dtype in FLOATING and (grad_fn is not None or t.requires_grad)
        ]

    def run(self, in_float64: bool = False) -> tuple[list[cr.Tensor], Any]:
        """Returns arguments for fn, leaves of the layout of the inputs, and what it returns."""
        arguments = []
        for k, tensor in enumerate(self.tensors):
            value = tensor.detach()
            if in_float64 and tensor.dtype in FLOATING:
                value = value.double()
            is_checked = k in self.checked
            arguments.append(value.requires_grad_() if is_checked else value.clone())
        return arguments, self.fn(*arguments)

    def of(self, arguments: list[cr.Tensor], result: Any, draw: Draw) -> list[Array | None]:
        """Returns the gradient of each checked input, as autograd or grad_fn has it."""
        found: Any
        outputs = list(as_tuple("check_grads", "the result of fn", result))
        floating = [y for y in outputs if y.dtype in FLOATING]
        gys = [cr.tensor(w, dtype=y.dtype) for w, y in zip(draw.upstream, floating, strict=True)]
        if self.grad_fn is None:
            pairs = [(y, gy) for y, gy in zip(floating, gys, strict=True) if y.requires_grad]
            if not pairs:
                return [None] * len(self.checked)
            found = cr.grad(
                [y for y, _ in pairs],
                [arguments[k] for k in self.checked],
                [gy for _, gy in pairs],
                retain_graph=True,
                allow_unused=True,
            )
        else:
            rest = iter(gys)
            gy = tuple(next(rest) if y.dtype in FLOATING else None for y in outputs)
            found = self._own(arguments, gy[0] if isinstance(result, cr.Tensor) else gy)
        return [None if g is None else np.array(g.detach().numpy(), np.float64) for g in found]

    def _own(self, arguments: list[cr.Tensor], gy: Any) -> list[cr.Tensor | None]:
        inputs = tuple(t.detach() for t in arguments)
        found = self.grad_fn(inputs[0] if self.is_single else inputs, gy)
        if found is None or isinstance(found, cr.Tensor):
            found = (found,)
        if not isinstance(found, (tuple, list)):
            raise TypeError(
                f"check_grads: grad_fn returned a {type(found).__name__}; it must return a Tensor "
                "or None for each input"
            )
        if len(found) != len(self.tensors):
            raise ValueError(
                f"check_grads: grad_fn returned {len(found)} gradients for {len(self.tensors)} "
                "inputs; there must be one for each"
            )
        for k, g in enumerate(found):
            if g is not None and not isinstance(g, cr.Tensor):
                raise TypeError(
                    f"check_grads: gradient {k} of grad_fn is a {type(g).__name__}; it must be a "
                    "Tensor or None"
                )
        return [found[k] for k in self.checked]
