"""The second table: values at which formulas go wrong, with results and gradients written out.

Each row is (op, inputs, attributes, output, gradients of the sum of the output). The literals
were checked against PyTorch 2.13. None stands for a gradient that is nobody's promise. The sign of
a zero counts in the outputs of the ops in SIGNED, which follow IEEE 754.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

nan, inf = float("nan"), float("inf")
SIGNED = {"neg", "abs", "sqrt", "sin", "tanh", "square", "add", "sub", "mul", "div"}


@dataclass(frozen=True)
class Awkward:
    name: str
    inputs: tuple[Any, ...]
    output: Any
    gradients: tuple[Any, ...]
    attributes: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}-{self.inputs}".replace(" ", "")


def row(name: str, *inputs: Any, gives: Any, grads: tuple[Any, ...] = (), **attributes: Any) -> Any:
    return Awkward(name, inputs, gives, grads, tuple(attributes.items()))


AWKWARD: list[Awkward] = [
    row(
        "relu",
        [-0.0, 0.0, nan, inf, -inf],
        gives=[0.0, 0.0, nan, inf, 0.0],
        grads=([0.0, 0.0, 1.0, 1.0, 0.0],),
    ),
    row(
        "abs",
        [-0.0, 0.0, nan, inf, -inf],
        gives=[0.0, 0.0, nan, inf, inf],
        grads=([0.0, 0.0, None, 1.0, -1.0],),
    ),
    row(
        "neg",
        [-0.0, 0.0, nan, inf, -inf],
        gives=[0.0, -0.0, nan, -inf, inf],
        grads=([-1.0, -1.0, -1.0, -1.0, -1.0],),
    ),
    row(
        "square",
        [-0.0, 0.0, nan, inf, -inf],
        gives=[0.0, 0.0, nan, inf, inf],
        grads=([-0.0, 0.0, nan, inf, -inf],),
    ),
    row(
        "tanh",
        [-0.0, 0.0, nan, inf, -inf],
        gives=[-0.0, 0.0, nan, 1.0, -1.0],
        grads=([1.0, 1.0, nan, 0.0, 0.0],),
    ),
    row(
        "sigmoid",
        [-0.0, 0.0, nan, inf, -inf],
        gives=[0.5, 0.5, nan, 1.0, 0.0],
        grads=([0.25, 0.25, nan, 0.0, 0.0],),
    ),
    row(  # unlike PyTorch, whose gradient at the infinities is nan
        "gelu",
        [-0.0, 0.0, nan, inf, -inf, 1e300, -1e300, 1e-310, -5e-324],
        gives=[-0.0, 0.0, nan, inf, 0.0, 1e300, 0.0, 5e-311, 0.0],
        grads=([0.5, 0.5, nan, 1.0, 0.0, 1.0, 0.0, 0.5, 0.5],),
    ),
    row(
        "exp",
        [-0.0, 0.0, nan, inf, -inf],
        gives=[1.0, 1.0, nan, inf, 0.0],
        grads=([1.0, 1.0, nan, inf, 0.0],),
    ),
    row(
        "sqrt",
        [-0.0, 0.0, nan, inf, -1.0],
        gives=[-0.0, 0.0, nan, inf, nan],
        grads=([-inf, inf, nan, 0.0, nan],),
    ),
    row(
        "log",
        [-0.0, 0.0, nan, inf, -1.0],
        gives=[-inf, -inf, nan, inf, nan],
        grads=([-inf, inf, nan, 0.0, -1.0],),
    ),
    row(
        "sin",
        [-0.0, 0.0, nan, inf, 100000.0],
        gives=[-0.0, 0.0, nan, nan, 0.03574879797201651],
        grads=([1.0, 1.0, nan, nan, -0.9993608074382124],),
    ),
    row(
        "cos",
        [-0.0, nan, -inf, 100000.0],
        gives=[1.0, nan, nan, -0.9993608074382124],
        grads=([0.0, nan, nan, -0.03574879797201651],),
    ),
    row(
        "exp",
        [710.0, -746.0, -700.0],
        gives=[inf, 0.0, 9.85967654375977e-305],
        grads=([inf, 0.0, 9.85967654375977e-305],),
    ),
    row("tanh", [40.0, -40.0, 1e-300], gives=[1.0, -1.0, 1e-300], grads=([0.0, 0.0, 1.0],)),
    row(
        "sigmoid",
        [800.0, -800.0, -700.0],
        gives=[1.0, 0.0, 9.85967654375977e-305],
        grads=([0.0, 0.0, 9.85967654375977e-305],),
    ),
    row(
        "clamp",
        [-1.0, 1.0, -2.0, 2.0, nan, inf],
        min=-1.0,
        max=1.0,
        gives=[-1.0, 1.0, -1.0, 1.0, nan, 1.0],
        grads=([1.0, 1.0, 0.0, 0.0, None, 0.0],),
    ),
    row("clamp", [0.0, 3.0], min=2.0, max=1.0, gives=[1.0, 1.0], grads=([0.0, 0.0],)),
    row(
        "add",
        [inf, -0.0, nan],
        [-inf, -0.0, 1.0],
        gives=[nan, -0.0, nan],
        grads=([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
    ),
    row("sub", [inf, 0.0], [inf, 0.0], gives=[nan, 0.0], grads=([1.0, 1.0], [-1.0, -1.0])),
    row(
        "mul",
        [inf, -0.0, 2.0],
        [0.0, 1.0, nan],
        gives=[nan, -0.0, nan],
        grads=([0.0, 1.0, nan], [inf, -0.0, 2.0]),
    ),
    row(
        "div",
        [1.0, -1.0, 0.0, 1.0, inf],
        [0.0, 0.0, 0.0, inf, inf],
        gives=[inf, -inf, nan, 0.0, nan],
        grads=([inf, inf, inf, 0.0, 0.0], [-inf, inf, nan, -0.0, nan]),
    ),
    row("div", [1.0], [-0.0], gives=[-inf], grads=([-inf], [-inf])),
    row(
        "pow",
        [0.0, 0.0, 0.0, -2.0, -2.0, 1.0, nan, inf],
        [0.0, 2.0, 1.0, 2.0, 3.0, nan, 0.0, 0.0],
        gives=[1.0, 0.0, 0.0, 4.0, -8.0, 1.0, 1.0, 1.0],
        grads=(
            [0.0, 0.0, 1.0, -4.0, 12.0, nan, 0.0, 0.0],
            [0.0, 0.0, 0.0, nan, nan, 0.0, nan, inf],
        ),
    ),
    row(
        "pow",
        [0.0, -0.0, -8.0],
        [-1.0, -1.0, 0.5],
        gives=[inf, -inf, nan],
        grads=([-inf, -inf, nan], [-inf, inf, nan]),
    ),
    row(
        "maximum",
        [1.0, 1.0, nan, 2.0, -0.0],
        [1.0, 2.0, 0.0, nan, -0.0],
        gives=[1.0, 2.0, nan, nan, -0.0],
        grads=([0.5, 0.0, 1.0, 1.0, 0.5], [0.5, 1.0, 1.0, 1.0, 0.5]),
    ),
    row(
        "minimum",
        [1.0, 1.0, nan, 2.0, inf],
        [1.0, 2.0, 0.0, nan, -inf],
        gives=[1.0, 1.0, nan, nan, -inf],
        grads=([0.5, 1.0, 1.0, 1.0, 0.0], [0.5, 0.0, 1.0, 1.0, 1.0]),
    ),
    row("maximum", [nan, 1.0], [nan, 1.0], gives=[nan, 1.0], grads=([1.0, 0.5], [1.0, 0.5])),
    row(
        "where",
        [True, False],
        [1.0, nan],
        [inf, 2.0],
        gives=[1.0, 2.0],
        grads=([1.0, 0.0], [0.0, 1.0]),
    ),
    row("sum", [inf, -inf, 1.0], gives=nan, grads=([1.0, 1.0, 1.0],)),
    row("sum", [], gives=0.0, grads=([],)),
    row("mean", [], gives=nan, grads=([],)),
    row("mean", [nan, 1.0], gives=nan, grads=([0.5, 0.5],)),
    row("sum", [[], []], dim=1, gives=[0.0, 0.0], grads=([[], []],)),
    row("amax", [1.0, 3.0, 3.0], gives=3.0, grads=([0.0, 0.5, 0.5],)),
    row("amax", [nan, 3.0, nan], gives=nan),
    row(
        "amin",
        [[-inf, -inf], [inf, 0.0]],
        dim=1,
        gives=[-inf, 0.0],
        grads=([[0.5, 0.5], [0.0, 1.0]],),
    ),
    row("amin", [2.0, 2.0, 2.0, 2.0], gives=2.0, grads=([0.25, 0.25, 0.25, 0.25],)),
    row(
        "max",
        [[1.0, 3.0, 3.0], [nan, 5.0, nan]],
        dim=1,
        gives=[3.0, nan],
        grads=([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],),
    ),
    row(
        "min",
        [[1.0, 1.0, 3.0], [7.0, nan, 5.0]],
        dim=1,
        gives=[1.0, nan],
        grads=([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],),
    ),
    row("var", [5.0], gives=nan, grads=([nan],)),
    row("var", [5.0], correction=0, gives=0.0, grads=([0.0],)),
    row("var", [2.0, 2.0, 2.0], gives=0.0, grads=([0.0, 0.0, 0.0],)),
    row("softmax", [1000.0, 0.0, -1000.0], dim=0, gives=[1.0, 0.0, 0.0], grads=([0.0, 0.0, 0.0],)),
    row("softmax", [-inf, -inf], dim=0, gives=[nan, nan], grads=([nan, nan],)),
    row("softmax", [-inf, 0.0], dim=0, gives=[0.0, 1.0], grads=([0.0, 0.0],)),
    row("softmax", [inf, 0.0], dim=0, gives=[nan, nan], grads=([nan, nan],)),
    row("log_softmax", [1000.0, 0.0], dim=0, gives=[0.0, -1000.0], grads=([-1.0, 1.0],)),
    row("log_softmax", [-inf, 0.0], dim=0, gives=[-inf, 0.0], grads=([1.0, -1.0],)),
    row("logsumexp", [-inf, -inf], dim=0, gives=-inf, grads=([0.0, 0.0],)),
    row("logsumexp", [inf, 0.0], dim=0, gives=inf, grads=([nan, 0.0],)),
    row(
        "logsumexp",
        [1000.0, 1000.0],
        dim=0,
        gives=1000.6931471805599,
        grads=([0.5000000000000275, 0.5000000000000275],),
    ),
    row("logsumexp", [-inf, 0.0], dim=0, gives=0.0, grads=([0.0, 1.0],)),
    row("logsumexp", [nan, 0.0], dim=0, gives=nan, grads=([nan, nan],)),
    row(
        "cross_entropy",
        [[1000.0, 0.0], [0.0, 1000.0]],
        [0, 0],
        gives=[-0.0, 1000.0],
        grads=([[0.0, 0.0], [-1.0, 1.0]],),
    ),
    row(
        "cross_entropy",
        [[0.0, -inf], [1.0, 1.0]],
        [0, -100],
        gives=[-0.0, 0.0],
        grads=([[0.0, 0.0], [0.0, 0.0]],),
    ),
]
