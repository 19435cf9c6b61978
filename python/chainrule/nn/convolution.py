"""Conv2d: a trained window that slides over images."""

from __future__ import annotations

import math

from chainrule._C import Tensor, empty, ops
from chainrule.nn import init
from chainrule.nn.functional.convolution import conv2d
from chainrule.nn.functional.windows import padding_of, pair
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule import _C
    from chainrule.nn.functional.windows import IntPair


class Conv2d(Module):
    """y[o] = sum over the channels c of x[c] cross-correlated with weight[o, c], + bias[o].

    Args:
        in_channels: Channels of x.
        out_channels: Channels of y.
        kernel_size: Height and width of the kernels; one int stands for both, as in all pairs.
        stride: Steps between the windows.
        padding: Rows and columns of zeros around x; "valid" for none, "same" for as many as give y
            the height and width of x (with a stride of 1).
        dilation: Steps between the elements of a window.
        groups: Channels are split into so many groups, each with kernels of its own.
        bias: Whether there is a bias.
        padding_mode: "zeros"; PyTorch's others are not there.
        dtype: The floating dtype of the parameters; float32 if None.

    Attributes:
        weight: (out_channels, in_channels / groups, *kernel_size), uniform in ±1/sqrt(fan in) at
            first, where the fan in is in_channels / groups * the kernel's elements.
        bias: (out_channels,), uniform in the same bounds, or None.

    Call:
        input: (n, in_channels, h, w), or (in_channels, h, w). Returns the same dims, with
        out_channels and images of floor((h + 2 * padding - dilation * (kernel_size - 1) - 1) /
        stride) + 1.

    Raises:
        ValueError: An option has a value it cannot have, or the input does not fit.

    Example:
        >>> nn.Conv2d(1, 6, kernel_size=5, padding=2)(cr.zeros(32, 1, 28, 28)).shape
        (32, 6, 28, 28)

    Source: torch.nn.Conv2d.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: in_channels is {in_channels}, out_channels {out_channels}, groups "
                f"{groups}; groups must be at least 1 and divide both"
            )
        if in_channels < 0 or out_channels < 0:
            raise ValueError(
                f"Conv2d: in_channels is {in_channels}, out_channels {out_channels}; "
                "neither may be negative"
            )
        if padding_mode != "zeros":
            raise ValueError(
                f"Conv2d: padding_mode is {padding_mode!r}; it must be 'zeros'; "
                "pad the input yourself for another border"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride = pair("Conv2d", "stride", stride)
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.groups = groups
        if isinstance(padding, str):
            padding_of("Conv2d", padding, self.kernel_size, self.stride, self.dilation)
            self.padding: tuple[int, int] | str = padding
        else:
            self.padding = pair("Conv2d", "padding", padding)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty((out_channels,), dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew.

        PyTorch's default, He initialisation with slope sqrt(5), is U(±1/sqrt(fan in)).
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the convolution of input with weight, + bias."""
        padding, dilation, groups = self.padding, self.dilation, self.groups
        if isinstance(padding, str):
            return conv2d(input, self.weight, self.bias, self.stride, padding, dilation, groups)
        return ops.conv2d(input, self.weight, self.bias, self.stride, padding, dilation, groups)

    def extra_repr(self) -> str:
        """Returns the sizes, and the options that are not the default."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"
