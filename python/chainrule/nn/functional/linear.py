"""The affine map as a function."""

from __future__ import annotations

from chainrule._C import Tensor, ops


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns input @ weight.T + bias.

    Args:
        input: (..., in_features), a floating dtype.
        weight: (out_features, in_features).
        bias: (out_features,), or None for no bias.

    Returns:
        (..., out_features).

    Raises:
        ValueError: The sizes do not fit.

    Example:
        >>> nn.functional.linear(cr.ones(1, 3), cr.ones(2, 3), cr.tensor([0.0, 1.0]))
        tensor([[3., 4.]])

    Source: torch.nn.functional.linear.
    """
    return ops.linear(input, weight, bias)
