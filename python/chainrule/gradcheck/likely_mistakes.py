"""What a wrong gradient looks like: each guess is made only where the numbers show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass
class Evidence:
    """One wrong gradient beside the right one, and how the outputs enter both."""

    name: str  # of the input
    shape: tuple[int, ...]  # of the input
    gradient: Array | None
    truth: Array  # at the elements that were measured, flat
    elements: Array  # their positions
    upstream: list[Array]  # gy of each output
    jacobian: Array | None  # (elements, all outputs), where it is small enough to keep
    others: dict[str, Array]  # the other inputs, by name
    is_own_rule: bool  # a grad_fn, not autograd
    tolerance: float

    @property
    def full_truth(self) -> Array | None:
        """The right gradient in the shape of the input, if every element was measured."""
        if self.truth.size != int(np.prod(self.shape)):
            return None
        return self.truth.reshape(self.shape)

    def close(self, a: Array, b: Array) -> bool:
        """Whether two arrays agree, and are not simply all zero."""
        if a.shape != b.shape or not b.size:
            return False
        largest = float(np.max(np.abs(b)))
        return largest > 0 and bool(np.all(np.abs(a - b) <= self.tolerance * largest))


def likely_mistake(e: Evidence) -> str:
    """Returns the likely mistake as a sentence, or "" if the numbers fit none."""
    if e.gradient is None or not np.any(e.gradient):
        return _zero(e)
    if not np.all(np.isfinite(e.gradient)):
        return (
            "the gradient is not finite: its rule divides by zero, or takes the log or root of it"
        )
    if e.gradient.shape != e.shape:
        return _wrong_shape(e)
    guesses = (
        _sign,
        _transpose,
        _factor_transpose,
        _broadcast,
        _no_upstream,
        _overwritten,
        _factor,
        _parts,
    )
    return next(filter(None, (guess(e) for guess in guesses)), "")


def _at_elements(e: Evidence) -> Array:
    assert e.gradient is not None
    found: Array = e.gradient.ravel()[e.elements]
    return found


def _zero(e: Evidence) -> str:
    if e.is_own_rule:
        return f"the gradient is zero, or None: the outputs do depend on {e.name}"
    return (
        f"the gradient is zero: {e.name} is cut off on the way, by detach(), no_grad(), .data, "
        "item() or a copy through numpy"
    )


def _dims(dims: tuple[int, ...]) -> str:
    return f"dim {dims[0]}" if len(dims) == 1 else f"dims {dims}"


def _broadcast_dims(small: tuple[int, ...], large: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the dims of `large` along which `small` was broadcast; () if it was not."""
    missing = len(large) - len(small)
    if missing < 0:
        return ()
    padded = (1,) * missing + small
    if any(a not in (1, b) for a, b in zip(padded, large, strict=True)):
        return ()
    return tuple(
        d for d, (a, b) in enumerate(zip(padded, large, strict=True)) if d < missing or a != b
    )


def _wrong_shape(e: Evidence) -> str:
    gradient, truth = e.gradient, e.full_truth
    assert gradient is not None
    if truth is None:
        return ""
    dims = _broadcast_dims(e.shape, gradient.shape)
    if dims and e.close(gradient.sum(dims).reshape(e.shape), truth):
        return f"{e.name} was broadcast along {_dims(dims)}: a sum over it is missing"
    if gradient.ndim >= 2 and e.close(gradient.swapaxes(-1, -2), truth):
        return "a transpose is missing"
    if gradient.size == truth.size and e.close(gradient.reshape(e.shape), truth):
        return "a reshape is missing"
    return ""


def _sign(e: Evidence) -> str:
    if e.close(-_at_elements(e), e.truth):
        return "the sign is wrong: the gradient is minus the true one"
    return ""


def _transpose(e: Evidence) -> str:
    truth = e.full_truth
    if e.gradient is None or truth is None or truth.ndim < 2:
        return ""
    if e.close(e.gradient.swapaxes(-1, -2), truth):
        return "a transpose is missing: the gradient is that of the transposed input"
    return ""


def _factor_transpose(e: Evidence) -> str:
    """A square factor stands transposed in the gradient: both have the same shape.

    A right gradient d @ w.T has become d @ w, whatever d is: so from the right one d is found.
    """
    truth = e.full_truth
    if e.gradient is None or truth is None or truth.ndim < 1:
        return ""
    for name, w in e.others.items():
        if w.ndim < 2 or w.shape[-1] != w.shape[-2]:
            continue
        turned = f"{name}.T" if w.ndim == 2 else f"{name}.mT"
        if _stands_transposed(e, e.gradient, truth, _t(w)):
            return f"a transpose is missing: {name} stands where {turned} must"
        if _stands_transposed(e, e.gradient, truth, w):
            return f"a transpose too many: {turned} stands where {name} must"
    matrix = _matrix_of(e, truth)
    if matrix is not None and e.close(e.gradient, e.upstream[0] @ matrix):
        return (
            f"a transpose is missing: {e.name} is multiplied by a square matrix, and the gradient "
            "has that where its transpose must stand"
        )
    return ""


def _t(w: Array) -> Array:
    turned: Array = w.swapaxes(-1, -2)
    return turned


def _stands_transposed(e: Evidence, found: Array, truth: Array, w: Array) -> bool:
    """Whether truth is d @ w or w @ d for some d, and the gradient the same with w.mT."""
    vector = truth.ndim == 1
    right = truth[None] if vector else truth
    left = truth[:, None] if vector else truth
    candidates = []
    with np.errstate(all="ignore"):
        try:
            inverse = np.linalg.inv(w)
        except np.linalg.LinAlgError:
            return False
        if right.shape[-1] == w.shape[-1] and right.ndim >= w.ndim:
            candidates.append(right @ inverse @ _t(w))
        if left.shape[-2] == w.shape[-1] and left.ndim >= w.ndim:
            candidates.append(_t(w) @ inverse @ left)
    return any(e.close(found, each.reshape(found.shape)) for each in candidates)


def _matrix_of(e: Evidence, truth: Array) -> Array | None:
    """The square w of an output x @ w, as the slopes of the first row show it."""
    if len(e.upstream) != 1 or e.jacobian is None or e.upstream[0].shape != e.shape:
        return None
    n = e.shape[-1]
    w = e.jacobian[:n, :n]
    return w if e.close(e.upstream[0] @ _t(w), truth) else None


def _broadcast(e: Evidence) -> str:
    if len(e.upstream) != 1:
        return ""
    gy = e.upstream[0]
    dims = _broadcast_dims(e.shape, gy.shape)
    count = int(np.prod([gy.shape[d] for d in dims]))
    if not dims or count < 2:
        return ""
    where, found = f"{e.name} was broadcast along {_dims(dims)}", _at_elements(e)
    if e.close(found * count, e.truth):
        return f"{where}: the gradient is the mean over it and must be the sum"
    if e.jacobian is None:
        return ""
    for d in dims:
        for i in range(min(gy.shape[d], 64)):
            one = np.zeros_like(gy)
            here = (slice(None),) * d + (i,)
            one[here] = gy[here]
            if e.close(found, e.jacobian @ one.ravel()):
                return (
                    f"{where}: a sum over it is missing, the gradient is that of slice {i} of dim "
                    f"{d} alone"
                )
    return ""


def _no_upstream(e: Evidence) -> str:
    if not e.is_own_rule or e.jacobian is None:
        return ""
    if e.close(_at_elements(e), e.jacobian.sum(1)):
        return "gy is not used: the gradient must be multiplied by what comes from above"
    return ""


def _overwritten(e: Evidence) -> str:
    if e.jacobian is None:
        return ""
    found, gy = _at_elements(e), np.concatenate([each.ravel() for each in e.upstream])
    parts = e.jacobian * gy
    ends = np.cumsum([each.size for each in e.upstream])
    if len(e.upstream) > 1:
        for k, columns in enumerate(np.split(parts, ends[:-1], axis=1)):
            if e.close(found, columns.sum(1)):
                return (
                    f"overwritten instead of added: only what output {k} contributes is there; "
                    "the contributions of all outputs must be added"
                )
    limit = e.tolerance * float(np.max(np.abs(e.truth)))
    wrong = np.abs(found - e.truth) > limit
    several = (np.abs(parts) > limit).sum(1) >= 2
    is_one = np.any((np.abs(parts - found[:, None]) <= limit) & (np.abs(parts) > limit), axis=1)
    if np.all(several[wrong]) and np.all(is_one[wrong]):
        return (
            "overwritten instead of added: where several outputs use an element, only one of their "
            "contributions is there"
        )
    return ""


def _factor(e: Evidence) -> str:
    found = _at_elements(e)
    square = float(e.truth @ e.truth)
    ratio = float(found @ e.truth) / square if square > 0 else 0.0
    alone = np.count_nonzero(e.truth) == 1 and e.truth.size > 1  # one number has any ratio
    if alone or ratio == 0.0 or not e.close(found, ratio * e.truth):
        return ""
    missing = 1 / ratio
    whole = round(missing)
    if whole >= 2 and abs(missing - whole) <= e.tolerance * whole:
        return (
            f"a factor of {whole} is missing: the gradient is 1/{whole} of the true one; if "
            f"{e.name} is used {whole} times, one use has overwritten the others instead of added "
            "to them"
        )
    if ratio > 1 and abs(ratio - round(ratio)) <= e.tolerance * ratio:
        return f"a factor of {round(ratio)} too many: was a contribution added more than once?"
    return f"a factor of {missing:.6g} is missing: the gradient is {ratio:.6g} times the true one"


def _parts(e: Evidence) -> str:
    found = _at_elements(e)
    limit = e.tolerance * float(np.max(np.abs(e.truth)))
    wrong = np.abs(found - e.truth) > limit
    if not np.all(wrong) and np.all(found[wrong] == 0):
        return "the gradient is zero at these elements: a part of what uses them is left out"
    return ""
