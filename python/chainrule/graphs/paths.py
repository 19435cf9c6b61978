"""The nodes between a result and what it is differentiated by, and the paths through them."""

from __future__ import annotations

from chainrule.graphs.expressions import LEAVES, size_of, substituted
from chainrule.graphs.numbers import number_text
from chainrule.graphs.steps import local_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule.graphs.derivation import Derivation
    from chainrule.graphs.expressions import Expression
    from chainrule.graphs.graph import Graph

_WRITTEN_OUT = 16
"""A formula grows to at most so many leaves and ops by writing out nodes without a name."""

_ARITHMETIC = frozenset(("add", "sub", "mul", "div", "neg", "pow", "square"))
_FOLDED = 8
ONE = ("number", "1")


class Factor:
    """One partial derivative: of a node by its input k."""

    def __init__(self, between: Between, node: int, k: int) -> None:
        graph = between.graph
        self.by = graph.nodes[node].inputs[k][0]
        self._between = between
        self._graph = graph
        self._raw = _of_scalar(graph._derivative(node, k))
        value = local_value(graph, graph.nodes[node], k)
        self.value: float | None = None if value is None else value.item()

    def symbols(self, is_short: bool = False) -> Expression:
        """The derivative, with what it is taken by written out if that is used nowhere else.

        Args:
            is_short: With the labels of all nodes instead.
        """
        if is_short:
            return self._raw
        node = self._graph.nodes[self.by]
        named = {}
        if node.op and node.name and self._between.uses[self.by] == 1:
            named = {node.label: self._graph._expression(node.id)}
        return self._between.written_out(self._raw, named)

    def numbers(self) -> Expression:
        """The same with numbers: sums and products of those of the labels, else the result."""
        assert self.value is not None
        with_numbers = substituted(self._raw, self._between.numbers())
        if not _is_arithmetic(with_numbers):
            return ("number", number_text(self.value))
        return with_numbers


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
    """

    def __init__(self, graph: Graph, of: int, wrt: int) -> None:
        self.graph, self.of, self.wrt = graph, of, wrt
        nodes = graph.nodes
        self.uses = [0] * len(nodes)
        for node in nodes:
            for id, _ in node.inputs:
                self.uses[id] += 1
        self._values: dict[str, Expression] | None = None
        leads = {wrt}
        self.inputs: dict[int, list[int]] = {}
        for node in nodes[wrt + 1 : of + 1]:
            places = [
                k
                for k, ref in enumerate(node.inputs)
                if ref[0] in leads
                and nodes[ref[0]].dtype(ref[1]).is_floating_point
                and graph._derivative(node.id, k)
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

    def is_scalar(self) -> bool:
        """Are all values on the paths, and beside them, single numbers?"""
        nodes = self.graph.nodes
        beside = {ref for id in self.inputs for ref in nodes[id].inputs}
        return all(nodes[id].shape(k) == () for id, k in beside | {(self.of, 0)})

    def edges(self) -> list[Edge]:
        """The edges between the nodes that keep their name, consumers first.

        A node that nobody named, with one way in and one way out, is folded into what uses it.
        """
        users: dict[int, int] = {}
        for id, places in self.inputs.items():
            for k in places:
                used = self.graph.nodes[id].inputs[k][0]
                users[used] = users.get(used, 0) + 1
        found = []
        kept = {self.of}
        for id in sorted(self.inputs, reverse=True):
            if id not in kept:
                continue
            for k in self.inputs[id]:
                factors = [Factor(self, id, k)]
                folded: list[int] = []
                while len(folded) < _FOLDED and self._folds(factors[-1].by, users):
                    folded.append(factors[-1].by)
                    factors.append(Factor(self, folded[-1], self.inputs[folded[-1]][0]))
                kept.add(factors[-1].by)
                found.append(Edge(id, factors[-1].by, factors, folded))
        return found

    def _folds(self, id: int, users: dict[int, int]) -> bool:
        if id in (self.of, self.wrt) or self.graph.nodes[id].name:
            return False
        return len(self.inputs[id]) == 1 and users[id] == 1

    # ---- formulas ----

    def written_out(self, formula: Expression, by: dict[str, Expression]) -> Expression:
        """A formula with `by` put in, and nodes without a name written out while it stays short."""
        formula = substituted(formula, by)
        for _ in range(6):
            longer = substituted(formula, self._unnamed())
            if longer == formula or size_of(longer) > _WRITTEN_OUT:
                break
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
        """Do all nodes on the paths and beside them have values?"""
        refs = {ref for id in self.inputs for ref in self.graph.nodes[id].inputs} | {(self.of, 0)}
        return all(self.graph.value(ref) is not None for ref in refs)


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
    arguments = [_of_scalar(argument) for argument in derivative[2:]]
    if derivative[0] in ("cast", "clone", "mul") and arguments[0] == ONE:
        return arguments[-1]
    return (*derivative[:2], *arguments)


def _is_arithmetic(formula: Expression) -> bool:
    if formula[0] in LEAVES:
        return bool(formula[0] == "number")
    return formula[0] in _ARITHMETIC and all(map(_is_arithmetic, formula[2:]))
