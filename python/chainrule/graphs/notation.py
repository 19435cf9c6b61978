"""How a derivation is written: as plain text, or as LaTeX. The words of both are the same."""

from __future__ import annotations

from chainrule.graphs.expressions import (
    LEAVES,
    LOOSEST,
    TIGHTEST,
    Latex,
    Text,
    is_transpose,
    labels_in,
)
from chainrule.graphs.latex_names import latex_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from chainrule.graphs.expressions import Expression

SUM, PRODUCT = 5, 6  # how tightly + and * bind, as in the op table
BY_ELEMENT = 5.5  # a product by element: W2^T gy ⊙ f'(a), but (gy ⊙ f'(a)) x^T

# Beside the ops there are in a derivation, as formulas:
# ("gradient", {"of", "by"})       d(of)/d(by)
# ("prime", {"op"}, x)             the derivative of a function of one variable, at x
# ("sum_over", {"dim"}, x)         the sum over dims that were broadcast
# ("rule", {"op", "name"}, gy)     the rule of an op that is too long to be written out


class Notation(Text):
    """Writes formulas as mathematics in plain text: w2·h, r^2, W^T gy, gy ⊙ sigmoid'(a).

    Args:
        tensors: The labels that stand for tensors with dims; products of others are written with a
            dot.
    """

    dot, by_element, to = "·", " ⊙ ", " -> "

    def __init__(self, tensors: Iterable[str] = ()) -> None:
        self._tensors = set(tensors)
        self.has_rules = False
        self.seen: dict[str, None] = {}  # the labels written so far, in order

    def add_tensor(self, label: str) -> None:
        """Says that one more label stands for a tensor with dims."""
        self._tensors.add(label)

    def label(self, name: str) -> tuple[str, float]:
        """What a node is called."""
        self.seen[name] = None
        return super().label(name)

    def derivative(self, of: str, by: str) -> str:
        """The name of a derivative."""
        return f"d{self(('label', of), TIGHTEST)}/d{self(('label', by), TIGHTEST)}"

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

    def is_tensor(self, x: Expression) -> bool:
        """Has the value of a formula any dims?"""
        if x[0] in LEAVES:
            return x[0] != "number" and x[1] in self._tensors
        attributes = x[1]
        if x[0] == "gradient":
            return bool(attributes["by"] in self._tensors)
        if "shape" in attributes:
            return bool(attributes["shape"] != ())
        if x[0] in ("sum", "mean") and not attributes["keepdim"] and attributes["dim"] == ():
            return False
        return x[0] in ("sum_over", "rule") or any(map(self.is_tensor, x[2:]))

    # ---- ops ----

    def write(self, op: str, *rest: Any) -> tuple[str, float]:
        """Returns the text of one formula and how tightly it binds."""
        if op == "gradient":
            return self.derivative(**rest[0]), TIGHTEST
        if op == "prime":
            return self.prime(**rest[0]) + self.parenthesized(self(rest[1])), TIGHTEST
        if op == "rule":
            self.has_rules = True
            return self.rule(gy=rest[1], **rest[0]), TIGHTEST
        return super().write(op, *rest)

    def prime(self, op: str) -> str:
        """The name of a derivative of a function of one variable."""
        return f"{op}'"

    def rule(self, op: str, name: str, gy: Expression) -> str:
        """A rule that is too long to be written out."""
        return f"backward_{op}[{name}]({self(gy)})"

    def write_mul(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """A product: with a dot, or by element, or of a number and what stands in parentheses."""
        if a == ("number", "-1"):
            return self.write("neg", {}, b)
        if self.is_tensor(a) and self.is_tensor(b):
            return self(a, BY_ELEMENT) + self.by_element + self(b, BY_ELEMENT), BY_ELEMENT
        left, right = self(a, PRODUCT), self(b, PRODUCT if b[0] == "mul" else PRODUCT + 1)
        is_near = a[0] == "number" and labels_in(b) and right.startswith(("(", r"\left("))
        return left + ("" if is_near else self.dot) + right, PRODUCT

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
        return self.summed(",".join(map(str, attributes["dim"])), x), TIGHTEST

    write_sum_over = write_sum

    def summed(self, dims: str, x: Expression) -> str:
        """A sum over dims."""
        return f"sum{'_' if dims else ''}{dims}{self.parenthesized(self(x))}"

    def write_expand(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float] | None:
        """One number in all places: a product with ones."""
        inner = x
        if x[0] == "reshape" and not self.is_tensor(x[2]):
            inner = x[2]
        elif x[0] == "div" and x[2][0] == "reshape" and not self.is_tensor(x[2][2]):
            inner = ("div", {}, x[2][2], x[3])
        if self.is_tensor(inner):
            return None
        ones = self.ones(attributes["shape"])
        if inner == ("number", "1"):
            return ones, TIGHTEST
        return f"{self(inner, PRODUCT)}{self.dot}{ones}", PRODUCT

    def ones(self, shape: tuple[int, ...]) -> str:
        """A tensor of ones."""
        return f"ones{shape}"


class LatexNotation(Notation, Latex):
    """The same as LaTeX."""

    dot, by_element, to = r" \cdot ", r" \odot ", r" \to "

    def derivative(self, of: str, by: str) -> str:
        """The name of a derivative."""
        return rf"\frac{{d{self(('label', of), TIGHTEST)}}}{{d{self(('label', by), TIGHTEST)}}}"

    def prime(self, op: str) -> str:
        """The name of a derivative of a function of one variable."""
        return f"{self.function(op)}'"

    def rule(self, op: str, name: str, gy: Expression) -> str:
        """A rule that is too long to be written out."""
        words = rf"\operatorname{{backward}}_{{{latex_name(op)}, {latex_name(name)}}}"
        return words + self.parenthesized(self(gy))

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

    def summed(self, dims: str, x: Expression) -> str:
        """A sum over dims."""
        below = rf"_{{\text{{dim }}{dims}}}" if dims else ""
        return rf"\operatorname{{sum}}{below}{self.parenthesized(self(x))}"

    def ones(self, shape: tuple[int, ...]) -> str:
        """A tensor of ones."""
        sizes = r" \times ".join(map(str, shape))
        return rf"\mathbf{{1}}_{{{sizes}}}"
