"""Losses as modules; each calls its counterpart in functional/loss.py, where the formula is."""

from __future__ import annotations

from chainrule._C import Tensor
from chainrule.nn import functional
from chainrule.nn.module import Module


class MSELoss(Module):
    """mean((input - target)**2).

    Args:
        reduction: "mean", "sum" or "none".

    Call:
        input, target: The same shape, floating dtypes. Returns (), or that shape for "none".

    Raises:
        ValueError: The shapes differ, or the reduction is none of the three.

    Example:
        >>> nn.MSELoss()(cr.tensor([1.0, 3.0]), cr.tensor([1.0, 1.0]))
        tensor(2.)

    Source: torch.nn.MSELoss.
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Returns mse_loss(input, target)."""
        return functional.mse_loss(input, target, reduction=self.reduction)


class NLLLoss(Module):
    """mean(-weight[target] * input[target]) over the rows; input holds log-probabilities.

    Args:
        weight: (classes,), kept as a buffer; 1 if None.
        ignore_index: Rows with this target count nothing.
        reduction: "mean", "sum" or "none".

    Call:
        input: (n, classes) or as in functional.nll_loss. target: int64 (n,). Returns (), or (n,)
            for "none".

    Raises:
        ValueError: The shapes do not fit, or the reduction is none of the three.
        IndexError: A class index is out of range.

    Example:
        >>> nn.NLLLoss()(cr.tensor([[-1.0, -2.0]]), cr.tensor([1]))
        tensor(2.)

    Source: torch.nn.NLLLoss.
    """

    weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Returns nll_loss(input, target)."""
        return functional.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class CrossEntropyLoss(Module):
    """mean(-weight[target] * log_softmax(input)[target]) over the rows; input holds logits.

    Args:
        weight: (classes,), kept as a buffer; 1 if None.
        ignore_index: Rows with this target count nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: The share, in [0, 1], of the target that is spread evenly over all classes.

    Call:
        input: (n, classes) or as in functional.cross_entropy. target: class indices, int64
            (n,), or class probabilities, (n, classes). Returns (), or (n,) for "none".

    Raises:
        ValueError: The shapes do not fit, or an option has a value it cannot have.
        IndexError: A class index is out of range.

    Example:
        >>> nn.CrossEntropyLoss()(cr.zeros(3, 2), cr.tensor([0, 1, 1]))
        tensor(0.6931)

    Source: torch.nn.CrossEntropyLoss.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Returns cross_entropy(input, target)."""
        return functional.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
