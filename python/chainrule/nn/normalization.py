"""LayerNorm: rows with mean 0 and variance 1, scaled and shifted."""

from __future__ import annotations

from chainrule._C import Tensor, empty
from chainrule.nn import functional, init
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from chainrule import _C


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over the last dims of each sample.

    Args:
        normalized_shape: The sizes of the last dims of x, over which mean and variance are taken.
        eps: Added to the variance.
        elementwise_affine: Whether there are a weight and a bias.
        bias: Whether there is a bias.
        dtype: The floating dtype of the parameters; float32 if None.

    Attributes:
        weight: (*normalized_shape), ones at first, or None.
        bias: (*normalized_shape), zeros at first, or None.

    Call:
        input: (..., *normalized_shape). Returns the same shape.

    Raises:
        ValueError: The input does not end in normalized_shape.

    Example:
        >>> nn.LayerNorm(2)(cr.tensor([[1.0, 3.0]])).detach()
        tensor([[-1.0000,  1.0000]])

    Source: torch.nn.LayerNorm.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        one_dim = isinstance(normalized_shape, int)
        shape = (normalized_shape,) if one_dim else tuple(normalized_shape)  # type: ignore[arg-type]
        self.normalized_shape: tuple[int, ...] = shape  # type: ignore[assignment]
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            parameter = Parameter(empty(self.normalized_shape, dtype=dtype)) if wanted else None
            self.register_parameter(name, parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Returns layer_norm(input)."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Returns the shape and the options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
