"""Layers without or with one matrix: Linear and Identity."""

from __future__ import annotations

import math

from chainrule._C import Tensor, empty, ops
from chainrule.nn import init
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule import _C


class Linear(Module):
    """y = x @ weight.T + bias.

    Args:
        in_features: The size of the last dim of x.
        out_features: The size of the last dim of y.
        bias: Whether there is a bias.
        dtype: The floating dtype of the parameters; float32 if None.

    Attributes:
        weight: (out_features, in_features), uniform in ±1/sqrt(in_features) at first.
        bias: (out_features,), uniform in the same bounds, or None.

    Call:
        input: (..., in_features). Returns (..., out_features).

    Raises:
        ValueError: The last dim of the input is not in_features.

    Example:
        >>> nn.Linear(3, 2)(cr.zeros(5, 3)).shape
        (5, 2)

    Source: torch.nn.Linear.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty((out_features, in_features), dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty((out_features,), dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew.

        PyTorch's default, He initialisation with slope sqrt(5), is U(±1/sqrt(in_features)).
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Returns input @ weight.T + bias."""
        return ops.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Returns the sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Identity(Module):
    """y = x.

    Args:
        *args: Ignored, as are the keyword arguments, so that it can stand in for any layer.

    Example:
        >>> nn.Identity()(cr.ones(2))
        tensor([1., 1.])

    Source: torch.nn.Identity.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Returns its input."""
        return input
