"""Names and values of nodes as short text, values as data for JSON, and as numbers in a formula."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule._C import Tensor
    from chainrule.graphs.expressions import Expression

NO_OUTPUTS = "a graph without outputs; say outputs(L=...) first"
SHOWN = 6
"""Of so many elements a value is written in full."""
_LISTED = 1000


def short(value: Tensor) -> str:
    """Returns a value on one line: up to six elements in full, of others the shape and the range.

    Example:
        >>> from chainrule.graphs.numbers import short
        >>> short(cr.tensor(2 / 3)), short(cr.tensor([1., 2.])), short(cr.arange(10.))
        ('0.666667', '[1, 2]', 'shape (10,), from 0 to 9')
    """
    if value.numel() > SHOWN:
        values = value.detach()
        low, high = (number_text(found.item()) for found in (values.min(), values.max()))
        return f"shape {value.shape}, from {low} to {high}"
    return _list_text(value.detach().tolist())


def _list_text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_list_text, value))}]"
    return number_text(value)


def printable(name: str) -> str:
    r"""Returns a name without characters that a terminal would obey, such as line ends.

    Example:
        >>> from chainrule.graphs.numbers import printable
        >>> print(printable("w\x1b[31m"))
        w\x1b[31m
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def number_text(value: float) -> str:
    """Returns a number with six significant digits; ints and bools in full."""
    return f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)


def number_expression(value: Tensor) -> Expression:
    """Returns the value of a 0-d tensor as a leaf of a formula."""
    return ("number", number_text(value.item()))


def as_data(value: Tensor) -> Any:
    """Returns a value as JSON has it: a number or nested lists; a summary of over 1000 elements.

    What JSON has no number for is one of the strings "NaN", "Infinity" and "-Infinity".

    Example:
        >>> from chainrule.graphs.numbers import as_data
        >>> as_data(cr.tensor([1., float("inf")])), as_data(cr.zeros(2000))
        ([1.0, 'Infinity'], {'shape': [2000], 'min': 0.0, 'max': 0.0})
    """
    values = value.detach()
    if value.numel() <= _LISTED:
        return _data_of(values.tolist())
    return {
        "shape": list(value.shape),
        "min": _data_of(values.min().item()),
        "max": _data_of(values.max().item()),
    }


def _data_of(value: Any) -> Any:
    if isinstance(value, list):
        return [_data_of(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
