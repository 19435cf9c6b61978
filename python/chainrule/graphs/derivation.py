"""The lines of a derivation, written as text, Markdown or LaTeX."""

from __future__ import annotations

from chainrule.graphs.latex_names import latex_text
from chainrule.graphs.notation import LatexNotation, Notation
from chainrule.graphs.numbers import number_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from chainrule._C import Tensor
    from chainrule.graphs.expressions import Expression

FORMATS = ("text", "markdown", "latex")
_WIDTH = 100


class Math(str):
    """A piece of a line that is a formula, already written in the notation of the derivation."""

    __slots__ = ()


class Derivation:
    """Lines of words and equations, in the order in which they are added.

    Args:
        format: One of FORMATS.
        of: What is differentiated, as the user calls it.
        wrt: What it is differentiated by.
        tensors: The labels that stand for tensors with dims.
    """

    def __init__(self, format: str, of: str, wrt: str, tensors: Iterable[str]) -> None:
        self._format = format
        self.of, self.wrt = of, wrt
        self.notation = (Notation if format == "text" else LatexNotation)(tensors)
        self._lines: list[str] = []
        self._remarks: list[tuple[str, ...]] = []

    # ---- pieces ----

    def derivative(self, by: str) -> Math:
        """The derivative by a node, by its label."""
        return Math(self.notation.derivative(self.of, by))

    def formula(self, expression: Expression) -> Math:
        """A formula."""
        return Math(self.notation(expression))

    def name(self, label: str) -> Math:
        """The label of a node."""
        return Math(self.notation(("label", label)))

    def product(self, factors: list[Expression], is_numbers: bool = False) -> Math:
        """A product; factors that are 1 go."""
        return Math(self.notation.product(factors, is_numbers))

    def sum(self, terms: list[Math]) -> Math:
        """A sum of what is written already."""
        rest = [f" - {t[1:]}" if t.startswith("-") else f" + {t}" for t in terms[1:]]
        return Math("".join([terms[0], *rest]))

    def number(self, value: float) -> Math:
        """A number."""
        return self.formula(("number", number_text(value)))

    def tensor(self, value: Tensor) -> Math:
        """A small tensor in numbers."""
        return Math(self.notation.tensor(value))

    # ---- lines ----

    def say(self, *pieces: str) -> None:
        """Adds a line of words and formulas."""
        if self._format == "latex":
            line = "".join(
                p if isinstance(p, Math) else rf"\text{{{latex_text(p)}}}" for p in pieces
            )
            self._lines.append(f"& {line}")
        elif self._format == "markdown":
            self._lines.append("".join(f"${p}$" if isinstance(p, Math) else p for p in pieces))
        else:
            self._lines.append("".join(pieces))

    def equate(self, sides: list[Math], lead: Math | None = None) -> None:
        """Adds an equation of two or more sides; what repeats the side before it goes.

        Args:
            sides: The sides.
            lead: What the equation is about, to stand before it.
        """
        left, *right = [s for i, s in enumerate(sides) if i == 0 or s != sides[i - 1]]
        if self._format == "latex":
            start = "" if lead is None else rf"& {lead}\colon \\" + "\n"
            rows = [f"{left if i == 0 else ''} &= {side}" for i, side in enumerate(right)]
            self._lines.append(start + " \\\\\n".join(row.strip() for row in rows or [f"& {left}"]))
        elif self._format == "markdown":
            start = "" if lead is None else f"${lead}$:\n\n"
            self._lines.append(f"{start}$$\n{' = '.join([left, *right])}\n$$")
        else:
            start = left if lead is None else f"  {lead}:  {left}"
            line = " = ".join([start, *right])
            if len(line) > _WIDTH and lead is not None:
                self._lines.append(f"  {lead}:")
                start = f"      {left}"
                line = " = ".join([start, *right])
            if len(line) > _WIDTH and len(left) > _WIDTH / 2:
                line = start + "".join(f"\n        = {side}" for side in right)
            elif len(line) > _WIDTH and right:
                indent = "\n" + " " * len(start)
                line = start + indent.join(f" = {side}" for side in right)
            self._lines.append(line)

    def remark(self, *pieces: str) -> None:
        """Adds a line of words and formulas to what is said last."""
        self._remarks.append(pieces)

    def say_remarks(self) -> None:
        """Adds the remarks, and what the functions are that are no ops."""
        for pieces in self._remarks:
            self.say(*pieces)
        for function, meaning in self.notation.glossary():
            self.say(Math(function), f": {meaning}")

    def __str__(self) -> str:
        if self._format == "latex":
            rows = " \\\\\n".join(self._lines)
            return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"
        return ("\n\n" if self._format == "markdown" else "\n").join(self._lines)
