"""Pooling as a function."""

from __future__ import annotations

from chainrule._C import Tensor, ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule.nn.functional.windows import IntPair


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
