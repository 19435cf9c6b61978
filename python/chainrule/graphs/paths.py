"""The nodes between a result and what it is differentiated by, and the paths through them."""

from __future__ import annotations

from collections import Counter
from operator import add, mul, neg, sub, truediv

from chainrule.graphs.blackboard import ONE, Blackboard
from chainrule.graphs.expressions import LEAVES, size_of, substituted
from chainrule.graphs.numbers import number_text
from chainrule.graphs.steps import local_value
from chainrule.graphs.textbook import gradient_of_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from chainrule.graphs.derivation import Derivation
    from chainrule.graphs.expressions import Expression
    from chainrule.graphs.graph import Graph
    from chainrule.graphs.textbook import Gradient

_WRITTEN_OUT = 16
"""A formula grows to at most so many leaves and ops by writing out nodes without a name."""

_COMPUTED: dict[str, Callable[..., Any]] = {
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": truediv,
    "neg": neg,
    "pow": pow,
    "square": lambda a: a * a,
}
_ARITHMETIC = frozenset(_COMPUTED)
_FOLDED = 8
VIEWS = frozenset(("permute", "reshape", "expand", "cast", "clone"))
"""Ops that mathematics has no name for: what they make is written out."""


class Factor:
    """One partial derivative: of a node by one of its inputs, in all places where it stands."""

    def __init__(self, between: Between, node: int, places: list[int]) -> None:
        graph = between.graph
        self.by = graph.nodes[node].inputs[places[0]][0]
        self._between = between
        self._graph = graph
        self._parts = [between.partial(node, k) for k in places]
        values = [local_value(graph, graph.nodes[node], k, of_any_op=True) for k in places]
        self._values = [value.item() for value in values if value is not None]
        self.value = sum(self._values) if len(self._values) == len(places) else None

    def symbols(self, is_short: bool = False) -> Expression:
        """The derivative, with what it is taken by written out if that is used nowhere else.

        Args:
            is_short: With the labels of all nodes instead.
        """
        if is_short:
            return sum_of(self._parts)
        node = self._graph.nodes[self.by]
        named = {}
        if node.op and node.name and self._between.uses[self.by] == 1:
            named = {node.label: self._graph._expression(node.id)}
        parts = [self._between.written_out(part, named) for part in self._parts]
        return sum_of([self._between.simplified(part) for part in parts])

    def numbers(self) -> Expression:
        """The same with numbers: sums and products of those of the labels, else the result."""
        found = []
        for part, value in zip(self._parts, self._values, strict=True):
            with_numbers = substituted(part, self._between.numbers())
            is_plain = _is_arithmetic(with_numbers) and _is_near(_value(with_numbers), value)
            found.append(with_numbers if is_plain else ("number", number_text(value)))
        return sum_of(found)


class Edge:
    """What is between two nodes that keep their name: one factor, or more where nodes are folded.

    Attributes:
        user: The node that uses the other, by id.
        used: The node that is used.
        factors: The partial derivatives from `user` to `used`.
        folded: The nodes between them, from `user` to `used`.
    """

    def __init__(self, user: int, used: int, factors: list[Factor], folded: list[int]) -> None:
        self.user, self.used, self.factors, self.folded = user, used, factors, folded

    def value(self) -> float:
        """The product of the factors."""
        product = 1.0
        for factor in self.factors:
            assert factor.value is not None
            product *= factor.value
        return product


class Between:
    """The nodes on the paths from `of` to `wrt` that gradients take.

    Attributes:
        on_path: Their ids, inputs first; empty where no gradient passes.
        inputs: For each of them but `wrt` the places of the inputs that are on a path.
        uses: How often each node of the whole graph is used.
        shapes: The shape of each label.
        simplified: Writes a formula as on a blackboard.
    """

    def __init__(self, graph: Graph, of: int, wrt: int) -> None:
        self.graph, self.of, self.wrt = graph, of, wrt
        nodes = graph.nodes
        self.uses = [0] * len(nodes)
        for node in nodes:
            for id, _ in node.inputs:
                self.uses[id] += 1
        self._values: dict[str, Expression] | None = None
        self._rules: dict[tuple[int, int], Gradient | None] = {}
        self.shapes = {
            graph._label((node.id, k)): node.shape(k) for node in nodes for k in range(node.outputs)
        }
        self.simplified = Blackboard(self.shapes)
        self._views = {
            node.label: graph._expression(node.id)
            for node in nodes
            if node.op in VIEWS and not node.name
        }
        leads = {wrt}
        self.inputs: dict[int, list[int]] = {}
        for node in nodes[wrt + 1 : of + 1]:
            places = [
                k
                for k, ref in enumerate(node.inputs)
                if ref[0] in leads
                and nodes[ref[0]].dtype(ref[1]).is_floating_point
                and self.gradient(node.id, k)
            ]
            if places:
                leads.add(node.id)
                self.inputs[node.id] = places
        reached = {of}
        for id in range(of, wrt, -1):
            if id in reached:
                reached.update(nodes[id].inputs[k][0] for k in self.inputs.get(id, ()))
        self.on_path = sorted(leads & reached) if of in leads else []
        self.inputs = {id: self.inputs[id] for id in self.on_path if id != wrt}

    def gradient(self, node: int, k: int) -> Gradient | None:
        """The gradient of input k of a node by that of the node."""
        if (node, k) not in self._rules:
            self._rules[node, k] = gradient_of_input(self.graph, self.graph.nodes[node], k)
        return self._rules[node, k]

    def partial(self, node: int, k: int) -> Expression:
        """The derivative of a node by its input k, both numbers."""
        rule = self.gradient(node, k)
        assert rule is not None, "paths go where gradients pass"
        formula = self.graph._derivative(node, k) if rule.where else rule.formula
        return self.simplified(_of_scalar(formula))

    def is_scalar(self) -> bool:
        """Are all values on the paths, and beside them, single numbers?"""
        nodes = self.graph.nodes
        beside = {ref for id in self.inputs for ref in nodes[id].inputs}
        return all(nodes[id].shape(k) == () for id, k in beside | {(self.of, 0)})

    def edges(self) -> list[Edge]:
        """The edges between the nodes that keep their name, consumers first.

        A node that nobody named, with one way in and one way out, is folded into what uses it,
        unless another edge has the same ends: a partial derivative has one meaning only.
        """
        users: dict[int, int] = {}
        for id in self.inputs:
            for used in self._places(id):
                users[used] = users.get(used, 0) + 1
        found = []
        kept = {self.of}
        for id in sorted(self.inputs, reverse=True):
            if id not in kept:
                continue
            for places in self._places(id).values():
                factors = [Factor(self, id, places)]
                folded: list[int] = []
                while len(folded) < _FOLDED and self._folds(factors[-1].by, users):
                    folded.append(factors[-1].by)
                    (places,) = self._places(folded[-1]).values()
                    factors.append(Factor(self, folded[-1], places))
                kept.add(factors[-1].by)
                found.append(Edge(id, factors[-1].by, factors, folded))
        return self._told_apart(found)

    def _places(self, id: int) -> dict[int, list[int]]:
        """For each node that is used by this one the places where it stands."""
        places: dict[int, list[int]] = {}
        for k in self.inputs[id]:
            places.setdefault(self.graph.nodes[id].inputs[k][0], []).append(k)
        return places

    def _folds(self, id: int, users: dict[int, int]) -> bool:
        if id in (self.of, self.wrt) or self.graph.nodes[id].name:
            return False
        return len(self._places(id)) == 1 and users[id] == 1

    def _told_apart(self, edges: list[Edge]) -> list[Edge]:
        """The same edges; of those with the same ends the last node that was folded is kept."""
        counts = Counter((edge.user, edge.used) for edge in edges)
        counts[self.of, self.wrt] = 1  # these are whole paths: no partial derivative is named
        found = []
        for edge in edges:
            if edge.folded and counts[edge.user, edge.used] > 1:
                kept, *folded = edge.folded
                found.append(Edge(edge.user, kept, edge.factors[:1], []))
                found.append(Edge(kept, edge.used, edge.factors[1:], folded))
            else:
                found.append(edge)
        return sorted(found, key=lambda edge: -edge.user)

    # ---- formulas ----

    def written_out(self, formula: Expression, by: dict[str, Expression]) -> Expression:
        """A formula with `by` put in, and nodes without a name written out while it stays short."""
        formula = self._without_views(substituted(formula, by))
        for _ in range(6):
            longer = self._without_views(substituted(formula, self._unnamed()))
            if longer == formula or size_of(longer) > _WRITTEN_OUT or products_in(longer) > 2:
                break
            formula = longer
        return formula

    def _without_views(self, formula: Expression) -> Expression:
        """A formula with what mathematics has no name for written out."""
        while (longer := substituted(formula, self._views)) != formula:
            formula = longer
        return formula

    def _unnamed(self) -> dict[str, Expression]:
        if not hasattr(self, "_formulas"):
            self._formulas = {
                node.label: self.graph._expression(node.id)
                for node in self.graph.nodes
                if node.op
                and not node.name
                and node.outputs == 1
                and len(node.attributes) <= 2
                and self.uses[node.id] == 1
            }
        return self._formulas

    def numbers(self) -> dict[str, Expression]:
        """The values of all 0-d nodes by label, as numbers in a formula."""
        if self._values is None:
            self._values = {}
            for node in self.graph.nodes:
                value = self.graph.value((node.id, 0))
                if value is not None and value.ndim == 0 and node.kind != "constant":
                    self._values[node.label] = ("number", number_text(value.item()))
        return self._values

    def names(self, to: Derivation) -> dict[int, str]:
        """What both ends are called in a derivation: as the user called them."""
        return {self.of: to.of, self.wrt: to.wrt}

    def has_run(self) -> bool:
        """Do all nodes on the paths and beside them have values, of one run?"""
        refs = {ref for id in self.inputs for ref in self.graph.nodes[id].inputs} | {(self.of, 0)}
        return not self.graph._is_stale() and all(self.graph.value(ref) is not None for ref in refs)


def products_in(formula: Expression) -> int:
    """How many products of matrices there are: a layer counts as two, so that one is enough."""
    if formula[0] in LEAVES:
        return 0
    own = {"matmul": 1, "linear": 2, "conv2d": 2, "scaled_dot_product_attention": 3}
    return own.get(formula[0], 0) + sum(map(products_in, formula[2:]))


def sum_of(terms: list[Expression]) -> Expression:
    """A sum of one or more formulas."""
    total = terms[0]
    for term in terms[1:]:
        total = ("add", {}, total, term)
    return total


def paths_through(edges: list[Edge], of: int, wrt: int, limit: int) -> list[list[Edge]] | None:
    """Returns all paths from `of` to `wrt`; None if there are more than `limit`."""
    counts = {wrt: 1}
    by_user: dict[int, list[Edge]] = {}
    for edge in reversed(edges):  # what is used comes first
        counts[edge.user] = counts.get(edge.user, 0) + counts[edge.used]
        by_user.setdefault(edge.user, []).append(edge)
    if counts[of] > limit:
        return None
    unfinished: list[list[Edge]] = [[edge] for edge in reversed(by_user[of])]
    found = []
    while unfinished:
        path = unfinished.pop(0)
        if path[-1].used == wrt:
            found.append(path)
        else:
            unfinished[:0] = [[*path, edge] for edge in reversed(by_user[path[-1].used])]
    return found


def _of_scalar(derivative: Expression) -> Expression:
    """The rule of an op that is not elementwise, for a gradient of 1."""
    if derivative[0] == "upstream":
        return ONE
    if derivative[0] in LEAVES:
        return derivative
    return (*derivative[:2], *map(_of_scalar, derivative[2:]))


def _value(formula: Expression) -> float:
    """What a reader computes from the digits that are written."""
    if formula[0] == "number":
        try:
            return float(formula[1])
        except ValueError:  # a size that is not known
            return float("nan")
    a, *b = map(_value, formula[2:])
    try:
        return float(_COMPUTED[formula[0]](a, *b))
    except (ArithmeticError, TypeError):  # by zero, too large, the root of a negative number
        return float("nan")


def _is_near(found: float, value: float) -> bool:
    return found != found or value != value or abs(found - value) <= 1e-3 * abs(value)


def _is_arithmetic(formula: Expression) -> bool:
    if formula[0] in LEAVES:
        return bool(formula[0] == "number")
    return formula[0] in _ARITHMETIC and all(map(_is_arithmetic, formula[2:]))
