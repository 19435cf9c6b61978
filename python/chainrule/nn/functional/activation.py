"""Activation functions: each is one op."""

from __future__ import annotations

from chainrule import _C
from chainrule._C import Tensor, ops
from chainrule.nn.functional.inplace import put_into


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns max(input, 0), elementwise.

    Args:
        input: Any shape; a floating or integer dtype.
        inplace: Whether the input is changed, too, as in PyTorch; it saves no memory here.

    Returns:
        The shape and dtype of the input. The gradient at 0 is 0.

    Raises:
        RuntimeError: `inplace`, and the input is a leaf that requires gradients.

    Example:
        >>> nn.functional.relu(cr.tensor([-1.0, 2.0]))
        tensor([0., 2.])

    Source: torch.nn.functional.relu.
    """
    return put_into(input, ops.relu(input)) if inplace else ops.relu(input)


def tanh(input: Tensor) -> Tensor:
    """Returns the hyperbolic tangent, elementwise.

    Args:
        input: Any shape; a floating dtype, or an integer dtype, which becomes float32.

    Returns:
        The shape of the input.

    Example:
        >>> nn.functional.tanh(cr.zeros(2))
        tensor([0., 0.])

    Source: torch.nn.functional.tanh.
    """
    return ops.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """Returns 1 / (1 + exp(-input)), elementwise.

    Args:
        input: Any shape; a floating dtype, or an integer dtype, which becomes float32.

    Returns:
        The shape of the input.

    Example:
        >>> nn.functional.sigmoid(cr.zeros(2))
        tensor([0.5000, 0.5000])

    Source: torch.nn.functional.sigmoid.
    """
    return ops.sigmoid(input)


def softmax(input: Tensor, dim: int, *, dtype: _C.dtype | None = None) -> Tensor:
    """Returns exp(input) / sum(exp(input)) along a dim, computed without overflow.

    Args:
        input: Any shape with that dim; a floating dtype.
        dim: The dim along which the results add up to 1.
        dtype: Cast to this first.

    Returns:
        The shape of the input.

    Raises:
        IndexError: The input has no such dim.

    Example:
        >>> nn.functional.softmax(cr.zeros(2), dim=0)
        tensor([0.5000, 0.5000])

    Source: torch.nn.functional.softmax.
    """
    return ops.softmax(input if dtype is None else input.to(dtype), dim=dim)


def log_softmax(input: Tensor, dim: int, *, dtype: _C.dtype | None = None) -> Tensor:
    """Returns input - log(sum(exp(input))) along a dim, computed without overflow.

    Args:
        input: Any shape with that dim; a floating dtype.
        dim: The dim along which exp of the results adds up to 1.
        dtype: Cast to this first.

    Returns:
        The shape of the input.

    Raises:
        IndexError: The input has no such dim.

    Example:
        >>> nn.functional.log_softmax(cr.zeros(2), dim=0)
        tensor([-0.6931, -0.6931])

    Source: torch.nn.functional.log_softmax.
    """
    return ops.log_softmax(input if dtype is None else input.to(dtype), dim=dim)


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Returns input * ndtr(input), elementwise; ndtr is the normal distribution function.

    Args:
        input: Any shape; a floating dtype, or an integer dtype, which becomes float32.
        approximate: "none", or "tanh" for the approximation
            0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))).

    Returns:
        The shape of the input.

    Raises:
        ValueError: `approximate` is neither of the two.

    Example:
        >>> nn.functional.gelu(cr.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.1587,  0.0000,  0.8413])

    Source: torch.nn.functional.gelu; Hendrycks and Gimpel 2016.
    """
    if approximate == "none":
        return ops.gelu(input)
    if approximate == "tanh":
        return ops.gelu_tanh(input)
    raise ValueError(f"gelu: approximate is {approximate!r}; it must be 'none' or 'tanh'")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns input * sigmoid(input), elementwise.

    Args:
        input: Any shape; a floating dtype, or an integer dtype, which becomes float32.
        inplace: Whether the input is changed, too, as in PyTorch; it saves no memory here.

    Returns:
        The shape of the input.

    Raises:
        RuntimeError: `inplace`, and the input is a leaf that requires gradients.

    Example:
        >>> nn.functional.silu(cr.tensor([0.0, 1.0]))
        tensor([0.0000, 0.7311])

    Source: torch.nn.functional.silu.
    """
    if not inplace:
        return ops.silu(input)
    return put_into(input, ops.silu(input.clone()))  # its gradient reads x: a copy keeps that
