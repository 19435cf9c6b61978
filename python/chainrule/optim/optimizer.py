"""Optimizer: parameter groups, the state of each parameter, and state dicts in PyTorch's layout.

A group holds the options and parameters that one C++ call of a step takes. State is kept in
columns: for each group and each kind of state a list parallel to the group's parameters, which that
call reads, fills and updates. Invariants: a parameter is in one group only; columns are as long as
their group.
"""

from __future__ import annotations

import math

from chainrule._C import Tensor
from chainrule.grad_mode import enable_grad
from chainrule.optim.state import check_state, columns_from, state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class Optimizer:
    """Base of the optimizers: changes parameters by their gradients.

    A subclass names its state columns and says what a step does to one group.

    Args:
        params: The parameters, or dicts of a list "params" and the options that differ for its
            members.
        defaults: The options of groups that do not say otherwise.

    Attributes:
        param_groups: One dict per group, of its options and "params". Options may be changed
            between steps; parameters are added by `add_param_group`.
        defaults: The options of groups that do not say otherwise.

    Raises:
        ValueError: There are no parameters, one comes twice or is not a leaf, or an option is out
            of range.
        TypeError: Something is not a Tensor.

    Example:
        >>> weight = nn.Parameter(cr.ones(2))
        >>> opt = optim.SGD([weight], lr=0.5)
        >>> weight.sum().backward()
        >>> opt.step()
        >>> weight.detach()
        tensor([0.5000, 0.5000])
        >>> opt.zero_grad()
        >>> weight.grad is None
        True

    Source: torch.optim.Optimizer.
    """

    _column_names: tuple[str, ...] = ()

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], defaults: dict[str, Any]
    ) -> None:
        name = type(self).__name__
        if isinstance(params, (Tensor, dict, set, frozenset)):
            raise TypeError(
                f"{name}: params is a {type(params).__name__}; it must be Tensors or dicts "
                "in a fixed order; use a list"
            )
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._columns: list[dict[str, list[Any]]] = []
        items: list[Any] = list(params)
        if not items:
            raise ValueError(f"{name}: params is empty; there must be something to optimize")
        groups = items if isinstance(items[0], dict) else [{"params": items}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group.

        Args:
            param_group: "params", a Tensor or an iterable of Tensors, and the options that differ
                from `defaults`.

        Raises:
            ValueError: A parameter comes twice or is not a leaf, or an option is out of range.
            TypeError: Something is not a Tensor, or the group not a dict.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f"{name}: a group is {param_group!r:.60}; it must be a dict with 'params'"
            )
        params = param_group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{name}: params is a set; state dicts need a fixed order; use a list")
        group = {**self.defaults, **param_group}
        group["params"] = params = [params] if isinstance(params, Tensor) else list(params)
        self._check_params(params)
        self._check_options(group)
        self.param_groups.append(group)
        self._columns.append(self._new_columns(len(params)))

    def _check_params(self, params: list[Any]) -> None:
        name = type(self).__name__
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, param in enumerate(params):
            if not isinstance(param, Tensor):
                hint = (
                    "; pass parameters(), not named_parameters()"
                    if isinstance(param, tuple)
                    else ""
                )
                raise TypeError(
                    f"{name}: parameter {i} is a {type(param).__name__}; it must be a Tensor{hint}"
                )
            if not param.is_leaf:
                raise ValueError(
                    f"{name}: parameter {i}, of shape {tuple(param.shape)}, is the result of an "
                    "operation; only leaves can be optimized; pass what it was computed from"
                )
            if id(param) in seen:
                raise ValueError(
                    f"{name}: parameter {i}, of shape {tuple(param.shape)}, appears twice; "
                    "each parameter must be in one group, once"
                )
            seen.add(id(param))

    def _check_options(self, group: dict[str, Any]) -> None:
        """Raises an error if an option of the group is out of range; subclasses add theirs."""
        self._check_range("lr", group["lr"])
        self._check_range("weight_decay", group["weight_decay"])

    def _check_range(self, option: str, value: object, below: float = math.inf) -> None:
        """Checks that 0 <= value < below; nan fails."""
        if not isinstance(value, (int, float)):
            raise TypeError(
                f"{type(self).__name__}: {option} is a {type(value).__name__}; it must be a number"
            )
        if not 0.0 <= value < below:
            rule = "be finite and not negative" if below == math.inf else f"be in [0, {below:g})"
            raise ValueError(f"{type(self).__name__}: {option} is {value}; it must {rule}")

    def _new_columns(self, size: int) -> dict[str, list[Any]]:
        return {name: [None] * size for name in self._column_names}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes every parameter that has a gradient, one C++ call per group.

        Args:
            closure: Called first, with recording on; it computes the loss anew, gradients included.

        Returns:
            What the closure returned, or None.

        Raises:
            ValueError: A gradient or a state does not have its parameter's shape. That group is
                unchanged.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for i, group in enumerate(self.param_groups):
            self._step_group(group, self._columns[i])
        return loss

    def _step_group(self, group: dict[str, Any], columns: dict[str, list[Any]]) -> None:
        raise NotImplementedError(f"{type(self).__name__}: step was called; define _step_group")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters or, unless `set_to_none`, fills them with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad = param.grad.detach().zero_()

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """The state by parameter: a new dict of the tensors themselves, empty before any step."""
        return {
            param: entry
            for group, columns in zip(self.param_groups, self._columns, strict=True)
            for i, param in enumerate(group["params"])
            if (entry := state_of(columns, i))
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns {"state": {index: {name: tensor or step}}, "param_groups": [options, indices]}.

        Parameters are numbered through all groups. The tensors are the optimizer's own, not copies.

        Example:
            >>> opt = optim.SGD([nn.Parameter(cr.ones(2))], lr=0.5)
            >>> opt.state_dict()["param_groups"][0]["params"]
            [0]
        """
        state: dict[int, dict[str, Any]] = {}
        groups = []
        start = 0
        for group, columns in zip(self.param_groups, self._columns, strict=True):
            size = len(group["params"])
            groups.append({**group, "params": list(range(start, start + size))})
            for i in range(size):
                entry = state_of(columns, i)
                if entry:
                    state[start + i] = entry
            start += size
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over options and state: all of it or, after an error, nothing.

        Args:
            state_dict: What `state_dict` of an optimizer of the same kind and groups of the same
                sizes returned. Tensors are copied, and cast to the dtypes of their parameters.

        Raises:
            ValueError: Groups, state names, shapes or options do not fit.
            TypeError: It is not a state dict.
        """
        name = f"{type(self).__name__}.load_state_dict"
        check_state(name, state_dict, self.param_groups, self._column_names)
        groups = [
            {**own, **loaded, "params": own["params"]}
            for own, loaded in zip(self.param_groups, state_dict["param_groups"], strict=True)
        ]
        columns = []
        for group, loaded in zip(groups, state_dict["param_groups"], strict=True):
            self._check_options(group)
            entries = [state_dict["state"].get(key, {}) for key in loaded["params"]]
            blank = self._new_columns(len(entries))
            columns.append(columns_from(blank, entries, group["params"]))
        # In place: a user or a schedule may hold on to the list or to one of the groups.
        for own, group in zip(self.param_groups, groups, strict=True):
            own.update(group)
        self._columns = columns

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])
