"""What `inplace=True` means."""

from __future__ import annotations

from chainrule import _C
from chainrule._C import Tensor


def put_into(input: Tensor, result: Tensor) -> Tensor:
    """Writes the result over the input and returns the input.

    A placeholder has no memory to write to: in a graph that is assembled, the result takes its
    place in what follows, as the returned tensor.
    """
    return result if _C._is_placeholder(input) else input.copy_(result)
