"""Formulas as one writes them on a blackboard: without the steps that only a computer needs.

Beside what expressions.py and notation.py list, a formula may then hold
("as", {"shape"}, x)             x in another shape that mathematics does not tell apart: a column
("repeat", {"dim", "shape"}, x)  x repeated along dims that it has not
("ones", {"shape"})              ones
("called", {"name", "shape"}, x, ...)  a function that is no op; notation.py says what it is
"""

from __future__ import annotations

from chainrule.graphs.expressions import LEAVES, is_transpose
from chainrule.graphs.formula_shapes import Shapes, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from chainrule.graphs.expressions import Expression

    Sizes = tuple[Any, ...]

ONE, ZERO = ("number", "1"), ("number", "0")
_OPPOSITE = {"le": "gt", "lt": "ge", "ge": "lt", "gt": "le"}


class Blackboard(Shapes):
    """Rewrites formulas; those of single numbers keep the order of their factors."""

    def __call__(self, x: Expression) -> Expression:
        """Returns the same formula with less."""
        if x[0] in LEAVES or x[0] == "gradient":
            return x
        x = (*x[:2], *map(self, x[2:]))
        rewrite = getattr(self, f"_{x[0]}", None)
        return rewrite(x) if rewrite else x

    # ---- what says nothing ----

    def _cast(self, x: Expression) -> Expression:
        return x[2]  # type: ignore[no-any-return]

    _clone = _cast

    def _as(self, x: Expression) -> Expression:
        return self._in_shape(x[2], plain(x[1]["shape"]))

    def _in_shape(self, x: Expression, shape: Sizes) -> Expression:
        while x[0] == "as":
            x = x[2]
        before = self.shape(x)
        if before == shape or (before == () and set(shape) <= {1}):
            return x
        return self._numbers_outside(x, lambda inner: ("as", {"shape": shape}, inner))

    def _numbers_outside(
        self, x: Expression, linear: Callable[[Expression], Expression]
    ) -> Expression:
        """What is linear, applied to a formula: to the factors of it that are no numbers."""
        factors = self._factors(x)
        numbers = [factor for factor in factors if self._is_single(factor)]
        rest = [factor for factor in factors if not self._is_single(factor)]
        inner = self._product(rest, x) if numbers and rest else x
        if inner == x or self.shape(inner) != self.shape(x):
            return linear(x)
        outside = linear(inner)
        return self._product([*numbers, outside], outside)

    def _reshape(self, x: Expression) -> Expression:
        """A vector is a column; what has one element is a number."""
        _, attributes, inner = x
        shape, before = plain(attributes["shape"]), self.shape(inner)
        if before is None:
            return x
        if inner[0] == "ones":
            return ("ones", {"shape": shape}) if shape else ONE
        if (dropped := self._without_kept_dims(inner)) and self.shape(dropped) == shape:
            return dropped
        if before == shape or (set(before) | set(shape)) <= {1}:
            return self._in_shape(inner, shape)
        if len(before) == 1 and len(shape) == 2 and 1 in shape:
            column = self._in_shape(inner, (before[0], 1))
            return column if shape[1] == 1 else self._transposed(column)
        if len(before) == 2 and len(shape) == 1 and 1 in before:
            column = inner if before[1] == 1 else self._transposed(inner)
            return self._in_shape(column, shape)
        if len(shape) == 2 and len(before) > 2 and shape[-1] == before[-1]:
            return ("called", {"name": "rows", "shape": shape}, inner)
        return self._out_of_rows(inner, shape) or x

    def _without_kept_dims(self, x: Expression) -> Expression | None:
        """A sum that keeps no dims of size 1; a number may stand before it."""
        at = 3 if x[0] == "mul" else 2
        if x[0] == "neg" or (x[0] in ("mul", "div") and self._is_single(x[5 - at])):
            rest = self._without_kept_dims(x[at])
            return rest and (*x[:at], rest, *x[at + 1 :])
        if x[0] in ("sum", "mean") and x[1]["keepdim"]:
            return (x[0], x[1] | {"keepdim": False}, x[2])
        if x[0] == "sum_over" and len(x[1]["shape"]) == len(self.shape(x[2]) or ()):
            left = tuple(size for d, size in enumerate(x[1]["shape"]) if d not in x[1]["dim"])
            return (x[0], x[1] | {"shape": left}, x[2])
        return None

    def _out_of_rows(self, x: Expression, shape: Sizes) -> Expression | None:
        """A product of rows, in the shape that they had before."""
        if x[0] == "called" and x[1]["name"] == "rows" and self.shape(x[2]) == shape:
            return x[2]  # type: ignore[no-any-return]
        if x[0] in ("mul", "neg") and not self._is_single(x):
            parts = [a if self._is_single(a) else self._out_of_rows(a, shape) for a in x[2:]]
            return None if None in parts else (*x[:2], *parts)
        if x[0] != "matmul" or x[2][0] != "called" or x[2][1]["name"] != "rows":
            return None
        found: Expression = ("matmul", {}, x[2][2], x[3])
        return found if self.shape(found) == shape else None

    def _expand(self, x: Expression) -> Expression:
        _, attributes, inner = x
        shape, before = plain(attributes["shape"]), self.shape(inner)
        if before == shape:
            return inner  # type: ignore[no-any-return]
        if before is not None and set(before) <= {1}:
            return self._mul(("mul", {}, inner, ("ones", {"shape": shape})))
        return x if before is None else self._repeated(inner, before, shape)

    def _repeated(self, x: Expression, before: Sizes, shape: Sizes) -> Expression:
        extra = len(shape) - len(before)
        dims = tuple(
            d for d, size in enumerate(shape) if d < extra or (before[d - extra] == 1 != size)
        )
        return self._repeat(("repeat", {"dim": dims, "shape": shape}, x))

    def _repeat(self, x: Expression) -> Expression:
        def repeated(inner: Expression) -> Expression:
            is_row = inner[0] == "permute" and inner[2][0] == "as"
            inner = inner[2] if is_row else inner
            while inner[0] in ("as", "reshape"):
                inner = inner[2]
            before = self.shape(inner) if inner[0] == "label" else None
            is_column = before is not None and len(before) == 2 and before[1] == 1 != before[0]
            if is_column and len(x[1]["shape"]) == 2 and x[1]["dim"] == (0,):
                inner = self._transposed(inner)  # it was a vector in between
            is_ones = inner[0] == "ones" or inner == ONE
            return ("ones", {"shape": x[1]["shape"]}) if is_ones else (*x[:2], inner)

        return self._numbers_outside(x[2], repeated)

    def _exp(self, x: Expression) -> Expression:
        return ("softmax", *x[2][1:]) if x[2][0] == "log_softmax" else x

    def _where(self, x: Expression) -> Expression:
        """1 or 0 is written [c]; what is 1 above 0 and -1 below is the sign."""
        condition, a, b = x[2:]
        if (a, b) == (ONE, ZERO):
            return ("iverson", {}, condition)
        if (a, b) == (ZERO, ONE) and condition[0] in _OPPOSITE:
            return ("iverson", {}, (_OPPOSITE[condition[0]], *condition[1:]))
        is_sign = condition[0] == "gt" and condition[3] == ZERO and a == ONE and b[0] == "where"
        if is_sign and b[2:4] == (("lt", *condition[1:]), ("number", "-1")):
            return ("called", {"name": "sign"}, condition[2])
        return x

    def _called(self, x: Expression) -> Expression:
        if x[1]["name"] not in ("scatter", "rows"):
            return x
        if x[1]["name"] == "scatter" and set(plain(x[1]["shape"])) <= {1} and self._is_single(x[2]):
            return x[2]  # type: ignore[no-any-return]
        return self._numbers_outside(x[2], lambda inner: (*x[:2], inner, *x[3:]))

    def _slice(self, x: Expression) -> Expression:
        if self.shape(x[2]) == ():  # of a number that a reshape gave a dim
            return x[2]  # type: ignore[no-any-return]
        if x[2][0] == "ones" and (shape := self.shape(x)) is not None:
            return ("ones", {"shape": shape}) if shape else ONE
        return self._numbers_outside(x[2], lambda inner: (*x[:2], inner))

    _select = _slice

    # ---- sums and products ----

    def _neg(self, x: Expression) -> Expression:
        inner = x[2]
        if inner[0] == "number" and inner != ZERO:
            return ("number", inner[1][1:] if inner[1].startswith("-") else f"-{inner[1]}")
        return inner[2] if inner[0] == "neg" else x

    def _add(self, x: Expression) -> Expression:
        _, _, a, b = self._aligned(x)
        return ("sub", {}, a, b[2]) if b[0] == "neg" else ("add", {}, a, b)

    def _sub(self, x: Expression) -> Expression:
        _, _, a, b = self._aligned(x)
        return ("add", {}, a, b[2]) if b[0] == "neg" else ("sub", {}, a, b)

    def _aligned(self, x: Expression) -> Expression:
        """A column beside a matrix is repeated; dims of size 1 that a reshape made, too."""
        shape = self.shape(x)
        if not shape:
            return x
        found = []
        for argument in x[2:]:
            before = self.shape(argument)
            is_made = argument[0] in ("as", "reshape") and before is not None and before != shape
            found.append(self._repeated(argument, before or (), shape) if is_made else argument)
        return (*x[:2], *found)

    def _mul(self, x: Expression) -> Expression:
        x = self._aligned(x)
        if ONE in x[2:]:
            return x[3] if x[2] == ONE else x[2]  # type: ignore[no-any-return]
        if self._is_single(x):
            return _squared(x)
        return self._product([*self._factors(x[2]), *self._factors(x[3])], x)

    def _div(self, x: Expression) -> Expression:
        _, _, a, b = x = self._aligned(x)
        if b == ONE:
            return a  # type: ignore[no-any-return]
        if a == b and a[0] in ("iverson", "sum") and self._is_single(a):
            return ONE
        if a[0] == "neg":
            return self._neg(("neg", {}, self._div(("div", {}, a[2], b))))
        if a[0] == "div" and a[3] == b and b[0] != "number":
            return ("div", {}, a[2], ("square", {}, b))
        if b[0] == "number" and not self._is_single(x):
            return self._product(self._factors(x), x)
        return x

    def _matmul(self, x: Expression) -> Expression:
        """Numbers go before the product."""
        _, _, a, b = x
        if self._is_single(a) or self._is_single(b):
            return self._mul(("mul", {}, a, b))
        if a[0] == "called" and a[1]["name"] == "diag" and a[2][0] == "ones":
            return b  # type: ignore[no-any-return]
        front: list[Expression] = []
        sides = []
        for side in (a, b):
            factors = self._factors(side)
            numbers = [factor for factor in factors if self._is_single(factor)]
            rest = [factor for factor in factors if not self._is_single(factor)]
            if not numbers or not rest:
                sides.append(side)
                continue
            front += numbers
            sides.append(self._product(rest, side))
        product = ("matmul", {}, *sides)
        return self._product([*front, product], product) if front else product

    def _factors(self, x: Expression) -> list[Expression]:
        """The factors of a product; what it is divided by is a factor ("over", {}, number)."""
        if x[0] == "mul":
            return [*self._factors(x[2]), *self._factors(x[3])]
        if x[0] == "neg":
            return [("number", "-1"), *self._factors(x[2])]
        if x[0] == "div" and x[3][0] == "number":
            return [("over", {}, x[3]), *self._factors(x[2])]
        if x[0] == "div" and x[2][0] == "number" and x[2] != ONE:
            return [x[2], ("div", {}, ONE, x[3])]
        if x[0] == "div" and x[2] != ONE and self._is_single(x[3]):
            return [*self._factors(x[2]), ("div", {}, ONE, x[3])]
        return [x]

    def _product(self, factors: list[Expression], like: Expression) -> Expression:
        """The product: numbers first, without ones beside a tensor of the same shape."""
        numbers = [f for f in factors if f[0] == "number" and f != ONE]
        over = [f[2] for f in factors if f[0] == "over"]
        single = [f for f in factors if f[0] not in ("number", "over") and self._is_single(f)]
        rest = [f for f in factors if f[0] != "over" and not self._is_single(f)]
        shape = self.shape(like)
        for ones in [f for f in rest if f[0] == "ones"]:
            others = [f for f in rest if f is not ones]
            if any(self.shape(f) == shape for f in others):
                rest = others
        above, below = _multiplied(numbers), _multiplied(over)
        is_negative = above[1].startswith("-")
        if is_negative:
            above = ("number", above[1][1:])
        if above == below:
            above = below = ONE
        above_all = [f for f in rest if not _is_inverse(f)]
        product = _chained(above_all) if above_all else ONE if rest else None
        for factor in filter(_is_inverse, rest):
            product = ("div", {}, product, factor[3])
        for factor in reversed([f for f in single if not _is_inverse(f)]):
            product = factor if product is None else ("mul", {}, factor, product)
        for factor in filter(_is_inverse, single):
            product = ("div", {}, ONE if product is None else product, factor[3])
        if product is None:
            product = above
        elif below != ONE and above == ONE:
            product = ("div", {}, product, below)
        elif above != ONE:
            number = above if below == ONE else ("div", {}, above, below)
            product = ("mul", {}, number, product)
        return self._neg(("neg", {}, product)) if is_negative else product

    def _is_single(self, x: Expression) -> bool:
        shape = self.shape(x)
        return x[0] == "over" or (shape is not None and set(shape) <= {1})

    # ---- transposes ----

    def _permute(self, x: Expression) -> Expression:
        _, attributes, inner = x
        if is_transpose(attributes["dims"]):
            return self._transposed(inner)
        return x

    def _transposed(self, x: Expression) -> Expression:
        """A product is transposed factor by factor, in the other order."""
        shape = self.shape(x)
        if x[0] == "permute" and is_transpose(x[1]["dims"]):
            return x[2]  # type: ignore[no-any-return]
        if shape is not None and set(shape[-2:]) <= {1}:
            return x
        if x[0] == "matmul":
            return ("matmul", {}, self._transposed(x[3]), self._transposed(x[2]))
        if x[0] in ("neg", "mul", "div"):
            return self._numbers_outside(x, self._flipped)
        if x[0] == "ones":
            sizes = x[1]["shape"]
            return ("ones", {"shape": (*sizes[:-2], sizes[-1], sizes[-2])})
        return self._flipped(x)

    def _flipped(self, x: Expression) -> Expression:
        if x[0] in ("permute", "matmul", "ones"):
            return self._transposed(x)
        n = len(self.shape(x) or (0, 0))
        return ("permute", {"dims": (*range(n - 2), n - 1, n - 2)}, x)

    # ---- sums over dims ----

    def _sum(self, x: Expression) -> Expression:
        op, attributes, inner = x
        shape = self.shape(inner)
        if shape is None:
            return x
        if shape == ():
            return inner  # type: ignore[no-any-return]
        dims = tuple(sorted(d % len(shape) for d in attributes["dim"]))
        if dims == (0,) and inner[0] == "called" and inner[1]["name"] == "rows":
            before = self.shape(inner[2]) or ()
            dims, inner = tuple(range(len(before) - 1)), inner[2]
        attributes = attributes | {"dim": dims}
        return self._numbers_outside(inner, lambda rest: (op, attributes, rest))

    _mean = _sum_over = _sum

    def _softmax(self, x: Expression) -> Expression:
        """Along the last dim, which nobody mentions."""
        shape = self.shape(x[2])
        is_last = shape and x[1]["dim"] in (-1, len(shape) - 1, (-1,), (len(shape) - 1,))
        return (x[0], {"dim": ()}, x[2]) if is_last else x

    _log_softmax = _softmax


def _is_inverse(x: Expression) -> bool:
    return bool(x[0] == "div" and x[2] == ONE)


def _squared(x: Expression) -> Expression:
    return ("square", {}, x[2]) if x[2] == x[3] and x[2][0] != "number" else x


def _chained(factors: list[Expression]) -> Expression:
    """A product by element; of one thing twice in a row it has the square."""
    kept: list[Expression] = []
    for factor in factors:
        twice = bool(kept) and kept[-1] == factor
        kept[-1:] = [("square", {}, factor)] if twice else [*kept[-1:], factor]
    product = kept[0]
    for factor in kept[1:]:
        product = ("mul", {}, product, factor)
    return product


def _as_float(digits: str) -> float | None:
    try:
        return float(digits)
    except ValueError:
        return None


def _multiplied(numbers: list[Expression]) -> Expression:
    """A product of numbers; sizes that are not known keep their letter."""
    product, letters = 1.0, []
    for _, digits in numbers:
        value = _as_float(digits)
        if value is None:
            letters.append(f"({digits})" if " " in digits else digits)
        else:
            product *= value
    if product == 1 and len(numbers) == 1:
        return numbers[0]
    text = f"{product:.9g}"
    if not letters:
        return ("number", text)
    return ("number", "*".join([text, *letters] if text != "1" else letters))
