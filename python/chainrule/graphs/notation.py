"""How a derivation is written: as plain text, or as LaTeX. The words of both are the same."""

from __future__ import annotations

from chainrule import _C
from chainrule.graphs.expressions import (
    LEAVES,
    LOOSEST,
    TIGHTEST,
    Latex,
    Text,
    is_transpose,
    labels_in,
    shape_text,
)
from chainrule.graphs.latex_names import latex_number
from chainrule.graphs.numbers import number_text, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from chainrule._C import Tensor
    from chainrule.graphs.expressions import Expression

SUM, PRODUCT = 5, 6  # how tightly + and * bind, as in the op table
BY_ELEMENT = 5.5  # a product by element: W2^T gy ⊙ f'(a), but (gy ⊙ f'(a)) x^T

# Beside the ops there are in a derivation, as formulas:
# ("gradient", {"of", "by", "is_partial"})  d(of)/d(by)
# ("prime", {"op"}, x)             the derivative of a function of one variable, at x
# ("sum_over", {"dim"}, x)         the sum over dims that were broadcast
# and those that blackboard.py lists.

_MEANINGS = {
    "iverson": ("[c]", "1 where c holds, 0 elsewhere"),
    "scatter": (
        "scatter(g, i)",
        "each element of g, added into zeros at the place i from where it was taken",
    ),
    "rows": ("rows(a)", "a with all dims but the last as one"),
    "repeat": ("repeat(a)", "a repeated along the dims that are named"),
    "onehot": ("onehot(t)", "1 at the position that t says, 0 elsewhere"),
    "causal": ("causal(s)", "s with -inf where a key comes after its query"),
    "correlate": (
        "correlate(x, g)",
        "for each weight the sum, over all windows, of g there times the element of x that it met",
    ),
    "conv_transpose2d": (
        "conv_transpose2d(g, w)",
        "g of each window times the kernel w, added up where windows overlap",
    ),
}
"""What the functions mean that are no ops."""


class Notation(Text):
    """Writes formulas as mathematics in plain text: w2·h, r^2, W^T gy, gy ⊙ sigmoid'(a).

    Args:
        tensors: The labels that stand for tensors with dims; products of others are written with a
            dot.
    """

    dot, by_element, to = "·", " ⊙ ", " -> "

    def __init__(self, tensors: Iterable[str] = ()) -> None:
        self._tensors = set(tensors)
        self._functions: set[str] = set()  # that are no ops, and were written
        self.seen: dict[str, None] = {}  # the labels written so far, in order

    def add_tensor(self, label: str) -> None:
        """Says that one more label stands for a tensor with dims."""
        self._tensors.add(label)

    def label(self, name: str) -> tuple[str, float]:
        """What a node is called."""
        self.seen[name] = None
        return super().label(name)

    def derivative(self, of: str, by: str, is_partial: bool = False) -> str:
        """The name of a derivative."""
        d = "∂" if is_partial else "d"
        return f"{d}{self(('label', of), TIGHTEST)}/{d}{self(('label', by), TIGHTEST)}"

    def glossary(self) -> list[tuple[str, str]]:
        """The functions that were written and are no ops, with what they mean."""
        found = [_MEANINGS[name] for name in _MEANINGS if name in self._functions]
        return [(self.function_name(text), meaning) for text, meaning in found]

    def function_name(self, text: str) -> str:
        """How a function is written in the glossary."""
        return text

    def path(self, labels: list[str]) -> str:
        """The nodes of a path."""
        return self.to.join(self(("label", label)) for label in labels)

    def product(self, factors: list[Expression], is_numbers: bool = False) -> str:
        """A product; factors that are 1 go.

        Args:
            factors: The factors.
            is_numbers: Close together, "2·(-3)·17", not "2·r · h".
        """
        kept = [factor for factor in factors if factor != ("number", "1")]
        if len(kept) < 2:
            return self(kept[0]) if kept else "1"
        words = [self(kept[0], LOOSEST if kept[0][0] == "number" else PRODUCT)]
        for factor in kept[1:]:
            word = self(factor, PRODUCT)
            is_loose = word.startswith("-") or (factor[0] == "div" and " / " in word)
            words.append(self.parenthesized(word) if is_loose else word)
        return (self.dot if is_numbers else f" {self.dot.strip()} ").join(words)

    def tensor(self, value: Tensor) -> str:
        """A small tensor in numbers."""
        return short(value)

    def is_tensor(self, x: Expression) -> bool:
        """Has the value of a formula any dims?"""
        if x[0] in LEAVES:
            return x[0] != "number" and x[1] in self._tensors
        attributes = x[1]
        if x[0] == "gradient":
            return bool(attributes["by"] in self._tensors)
        if "shape" in attributes:
            return bool(attributes["shape"] != ())
        if attributes.get("dim") == () and attributes.get("keepdim") is False:
            return False
        return x[0] == "sum_over" or any(map(self.is_tensor, x[2:]))

    # ---- ops ----

    def write(self, op: str, *rest: Any) -> tuple[str, float]:
        """Returns the text of one formula and how tightly it binds."""
        if op == "gradient":
            return self.derivative(**rest[0]), TIGHTEST - 1
        if op == "prime":
            return self.prime(**rest[0]) + self.parenthesized(self(rest[1])), TIGHTEST
        return super().write(op, *rest)

    def prime(self, op: str) -> str:
        """The name of a derivative of a function of one variable."""
        return f"{op}'"

    def write_mul(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """A product: with a dot, or by element, or of a number and what stands in parentheses."""
        while b[0] == "as":
            b = b[2]
        if a == ("number", "-1"):
            return self.write("neg", {}, b)
        if self.is_tensor(a) and self.is_tensor(b):
            return self(a, BY_ELEMENT) + self.by_element + self(b, BY_ELEMENT), BY_ELEMENT
        left, right = (
            self(a, PRODUCT),
            self(b, PRODUCT if b[0] in ("mul", "matmul") else PRODUCT + 1),
        )
        if a[0] == "div" and a[2][0] == a[3][0] == "number":  # a fraction, that ends where it ends
            return f"{self.fraction(a)} {self.dot.strip()} {right}", PRODUCT
        if right.startswith("-"):
            right = self.parenthesized(right)
        is_near = a[0] == "number" and labels_in(b) and right.startswith(("(", r"\left("))
        return left + ("" if is_near else self.dot) + right, PRODUCT

    def fraction(self, x: Expression) -> str:
        """A fraction of numbers."""
        return f"{self(x[2])}/{self(x[3], PRODUCT + 1)}"

    def sides(self, infix: str, binds: float) -> tuple[float, float]:
        """Returns how tightly both sides of an operator must bind."""
        return (SUM, BY_ELEMENT) if infix in "+-" else super().sides(infix, binds)

    def write_add(
        self, _: dict[str, Any], a: Expression, b: Expression
    ) -> tuple[str, float] | None:
        """A sum; one on the right needs no parentheses."""
        right = self(b, SUM)
        text = self.parenthesized(right) if right.startswith("-") else right
        return f"{self(a, SUM)} + {text}", SUM

    def write_linear(
        self, _: dict[str, Any], x: Expression, weight: Expression, *bias: Expression
    ) -> tuple[str, float]:
        """X W^T + b."""
        product: Expression = ("matmul", {}, x, ("permute", {"dims": (1, 0)}, weight))
        return self.write("add", {}, product, *bias) if bias else self.write(*product)

    def write_neg(self, _: dict[str, Any], x: Expression) -> tuple[str, float]:
        """The negative of a product, which needs no parentheses."""
        text = self(x, BY_ELEMENT)
        return "-" + (self.parenthesized(text) if text.startswith("-") else text), SUM

    def write_matmul(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """A product of matrices: side by side."""
        return f"{self(a, PRODUCT)} {self(b, PRODUCT + 1)}", PRODUCT

    def write_pow(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """A power."""
        return f"{self(a, TIGHTEST)}^{self(b, TIGHTEST)}", TIGHTEST - 1

    def write_permute(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float] | None:
        """The transpose of matrices, if it is one."""
        if not is_transpose(attributes["dims"]):
            return None
        return f"{self(x, TIGHTEST)}^T", TIGHTEST - 1

    def write_sum(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float]:
        """A sum over all dims, or some."""
        return self.over_dims("sum", attributes["dim"], x), TIGHTEST

    write_sum_over = write_sum

    def write_mean(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float]:
        """A mean over all dims, or some."""
        return self.over_dims("mean", attributes["dim"], x), TIGHTEST

    def over_dims(self, function: str, dims: tuple[int, ...], x: Expression) -> str:
        """A function over dims."""
        below = ",".join(map(str, dims))
        return f"{function}{'_' if below else ''}{below}{self.parenthesized(self(x))}"

    def write_repeat(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float]:
        """The same along more dims."""
        self._functions.add("repeat")
        return self.over_dims("repeat", attributes["dim"], x), TIGHTEST

    def write_called(self, attributes: dict[str, Any], *x: Expression) -> tuple[str, float]:
        """A function that is no op."""
        self._functions.add(attributes["name"])
        return super().write_called(attributes, *x)

    def write_iverson(self, attributes: dict[str, Any], condition: Expression) -> tuple[str, float]:
        """1 where something holds, else 0."""
        self._functions.add("iverson")
        return super().write_iverson(attributes, condition)

    def write_eq(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """Are both equal?"""
        binds = _C._op_facts("eq")[1]
        return f"{self(a, binds + 1)} = {self(b, binds + 1)}", binds

    def write_reshape(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float]:
        """The same elements in another shape."""
        return f"reshape({self(x)}, {shape_text(attributes['shape'])})", TIGHTEST


class LatexNotation(Notation, Latex):
    """The same as LaTeX."""

    dot, by_element, to = r" \cdot ", r" \odot ", r" \to "

    def derivative(self, of: str, by: str, is_partial: bool = False) -> str:
        """The name of a derivative."""
        d = r"\partial " if is_partial else "d"
        return rf"\frac{{{d}{self(('label', of), TIGHTEST)}}}{{{d}{self(('label', by), TIGHTEST)}}}"

    def function_name(self, text: str) -> str:
        """How a function is written in the glossary."""
        name, bracket, rest = text.partition("(")
        return rf"{self.function(name)}({rest}" if bracket else text

    def prime(self, op: str) -> str:
        """The name of a derivative of a function of one variable."""
        return f"{self.function(op)}'"

    def write_reshape(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float]:
        """The same elements in another shape."""
        shape = shape_text(attributes["shape"])
        return rf"\operatorname{{reshape}}\left({self(x)}, {shape}\right)", TIGHTEST

    def write_matmul(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """A product of matrices: side by side."""
        return rf"{self(a, PRODUCT)} \, {self(b, PRODUCT + 1)}", PRODUCT

    def write_pow(
        self, attributes: dict[str, Any], a: Expression, b: Expression
    ) -> tuple[str, float]:
        """A power."""
        return Latex.write_pow(self, attributes, a, b)

    def write_permute(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float] | None:
        """The transpose of matrices, if it is one."""
        return Latex.write_permute(self, attributes, x)

    def fraction(self, x: Expression) -> str:
        """A fraction of numbers."""
        return self(x)

    def tensor(self, value: Tensor) -> str:
        """A small tensor in numbers: a vector is a column."""
        if value.ndim not in (1, 2) or not value.numel():
            return short(value)
        rows = value.reshape(len(value), -1).tolist()
        lines = [" & ".join(latex_number(number_text(x)) for x in row) for row in rows]
        body = r" \\ ".join(lines)
        return rf"\begin{{bmatrix}} {body} \end{{bmatrix}}"

    def over_dims(self, function: str, dims: tuple[int, ...], x: Expression) -> str:
        """A function over dims."""
        below = rf"_{{\text{{dim }}{','.join(map(str, dims))}}}" if dims else ""
        return rf"\operatorname{{{function}}}{below}{self.parenthesized(self(x))}"
