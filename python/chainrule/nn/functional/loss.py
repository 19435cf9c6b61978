"""Losses as functions: composites over the ops of the core, which have the gradients.

A loss works on rows: the classes of its input are moved to the last dim and all other dims are
joined. Only what a composite alone can check is checked here; each op checks its own inputs.
"""

from __future__ import annotations

from chainrule import _C
from chainrule._C import Tensor, ops

_FLOATING = (_C.float32, _C.float64)


def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Returns the mean of weight * (input - target)**2.

    Args:
        input: Any shape, a floating dtype.
        target: The shape of the input. Other shapes are not broadcast: (n, 1) against (n,) would
            average n * n differences, which is never meant.
        reduction: "mean" (over the weights), "sum", or "none" for the terms.
        weight: The shape of the input; 1 if None.

    Returns:
        (), or the shape of the input if `reduction` is "none".

    Raises:
        ValueError: The shapes differ, or the reduction is none of the three.

    Example:
        >>> nn.functional.mse_loss(cr.tensor([1.0, 3.0]), cr.tensor([1.0, 1.0]))
        tensor(2.)

    Source: torch.nn.functional.mse_loss.
    """
    _check_reduction("mse_loss", reduction)
    _check_tensors("mse_loss", input, target)
    _check_same_shape("mse_loss", "target", target, input)
    if weight is None and reduction == "mean" and input.dtype == target.dtype:
        return ops.mse_loss(input, target)
    losses = ops.square(input - target)
    if weight is None:
        return losses.mean() if reduction == "mean" else _reduce(losses, reduction)
    _check_same_shape("mse_loss", "weight", weight, input)
    return _reduce(losses * weight, reduction, weight)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Returns the negative log likelihood: the rows' mean of -weight[target] * input[target].

    Args:
        input: Log-probabilities, (classes,), (n, classes) or (n, classes, d1, ...), a floating
            dtype.
        target: Class indices, int64, of the shape of the input without its class dim.
        weight: (classes,); 1 if None.
        ignore_index: Rows with this target count nothing, also in the mean.
        reduction: "mean" (over the weights of the rows), "sum", or "none" for the rows.

    Returns:
        (), or the shape of the target if `reduction` is "none". The mean over no rows is nan.

    Raises:
        ValueError: The shapes do not fit, or the reduction is none of the three.
        IndexError: A class index is out of range.

    Example:
        >>> nn.functional.nll_loss(cr.tensor([[-1.0, -2.0]]), cr.tensor([1]))
        tensor(2.)

    Source: torch.nn.functional.nll_loss.
    """
    _check_reduction("nll_loss", reduction)
    _check_tensors("nll_loss", input, target)
    _check_classes("nll_loss", input, target, weight)
    indices = target.reshape(-1)
    losses, weights = _nll_rows("nll_loss", _rows(input), indices, weight, ignore_index)
    return _reduce(losses.reshape(target.shape), reduction, weights)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns the cross entropy of softmax(input): nll_loss(log_softmax(input), target).

    Args:
        input: Logits, (classes,), (n, classes) or (n, classes, d1, ...), a floating dtype.
        target: Class indices, int64, of the shape of the input without its class dim; or the
            probabilities of the classes, of the dtype and shape of the input.
        weight: (classes,); 1 if None.
        ignore_index: Rows with this target count nothing, also in the mean; for class indices only.
        reduction: "mean" (over the weights of the rows; with probabilities, over the rows), "sum",
            or "none" for the rows.
        label_smoothing: The share, in [0, 1], of the target that is spread evenly over all classes.

    Returns:
        (), or the shape of the input without its class dim if `reduction` is "none". The mean over
        no rows is nan.

    Raises:
        ValueError: The shapes do not fit, or an option has a value it cannot have.
        IndexError: A class index is out of range.

    Example:
        >>> nn.functional.cross_entropy(cr.zeros(3, 2), cr.tensor([0, 1, 1]))
        tensor(0.6931)

    Source: torch.nn.functional.cross_entropy; label smoothing: Szegedy et al. 2016, section 7.
    """
    _check_reduction("cross_entropy", reduction)
    _check_tensors("cross_entropy", input, target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(
            f"cross_entropy: label_smoothing is {label_smoothing}; it must be in [0, 1]"
        )
    if target.dtype in _FLOATING:
        if ignore_index >= 0:
            raise ValueError(
                f"cross_entropy: ignore_index is {ignore_index}, target has dtype {target.dtype}; "
                "only class indices can be ignored; give such rows probabilities of 0"
            )
        return _cross_entropy_of_probabilities(input, target, weight, reduction, label_smoothing)
    _check_classes("cross_entropy", input, target, weight)
    rows = _rows(input)
    indices = target if target.ndim == 1 else target.reshape(-1)
    if weight is None and label_smoothing == 0.0:
        if reduction == "mean":
            return ops.cross_entropy(rows, indices, ignore_index=ignore_index, mean=True)
        losses = ops.cross_entropy(rows, indices, ignore_index=ignore_index)
        return _reduce(losses.reshape(target.shape), reduction)
    log_p = ops.log_softmax(rows, dim=1)
    losses, weights = _nll_rows("cross_entropy", log_p, indices, weight, ignore_index)
    if label_smoothing > 0.0:
        spread = -(log_p if weight is None else log_p * weight).mean(1)
        spread = ops.where(indices != ignore_index, spread, 0.0)
        losses = (1.0 - label_smoothing) * losses + label_smoothing * spread
    return _reduce(losses.reshape(target.shape), reduction, weights)


def _cross_entropy_of_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    _check_same_shape("cross_entropy", "target", target, input)
    _check_weight("cross_entropy", input, weight)
    dim = min(1, input.ndim - 1)
    log_p = ops.log_softmax(_rows(input), dim=1)
    p = _rows(target)
    if label_smoothing > 0.0:
        p = (1.0 - label_smoothing) * p + label_smoothing / input.shape[dim]
    losses = -(log_p * p if weight is None else log_p * p * weight).sum(1)
    if reduction == "mean":
        return losses.mean()
    return _reduce(losses.reshape(input.shape[:dim] + input.shape[dim + 1 :]), reduction)


def _nll_rows(
    op: str, log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Returns the losses of the rows, weighted, and the weights of the rows, 0 if ignored."""
    valid = target != ignore_index
    index = ops.where(valid, target, 0)
    try:
        picked = ops.gather(log_p, dim=1, index=index.unsqueeze(1)).squeeze(1)
    except IndexError as error:
        raise IndexError(
            f"{op}: target holds class {_first_outside(index, log_p.shape[1])}; "
            f"classes are 0 to {log_p.shape[1] - 1}; did you mean ignore_index?"
        ) from error
    # Not `picked * valid`: an ignored row may hold infinities.
    losses = ops.where(valid, -picked, 0.0)
    if weight is None:
        return losses, valid
    weights = ops.where(valid, weight[index], 0.0)
    return losses * weights, weights


def _first_outside(index: Tensor, classes: int) -> int:
    found: int = next(i for i in index.tolist() if not 0 <= i < classes)
    return found


def _rows(x: Tensor) -> Tensor:
    """Returns (n, classes, d1, ...) as (n * d1 * ..., classes), and (classes,) as (1, classes)."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.unsqueeze(0)
    return x.permute(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _reduce(losses: Tensor, reduction: str, weights: Tensor | None = None) -> Tensor:
    if reduction == "none":
        return losses
    if reduction == "sum" or weights is None:
        return losses.sum()
    return losses.sum() / weights.sum()


def _check_reduction(name: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction is {reduction!r}; it must be 'mean', 'sum' or 'none'")


def _check_tensors(name: str, input: object, target: object) -> None:
    for role, value in (("input", input), ("target", target)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: {role} is a {type(value).__name__}; it must be a Tensor")


def _check_same_shape(name: str, role: str, value: Tensor, input: Tensor) -> None:
    if value.shape != input.shape:
        raise ValueError(
            f"{name}: input has shape {tuple(input.shape)}, {role} has shape {tuple(value.shape)}; "
            "the shapes must be equal; reshape or expand one of them"
        )


def _check_weight(name: str, input: Tensor, weight: Tensor | None) -> None:
    if input.ndim == 0:
        raise ValueError(f"{name}: input has shape (); it must have a dim of classes")
    classes = input.shape[min(1, input.ndim - 1)]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ValueError(
            f"{name}: input has {classes} classes, weight has shape {tuple(weight.shape)}; "
            f"weight must have shape ({classes},)"
        )


def _check_classes(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    _check_weight(name, input, weight)
    rule = tuple(input.shape[:1] + input.shape[2:] if input.ndim > 1 else ())
    if tuple(target.shape) != rule:
        raise ValueError(
            f"{name}: input has shape {tuple(input.shape)}, target has shape "
            f"{tuple(target.shape)}; class indices must have the shape of the input without its "
            f"class dim, {rule}"
        )
