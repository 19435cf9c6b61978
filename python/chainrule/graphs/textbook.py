"""Reads gradients that ops write out by hand; see Note [Gradients as on a blackboard]."""

from __future__ import annotations

import ast

from chainrule import _C
from chainrule.graphs.expressions import as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from chainrule.graphs.expressions import Expression
    from chainrule.graphs.graph import Graph
    from chainrule.graphs.nodes import GraphNode

UPSTREAM = ("upstream", "gy")
_LIKE_THE_INPUT = ("scatter", "correlate", "conv_transpose2d")
"""Functions that are no ops, whose result has the shape of the input that the gradient is of."""
_OPERATORS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}


class Gradient:
    """The gradient of one input of a node, as its op writes it.

    Attributes:
        formula: It, by the gradient that arrives, ("upstream", "gy").
        where: What the names in it mean that are not labels: formulas, or words.
    """

    def __init__(self, formula: Expression, where: dict[str, Expression | str]) -> None:
        self.formula, self.where = formula, where

    def meanings(self) -> str:
        """What the names mean, ", where n is the number of rows"; "" where there are none."""
        found = [
            f"{name} is {what}" if isinstance(what, str) else f"{name} = {as_text(what)}"
            for name, what in self.where.items()
        ]
        return f", where {', '.join(found)}" if found else ""

    def __str__(self) -> str:
        return as_text(self.formula) + self.meanings()


def gradient_of_input(graph: Graph, node: GraphNode, k: int) -> Gradient | None:
    """The gradient of input k of a node by that of the node; None where none passes."""
    rule = graph._derivative(node.id, k)
    if rule is None:
        return None
    text = graph._textbook(node.id, k)
    return _Reader(graph, node, k).read(text) if text else Gradient(rule, {})


class _Reader:
    """Reads the text of one node; its names stand for labels, numbers and formulas."""

    def __init__(self, graph: Graph, node: GraphNode, k: int) -> None:
        self._graph, self._node = graph, node
        shapes = [graph.nodes[id].shape(output) for id, output in node.inputs]
        self._shapes_of_functions = dict.fromkeys(_LIKE_THE_INPUT, shapes[k]) | {
            "onehot": shapes[0]
        }
        self._labels = {node.label for node in graph.nodes}
        self._where: dict[str, Expression | str] = {}
        self._names: dict[str, Any] = dict(node.attributes)
        inputs = [self._value_of(ref) for ref in node.inputs]
        self._names |= dict(zip(_C._op_inputs(node.op), inputs, strict=False))
        self._names |= {f"x{k}": value for k, value in enumerate(inputs)}
        self._names |= {"indices": inputs[1:], "gy": UPSTREAM}
        self._names["place"] = ("place", node.attributes)
        for k in range(node.outputs):
            self._names[f"y{k}" if k else "y"] = ("label", graph._label((node.id, k)))
        self._repeat_what_was_reduced()
        if len(shapes) > 1:
            n, m = len(shapes[0]), len(shapes[1])
            self._names["leading"] = tuple(range(n - m)) or None
            self._names["trailing"] = tuple(range(n - m, n))

    def _value_of(self, ref: tuple[int, int]) -> Expression:
        node = self._graph.nodes[ref[0]]
        is_number = node.kind == "constant" and node.shape() == ()
        return ("number" if is_number else "label", self._graph._label(ref))

    def _repeat_what_was_reduced(self) -> None:
        """The result of a reduction, and its gradient, stand beside what was reduced."""
        attributes, (id, output) = self._node.attributes, self._node.inputs[0]
        shape = self._graph.nodes[id].shape(output)
        dims = attributes.get("dim", ())
        dims = dims if isinstance(dims, tuple) else (dims,)
        if attributes.get("keepdim", True) or not dims or not shape:
            return
        dims = tuple(sorted(d % len(shape) for d in dims))
        for name in ("gy", "y"):
            self._names[name] = ("repeat", {"dim": dims, "shape": shape}, self._names[name])

    def read(self, text: str) -> Gradient:
        """Reads a text of an op."""
        *definitions, last = ast.parse(text).body
        for line in definitions:
            assert isinstance(line, ast.Assign)
            assert isinstance(line.targets[0], ast.Name)
            given = name = line.targets[0].id
            while name in self._labels:
                name += "_"
            if isinstance(line.value, ast.Constant):
                words = str(line.value.value).format(**self._names)
                self._where[name] = words
                self._names[given] = ("number", name)
            else:
                self._where[name] = self._formula(line.value)
                self._names[given] = ("label", name)
        assert isinstance(last, ast.Expr)
        return Gradient(self._formula(last.value), self._where)

    def _formula(self, tree: ast.expr) -> Any:
        """A formula; of a name or a number that is an option of the op, that."""
        read: Callable[[Any], Any] = getattr(self, f"_{type(tree).__name__.lower()}")
        return read(tree)

    def _operand(self, tree: ast.expr) -> Expression:
        found = self._formula(tree)
        return found if isinstance(found, tuple) else ("number", f"{found:.6g}")

    def _name(self, tree: ast.Name) -> Any:
        return self._names[tree.id]

    def _constant(self, tree: ast.Constant) -> Any:
        return tree.value

    def _unaryop(self, tree: ast.UnaryOp) -> Any:
        found = self._formula(tree.operand)
        return ("neg", {}, found) if isinstance(found, tuple) else -found

    def _binop(self, tree: ast.BinOp) -> Expression:
        left, right = self._operand(tree.left), self._operand(tree.right)
        return (_OPERATORS[type(tree.op)], {}, left, right)

    def _compare(self, tree: ast.Compare) -> Expression:
        left, right = self._operand(tree.left), self._operand(tree.comparators[0])
        return (_OPERATORS[type(tree.ops[0])], {}, left, right)

    def _list(self, tree: ast.List) -> Expression:
        return ("iverson", {}, self._operand(tree.elts[0]))

    def _attribute(self, tree: ast.Attribute) -> Expression:
        """The one there is: x.mT."""
        return ("permute", {"dims": (1, 0)}, self._operand(tree.value))

    def _call(self, tree: ast.Call) -> Expression:
        """A function: of one argument and dims, or of any number of arguments."""
        assert isinstance(tree.func, ast.Name)
        name = tree.func.id
        arguments: list[Any] = []
        for argument in tree.args:
            found = self._formula(argument.value if isinstance(argument, ast.Starred) else argument)
            arguments += found if isinstance(argument, ast.Starred) else [found]
        dims = arguments.pop() if not _is_formula(arguments[-1]) else None
        if name in ("sum", "mean"):
            if dims is None:  # over no dims
                return arguments[0]  # type: ignore[no-any-return]
            is_all = dims == ()
            dims = dims if isinstance(dims, tuple) else (dims,)
            return (name, {"dim": dims, "keepdim": not is_all}, *arguments)
        if name == "softmax":
            shape = self._graph.nodes[self._node.inputs[0][0]].shape(self._node.inputs[0][1])
            dims = tuple(range(len(shape))) if dims == () else dims
            return (name, {"dim": dims}, *arguments)
        if name in _C.op_names():
            return (name, {}, *arguments)
        attributes = {"name": name, "dim": dims, "shape": self._shapes_of_functions.get(name)}
        return ("called", {k: v for k, v in attributes.items() if v is not None}, *arguments)


def _is_formula(found: Any) -> bool:
    return isinstance(found, tuple) and bool(found) and isinstance(found[0], str)
