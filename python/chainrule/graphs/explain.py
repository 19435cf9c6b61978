"""Derivations of gradients as one writes them by hand; see `Graph.explain`."""

from __future__ import annotations

from chainrule.graphs.derivation import FORMATS, Derivation, Math
from chainrule.graphs.expressions import labels_in
from chainrule.graphs.formula_shapes import plain
from chainrule.graphs.matrix_form import gradient_of, matrix_form
from chainrule.graphs.numbers import NO_OUTPUTS, number_text, printable
from chainrule.graphs.paths import Between, Edge, paths_through

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule.graphs.expressions import Expression
    from chainrule.graphs.graph import Graph
    from chainrule.graphs.nodes import GraphNode, Ref

_PATHS = 8
_EDGES = 10
"""More paths than that, or longer ones, are not written out; then it is node by node."""
_NAMES = 20
"""Of so many names there are the error tells some, the nearest first."""
_MEANINGS = 12
"""Of so many nodes that nobody named it is said what they are."""


def explain(graph: Graph, of: str, wrt: str, format: str) -> str:
    """Writes a derivation; see `Graph.explain`."""
    if format not in FORMATS:
        raise ValueError(
            f"explain: the format {format!r}; it must be one of {', '.join(map(repr, FORMATS))}"
        )
    for name in (of, wrt):
        if not isinstance(name, str):
            raise TypeError(f"explain: the name is a {type(name).__name__}; it must be a str")
    if not graph.output_refs:
        raise RuntimeError(f"explain: {NO_OUTPUTS}")
    of_ref, wrt_ref = _found(graph, of), _found(graph, wrt, is_leaf_first=True)
    between = Between(graph, of_ref[0], wrt_ref[0])
    is_scalar = between.is_scalar()
    tensors = [label for label, shape in between.shapes.items() if set(plain(shape)) - {1}]
    called = of
    if of in (node.label for node in graph.nodes if node.id != of_ref[0]):
        called = graph._label(of_ref)
    to = Derivation(format, called, wrt, tensors)
    if called != of:
        to.say("the output ", to.name(of), " is ", to.name(called), ":")
    if of_ref == wrt_ref:
        to.equate([to.derivative(wrt), to.number(1)])
    elif not between.on_path or not graph.nodes[of_ref[0]].dtype(of_ref[1]).is_floating_point:
        to.say(Math(f"{to.derivative(wrt)} = 0"), ": ", *_why_not(graph, of_ref, wrt_ref, to))
    elif is_scalar:
        _explain_scalar(between, to)
        _say_what_is_what(between, to)
    else:
        matrix_form(between, to, of)
        _say_what_is_what(between, to)
    return str(to)


def _found(graph: Graph, name: str, is_leaf_first: bool = False) -> Ref:
    """What has a name: an output, or else a node. Of a graph of gradients both may have it."""
    nodes = [node for node in graph.nodes if node.label == name and node.kind != "constant"]
    if name in graph.output_refs and not (is_leaf_first and nodes and not nodes[0].op):
        return graph.output_refs[name]
    if nodes:
        return nodes[0].id, 0
    labels = [node.label for node in graph.nodes if node.kind != "constant"]
    known = list(dict.fromkeys([*graph.output_refs, *labels]))
    if len(known) > _NAMES:
        from difflib import get_close_matches

        near = get_close_matches(name, known, 3)
        known = [*near, *(other for other in known if other not in near)]
    more = f" and {len(known) - _NAMES} more" if len(known) > _NAMES else ""
    raise ValueError(
        f"explain: the name {name!r}; it must be that of an output or a node of the graph; there "
        f"are {', '.join(map(printable, known[:_NAMES]))}{more}"
    )


def _why_not(graph: Graph, of: Ref, wrt: Ref, to: Derivation) -> tuple[str, ...]:
    """Why a gradient is 0."""
    below = {of[0]}
    for id in range(of[0], wrt[0], -1):
        if id in below:
            below.update(ref[0] for ref in graph.nodes[id].inputs)
    names = to.name(to.of), to.name(to.wrt)
    if wrt[0] not in below:
        return names[0], " does not depend on ", names[1]
    for name, ref in zip(names, (of, wrt), strict=True):
        dtype = graph.nodes[ref[0]].dtype(ref[1])
        if not dtype.is_floating_point:
            return name, f" has dtype {dtype.name}, and only floating values have gradients"
    return "no operation between ", names[1], " and ", names[0], " lets a gradient pass"


def _say_what_is_what(between: Between, to: Derivation) -> None:
    """Adds what the nodes are that nobody named and that were mentioned; last, the remarks."""

    def meaning(node: GraphNode) -> Expression:
        formula: Expression = graph._expression(node.id)
        if not any(between.shapes.get(label) for label in labels_in(formula)):
            return formula  # as the user wrote it
        return between.simplified(between.written_out(formula, {}))

    graph = between.graph
    by_label = {node.label: node for node in graph.nodes if node.op and not node.name}
    said: set[str] = set()
    while True:
        label = next((seen for seen in to.notation.seen if seen in by_label.keys() - said), None)
        if label is None:
            break
        if len(said) == _MEANINGS:
            to.say("and so on; formula(name) writes any node")
            break
        if not said:
            to.say("where")
        said.add(label)
        to.equate([to.name(label), to.formula(meaning(by_label[label]))])
    for node in graph.nodes:
        for k in range(1, node.outputs):
            if (label := graph._label((node.id, k))) in to.notation.seen:
                to.remark(to.name(label), f" is where {node.op} found its results: output {k}")
    to.say_remarks()


# ---- scalars ----


def _explain_scalar(between: Between, to: Derivation) -> None:
    edges = between.edges()
    has_run = between.has_run()
    paths = paths_through(edges, between.of, between.wrt, _PATHS)
    if paths is None or max(map(len, paths)) > _EDGES:
        _explain_node_by_node(between, edges, to, has_run)
    elif len(paths) == 1:
        to.equate([to.derivative(to.wrt), *_along(between, paths[0], to, has_run)])
    else:
        to.say(to.derivative(to.wrt), f" is the sum over {len(paths)} paths:")
        for path in paths:
            to.equate(_along(between, path, to, has_run, True), _nodes_of(between, path, to))
        if has_run:
            values = [_product(path) for path in paths]
            total = to.number(sum(values))
            to.equate(
                [to.derivative(to.wrt), _sum([[_number(value)] for value in values], to), total]
            )
        else:
            factors = [
                [factor.symbols() for edge in path for factor in edge.factors] for path in paths
            ]
            to.equate([to.derivative(to.wrt), _sum(factors, to)])


def _along(
    between: Between, path: list[Edge], to: Derivation, has_run: bool, is_one_of_many: bool = False
) -> list[Math]:
    """The sides of the equation for one path: names, symbols, numbers, result.

    Of many paths, the factors are partial derivatives, written with another d than the total.
    """
    symbols = [factor.symbols() for edge in path for factor in edge.factors]
    names: list[Expression] = [
        gradient_of(
            _called(between, edge.user, to), _called(between, edge.used, to), is_one_of_many
        )
        for edge in path
    ]
    sides = [to.product(names)] if len(path) > 1 else []
    sides.append(to.product(symbols))
    if has_run:
        sides.append(to.product(_numbers(path), is_numbers=True))
        sides.append(to.number(_product(path)))
    return sides


def _explain_node_by_node(
    between: Between, edges: list[Edge], to: Derivation, has_run: bool
) -> None:
    """The gradient of each node from those of the nodes that use it: no path is walked twice."""
    to.say("node by node, from ", to.name(to.of), " down to ", to.name(to.wrt), ":")
    gradients = {between.of: 1.0}
    by_used: dict[int, list[Edge]] = {}
    for edge in edges:
        by_used.setdefault(edge.used, []).append(edge)
    for id in sorted(by_used, reverse=True):
        symbols: list[list[Expression]] = []
        numbers: list[list[Expression]] = []
        total = 0.0
        for edge in by_used[id]:
            name = gradient_of(to.of, _called(between, edge.user, to))
            first = [name] if edge.user != between.of else []
            symbols.append([*first, *(factor.symbols(is_short=True) for factor in edge.factors)])
            if has_run:
                numbers.append([_number(gradients[edge.user]), *_numbers([edge])])
                total += gradients[edge.user] * edge.value()
        sides = [to.derivative(_called(between, id, to)), _sum(symbols, to)]
        if has_run:
            gradients[id] = total
            sides += [_sum(numbers, to, is_numbers=True), to.number(total)]
        to.equate(sides)


def _sum(terms: list[list[Expression]], to: Derivation, is_numbers: bool = False) -> Math:
    """A sum of products."""
    return to.sum([to.product(factors, is_numbers) for factors in terms])


def _nodes_of(between: Between, path: list[Edge], to: Derivation) -> Math:
    ids = [id for edge in reversed(path) for id in (edge.used, *reversed(edge.folded))]
    return Math(to.notation.path([_called(between, id, to) for id in [*ids, between.of]]))


def _called(between: Between, id: int, to: Derivation) -> str:
    """The label of a node; both ends are called as the user did."""
    return between.names(to).get(id) or between.graph.nodes[id].label


def _number(value: float) -> Expression:
    return ("number", number_text(value))


def _numbers(path: list[Edge]) -> list[Expression]:
    return [factor.numbers() for edge in path for factor in edge.factors]


def _product(path: list[Edge]) -> float:
    product = 1.0
    for edge in path:
        product *= edge.value()
    return product
