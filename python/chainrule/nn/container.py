"""Modules in order: Sequential, which calls one after the other, and ModuleList, which holds them.

Invariant: the children of a container are its items, in order. Names are positions, except those
that a dict given to Sequential chose; a change in the middle numbers the children anew.
"""

from __future__ import annotations

from chainrule.nn.module import Module, indent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TypeVar, overload

    Self = TypeVar("Self", bound="_ModuleSequence")


class _ModuleSequence(Module):
    """What both containers do as lists."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._items())

    def __contains__(self, module: object) -> bool:
        return any(item is module for item in self._items())

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Module: ...
        @overload
        def __getitem__(self: Self, index: slice) -> Self: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._slice(index)
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), _checked(self, module))

    def __delitem__(self, index: int | slice) -> None:
        items = self._items()
        if not isinstance(index, slice):
            self._name(index)
        del items[index]
        self._replace(items)

    def append(self: Self, module: Module) -> Self:
        """Adds a module at the end; returns this container."""
        self.add_module(str(len(self)), _checked(self, module))
        return self

    def extend(self: Self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end; returns this container."""
        for module in [_checked(self, module) for module in modules]:
            self.append(module)
        return self

    def insert(self: Self, index: int, module: Module) -> Self:
        """Adds a module before the one at `index`, counted as in a list; returns this container."""
        items = self._items()
        items.insert(index, _checked(self, module))
        self._replace(items)
        return self

    def pop(self, index: int = -1) -> Module:
        """Removes the module at `index` and returns it."""
        module = self[index]
        del self[index]
        return module

    def _items(self) -> list[Module]:
        return list(self._modules.values())  # type: ignore[arg-type]

    def _slice(self: Self, index: slice) -> Self:
        raise NotImplementedError(
            f"{type(self).__name__}: it was sliced; define _slice(self, index)"
        )

    def _name(self, index: int) -> str:
        names = list(self._modules)
        try:
            return names[index]
        except IndexError:
            raise IndexError(
                f"{type(self).__name__}: index is {index}; "
                f"it must be in [{-len(names)}, {len(names)})"
            ) from None

    def _replace(self, items: list[Module]) -> None:
        for name in list(self._modules):
            delattr(self, name)
        for i, module in enumerate(items):
            self.add_module(str(i), module)


def _checked(container: Module, module: object) -> Module:
    if not isinstance(module, Module):
        raise TypeError(
            f"{type(container).__name__}: a {type(module).__name__} arrived; "
            "every item must be a Module"
        )
    return module


class Sequential(_ModuleSequence):
    """y = last(...second(first(x))).

    Args:
        *modules: The modules in order, or one dict from names to modules.

    Call:
        input: What the first module takes. Returns what the last one returns.

    Raises:
        TypeError: An item is not a Module.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        >>> model(cr.zeros(5, 3)).shape
        (5, 2)
        >>> model[:2]
        Sequential(
          (0): Linear(in_features=3, out_features=4, bias=True)
          (1): Tanh()
        )

    Source: torch.nn.Sequential.
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = enumerate(modules)
        if len(modules) == 1 and isinstance(modules[0], dict):
            named = modules[0].items()  # type: ignore[assignment]
        for name, module in named:
            self.add_module(str(name), _checked(self, module))

    def forward(self, input: Any) -> Any:
        """Returns the input after every module in turn."""
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def _slice(self: Self, index: slice) -> Self:
        return type(self)(dict(list(self._modules.items())[index]))  # type: ignore[call-arg]


class ModuleList(_ModuleSequence):
    """A list of modules that registers them; it has no forward.

    Args:
        modules: The modules in order.

    Raises:
        TypeError: An item is not a Module.

    Example:
        >>> nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        ModuleList(
          (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
        )

    Source: torch.nn.ModuleList.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _slice(self: Self, index: slice) -> Self:
        return type(self)(self._items()[index])  # type: ignore[call-arg]

    def __repr__(self) -> str:
        groups: list[list[Any]] = []  # [first index, last index, text]: equal neighbours print once
        for i, module in enumerate(self):
            text = repr(module)
            if groups and groups[-1][2] == text:
                groups[-1][1] = i
            else:
                groups.append([i, i, text])
        lines = [
            f"({first}): {text}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in groups
        ]
        return f"ModuleList(\n  {indent(chr(10).join(lines))}\n)" if lines else "ModuleList()"
