"""The state dict of a module: what it is, and how one is loaded, all of it or nothing."""

from __future__ import annotations

from collections import namedtuple

from chainrule._C import Tensor
from chainrule.grad_mode import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chainrule.nn.module import Module


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What load_state_dict left out: missing_keys of the model, unexpected_keys of the dict."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()


def named_state(module: Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yields parameters and persistent buffers by name; one that is used twice comes twice."""
    for path, owner in module.named_modules(prefix=prefix, remove_duplicate=False):
        dot = path + "." if path else ""
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                yield dot + name, parameter
        for name, buffer in owner._buffers.items():
            if buffer is not None and name not in owner._non_persistent_buffers:
                yield dot + name, buffer


def load_state(module: Module, state_dict: Mapping[str, Tensor], strict: bool) -> IncompatibleKeys:
    """Checks every entry, then copies every entry."""
    if not hasattr(state_dict, "keys") or not hasattr(state_dict, "__getitem__"):
        raise TypeError(
            f"load_state_dict: state_dict is a {type(state_dict).__name__}; it must be a dict from "
            "names to tensors; pass what state_dict() or chainrule.load() returned"
        )
    own = dict(named_state(module, ""))
    missing = [name for name in own if name not in state_dict]
    unexpected = [name for name in state_dict if name not in own]
    pairs = [(name, tensor, state_dict[name]) for name, tensor in own.items() if name in state_dict]
    wrong = [problem for pair in pairs if (problem := _misfit(*pair))]

    problems = []
    if strict and missing:
        problems.append("missing " + ", ".join(missing))
    if strict and unexpected:
        problems.append("unexpected " + ", ".join(map(str, unexpected)))
    if wrong:
        problems.append("; ".join(wrong))
    if problems:
        hint = "" if wrong else "; strict=False skips missing and unexpected entries"
        raise ValueError(
            f"load_state_dict: {'; '.join(problems)}; the names and shapes must be those of "
            f"{type(module).__name__}; nothing was loaded{hint}"
        )
    with no_grad():
        for _, tensor, source in pairs:
            tensor.copy_(source)
    return IncompatibleKeys(missing, unexpected)


def _misfit(name: str, own: Tensor, loaded: object) -> str:
    if not isinstance(loaded, Tensor):
        return f"{name} is a {type(loaded).__name__}, not a Tensor"
    if loaded.shape != own.shape:
        return f"{name} has shape {tuple(loaded.shape)}, but {tuple(own.shape)} in the model"
    return ""
