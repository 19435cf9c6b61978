"""Adam, and AdamW, which is Adam with decoupled weight decay."""

from __future__ import annotations

from chainrule._C import Tensor, adam_step
from chainrule.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class Adam(Optimizer):
    """Adaptive moment estimation.

        g = grad + weight_decay * p       (decoupled: g = grad, p = p - lr * weight_decay * p)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    With `amsgrad` the largest v so far takes the place of v; with `maximize`, grad counts with the
    opposite sign.

    Args:
        params: Leaf tensors of a floating dtype, or dicts of "params" and options.
        lr: The learning rate, at least 0.
        betas: beta1 and beta2, in [0, 1).
        eps: At least 0.
        weight_decay: The factor of the penalty on the parameters, at least 0.
        amsgrad: Whether steps never grow again where gradients were once large.
        maximize: Whether to climb instead.
        decoupled_weight_decay: Whether the decay shrinks the parameters themselves, as in AdamW.

    Raises:
        ValueError: There are no parameters, one comes twice or is not a leaf, or an option is out
            of range.
        TypeError: Something is not a Tensor.

    Example:
        >>> weight = nn.Parameter(cr.ones(2))
        >>> opt = optim.Adam([weight], lr=0.5)
        >>> weight.sum().backward()
        >>> opt.step()
        >>> weight.detach()
        tensor([0.5000, 0.5000])

    Source: Kingma and Ba 2015, algorithm 1; Reddi et al. 2018 (AMSGrad); torch.optim.Adam.
    """

    _column_names = ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        super()._check_options(group)
        self._check_range("eps", group["eps"])
        if not isinstance(group["betas"], (tuple, list)) or len(group["betas"]) != 2:
            raise ValueError(
                f"{type(self).__name__}: betas is {group['betas']!r}; it must be two numbers"
            )
        for i, beta in enumerate(group["betas"]):
            self._check_range(f"betas[{i}]", beta, below=1.0)

    def _new_columns(self, size: int) -> dict[str, list[Any]]:
        return {**super()._new_columns(size), "step": [0] * size}

    def _step_group(self, group: dict[str, Any], columns: dict[str, list[Any]]) -> None:
        beta1, beta2 = group["betas"]
        adam_step(
            group["params"],
            columns["exp_avg"],
            columns["exp_avg_sq"],
            columns["max_exp_avg_sq"],
            columns["step"],
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["amsgrad"],
            group["maximize"],
            group["decoupled_weight_decay"],
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: p = p - lr * weight_decay * p before each Adam step.

    Args:
        params: Leaf tensors of a floating dtype, or dicts of "params" and options.
        lr: The learning rate, at least 0.
        betas: beta1 and beta2, in [0, 1).
        eps: At least 0.
        weight_decay: At least 0.
        amsgrad: Whether steps never grow again where gradients were once large.
        maximize: Whether to climb instead.

    Raises:
        ValueError: There are no parameters, one comes twice or is not a leaf, or an option is out
            of range.
        TypeError: Something is not a Tensor.

    Example:
        >>> weight = nn.Parameter(cr.ones(2))
        >>> opt = optim.AdamW([weight], lr=0.5, weight_decay=0.0)
        >>> weight.sum().backward()
        >>> opt.step()
        >>> weight.detach()
        tensor([0.5000, 0.5000])

    Source: Loshchilov and Hutter 2019, algorithm 2; torch.optim.AdamW.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )
