"""Convolution and pooling as functions: the part of nn.functional that works on images."""

from __future__ import annotations

from operator import index

from chainrule._C import Tensor, ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    IntPair = int | Sequence[int]


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
    stride, dilation = _pair("conv2d", "stride", stride), _pair("conv2d", "dilation", dilation)
    rows, columns = _padding("conv2d", padding, size, stride, dilation)
    border = ((rows + 1) // 2, (columns + 1) // 2)
    y = ops.conv2d(input, weight, bias, stride, border, dilation, groups)
    # An odd number of rows or columns: PyTorch puts one more on the right than on the left.
    if rows % 2:
        y = y[..., 1:, :]
    return y[..., 1:] if columns % 2 else y


def max_pool2d(
    input: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Returns the largest element of every window of every channel.

    Args:
        input: (n, channels, h, w), or (channels, h, w); a floating dtype.
        kernel_size: Height and width of the windows; one int stands for both, as in all pairs.
        stride: Steps between the windows; kernel_size if None.
        padding: Rows and columns around the images that never are the largest; at most half a
            window.
        dilation: Steps between the elements of a window.
        ceil_mode: Whether windows that the image cuts off on the right or at the bottom count.
        return_indices: Whether positions are returned, too.

    Returns:
        The dims of the input with smaller images; with return_indices, the pair (values,
        positions h * width + w in the plane, int64). NaN is the largest. Of equal elements the
        first has the position, and gets the gradient.

    Raises:
        ValueError: The shapes do not fit, or an option has a value it cannot have.
        TypeError: The dtype is not floating.

    Example:
        >>> x = cr.tensor([[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 8.0, 6.0]]])
        >>> nn.functional.max_pool2d(x, 2, return_indices=True)[1]
        tensor([[[1, 6]]])

    Source: torch.nn.functional.max_pool2d.
    """
    if stride is None:
        stride = kernel_size
    both = ops.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
    return both if return_indices else both[0]


def _pair(name: str, option: str, value: IntPair) -> tuple[int, int]:
    """Returns an option as (height, width)."""
    both = (value, value) if hasattr(value, "__index__") else value
    try:
        height, width = both
        return (index(height), index(width))
    except (TypeError, ValueError):
        error = ValueError if isinstance(value, (tuple, list)) else TypeError
        raise error(f"{name}: {option} is {value!r}; it must be an int or a pair of ints") from None


def _padding(
    name: str,
    padding: str,
    size: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    """Returns how many rows and columns "valid" or "same" adds in all."""
    if padding == "valid":
        return (0, 0)
    if padding != "same":
        raise ValueError(f"{name}: padding is {padding!r}; a word must be 'valid' or 'same'")
    if stride != (1, 1):
        raise ValueError(
            f"{name}: padding is 'same', stride is {stride}; "
            "only a stride of 1 gives results of the same size; pass the padding as numbers"
        )
    rows, columns = (step * (length - 1) for step, length in zip(dilation, size, strict=True))
    return (rows, columns)
