"""MaxPool2d: the largest element of every window."""

from __future__ import annotations

from chainrule._C import Tensor, ops
from chainrule.nn.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule.nn.functional.windows import IntPair


class MaxPool2d(Module):
    """The largest element of every window of every channel.

    Args:
        kernel_size: Height and width of the windows; one int stands for both, as in all pairs.
        stride: Steps between the windows; kernel_size if None.
        padding: Rows and columns around x that never are the largest; at most half a window.
        dilation: Steps between the elements of a window.
        return_indices: Whether positions are returned, too.
        ceil_mode: Whether windows that x cuts off on the right or at the bottom count.

    Call:
        input: (n, channels, h, w), or (channels, h, w). Returns the same dims with smaller images;
        with return_indices, the pair (values, positions h * width + w in the plane, int64).

    Raises:
        ValueError: An option has a value it cannot have, or the input does not fit.

    Example:
        >>> nn.MaxPool2d(2)(cr.tensor([[[1.0, 5.0, 2.0, 0.0], [3.0, 4.0, 8.0, 6.0]]]))
        tensor([[[5., 8.]]])

    Source: torch.nn.MaxPool2d.
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Returns the largest elements; with return_indices, their positions, too."""
        both = ops.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )
        return both if self.return_indices else both[0]

    def extra_repr(self) -> str:
        """Returns the options, as PyTorch does."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )
