"""The shapes of formulas, from those of their labels."""

from __future__ import annotations

from chainrule import _C
from chainrule.graphs.expressions import LEAVES, is_transpose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule.graphs.expressions import Expression

    Sizes = tuple[Any, ...]

_ELEMENTWISE = frozenset(name for name in _C.op_names() if _C._op_facts(name)[2])
_SAME_SHAPE = frozenset(
    ("softmax", "log_softmax", "tril", "layer_norm", "cast", "clone", "prime", "iverson")
)


def plain(shape: Sizes) -> Sizes:
    """A shape whose sizes can be compared: one that is not known yet is its text."""
    return tuple(size if isinstance(size, int) else str(size) for size in shape)


class Shapes:
    """The shapes of labels and of formulas of them.

    Args:
        shapes: The shapes of the labels; one that is missing is that of a single number.
    """

    def __init__(self, shapes: dict[str, Sizes]) -> None:
        self._shapes = {label: plain(shape) for label, shape in shapes.items()}

    def add_name(self, label: str, shape: Sizes) -> None:
        """Says what shape one more label has."""
        self._shapes[label] = plain(shape)

    def shape(self, x: Expression) -> Sizes | None:
        """The shape of a formula; None if it is not known."""
        if x[0] in LEAVES:
            return () if x[0] == "number" else self._shapes.get(x[1], ())
        attributes, arguments = x[1], x[2:]
        if x[0] == "gradient":
            return self._shapes.get(attributes["by"], ())
        if attributes.get("shape") is not None:
            return plain(attributes["shape"])
        shapes = [self.shape(argument) for argument in arguments]
        first = shapes[0] if shapes else None
        if first is None or None in shapes:
            return None
        if x[0] in _SAME_SHAPE or attributes.get("name") in ("causal", "sign"):
            return first
        if "dim" in attributes and "keepdim" in attributes:
            dims = attributes["dim"]
            dims = dims if isinstance(dims, tuple) else (dims,)
            return _reduced(first, dims, attributes["keepdim"])
        if x[0] == "permute":
            dims = attributes["dims"]
            if is_transpose(dims):  # of a rule that is written for any number of dims
                return (*first[:-2], first[-1], first[-2])
            return tuple(first[d] for d in dims)
        if x[0] == "select":
            return _without(first, attributes["dim"])
        if x[0] == "slice":
            return _sliced(first, **attributes)
        if x[0] == "matmul":
            return _of_product(first, shapes[1] or ())
        if x[0] == "linear":
            return (*first[:-1], (shapes[1] or ())[0])
        return _broadcast(shapes) if x[0] in _ELEMENTWISE else None


def _reduced(shape: Sizes, dims: Sizes, keepdim: bool) -> Sizes:
    over = {d % len(shape) for d in dims} if shape else set()
    over = over or set(range(len(shape)))
    if keepdim:
        return tuple(1 if d in over else size for d, size in enumerate(shape))
    return tuple(size for d, size in enumerate(shape) if d not in over)


def _without(shape: Sizes, dim: int) -> Sizes | None:
    d = dim % len(shape) if shape else 0
    return (*shape[:d], *shape[d + 1 :]) if shape else None


def _sliced(shape: Sizes, dim: int, start: int, stop: int, step: int) -> Sizes | None:
    d = dim % len(shape) if shape else 0
    if not shape or not isinstance(shape[d], int):
        return None
    size = len(range(*slice(start, stop, step).indices(shape[d])))
    return (*shape[:d], size, *shape[d + 1 :])


def _of_product(a: Sizes, b: Sizes) -> Sizes | None:
    if len(a) < 2 or len(b) < 2:
        return None
    batch = _broadcast([a[:-2], b[:-2]])
    return None if batch is None else (*batch, a[-2], b[-1])


def _broadcast(shapes: list[Any]) -> Sizes | None:
    longest = max(map(len, shapes))
    sizes = []
    for d in range(-longest, 0):
        found = [shape[d] for shape in shapes if len(shape) >= -d and shape[d] != 1]
        if any(size != found[0] for size in found):
            return None
        sizes.append(found[0] if found else 1)
    return tuple(sizes)
