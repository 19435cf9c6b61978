"""Samples of what a transformer is made of: layer_norm, embedding, attention, tril."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Op, bad, bools, call, floats, ints
from .reductions import softmax

nan, inf = np.nan, np.inf


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5) -> Any:
    dims = tuple(range(-weight.ndim, 0))
    centered = x - x.mean(axis=dims, keepdims=True)
    variance = (centered * centered).mean(axis=dims, keepdims=True)
    return centered / np.sqrt(variance + eps) * weight + bias


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, is_causal: bool = False, scale: float = 1.0
) -> Any:
    scores = scale * (q @ k.swapaxes(-1, -2))
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -inf)
    if k.shape[-2] == 0:
        return np.zeros((*q.shape[:-1], v.shape[-1]), q.dtype)
    return softmax(scores, -1) @ v


def public_attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    attn_mask: np.ndarray | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    scores = scale * (q @ k.swapaxes(-1, -2))
    if is_causal:
        attn_mask = np.tril(np.ones(scores.shape[-2:], bool))
    if attn_mask is not None and attn_mask.dtype == np.bool_:
        scores = np.where(attn_mask, scores, -inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return softmax(scores, -1) @ v


def embedding(weight: np.ndarray, index: np.ndarray, padding_idx: int = -1) -> Any:
    return weight[index]


SDPA = "scaled_dot_product_attention"
LARGE_MEAN = floats([[1e6, 1e6 + 1, 1e6 + 3], [-5.0, -5.0, -5.0]])

OPS = [
    Op(
        "layer_norm",
        layer_norm,
        [
            call((2, 3), (3,), (3,)), call((3,), (3,), (3,)), call((2, 1, 5), (5,), (5,)),
            call((2, 2, 3), (2, 3), (2, 3)), call((2, 3), (2, 3), (2, 3), eps=0.1),
            call((3, 37), (37,), (37,), grad=False), call((40, 19), (19,), (19,), grad=False),
            call((2, 700), (700,), (700,), grad=False),
            call((0, 3), (3,), (3,)), call((2, 0), (0,), (0,)), call((2, 1), (1,), (1,)),
            call(floats([[nan, 1.0], [2.0, 3.0]]), (2,), (2,), grad=False),
            call(floats([[inf, 1.0], [2.0, 3.0]]), (2,), (2,), grad=False),
        ],
        [
            bad(ValueError, r"^layer_norm: .*\(2, 3\).*\(2,\).*; ", (2, 3), (2,), (2,)),
            bad(ValueError, r"^layer_norm: .*\(2, 3\).*\(\).*; ", (2, 3), (), ()),
            bad(ValueError, r"^layer_norm: .*\(3,\).*\(2, 3\).*; ", (3,), (2, 3), (2, 3)),
            bad(ValueError, r"^layer_norm: .*\(3,\).*\(2,\).*; ", (2, 3), (3,), (2,)),
            bad(TypeError, r"^layer_norm: .*int64.*; ", ints([[1, 2]]), ints(1, 2), ints(1, 2)),
        ],
        float32_rtol=2e-5,
    ),
    Op(
        "tril",
        lambda x, diagonal=0: np.tril(x, diagonal),
        [
            call((3, 3)), call((2, 4)), call((4, 2)), call((2, 3, 3), diagonal=1),
            call((3, 4), diagonal=-1), call((3, 4), diagonal=-9), call((3, 4), diagonal=9),
            call((0, 3)), call((3, 0)), call(ints([[1, 2], [3, 4]])),
            call(bools([[True, True], [True, True]])),
            call((2, 2), diagonal=2**40), call((2, 2), diagonal=-(2**40)),
        ],
        [bad(ValueError, r"^tril: .*\(3,\).*; ", (3,))],
    ),
    Op(
        SDPA,
        attention,
        [
            call((3, 2), (4, 2), (4, 3)), call((3, 2), (4, 2), (4, 3), is_causal=True),
            call((4, 2), (3, 2), (3, 1), is_causal=True, scale=0.5),
            call((2, 3, 2), (2, 3, 2), (2, 3, 2), scale=0.7),
            call((2, 1, 3, 2), (2, 1, 3, 2), (2, 1, 3, 2), is_causal=True),
            call((1, 1), (1, 1), (1, 1)), call((3, 0), (4, 0), (4, 2)),
            call((3, 2), (0, 2), (0, 3)), call((0, 2), (4, 2), (4, 3)),
            call((3, 2), (4, 2), (4, 0)), call((0, 3, 2), (0, 3, 2), (0, 3, 2)),
            call((37, 19), (70, 19), (70, 35), grad=False, scale=0.2),
            call((70, 33), (150, 33), (150, 32), grad=False, is_causal=True, scale=0.2),
            call((2, 5, 300), (2, 66, 300), (2, 66, 17), grad=False, scale=0.05),
            call(floats([[1e4, 0.0]]), floats([[1.0, 0.0], [0.0, 1.0]]), (2, 2), grad=False),
            call(floats([[nan, 0.0], [1.0, 0.0]]), (2, 2), (2, 2), grad=False),
            call(floats([[1.0]]), floats([[-inf]]), floats([[1.0]]), grad=False),
        ],
        [
            bad(ValueError, rf"^{SDPA}: .*\(3, 2\).*\(4, 5\).*2 != 5", (3, 2), (4, 5), (4, 2)),
            bad(ValueError, rf"^{SDPA}: .*4 != 5", (3, 2), (4, 2), (5, 2)),
            bad(ValueError, rf"^{SDPA}: .*\(2,\).*; ", (2,), (2,), (2,)),
            bad(ValueError, rf"^{SDPA}: .*; .*equal", (2, 3, 2), (3, 3, 2), (3, 3, 2)),
            bad(TypeError, rf"^{SDPA}: .*int64.*; ", ints([[1]]), ints([[1]]), ints([[1]])),
        ],
        domain=(-1.5, 1.5),
        float32_rtol=2e-5,
    ),
    Op(
        "embedding",
        embedding,
        [
            call((4, 3), ints(2, 0, 0)), call((4, 3), ints([[3, 1], [1, 1]])),
            call((4, 19), ints(2, 0, 2, 2)), call((4,), ints(1, 3)), call((4, 2, 3), ints(1)),
            call((4, 3), ints(2, 0, 0, dtype=np.int32)), call((4, 0), ints(1, 2)),
            call((4, 3), np.zeros((0,), np.int64)), call((0, 3), np.zeros((0,), np.int64)),
            call(ints([[1, 2], [3, 4]]), ints(1, 1, 0)),
        ],
        [
            bad(IndexError, r"^embedding: .*\b4\b.*; ", (4, 3), ints(0, 4)),
            bad(IndexError, r"^embedding: .*-1.*; ", (4, 3), ints(-1)),
            bad(IndexError, r"^embedding: padding_idx 4; ", (4, 3), ints(1), padding_idx=4),
            bad(IndexError, r"^embedding: .* 0 rows", (0, 3), np.zeros(0, np.int64), padding_idx=0),
            bad(TypeError, r"^embedding: .*float64.*; ", (4, 3), (2,)),
            bad(ValueError, r"^embedding: .*\(\).*; ", (), ints(0)),
        ],
        result="first",
    ),
]  # fmt: skip

MASK = bools([[True, False, True, True], [True, True, False, True], [False, True, True, True]])
COMPOSITES = [
    Op(
        SDPA,
        public_attention,
        [
            call((3, 2), (4, 2), (4, 3)), call((2, 3, 2), (4, 2), (2, 4, 3), is_causal=True),
            call((3, 2), (4, 2), (4, 3), scale=0.3), call((3, 2), (4, 2), (4, 3), (3, 4)),
            call((2, 3, 2), (2, 4, 2), (2, 4, 3), MASK, gives="float64"),
        ],
        [
            bad(ValueError, rf"^{SDPA}: .*only one", (3, 2), (4, 2), (4, 3), MASK, is_causal=True),
            bad(ValueError, rf"^{SDPA}: dropout_p is 1.5; ", (3, 2), (4, 2), (4, 3), dropout_p=1.5),
        ],
        path="F.{}",
        label=f"functional.{SDPA}",
        float32_rtol=2e-5,
    ),
    Op(
        "split",
        lambda x, sizes, dim=0: tuple(np.split(x, np.cumsum(sizes)[:-1], dim)),
        [call((2, 6), [2, 4], 1), call((5,), [5, 0]), call((3, 2), [1, 2], dim=-2)],
        [
            bad(ValueError, r"^split: sections .*; .*3 != 5", (5,), [1, 2]),
            bad(ValueError, r"^split: sections .*; ", (5,), [2**63 - 1, 2**63 - 1, 7]),
        ],
        result=("promoted", "promoted"),
        path="Tensor.{}",
        label="Tensor.split",
    ),
    Op(
        "layer_norm",
        lambda x, shape, weight=None, bias=None, eps=1e-5: layer_norm(
            x,
            np.ones(shape) if weight is None else weight,
            np.zeros(shape) if bias is None else bias,
            eps,
        ),
        [call((2, 3), [3]), call((2, 3), 3, (3,)), call((2, 2, 3), [2, 3], (2, 3), (2, 3))],
        [bad(ValueError, r"^layer_norm: .*\(3,\).*\(2,\).*; ", (2, 3), 3, (2,))],
        path="F.{}",
        label="functional.layer_norm",
        float32_rtol=2e-5,
    ),
]  # fmt: skip
