"""What a transformer is made of, as functions; functional.py offers them under its own name."""

from __future__ import annotations

import math

from chainrule import _C
from chainrule._C import Tensor, ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """Returns input * ndtr(input), elementwise; ndtr is the normal distribution function.

    Args:
        input: Any shape; a floating dtype, or an integer dtype, which becomes float32.
        approximate: "none", or "tanh" for the approximation
            0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))).

    Returns:
        The shape of the input.

    Raises:
        ValueError: `approximate` is neither of the two.

    Example:
        >>> nn.functional.gelu(cr.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.1587,  0.0000,  0.8413])

    Source: torch.nn.functional.gelu; Hendrycks and Gimpel 2016.
    """
    if approximate == "none":
        return ops.gelu(input)
    if approximate == "tanh":
        return ops.gelu_tanh(input)
    raise ValueError(f"gelu: approximate is {approximate!r}; it must be 'none' or 'tanh'")


def silu(input: Tensor) -> Tensor:
    """Returns input * sigmoid(input), elementwise.

    Args:
        input: Any shape; a floating dtype, or an integer dtype, which becomes float32.

    Returns:
        The shape of the input.

    Example:
        >>> nn.functional.silu(cr.tensor([0.0, 1.0]))
        tensor([0.0000, 0.7311])

    Source: torch.nn.functional.silu.
    """
    return ops.silu(input)


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Returns (input - mean) / sqrt(var + eps) * weight + bias, over the last dims.

    Args:
        input: (..., *normalized_shape), a floating dtype.
        normalized_shape: The sizes of the last dims, which mean and (biased) variance fold.
        weight: (*normalized_shape); 1 if None.
        bias: (*normalized_shape); 0 if None.
        eps: Added to the variance.

    Returns:
        The shape of the input.

    Raises:
        ValueError: The input does not end in normalized_shape, or weight or bias has another shape.

    Example:
        >>> nn.functional.layer_norm(cr.tensor([[1.0, 3.0]]), 2)
        tensor([[-1.0000,  1.0000]])

    Source: torch.nn.functional.layer_norm; Ba, Kiros and Hinton 2016.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(
                f"layer_norm: normalized_shape is {shape}, {name} has shape {tuple(value.shape)}; "
                "they must be equal"
            )
    if weight is None:
        weight = _C.ones(shape, dtype=input.dtype)
    if bias is None:
        bias = _C.zeros(shape, dtype=input.dtype)
    return ops.layer_norm(input, weight, bias, eps=eps)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Returns the rows of weight that input counts, weight[input].

    Args:
        input: Row numbers, any shape; int64 or int32.
        weight: (num_embeddings, embedding_dim).
        padding_idx: A row that gets no gradient; counted from the end if negative.

    Returns:
        (*input.shape, embedding_dim). The gradients of a row chosen several times add up.

    Raises:
        IndexError: A row number, or padding_idx, is out of range.
        TypeError: The input is not integral.

    Example:
        >>> nn.functional.embedding(cr.tensor([2, 0]), cr.tensor([[0.0], [1.0], [2.0]]))
        tensor([[2.],
                [0.]])

    Source: torch.nn.functional.embedding.
    """
    if padding_idx is None:
        return ops.embedding(weight, input)
    return ops.embedding(
        weight, input, padding_idx=row_number("embedding", padding_idx, len(weight))
    )


def row_number(name: str, padding_idx: int, rows: int) -> int:
    """Returns padding_idx counted from the start."""
    if not -rows <= padding_idx < rows:
        raise IndexError(
            f"{name}: padding_idx is {padding_idx}, there are {rows} rows; "
            f"it must be in [{-rows}, {rows})"
        )
    return padding_idx % rows


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Returns the input with each element zeroed with probability p, the others over 1 - p.

    Args:
        input: Any shape, a floating dtype.
        p: The probability, in [0, 1].
        training: If false, the input is returned as it is.

    Returns:
        The shape of the input; its mean is expected to be that of the input.

    Raises:
        ValueError: p is outside [0, 1].

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
        return input * 0.0
    kept = _C.rand(*input.shape, dtype=input.dtype) >= p
    return input * (kept.to(input.dtype) * (1.0 / (1.0 - p)))


def check_probability(name: str, option: str, p: float) -> None:
    """Fails unless p is in [0, 1]."""
    try:
        good = 0.0 <= p <= 1.0
    except TypeError:
        raise TypeError(f"{name}: {option} is {p!r}; it must be a number in [0, 1]") from None
    if not good:
        raise ValueError(f"{name}: {option} is {p}; a probability must be in [0, 1]")


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Tensor:
    """Returns softmax(scale * query @ key.mT + mask) @ value.

    Without a mask and dropout the scores are never stored, in neither direction: memory grows with
    the lengths, not with their product. Inputs may be strided views.

    Args:
        query: (..., L, E), a floating dtype.
        key: (..., S, E).
        value: (..., S, V). The leading dims broadcast.
        attn_mask: Broadcasts to (..., L, S): bool, False where a query must not see a key; or
            floating, added to the scores.
        dropout_p: The probability with which a weight is zeroed; this function does not know about
            training, so pass 0.0 for evaluation.
        is_causal: Query i sees the keys 0 to i only; not together with attn_mask.
        scale: 1 / sqrt(E) if None.

    Returns:
        (..., L, V). A query that may see no key gives 0.

    Raises:
        ValueError: The shapes do not fit, both masks are given, or dropout_p is no probability.
        TypeError: The dtypes differ, or are not floating.

    Example:
        >>> x = cr.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        tensor([[1.0000, 0.0000],
                [0.3302, 0.6698]])

    Source: torch.nn.functional.scaled_dot_product_attention; Vaswani et al. 2017; Dao et al. 2022.
    """
    name = "scaled_dot_product_attention"
    check_probability(name, "dropout_p", dropout_p)
    if attn_mask is not None and is_causal:
        raise ValueError(f"{name}: attn_mask and is_causal=True; only one of them may be given")
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1]) if query.ndim and query.shape[-1] else 1.0
    if attn_mask is not None or dropout_p > 0.0:
        return _composed_attention(query, key, value, attn_mask, dropout_p, is_causal, scale)
    batch = query.shape[:-2]
    if key.shape[:-2] != batch or value.shape[:-2] != batch:
        query, key, value = _with_common_batch(query, key, value)
    return ops.scaled_dot_product_attention(query, key, value, is_causal=is_causal, scale=scale)


def _with_common_batch(*tensors: Tensor) -> list[Tensor]:
    """Returns the tensors, expanded to the leading dims that they broadcast to; views."""
    batch = sum((_C.zeros(*x.shape[:-2], 0) for x in tensors), _C.zeros(0)).shape[:-1]
    return [x.expand(*batch, *x.shape[-2:]) for x in tensors]


def _composed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float,
) -> Tensor:
    scores = query @ key.transpose(-2, -1) * scale
    if is_causal:
        mask = _C.tril(_C.ones(*scores.shape[-2:], dtype=_C.bool))
    if mask is not None and mask.dtype == _C.bool:
        scores = ops.where(mask, scores, -math.inf)
    elif mask is not None:
        if mask.dtype not in (_C.float32, _C.float64):
            raise TypeError(
                f"scaled_dot_product_attention: attn_mask has dtype {mask.dtype}; it must be bool "
                "or floating; convert with .bool() to hide keys, with .float() to add to the scores"
            )
        scores = scores + mask
    if mask is None or scores.numel() == 0:
        return dropout(ops.softmax(scores, dim=-1), dropout_p) @ value
    # A query that sees no key has no softmax; its weights and all gradients through them are 0.
    blind = scores.detach().amax(-1, keepdim=True) == -math.inf
    weights = ops.where(blind, 0.0, ops.softmax(ops.where(blind, 0.0, scores), dim=-1))
    return dropout(weights, dropout_p) @ value
