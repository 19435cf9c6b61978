"""Dropout as a function."""

from __future__ import annotations

from chainrule import _C
from chainrule._C import Tensor
from chainrule.nn.functional.inplace import put_into


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Returns the input with each element zeroed with probability p, the others over 1 - p.

    Args:
        input: Any shape, a floating dtype.
        p: The probability, in [0, 1].
        training: If false, the input is returned as it is.
        inplace: Whether the input is changed, too, as in PyTorch; it saves no memory here.

    Returns:
        The shape of the input; its mean is expected to be that of the input.

    Raises:
        ValueError: p is outside [0, 1].
        RuntimeError: `inplace`, and the input is a leaf that requires gradients.

    Example:
        >>> bool((nn.functional.dropout(cr.ones(100), 0.5).sum() <= 200).item())
        True
        >>> nn.functional.dropout(cr.ones(2), 0.5, training=False)
        tensor([1., 1.])

    Source: torch.nn.functional.dropout; Srivastava et al. 2014.
    """
    check_probability("dropout", "p", p)
    if not training or p == 0.0:
        return input
    if input.dtype not in (_C.float32, _C.float64):
        raise TypeError(
            f"dropout: input has dtype {input.dtype}; it must be float32 or float64; "
            "convert with .float()"
        )
    if p == 1.0:
        result = input * 0.0
    elif _C._is_placeholder(input):
        raise RuntimeError(
            "dropout: a placeholder; a graph that is assembled first would draw the zeros once for "
            "all runs; call eval() on the module, or train eagerly"
        )
    else:
        kept = _C.rand(*input.shape, dtype=input.dtype) >= p
        result = input * (kept.to(input.dtype) * (1.0 / (1.0 - p)))
    return put_into(input, result) if inplace else result


def check_probability(name: str, option: str, p: float) -> None:
    """Fails unless p is in [0, 1]."""
    try:
        good = 0.0 <= p <= 1.0
    except TypeError:
        raise TypeError(f"{name}: {option} is {p!r}; it must be a number in [0, 1]") from None
    if not good:
        raise ValueError(f"{name}: {option} is {p}; a probability must be in [0, 1]")
