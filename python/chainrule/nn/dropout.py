"""Dropout: random zeros while training."""

from __future__ import annotations

from chainrule._C import Tensor
from chainrule.nn import functional
from chainrule.nn.functional.dropout import check_probability
from chainrule.nn.module import Module


class Dropout(Module):
    """In training, zeroes each element with probability p and divides the others by 1 - p.

    Args:
        p: The probability, in [0, 1].
        inplace: Whether the input is changed, too, as in PyTorch; it saves no memory here.

    Call:
        input: Any shape, a floating dtype. Returns the same shape; in evaluation, the input.

    Raises:
        ValueError: p is outside [0, 1].

    Example:
        >>> nn.Dropout(0.5).eval()(cr.ones(2))
        tensor([1., 1.])

    Source: torch.nn.Dropout.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability("Dropout", "p", p)
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Returns dropout(input) in training, else the input."""
        return functional.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Returns the options, as PyTorch does."""
        return f"p={self.p}, inplace={self.inplace}"
