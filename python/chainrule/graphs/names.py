"""What the tensors and modules of a graph are called."""

from __future__ import annotations

from chainrule._C import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chainrule.nn.module import Module

    NamedTensor = tuple[str, Tensor, bool]
    """A name, its tensor, and whether it is a parameter or buffer of a module."""


def named_tensors(names: Mapping[str, object]) -> list[NamedTensor]:
    """Returns every tensor that a mapping (locals(), say) leads to, with its name.

    A tensor is called by its key, the parameters of a module `net` are `net.0.weight`, the items of
    lists, tuples and dicts `layers.0`. Anything else is left out.
    """
    modules, tensors = [], []
    for name, value in _walk(names):
        if isinstance(value, Tensor):
            tensors.append((name, value, False))
        else:
            modules += list(_of_module(name, value))
    return modules + tensors  # a parameter is called by its place in the model


def module_names(names: Mapping[str, object]) -> dict[int, str]:
    """Returns the names of the modules in a mapping by the id of the module."""
    return {id(value): name for name, value in _walk(names) if not isinstance(value, Tensor)}


def _walk(names: Mapping[str, object]) -> Iterator[tuple[str, Tensor | Module]]:
    from chainrule.nn.module import Module

    for name, value in names.items():
        if name.startswith("_"):
            continue
        if isinstance(value, (Tensor, Module)):
            yield name, value
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                if isinstance(item, (Tensor, Module)):
                    yield f"{name}.{i}", item
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, (Tensor, Module)):
                    yield f"{name}.{key}", item


def _of_module(path: str, module: object) -> Iterator[NamedTensor]:
    from chainrule.nn.module import Module

    assert isinstance(module, Module)
    for name, parameter in module.named_parameters():
        yield f"{path}.{name}", parameter, True
    for name, buffer in module.named_buffers():
        yield f"{path}.{name}", buffer, True


class ModuleNamer:
    """Names the calls of modules: by a variable of the user's, or by the place in the parent."""

    def __init__(self, known: dict[int, str]) -> None:
        self._known = known

    def __call__(self, module: Module | None, parent: Module | None) -> tuple[str, str]:
        """Returns the name of `module` inside `parent`, and its class."""
        if module is None:
            return "module", "Module"  # it is gone
        kind = type(module).__name__
        if parent is not None:
            for name, child in parent.named_modules():
                if child is module and name:
                    return name, kind
        elif id(module) in self._known:
            return self._known[id(module)], kind
        return kind.lower(), kind

    def attribute(self, module: Module | None, tensor: Tensor) -> str:
        """Returns what a module calls a parameter or buffer of its own; "" if it is not its own.

        A frozen parameter comes as another tensor on the same memory.
        """
        if module is not None:
            for name, own in (*module._parameters.items(), *module._buffers.items()):
                if own is tensor or (own is not None and _same_memory(own, tensor)):
                    return name
        return ""


def _same_memory(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.numel() > 0
