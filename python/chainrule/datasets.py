"""Data sets that ship inside the package; nothing is downloaded."""

from __future__ import annotations

import os

from chainrule._C import Tensor, from_numpy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, overload


class Digits:
    """The handwritten digits: `images` (1797, 8, 8), `data` (1797, 64), `target` (1797,).

    Example:
        >>> cr.datasets.digits().images.shape
        (1797, 8, 8)
    """

    __slots__ = ("data", "images", "target")

    def __init__(self, images: Tensor, target: Tensor) -> None:
        self.images = images
        self.data = images.reshape(images.shape[0], -1)
        self.target = target

    def __repr__(self) -> str:
        return (
            f"Digits(images={tuple(self.images.shape)}, data={tuple(self.data.shape)}, "
            f"target={tuple(self.target.shape)})"
        )


if TYPE_CHECKING:

    @overload
    def digits(*, return_X_y: Literal[False] = False) -> Digits: ...
    @overload
    def digits(*, return_X_y: Literal[True]) -> tuple[Tensor, Tensor]: ...


def digits(*, return_X_y: bool = False) -> Digits | tuple[Tensor, Tensor]:
    """Loads 1,797 images of handwritten digits, 8 by 8 pixels each.

    Args:
        return_X_y: Return the two tensors (data, target) instead of the object.

    Returns:
        An object with images, float32 (1797, 8, 8), grey levels 0 to 16; data, the same memory as
        (1797, 64); and target, int64 (1797,), the digits 0 to 9. Each call makes new tensors.

    Example:
        >>> cr.datasets.digits()
        Digits(images=(1797, 8, 8), data=(1797, 64), target=(1797,))

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, licensed CC BY 4.0; the part and order of
    sklearn.datasets.load_digits.
    """
    import numpy as np

    path = os.path.join(os.path.dirname(__file__), "data", "digits.npz")
    with np.load(path) as arrays:
        images = from_numpy(arrays["images"].astype(np.float32))
        target = from_numpy(arrays["target"].astype(np.int64))
    result = Digits(images, target)
    return (result.data, result.target) if return_X_y else result
