"""Samples of convolution and pooling, with references that walk the windows one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import Op, bad, call, floats, ints

nan, inf = np.nan, np.inf
Pair = tuple[int, int]


def pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else tuple(value)


def windows(stride: Any, dilation: Any, kernel: Pair, result: Pair) -> Iterator[Any]:
    """(kernel element, the result slices it takes part in): a shift of the padded image each."""
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    for i, j in np.ndindex(*kernel):
        rows = slice(i * dh, i * dh + (result[0] - 1) * sh + 1, sh)
        columns = slice(j * dw, j * dw + (result[1] - 1) * sw + 1, sw)
        yield (i, j), (..., rows, columns)


def padded(x: np.ndarray, padding: Any, value: float = 0.0) -> np.ndarray:
    ph, pw = pair(padding)
    border = [(0, 0)] * (x.ndim - 2) + [(ph, ph), (pw, pw)]
    return np.pad(x, border, constant_values=value)


def result_size(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Pair:
    each = zip(*map(pair, (size, kernel, stride, padding, dilation)), strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)


def as_groups(x: np.ndarray, groups: int) -> np.ndarray:
    """(n, groups, channels of one, h, w) of (n, channels, h, w) or (channels, h, w)."""
    channels, h, w = x.shape[-3:]
    return x.reshape(x.shape[0] if x.ndim == 4 else 1, groups, channels // groups, h, w)


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    result = result_size(x.shape[-2:], weight.shape[2:], stride, padding, dilation)
    image = padded(as_groups(x, groups), padding)
    kernels = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    y = np.zeros((image.shape[0], groups, kernels.shape[1], *result), x.dtype)
    for (i, j), cells in windows(stride, dilation, weight.shape[2:], result):
        y += np.einsum("ngchw,goc->ngohw", image[cells], kernels[..., i, j])
    y = y.reshape(*x.shape[:-3], weight.shape[0], *result)
    return y if bias is None else y + bias[:, None, None]


def conv2d_input(
    gy: np.ndarray,
    weight: np.ndarray,
    size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    (h, w), (ph, pw) = pair(size), pair(padding)
    kernels = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    upstream = as_groups(gy, groups)
    gx = np.zeros((upstream.shape[0], groups, weight.shape[1], h + 2 * ph, w + 2 * pw), gy.dtype)
    for (i, j), cells in windows(stride, dilation, weight.shape[2:], gy.shape[-2:]):
        gx[cells] += np.einsum("ngohw,goc->ngchw", upstream, kernels[..., i, j])
    return gx[..., ph : ph + h, pw : pw + w].reshape(*gy.shape[:-3], groups * weight.shape[1], h, w)


def conv2d_weight(
    gy: np.ndarray,
    x: np.ndarray,
    size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    image, upstream = padded(as_groups(x, groups), padding), as_groups(gy, groups)
    gw = np.zeros((groups, upstream.shape[2], image.shape[2], *pair(size)), x.dtype)
    for (i, j), cells in windows(stride, dilation, pair(size), gy.shape[-2:]):
        gw[..., i, j] = np.einsum("ngchw,ngohw->goc", image[cells], upstream)
    return gw.reshape(gy.shape[-3], *gw.shape[2:])


def pooled_size(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Pair:
    """With ceil_mode: also the windows that the image cuts off, unless they begin past it."""
    found = []
    for n, k, s, p, d in zip(*map(pair, (size, kernel, stride, padding, dilation)), strict=True):
        count = -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1
        found.append(count - ((count - 1) * s >= n + p))
    return tuple(found)


def max_pool2d(
    x: np.ndarray,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    size = pooled_size if ceil_mode else result_size
    result = size(x.shape[-2:], kernel_size, stride, padding, dilation)
    (h, w), (ph, pw), (kh, kw) = x.shape[-2:], pair(padding), pair(kernel_size)
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    values = np.zeros((*x.shape[:-2], *result), x.dtype)
    positions = np.zeros(values.shape, np.int64)
    for place in np.ndindex(*values.shape):
        top, left = place[-2] * sh - ph, place[-1] * sw - pw
        best, position = -inf, None
        for i, j in np.ndindex(kh, kw):
            row, column = top + i * dh, left + j * dw
            if not (0 <= row < h and 0 <= column < w):
                continue
            cell = x[(*place[:-2], row, column)]
            if position is None or cell > best or np.isnan(cell):
                best, position = cell, row * w + column
        values[place], positions[place] = best, position
    return values, positions


# (x, weight, options): every option alone and together, and sizes that cross the kernels' tiles.
CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 2, 4, 5), (3, 2, 2, 3), {}),
    ((2, 2, 4, 5), (3, 2, 2, 3), {"stride": (2, 1), "padding": (1, 2)}),
    ((1, 2, 6, 5), (2, 2, 2, 2), {"dilation": (2, 3)}),
    ((1, 1, 7, 6), (1, 1, 2, 3), {"stride": 3, "padding": 1, "dilation": 2}),
    ((2, 4, 3, 3), (6, 2, 2, 2), {"groups": 2}),
    ((1, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": 1}),
    ((2, 4, 5), (3, 2, 2, 3), {"padding": (0, 1)}),
    ((1, 2, 3, 3), (2, 2, 3, 3), {"stride": 5}),
    ((2, 3, 4, 4), (2, 3, 1, 1), {"stride": 2}),
    ((1, 1, 1, 1), (1, 1, 3, 3), {"padding": 1}),
    ((0, 2, 4, 4), (3, 2, 3, 3), {}),
    ((2, 0, 4, 4), (3, 0, 3, 3), {}),
    ((2, 2, 4, 4), (0, 2, 3, 3), {}),
]  # fmt: skip
LARGE: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((3, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}),
    ((9, 6, 14, 14), (16, 6, 5, 5), {}),
    ((2, 20, 9, 33), (35, 20, 3, 3), {"padding": 1}),
    ((1, 3, 40, 70), (70, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((1, 1, 3, 4000), (3, 1, 2, 9), {"padding": (1, 4), "dilation": (1, 2)}),
]


def of_conv2d(x: Any, weight: Any, options: dict[str, Any], **more: Any) -> Any:
    return call(x, weight, (weight[0],), **options, **more)


def upstream(x: Any, weight: Any, options: dict[str, Any]) -> tuple[int, ...]:
    """The shape of gy."""
    filled = {"stride": 1, "padding": 0, "dilation": 1, **options}
    result = result_size(
        x[-2:], weight[2:], filled["stride"], filled["padding"], filled["dilation"]
    )
    return (*x[:-3], weight[0], *result)


INTS = ints([[[[1]]]])
IMAGE, KERNEL = (1, 1, 4, 4), (1, 1, 2, 2)
SPECIAL = floats([[[[nan, 1.0, 2.0], [inf, 3.0, 4.0], [5.0, 6.0, -inf]]]])
SHAPES = r".*\(1, 3, 4, 4\).*\(2, 4, 3, 3\).*; .*3 != 4"

OPS = [
    Op(
        "conv2d",
        conv2d,
        [
            *(of_conv2d(*each) for each in CONVOLUTIONS),
            *(of_conv2d(*each, grad=False) for each in LARGE),
            call((1, 2, 3, 3), (2, 2, 2, 2), None),
            call(SPECIAL, floats([[[[2.0, 1.0], [1.0, 0.5]]]]), floats([0.0]), grad=False),
        ],
        [
            bad(ValueError, rf"^conv2d: {SHAPES}", (1, 3, 4, 4), (2, 4, 3, 3), (2,)),
            bad(ValueError, rf"^conv2d: {SHAPES}", (1, 3, 4, 4), (2, 4, 3, 3), None),
            bad(ValueError, r"^conv2d: .*\(4, 4\).*; ", (4, 4), (2, 4, 3, 3), (2,)),
            bad(ValueError, r"^conv2d: .*\(4, 3\).*; ", (1, 3, 4, 4), (4, 3), (4,)),
            bad(ValueError, r"^conv2d: .*\(3,\).*; ", (1, 3, 4, 4), (2, 3, 3, 3), (3,)),
            bad(ValueError, r"^conv2d: .*\(3, 3\).*\(2, 4\).*; ", (1, 1, 2, 4), (1, 1, 3, 3), None),
            bad(ValueError, r"^conv2d: .*, 0, 2\).*; ", (1, 1, 4, 4), (1, 1, 0, 2), None),
            *(bad(error, f"^conv2d: {text}", IMAGE, KERNEL, None, **more) for error, text, more in [
                (ValueError, r".*\(2, 2\).*\(4, 4\); ", {"dilation": 4}),
                (ValueError, r".*groups is 2; ", {"groups": 2}),
                (ValueError, r".*groups is 0; ", {"groups": 0}),
                (ValueError, r"stride .*\(0, 1\); ", {"stride": (0, 1)}),
                (ValueError, r"stride .*\(1099511627776, 1\); ", {"stride": (1 << 40, 1)}),
                (TypeError, r"stride .*; ", {"stride": (1, 1, 1)}),
                (ValueError, r"padding .*\(-1, -1\); ", {"padding": -1}),
                (MemoryError, r".*; ", {"padding": (1 << 31) - 1}),
                (ValueError, r"dilation .*\(0, 0\); ", {"dilation": 0}),
            ]),
            bad(TypeError, r"^conv2d: .*int64.*; ", ints([[[[1, 2]]]]), INTS, None),
            bad(TypeError, r"^conv2d: .*float64.*int64.*; ", (1, 1, 1, 2), INTS, None),
        ],
        float32_rtol=2e-4,
    ),
    Op(
        "conv2d_input",
        conv2d_input,
        [
            call(upstream(*each), each[1], size=each[0][-2:], grad=each in CONVOLUTIONS, **each[2])
            for each in [*CONVOLUTIONS, *LARGE]
        ],
        [
            bad(ValueError, r"^conv2d_input: .*\(1, 2, 2, 2\)", (1, 2, 3, 3), (2, 1, 3, 3), size=4),
            bad(ValueError, r"^conv2d_input: .*\(3, 3\).*; ", (3, 3), (2, 1, 3, 3), size=4),
            bad(ValueError, r"^conv2d_input: size .*; ", (1, 2, 3, 3), (2, 1, 3, 3), size=-1),
            bad(TypeError, r"^conv2d_input: .*int64.*; ", (1, 1, 1, 2), INTS, size=2),
        ],
        float32_rtol=2e-4,
    ),
    Op(
        "conv2d_weight",
        conv2d_weight,
        [
            call(upstream(*each), each[0], size=each[1][2:], grad=each in CONVOLUTIONS, **each[2])
            for each in [*CONVOLUTIONS, *LARGE]
        ],
        [
            bad(ValueError, r"^conv2d_weight: .*2, 2, 2\)", (1, 2, 3, 3), (1, 1, 4, 4), size=3),
            bad(ValueError, r"^conv2d_weight: .*\(2, 3, 3\).*; ", (2, 3, 3), (1, 1, 4, 4), size=3),
            bad(ValueError, r"^conv2d_weight: size .*; ", (1, 2, 3, 3), (1, 1, 4, 4), size=0),
            bad(TypeError, r"^conv2d_weight: .*int64.*; ", INTS, INTS, size=1),
        ],
        float32_rtol=2e-4,
    ),
    Op(
        "max_pool2d",
        max_pool2d,
        [
            call((2, 2, 4, 6), kernel_size=2, stride=2), call((1, 2, 5, 4), kernel_size=(3, 2)),
            call((2, 5, 6), kernel_size=3, stride=2, padding=1),
            call((1, 1, 7, 7), kernel_size=2, stride=(3, 2), dilation=(2, 3)),
            call((1, 2, 5, 5), kernel_size=2, stride=2, ceil_mode=True),
            call((1, 1, 6, 5), kernel_size=3, stride=3, padding=1, ceil_mode=True),
            call((1, 1, 3, 3), kernel_size=1), call((1, 1, 3, 3), kernel_size=3, stride=7),
            call((0, 2, 4, 4), kernel_size=2, stride=2), call((2, 0, 4, 4), kernel_size=2),
            call((2, 3, 33, 70), kernel_size=2, stride=2, grad=False),
            call((1, 1, 70, 1200), kernel_size=(9, 3), stride=(1, 2), padding=(4, 1), grad=False),
            call(SPECIAL, kernel_size=2, grad=False),
            call(SPECIAL, kernel_size=3, padding=1, grad=False),
            call(np.full((1, 1, 3, 20), -inf), kernel_size=3, padding=1, grad=False),
            call(np.zeros((1, 1, 4, 4)), kernel_size=2, stride=2, grad=False),
        ],
        [
            bad(ValueError, r"^max_pool2d: .*\(4, 4\).*; ", (4, 4), kernel_size=2),
            *(bad(ValueError, f"^max_pool2d: {text}", x, **options) for text, x, options in [
                (r".*\(1, 1, 2, 4\).*\(3, 3\).*; ", (1, 1, 2, 4), {"kernel_size": 3}),
                (r"kernel_size .*; ", IMAGE, {"kernel_size": 0}),
                (r"stride .*; ", IMAGE, {"kernel_size": 2, "stride": 0}),
                (r"padding .*half", IMAGE, {"kernel_size": 2, "padding": 2}),
                (r"dilation .*; ", IMAGE, {"kernel_size": 2, "dilation": -1}),
                (r".*; every", (1, 1, 1, 4), {"kernel_size": 2, "padding": 1, "dilation": 2}),
                (r".*; every", (1, 1, 0, 4), {"kernel_size": 2, "padding": 1}),
            ]),
            bad(TypeError, r"^max_pool2d: .*int64.*; ", ints([[[[1, 2]]]]), kernel_size=1),
        ],
        result=("first", "int64"),
    ),
]  # fmt: skip
