"""SGD: stochastic gradient descent with momentum."""

from __future__ import annotations

from chainrule._C import Tensor, sgd_step
from chainrule.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class SGD(Optimizer):
    """Stochastic gradient descent.

        g = grad + weight_decay * p
        b = momentum * b + (1 - dampening) * g        (b = g at the first step)
        p = p - lr * (g + momentum * b if nesterov else b)

    Without momentum, p = p - lr * g; with `maximize`, grad counts with the opposite sign.

    Args:
        params: Leaf tensors of a floating dtype, or dicts of "params" and options.
        lr: The learning rate, at least 0.
        momentum: In [0, inf).
        dampening: How little of a new gradient enters the momentum.
        weight_decay: The factor of an L2 penalty on the parameters, at least 0.
        nesterov: Whether to look ahead; needs a momentum and no dampening.
        maximize: Whether to climb instead.

    Raises:
        ValueError: There are no parameters, one comes twice or is not a leaf, or an option is out
            of range.
        TypeError: Something is not a Tensor.

    Example:
        >>> weight = nn.Parameter(cr.ones(2))
        >>> opt = optim.SGD([weight], lr=0.25, momentum=0.9)
        >>> (weight * 2).sum().backward()
        >>> opt.step()
        >>> weight.detach()
        tensor([0.5000, 0.5000])

    Source: Sutskever et al. 2013; torch.optim.SGD.
    """

    _column_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        super()._check_options(group)
        self._check_range("momentum", group["momentum"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: momentum is {group['momentum']}, dampening is {group['dampening']}; "
                "nesterov needs a momentum above 0 and a dampening of 0"
            )

    def _step_group(self, group: dict[str, Any], columns: dict[str, list[Any]]) -> None:
        sgd_step(
            group["params"],
            columns["momentum_buffer"],
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
