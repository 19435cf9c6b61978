"""What windows that slide over images have in common: sizes as pairs, padding by a word."""

from __future__ import annotations

from operator import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    IntPair = int | Sequence[int]


def pair(name: str, option: str, value: IntPair) -> tuple[int, int]:
    """Returns an option as (height, width)."""
    both = (value, value) if hasattr(value, "__index__") else value
    try:
        height, width = both
        return (index(height), index(width))
    except (TypeError, ValueError):
        error = ValueError if isinstance(value, (tuple, list)) else TypeError
        raise error(f"{name}: {option} is {value!r}; it must be an int or a pair of ints") from None


def padding_of(
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
