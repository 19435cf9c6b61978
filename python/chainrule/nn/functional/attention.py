"""Attention as a function: fused where it can be, else composed of the ops it is made of."""

from __future__ import annotations

import math

from chainrule import _C
from chainrule._C import Tensor, ops
from chainrule.nn.functional.dropout import check_probability, dropout


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
