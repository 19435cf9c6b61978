"""Forward hooks: functions a module calls around its forward, and the handles that remove them.

A hook is kept as (function, wants keyword arguments) in the dict of its module, keyed by its
handle's id.
"""

from __future__ import annotations

from itertools import count
from weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from chainrule.nn.module import Module

    Hook = Callable[..., Any]
    HookDict = dict[int, tuple[Hook, bool]]

_ids = count()


class _Hooks(dict):  # type: ignore[type-arg]
    """A dict that a handle can refer to weakly."""

    __slots__ = ("__weakref__",)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as a dict does, in the old protocols as well, which refuse slots."""
        return (type(self), (), None, None, iter(self.items()))


class RemovableHandle:
    """Removes one hook: by `remove()`, or at the end of a `with` block.

    Example:
        >>> layer = nn.ReLU()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output + 1)
        >>> layer(cr.zeros(2))
        tensor([1., 1.])
        >>> handle.remove()
        >>> layer(cr.zeros(2))
        tensor([0., 0.])

    Source: torch.utils.hooks.RemovableHandle.
    """

    def __init__(self, hooks: HookDict) -> None:
        self.id = next(_ids)
        self._hooks = ref(hooks)

    def remove(self) -> None:
        """Removes the hook; calling it again does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def new_hooks() -> HookDict:
    """Returns an empty hook dict."""
    return _Hooks()


def add_hook(hooks: HookDict, hook: Hook, prepend: bool, with_kwargs: bool) -> RemovableHandle:
    """Adds a hook as the last of a module's hooks, or with `prepend` as the first."""
    handle = RemovableHandle(hooks)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle.id] = (hook, with_kwargs)
    hooks.update(others)
    return handle


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls forward between the hooks; a hook's result, unless None, replaces what it saw."""
    for hook, with_kwargs in tuple(module._forward_pre_hooks.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise TypeError(
                        f"forward pre-hook: it returned a {type(changed).__name__}; "
                        "a hook with kwargs must return None or (args, kwargs)"
                    )
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    output = module.forward(*args, **kwargs)
    for hook, with_kwargs in tuple(module._forward_hooks.values()):
        changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        if changed is not None:
            output = changed
    return output
