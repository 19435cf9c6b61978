"""Flatten: several dims made one, as a layer."""

from __future__ import annotations

from chainrule._C import Tensor
from chainrule.nn.module import Module


class Flatten(Module):
    """Joins the dims from start_dim to end_dim into one; a view where the strides allow it.

    Args:
        start_dim: The first dim to join; 1 keeps the batch.
        end_dim: The last dim to join.

    Raises:
        IndexError: The input has no such dims.

    Example:
        >>> nn.Flatten()(cr.zeros(5, 8, 8)).shape
        (5, 64)

    Source: torch.nn.Flatten.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with those dims joined."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Returns the dims."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
