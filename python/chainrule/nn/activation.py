"""Activation functions as layers, each one op."""

from __future__ import annotations

from chainrule._C import Tensor, ops
from chainrule.nn import functional
from chainrule.nn.module import Module


class ReLU(Module):
    """y = max(x, 0), elementwise; the gradient at 0 is 0.

    Args:
        inplace: Whether the input is changed, too, as in PyTorch; it saves no memory here.

    Raises:
        RuntimeError: `inplace`, and the input is a leaf that requires gradients.

    Example:
        >>> nn.ReLU()(cr.tensor([-1.0, 2.0]))
        tensor([0., 2.])

    Source: torch.nn.ReLU.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Returns max(input, 0)."""
        return functional.relu(input, True) if self.inplace else ops.relu(input)

    def extra_repr(self) -> str:
        """Returns inplace if it is true, as PyTorch does."""
        return "inplace=True" if self.inplace else ""


class Tanh(Module):
    """y = tanh(x), elementwise.

    Example:
        >>> nn.Tanh()(cr.zeros(2))
        tensor([0., 0.])

    Source: torch.nn.Tanh.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns tanh(input)."""
        return ops.tanh(input)


class Sigmoid(Module):
    """y = 1 / (1 + exp(-x)), elementwise.

    Example:
        >>> nn.Sigmoid()(cr.zeros(2))
        tensor([0.5000, 0.5000])

    Source: torch.nn.Sigmoid.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns 1 / (1 + exp(-input))."""
        return ops.sigmoid(input)


class GELU(Module):
    """y = x * ndtr(x), elementwise; ndtr is the normal distribution function.

    Args:
        approximate: "none", or "tanh" for the approximation by tanh.

    Raises:
        ValueError: `approximate` is neither of the two.

    Example:
        >>> nn.GELU()(cr.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.1587,  0.0000,  0.8413])

    Source: torch.nn.GELU.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate is {approximate!r}; it must be 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Returns gelu(input)."""
        return ops.gelu(input) if self.approximate == "none" else ops.gelu_tanh(input)

    def extra_repr(self) -> str:
        """Returns the kind."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """y = x * sigmoid(x), elementwise.

    Args:
        inplace: Whether the input is changed, too, as in PyTorch; it saves no memory here.

    Raises:
        RuntimeError: `inplace`, and the input is a leaf that requires gradients.

    Example:
        >>> nn.SiLU()(cr.tensor([0.0, 1.0]))
        tensor([0.0000, 0.7311])

    Source: torch.nn.SiLU.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Returns input * sigmoid(input)."""
        return functional.silu(input, True) if self.inplace else ops.silu(input)

    def extra_repr(self) -> str:
        """Returns inplace if it is true, as PyTorch does."""
        return "inplace=True" if self.inplace else ""


class Softmax(Module):
    """y = exp(x) / sum(exp(x)) along one dim.

    Args:
        dim: The dim along which the results add up to 1.

    Raises:
        IndexError: The input has no such dim.

    Example:
        >>> nn.Softmax(dim=0)(cr.zeros(2))
        tensor([0.5000, 0.5000])

    Source: torch.nn.Softmax.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Returns softmax(input) along dim."""
        return ops.softmax(input, dim=self.dim)

    def extra_repr(self) -> str:
        """Returns the dim."""
        return f"dim={self.dim}"
