"""ModuleTree: how a module holds its parameters, buffers and children, and how they are walked.

Invariant: a parameter, buffer or child is in one registry (_parameters, _buffers, _modules), which
gives order and meaning, and under the same name in the instance's __dict__, so that reading
`self.weight` is an ordinary attribute read. Only _register, _replace_by_none and __delattr__ change
either.
"""

from __future__ import annotations

from chainrule._C import Tensor
from chainrule.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from chainrule.nn.module import Module

# The registries, and what a member of each is called in errors.
_REGISTRIES = {"_parameters": "Parameter", "_buffers": "Tensor", "_modules": "Module"}


class ModuleTree:
    """The part of Module that registers attributes and walks them; use it as `nn.Module`."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers: set[str]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self) -> None:
        self.__dict__.update(
            _parameters={}, _buffers={}, _modules={}, _non_persistent_buffers=set()
        )

    # ---- registration ----

    def __setattr__(self, name: str, value: object) -> None:
        registered = self.__dict__.get
        if isinstance(value, Parameter):
            self._register("_parameters", name, value)
        elif isinstance(value, ModuleTree):
            self._register("_modules", name, value)
        elif name in registered("_buffers", ()) and isinstance(value, Tensor):
            self._register("_buffers", name, value)
        elif any(name in registered(registry, ()) for registry in _REGISTRIES):
            self._replace_by_none(name, value)
        else:
            object.__setattr__(self, name, value)

    def _replace_by_none(self, name: str, value: object) -> None:
        registry = next(registry for registry in _REGISTRIES if name in self.__dict__[registry])
        if value is not None:
            kind = _REGISTRIES[registry]
            raise TypeError(
                f"{type(self).__name__}: {name} is set to a {type(value).__name__}; "
                f"it takes a {kind} or None; delete it first to change its kind"
            )
        self.__dict__[registry][name] = self.__dict__[name] = None

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for registry in _REGISTRIES:
            self.__dict__[registry].pop(name, None)
        self._non_persistent_buffers.discard(name)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name.isidentifier()]

    def _register(self, registry: str, name: str, value: object) -> None:
        attributes = self.__dict__
        if registry not in attributes:
            raise AttributeError(
                f"{type(self).__name__}: {name} is assigned before Module.__init__() was called; "
                "a module registers what is assigned to it; call super().__init__() first"
            )
        if name not in attributes[registry]:  # new, or of another kind until now
            for other in _REGISTRIES:
                attributes[other].pop(name, None)
            self._non_persistent_buffers.discard(name)
        attributes[registry][name] = attributes[name] = value

    def _add(self, method: str, registry: str, name: str, value: object, kind: type) -> None:
        """Registers under a name that the caller chose, which may be a bad one."""
        if not isinstance(name, str):
            raise TypeError(f"{method}: name is a {type(name).__name__}; it must be a str")
        if not name or "." in name:
            raise ValueError(f"{method}: name is {name!r}; it must not be empty or contain a dot")
        if hasattr(self, name) and not any(name in self.__dict__[r] for r in _REGISTRIES):
            raise ValueError(
                f"{method}: name is {name!r}; {type(self).__name__} has that attribute already"
            )
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{method}: {name} is a {type(value).__name__}; "
                f"it must be a {_REGISTRIES[registry]} or None"
            )
        self._register(registry, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, or None for an absent one, such as the bias of a layer without bias."""
        self._add("register_parameter", "_parameters", name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that belongs to the state but is not trained.

        Args:
            name: Its attribute name.
            tensor: Any shape and dtype, or None.
            persistent: Whether `state_dict` contains it.
        """
        self._add("register_buffer", "_buffers", name, tensor, Tensor)
        if persistent:
            self._non_persistent_buffers.discard(name)
        else:
            self._non_persistent_buffers.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a child under a name; the same as assigning it to an attribute."""
        self._add("add_module", "_modules", name, module, ModuleTree)

    register_module = add_module

    # ---- walking ----

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yields (dotted name, module): this one, named `prefix`, and all below, parents first."""
        memo = set() if memo is None else memo
        if remove_duplicate:
            if id(self) in memo:
                return
            memo.add(id(self))
        yield prefix, self  # type: ignore[misc]  # every tree is a Module
        for name, child in self._modules.items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yields this module and all modules below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yields (name, module) of the modules directly below this one, each module once."""
        seen: set[int] = set()
        for name, child in self._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yields the modules directly below this one, each once."""
        return (child for _, child in self.named_children())

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, owner in owners:
            for name, member in owner.__dict__[registry].items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yields (dotted name, parameter), in the order of registration, a shared one once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yields the parameters of this module and, if `recurse`, of all below it, each once.

        Example:
            >>> [p.shape for p in nn.Linear(3, 2).parameters()]
            [(2, 3), (2,)]
        """
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yields (dotted name, buffer), in the order of registration, a shared one once."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yields the buffers of this module and, if `recurse`, of all below it, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Returns the module at a dotted path; the empty path is this module.

        Raises:
            AttributeError: There is no module at that path.
        """
        module: Module = self  # type: ignore[assignment]  # every tree is a Module
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(
                    f"get_submodule: target is {target!r}; "
                    f"{type(module).__name__} has no module {name!r}"
                )
            module = child
        return module
