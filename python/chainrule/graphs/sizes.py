"""The size of a batch that is not known yet, as code that asks for a shape sees it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class UnknownSize:
    """A size of a placeholder that depends on N, the size that is known when the graph runs.

    It may stand for a size (in reshape, expand, slices) and divide a tensor. Sums with ints and
    multiples of it are such sizes again; what could not be told from a number is an error. It is no
    int, for Python would divide a float by an int without asking.

    Args:
        value: The int that stands for it inside the library.
        text: How it is written, "N" or "64*N".

    Example:
        >>> with cr.Graph() as g:
        ...     x = g.input("x", shape=(None, 3))
        >>> x.shape, x.shape[0] * 2
        ((N, 3), 2*N)
    """

    __slots__ = ("_text", "_value")

    def __init__(self, value: int, text: str) -> None:
        self._value = value
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def __index__(self) -> NoReturn:  # the library itself reads _value
        self._refuse("as", "an int")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            self._refuse("==", other)
        return isinstance(other, UnknownSize) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    # ---- what can be followed ----

    def __add__(self, other: Any) -> Any:
        return self._with(other, "+", lambda n: self._value + n)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, "+", lambda n: n + self._value)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, "-", lambda n: self._value - n)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, "-", lambda n: n - self._value)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, "*", lambda n: self._value * n)

    def __rmul__(self, other: Any) -> Any:
        return self._with(other, "*", lambda n: n * self._value)

    def __floordiv__(self, other: Any) -> Any:
        divisor = _value_of(other)
        if divisor and self._value % divisor == 0:
            return _size(self._value // divisor)
        return self._refuse("//", other)

    def _with(self, other: Any, operator: str, result: Any) -> Any:
        from chainrule._C import Tensor

        if isinstance(other, Tensor):
            return NotImplemented
        value = _value_of(other)
        if value is None:
            return self._refuse(operator, other)
        combined = result(value)
        if not _can_follow(combined):
            self._refuse(operator, other)
        return _size(combined)

    # ---- what cannot ----

    def _refuse(self, operator: str, other: object) -> NoReturn:
        raise RuntimeError(
            f"size: {self} {operator} {other}; N is not known before the graph runs, and only its "
            "multiples, with a number added, can be followed, all up to a million; divide a tensor "
            "by it, or give the input its whole shape"
        )

    def __float__(self) -> NoReturn:
        self._refuse("as", "a float")

    def __bool__(self) -> NoReturn:
        self._refuse("as", "a truth value")

    def __truediv__(self, other: Any) -> NoReturn:
        self._refuse("/", other)

    def __rtruediv__(self, other: Any) -> Any:
        from chainrule._C import Tensor

        return NotImplemented if isinstance(other, Tensor) else self._refuse("under", other)

    def __rfloordiv__(self, other: Any) -> NoReturn:
        self._refuse("under", other)

    def __neg__(self) -> NoReturn:
        self._refuse("times", -1)

    def __mod__(self, other: Any) -> NoReturn:
        self._refuse("%", other)

    def __pow__(self, other: Any) -> NoReturn:
        self._refuse("**", other)

    def __lt__(self, other: Any) -> NoReturn:
        self._refuse("<", other)

    def __le__(self, other: Any) -> NoReturn:
        self._refuse("<=", other)

    def __gt__(self, other: Any) -> NoReturn:
        self._refuse(">", other)

    def __ge__(self, other: Any) -> NoReturn:
        self._refuse(">=", other)


def _value_of(size: object) -> int | None:
    if isinstance(size, UnknownSize):
        return size._value
    return size if isinstance(size, int) else None


_MOST = 1_000_000


def _can_follow(value: int) -> bool:
    """Whether it is surely times * N + plus, for factors and sums that a model has."""
    from chainrule import _C

    times = (value + _C.unknown_size // 2) // _C.unknown_size
    return abs(times) <= _MOST and abs(value - times * _C.unknown_size) <= _MOST


def _size(value: int) -> Any:
    from chainrule import _C

    return _C._size(value)
