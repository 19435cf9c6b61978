"""The state of parameters in its two forms: columns, for the kernels, entries, for state dicts.

A column is a list over the parameters of a group. An entry is a dict of one parameter: its value in
every column that has one. Counts of steps are ints, everything else is a tensor of the parameter's
shape.
"""

from __future__ import annotations

from chainrule._C import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def state_of(columns: dict[str, list[Any]], i: int) -> dict[str, Any]:
    """Returns the entry of parameter `i`; it is empty if no step has touched the parameter yet."""
    values = {name: column[i] for name, column in columns.items()}
    return {name: value for name, value in values.items() if isinstance(value, Tensor) or value}


def columns_from(
    columns: dict[str, list[Any]], entries: list[dict[str, Any]], params: list[Tensor]
) -> dict[str, list[Any]]:
    """Fills new columns with copies of the entries, which check_state has passed."""
    for i, (entry, param) in enumerate(zip(entries, params, strict=True)):
        for name, value in entry.items():
            if name == "step":
                columns[name][i] = int(value)
            elif value is not None:
                columns[name][i] = value.detach().to(param.dtype).clone()
    return columns


def check_state(
    name: str, state_dict: object, groups: list[dict[str, Any]], column_names: tuple[str, ...]
) -> None:
    """Raises an error unless a state dict fits an optimizer with these groups and columns."""
    if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
        raise TypeError(
            f"{name}: a {type(state_dict).__name__} arrived; it must be a dict with 'state' and "
            "'param_groups'; pass what state_dict() or chainrule.load() returned"
        )
    state, loaded_groups = state_dict["state"], state_dict["param_groups"]
    if not (isinstance(state, dict) and all(isinstance(entry, dict) for entry in state.values())):
        raise TypeError(f"{name}: 'state' must be a dict of dicts, one for each parameter")
    if not all(
        isinstance(group, dict) and isinstance(group.get("params"), list) for group in loaded_groups
    ):
        raise TypeError(f"{name}: 'param_groups' must be dicts that each hold a list 'params'")
    own_sizes = [len(group["params"]) for group in groups]
    sizes = [len(group["params"]) for group in loaded_groups]
    if sizes != own_sizes:
        raise ValueError(
            f"{name}: the state dict has groups of {sizes} parameters, the optimizer of "
            f"{own_sizes}; the groups must be equally long; build them as when it was saved"
        )
    keys = [key for group in loaded_groups for key in group["params"]]
    params = [param for group in groups for param in group["params"]]
    stray = [key for key in state if key not in keys]
    if stray:
        raise ValueError(
            f"{name}: state has an entry {stray[0]!r}; every entry must belong to a parameter"
        )
    for key, param in zip(keys, params, strict=True):
        for kind, value in state.get(key, {}).items():
            problem = _misfit(kind, value, param, column_names)
            if problem:
                raise ValueError(f"{name}: state of parameter {key}: {problem}; nothing was loaded")


def _misfit(kind: str, value: object, param: Tensor, column_names: tuple[str, ...]) -> str:
    if kind not in column_names:
        known = ", ".join(column_names)
        return f"{kind!r} arrived; the state of this optimizer is {known}"
    if value is None:
        return ""
    if kind == "step":
        if isinstance(value, Tensor) and value.numel() == 1:  # PyTorch's way to count
            value = value.item()
        counts = isinstance(value, (int, float)) and 0 <= value < 2**63 and value == int(value)
        return "" if counts else f"step is {value!r:.40}; it must be a count"
    if not isinstance(value, Tensor):
        return f"{kind} is a {type(value).__name__}; it must be a Tensor"
    if value.shape != param.shape:
        shapes = f"shape {tuple(value.shape)}, the parameter {tuple(param.shape)}"
        return f"{kind} has {shapes}; they must be equal"
    return ""
