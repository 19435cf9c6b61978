"""Normalization as a function."""

from __future__ import annotations

from chainrule import _C
from chainrule._C import Tensor, ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Returns (input - mean) / sqrt(var + eps) * weight + bias, over the last dims.

    Args:
        input: (..., *normalized_shape), a floating dtype.
        normalized_shape: The sizes of the last dims, which mean and (biased) variance fold.
        weight: (*normalized_shape); 1 if None.
        bias: (*normalized_shape); 0 if None.
        eps: Added to the variance.

    Returns:
        The shape of the input.

    Raises:
        ValueError: The input does not end in normalized_shape, or weight or bias has another shape.
        TypeError: The input is not a floating Tensor.

    Example:
        >>> nn.functional.layer_norm(cr.tensor([[1.0, 3.0]]), 2)
        tensor([[-1.0000,  1.0000]])

    Source: torch.nn.functional.layer_norm; Ba, Kiros and Hinton 2016.
    """
    if not isinstance(input, Tensor):
        raise TypeError(
            f"layer_norm: input is a {type(input).__name__}; it must be a Tensor; "
            "convert it with chainrule.tensor"
        )
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(
                f"layer_norm: normalized_shape is {shape}, {name} has shape {tuple(value.shape)}; "
                "they must be equal"
            )
    if weight is None:
        weight = _C.ones(shape, dtype=input.dtype)
    if bias is None:
        bias = _C.zeros(shape, dtype=input.dtype)
    return ops.layer_norm(input, weight, bias, eps=eps)
