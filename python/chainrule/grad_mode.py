"""Whether operations are recorded: no_grad, enable_grad, set_grad_enabled.

Each is a context manager and a decorator over one flag of the calling thread, which the core keeps.
Leaving restores what entering found, also when one no_grad object is entered twice.
"""

from __future__ import annotations

from chainrule import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

# Code flags of functions whose body does not run when they are called (inspect.CO_GENERATOR,
# CO_COROUTINE, CO_ASYNC_GENERATOR; importing inspect for three numbers would be slow).
_SUSPENDED = 0x20 | 0x80 | 0x200


def _decorate(function: F, enter: Callable[[], Any], name: str) -> F:
    """Wraps `function` so that each call runs inside a fresh `enter()`."""
    from functools import wraps

    code = getattr(function, "__code__", None)
    if code is not None and code.co_flags & _SUSPENDED:
        raise TypeError(
            f"{name}: {function.__qualname__} is a generator or coroutine function; a decorator "
            f"would leave the mode before the body runs; use `with {name}():` inside the body"
        )

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with enter():
            return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


class _Mode:
    """A fixed mode; subclasses say which."""

    __slots__ = ("_previous",)
    _enabled: bool
    _previous: list[bool]

    def __new__(cls, function: Any = None) -> Any:
        self = object.__new__(cls)
        self._previous = []
        return self if function is None else self(function)

    def __enter__(self) -> None:
        self._previous.append(_C.set_grad_enabled(self._enabled))

    def __exit__(self, *exception: object) -> None:
        _C.set_grad_enabled(self._previous.pop())

    def __call__(self, function: F) -> F:
        return _decorate(function, type(self), type(self).__name__)


class no_grad(_Mode):
    """Stops recording: results inside have `requires_grad=False`.

    Use it as `with no_grad():`, or as a decorator, `@no_grad()` or `@no_grad`.

    Raises:
        TypeError: It decorates a generator or coroutine function.

    Example:
        >>> x = cr.ones(2, requires_grad=True)
        >>> with cr.no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False

    Source: torch.no_grad.
    """

    __slots__ = ()
    _enabled = False


class enable_grad(_Mode):
    """Records again inside `no_grad`.

    Use it as `with enable_grad():`, or as a decorator, `@enable_grad()` or `@enable_grad`.

    Raises:
        TypeError: It decorates a generator or coroutine function.

    Example:
        >>> x = cr.ones(2, requires_grad=True)
        >>> with cr.no_grad(), cr.enable_grad():
        ...     y = x * 2
        >>> y.requires_grad
        True

    Source: torch.enable_grad.
    """

    __slots__ = ()
    _enabled = True


class set_grad_enabled:
    """Switches recording on or off: at once, for the block of a `with`, or for a function as `@`.

    Args:
        mode: Whether operations are recorded.

    Raises:
        TypeError: It decorates a generator or coroutine function.

    Example:
        >>> with cr.set_grad_enabled(False):
        ...     cr.is_grad_enabled()
        False
        >>> cr.is_grad_enabled()
        True

    Source: torch.set_grad_enabled.
    """

    __slots__ = ("_mode", "_previous")

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._previous: bool = _C.set_grad_enabled(self._mode)

    def __enter__(self) -> None:
        _C.set_grad_enabled(self._mode)

    def __exit__(self, *exception: object) -> None:
        _C.set_grad_enabled(self._previous)

    def __call__(self, function: F) -> F:
        """Decorates a function: it runs in this mode."""
        _C.set_grad_enabled(self._previous)
        mode = self._mode
        return _decorate(function, lambda: set_grad_enabled(mode), "set_grad_enabled")
