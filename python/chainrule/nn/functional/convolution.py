"""Convolution as a function."""

from __future__ import annotations

from chainrule._C import Tensor, ops
from chainrule.nn.functional.windows import padding_of, pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule.nn.functional.windows import IntPair


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Tensor:
    """Returns the cross-correlation of images with kernels, + bias.

    y[o, i, j] = bias[o] + the sum over c, k, l of weight[o, c, k, l] *
    x[c, i * stride + k * dilation - padding, j * stride + l * dilation - padding].

    Args:
        input: (n, in_channels, h, w), or (in_channels, h, w); a floating dtype.
        weight: (out_channels, in_channels / groups, kh, kw), the same dtype.
        bias: (out_channels,), or None for no bias.
        stride: Steps between the windows, (height, width); one int stands for both, as in all
            pairs.
        padding: Rows and columns of zeros around the images; "valid" for none, "same" for as many
            as give results the height and width of the input (with a stride of 1).
        dilation: Steps between the elements of a window.
        groups: Channels are split into so many groups, each with kernels of its own.

    Returns:
        The dims of the input with out_channels and images of
        floor((h + 2 * padding - dilation * (kh - 1) - 1) / stride) + 1.

    Raises:
        ValueError: The shapes do not fit, or an option has a value it cannot have.
        TypeError: The dtypes differ, or are not floating.

    Example:
        >>> nn.functional.conv2d(cr.ones(1, 1, 3, 3), cr.ones(1, 1, 2, 2), padding="same")
        tensor([[[[4., 4., 2.],
                  [4., 4., 2.],
                  [2., 2., 1.]]]])

    Source: torch.nn.functional.conv2d.
    """
    if not isinstance(padding, str):
        return ops.conv2d(input, weight, bias, stride, padding, dilation, groups)
    size = tuple(weight.shape[-2:])
    stride, dilation = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    rows, columns = padding_of("conv2d", padding, size, stride, dilation)
    border = ((rows + 1) // 2, (columns + 1) // 2)
    y = ops.conv2d(input, weight, bias, stride, border, dilation, groups)
    # An odd number of rows or columns: PyTorch puts one more on the right than on the left.
    if rows % 2:
        y = y[..., 1:, :]
    return y[..., 1:] if columns % 2 else y
