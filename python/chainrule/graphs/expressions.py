r"""Writes the formulas of ops and of their derivatives, as text and as LaTeX.

A formula is nested tuples: ("label", name), ("number", digits), ("upstream", name) for the gradient
that arrives, or (op, attributes, argument...). What is written infix and how tightly it binds comes
from the op table; LaTeX needs amsmath, which MathJax and KaTeX have.
"""

from __future__ import annotations

import re
from functools import cache

from chainrule import _C
from chainrule.graphs.latex_names import latex_name, latex_number
from chainrule.graphs.numbers import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Expression = tuple[Any, ...]
    """A formula as nested tuples; see the top of the file."""

LEAVES = ("label", "number", "upstream")
LOOSEST, TIGHTEST = 0, 9
_COMPARISONS = 2  # they and what binds looser do not chain
_NO_END = str(2**63 - 1)  # of a slice to the end
_ATOM = re.compile(r"(d[\w.]+/d)?[\w.]+(\([\d, ]*\))?(\[\d+\])?'*")


class Text:
    """Writes an expression as Python would: "w2 * (w1 * x + b1)"."""

    def __call__(self, expression: Expression, around: float = LOOSEST) -> str:
        """Returns the text of a formula.

        Args:
            expression: The formula.
            around: How tightly the place binds that it stands in: parentheses are put around what
                binds looser.
        """
        text, binds = self.write(*without_squares(expression))
        return self.parenthesized(text) if binds < around else text

    def write(self, op: str, *rest: Any) -> tuple[str, float]:
        """Returns the text of one formula and how tightly it binds."""
        if op == "number":
            return self.number(rest[0])
        if op in LEAVES:
            return self.label(rest[0])
        attributes, *arguments = rest
        special = getattr(self, f"write_{op}", None)
        found: tuple[str, float] | None = special and special(attributes, *arguments)
        if found:
            return found
        infix, binds, _ = _C._op_facts(op)
        if infix is None:
            return self.call(op, attributes, arguments), TIGHTEST
        if len(arguments) == 1:
            return self.prefix(infix, self(arguments[0], binds)), binds
        left, right = self.sides(infix, binds)
        return self.infix(op, infix, self(arguments[0], left), self(arguments[1], right)), binds

    def sides(self, infix: str, binds: float) -> tuple[float, float]:
        """Returns how tightly both sides of an operator must bind."""
        if infix == "**":
            return binds + 1, binds
        return binds + (binds <= _COMPARISONS), binds + 1

    # ---- what LaTeX writes otherwise ----

    def parenthesized(self, text: str) -> str:
        """The text in parentheses."""
        return f"({text})"

    def number(self, digits: str) -> tuple[str, float]:
        """A number; a negative one binds like any sum, so that it is never a bare operand."""
        if "*" in digits or " " in digits:  # a size such as 3*N or N - 1
            return digits, LOOSEST
        return digits, _C._op_facts("add")[1] if digits.startswith("-") else TIGHTEST

    def label(self, name: str) -> tuple[str, float]:
        """What a node is called."""
        name = printable(name)
        return name, TIGHTEST if is_atom(name) else LOOSEST

    def prefix(self, operator: str, argument: str) -> str:
        """An operator before what it is applied to."""
        return operator + argument

    def infix(self, op: str, operator: str, left: str, right: str) -> str:
        """An operator between two texts."""
        return f"{left} {operator} {right}"

    def call(self, op: str, attributes: dict[str, Any], arguments: list[Expression]) -> str:
        """A function of its arguments."""
        words = [self(argument) for argument in arguments]
        return f"{op}({', '.join(words + [f'{k}={v}' for k, v in shown(op, attributes).items()])})"

    # ---- what neither writes as a call ----

    def write_slice(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float]:
        """Some of the elements."""
        return self(x, TIGHTEST) + self.place(**attributes), TIGHTEST

    write_select = write_slice

    def write_index(self, _: dict[str, Any], x: Expression, *at: Expression) -> tuple[str, float]:
        """The elements at some places."""
        return f"{self(x, TIGHTEST)}[{', '.join(map(self, at))}]", TIGHTEST

    write_embedding = write_index

    def write_place(self, attributes: dict[str, Any]) -> tuple[str, float]:
        """Where a slice lies."""
        return self.place(**attributes), TIGHTEST

    def place(self, dim: int, **attributes: int) -> str:
        """Where a slice lies, as Python writes it: "[:, 1:3]"."""
        if "index" in attributes:
            text = str(attributes["index"])
        else:
            start, stop, step = (str(attributes[name]) for name in ("start", "stop", "step"))
            text = f"{start if start != '0' else ''}:{stop if stop != _NO_END else ''}"
            text += f":{step}" if step != "1" else ""
        before = ":, " * dim if dim >= 0 else "..., "
        return f"[{before}{text}{', :' * (-dim - 1)}]"

    def write_called(self, attributes: dict[str, Any], *x: Expression) -> tuple[str, float]:
        """A function that is no op."""
        return self.call(attributes["name"], {}, list(x)), TIGHTEST

    def write_iverson(self, _: dict[str, Any], condition: Expression) -> tuple[str, float]:
        """1 where something holds, else 0."""
        return f"[{self(condition)}]", TIGHTEST

    def write_repeat(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float]:
        """The same along more dims."""
        return self.call("repeat", {"dim": attributes["dim"]}, [x]), TIGHTEST

    def write_ones(self, attributes: dict[str, Any]) -> tuple[str, float]:
        """A tensor of ones."""
        return f"ones{shape_text(attributes['shape'])}", TIGHTEST

    def write_as(self, _: dict[str, Any], x: Expression) -> tuple[str, float]:
        """The same as a column."""
        return self.write(*without_squares(x))

    def write_permute(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float] | None:
        """The transpose of matrices, if it is one."""
        return (f"{self(x, TIGHTEST)}.mT", TIGHTEST) if is_transpose(attributes["dims"]) else None

    def write_mul(
        self, attributes: dict[str, Any], a: Expression, b: Expression
    ) -> tuple[str, float] | None:
        """-1 times something is its negative."""
        return self.write("neg", {}, b) if a == ("number", "-1") else None


class Latex(Text):
    r"""Writes an expression as LaTeX: "w_{2} \cdot \left(w_{1} \cdot x + b_{1}\right)"."""

    _FUNCTIONS = dict.fromkeys(("sin", "cos", "tanh", "log", "max", "min"), "") | {
        "amax": r"\max",
        "amin": r"\min",
        "maximum": r"\max",
        "minimum": r"\min",
        "sigmoid": r"\sigma",
        "ndtr": r"\Phi",
        "normal_pdf": r"\varphi",
    }
    _OPERATORS = {  # noqa: RUF012 - nobody changes it
        "*": r"\cdot",
        "@": r"\,",
        ">=": r"\ge",
        "<=": r"\le",
        "==": "=",
        "!=": r"\ne",
        "&": r"\land",
        "|": r"\lor",
        "~": r"\lnot ",
    }

    def parenthesized(self, text: str) -> str:
        """The text in parentheses that grow with it."""
        return rf"\left({text}\right)"

    def number(self, digits: str) -> tuple[str, float]:
        """A number, with its power of ten."""
        _, binds = super().number(digits)
        text = latex_number(digits)
        return text, min(binds, _C._op_facts("mul")[1]) if "cdot" in text else binds

    def label(self, name: str) -> tuple[str, float]:
        """What a node is called."""
        return latex_name(name), super().label(name)[1]

    def prefix(self, operator: str, argument: str) -> str:
        """An operator before what it is applied to."""
        return self._OPERATORS.get(operator, operator) + argument

    def infix(self, op: str, operator: str, left: str, right: str) -> str:
        """An operator between two texts."""
        return f"{left} {self._OPERATORS.get(operator, operator)} {right}"

    def call(self, op: str, attributes: dict[str, Any], arguments: list[Expression]) -> str:
        """A function of its arguments, with its attributes below."""
        below = ", ".join(
            f"{latex_name(name)}={latex_number(str(value))}" if name != "dim" else numbers(value)
            for name, value in shown(op, attributes).items()
        )
        words = ", ".join(self(argument) for argument in arguments)
        return self.function(op) + (f"_{{{below}}}" if below else "") + self.parenthesized(words)

    def function(self, op: str) -> str:
        """The name of a function."""
        if op in self._FUNCTIONS:
            return self._FUNCTIONS[op] or rf"\{op}"
        return rf"\operatorname{{{op}}}".replace("_", r"\_")

    def place(self, dim: int, **attributes: int) -> str:
        """Where a slice lies."""
        return super().place(dim, **attributes).replace(":", "{:}").replace("...", r"\ldots")

    def write_iverson(self, _: dict[str, Any], condition: Expression) -> tuple[str, float]:
        """1 where something holds, else 0."""
        return rf"\left[{self(condition)}\right]", TIGHTEST

    def write_ones(self, attributes: dict[str, Any]) -> tuple[str, float]:
        """A tensor of ones."""
        sizes = r" \times ".join(map(str, attributes["shape"]))
        return rf"\mathbf{{1}}_{{{sizes}}}", TIGHTEST

    def write_div(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """A fraction."""
        return rf"\frac{{{self(a)}}}{{{self(b)}}}", _C._op_facts("div")[1]

    def write_pow(self, _: dict[str, Any], a: Expression, b: Expression) -> tuple[str, float]:
        """A power."""
        return f"{{{self(a, TIGHTEST)}}}^{{{self(b)}}}", _C._op_facts("pow")[1]

    def write_permute(self, attributes: dict[str, Any], x: Expression) -> tuple[str, float] | None:
        """The transpose of matrices, if it is one."""
        if not is_transpose(attributes["dims"]):
            return None
        return rf"{{{self(x, TIGHTEST)}}}^{{\top}}", _C._op_facts("pow")[1]

    def write_exp(self, _: dict[str, Any], x: Expression) -> tuple[str, float]:
        """The exponential function."""
        return f"e^{{{self(x)}}}", _C._op_facts("pow")[1]

    def write_sqrt(self, _: dict[str, Any], x: Expression) -> tuple[str, float]:
        """A square root."""
        return rf"\sqrt{{{self(x)}}}", TIGHTEST

    def write_abs(self, _: dict[str, Any], x: Expression) -> tuple[str, float]:
        """An absolute value."""
        return rf"\left|{self(x)}\right|", TIGHTEST

    def write_where(
        self, _: dict[str, Any], condition: Expression, a: Expression, b: Expression
    ) -> tuple[str, float]:
        """Two cases."""
        rows = rf"{self(a)} & \text{{if }} {self(condition)} \\ {self(b)} & \text{{else}}"
        return rf"\begin{{cases}} {rows} \end{{cases}}", LOOSEST


def as_text(expression: Expression | None) -> str:
    """Returns a formula as one writes it in Python, or "" for None.

    Example:
        >>> from chainrule.graphs.expressions import as_text
        >>> as_text(("mul", {}, ("number", "2"), ("add", {}, ("label", "a"), ("label", "b"))))
        '2 * (a + b)'
    """
    return Text()(expression) if expression else ""


def as_latex(expression: Expression | None) -> str:
    r"""Returns a formula as LaTeX for math mode, or "" for None.

    Example:
        >>> from chainrule.graphs.expressions import as_latex
        >>> print(as_latex(("div", {}, ("number", "1"), ("label", "y_hat"))))
        \frac{1}{\hat{y}}
    """
    return Latex()(expression) if expression else ""


def is_atom(text: str) -> bool:
    """Is this one word, which never needs parentheses?"""
    return _ATOM.fullmatch(text) is not None


def derivative_name(of: str, by: str) -> str:
    """Returns what a derivative is called, "dL/dw2"; what is no plain name is in parentheses."""
    text = Text()
    return f"d{text(('label', of), TIGHTEST)}/d{text(('label', by), TIGHTEST)}"


def substituted(expression: Expression, by: dict[Any, Expression]) -> Expression:
    """Returns a formula in which some labels, those in `by`, are formulas; whole leaves may be."""
    if expression[0] == "label":
        return by.get(expression[1], expression)
    if expression[0] == "number":
        return by.get(expression, expression)
    if expression[0] in LEAVES:
        return expression
    return (*expression[:2], *(substituted(argument, by) for argument in expression[2:]))


def labels_in(expression: Expression) -> list[str]:
    """Returns the labels in a formula in their order, each once."""
    if expression[0] in LEAVES:
        return [expression[1]] if expression[0] == "label" else []
    return list(dict.fromkeys(label for part in expression[2:] for label in labels_in(part)))


def size_of(expression: Expression) -> int:
    """Returns how many leaves and ops a formula has."""
    return 1 if expression[0] in LEAVES else 1 + sum(map(size_of, expression[2:]))


def without_squares(expression: Expression) -> Expression:
    """A square as the power of 2 that it is."""
    if expression[0] == "square":
        return ("pow", {}, expression[2], ("number", "2"))
    return expression


def is_transpose(dims: tuple[int, ...]) -> bool:
    """Do these dims of a permute swap the last two?"""
    n = len(dims)
    return n >= 2 and tuple(dims) == (*range(n - 2), n - 1, n - 2)


def shown(op: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes that say something: none that are always so, no empty list of dims."""
    usual = _defaults(op) if attributes else {}
    return {
        name: _plainly(name, value)
        for name, value in attributes.items()
        if value is not False and value != () and (name == "dim" or str(value) != usual.get(name))
    }


def _plainly(name: str, value: Any) -> Any:
    """A dtype by its name, one dim as an int."""
    is_one = name == "dim" and isinstance(value, tuple) and len(value) == 1
    return value[0] if is_one else getattr(value, "name", value)


@cache
def _defaults(op: str) -> dict[str, str]:
    """As text: a size that is not known yet cannot be compared with a number."""
    found = _C._op_defaults(op) if op in _C.op_names() else {}
    return {name: str(value) for name, value in found.items()}


def shape_text(shape: tuple[Any, ...]) -> str:
    """A shape as Python writes it; a size that is not known yet is a letter."""
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def numbers(value: object) -> str:
    """Some ints without the parentheses of a tuple."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
