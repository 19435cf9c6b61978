"""The gradient of a tensor as one formula of matrices, from the output inwards."""

from __future__ import annotations

from chainrule import _C
from chainrule.graphs.derivation import Math
from chainrule.graphs.expressions import LEAVES, as_text, size_of
from chainrule.graphs.paths import ONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule.graphs.derivation import Derivation
    from chainrule.graphs.expressions import Expression
    from chainrule.graphs.nodes import GraphNode
    from chainrule.graphs.paths import Between

_NESTED = 16
"""A formula of more leaves and ops than that gets a line of its own."""
_RULE = 70
"""The rule of an op that has more characters is named and not written out."""
_SIMPLE = 3
"""The derivative of a function of one variable that is longer is written f'(x)."""


def matrix_form(between: Between, to: Derivation) -> None:
    """Adds the lines of the derivation of one gradient.

    A gradient stays inside the formula of the next one, unless several terms are added up in it,
    several formulas need it, or it is long: then it has a line.
    """
    graph = between.graph
    shapes = {graph._label((n.id, k)): n.shape(k) for n in graph.nodes for k in range(n.outputs)}
    shapes |= {name: graph.nodes[id].shape() for id, name in between.names(to).items()}
    terms: dict[int, list[Expression]] = {between.of: [ONE]}
    if shapes[to.of]:
        terms[between.of] = [_seed(to, shapes)]
    for id in reversed(between.on_path):
        if id == between.wrt:
            break
        parts = terms.pop(id)
        gradient = parts[0]
        size, places = size_of(gradient), between.inputs[id]
        if len(parts) > 1 or size > _NESTED or (len(places) > 1 and size > 1):
            label = graph.nodes[id].label
            to.equate([to.derivative(label), to.sum([to.formula(part) for part in parts])])
            gradient = gradient_of(to.of, label)
        for k in places:
            used = graph.nodes[id].inputs[k][0]
            terms.setdefault(used, []).append(_handed_on(between, graph.nodes[id], k, gradient))
    last = [to.formula(part) for part in terms[between.wrt]]
    to.equate([to.derivative(to.wrt), to.sum(last)])
    _say_shapes(to, shapes)
    if to.notation.has_rules:
        rule = to.formula(("rule", {"op": "f", "name": "x"}, ("label", "g")))
        to.say(rule, " is what the rule of f makes of the gradient g of f for its input x")


def _seed(to: Derivation, shapes: dict[str, tuple[int, ...]]) -> Expression:
    """The gradient that backward is given, of a loss that is outside of the graph."""
    of = to.of
    to.of = next(name for name in ("L", "loss", "the loss") if name not in shapes)
    gy = next(name for name in ("gy", f"g_{of}", f"g of {of}") if name not in shapes)
    shapes[gy] = shapes[of]
    to.notation.add_tensor(gy)
    seed = ("label", gy)
    to.say(
        "for a scalar ",
        to.name(to.of),
        " that depends on ",
        to.name(of),
        ", and ",
        Math(f"{to.name(gy)} = {to.derivative(of)}"),
        ":",
    )
    return seed


def gradient_of(of: str, by: str) -> Expression:
    """The gradient of `of` by `by`, as a leaf of a formula."""
    return ("gradient", {"of": of, "by": by})


def _handed_on(between: Between, node: GraphNode, k: int, gradient: Expression) -> Expression:
    """The gradient of input k of a node by that of the node."""
    graph = between.graph
    rule = graph._derivative(node.id, k)
    if not _C._op_facts(node.op)[2]:
        if len(as_text(rule)) > _RULE:
            return ("rule", {"op": node.op, "name": graph._label(node.inputs[k])}, gradient)
        return _with_upstream(between.written_out(rule, {}), gradient)
    if len(node.inputs) == 1 and size_of(rule) > _SIMPLE:
        argument = between.written_out(("label", graph._label(node.inputs[0])), {})
        local: Expression = ("prime", {"op": node.op}, argument)
    else:
        local = between.written_out(rule, {})
    return _summed_to_shape(between, node, k, _times(gradient, local))


def _times(gradient: Expression, local: Expression) -> Expression:
    if ONE in (gradient, local):
        return local if gradient == ONE else gradient
    if local == ("number", "-1"):
        return ("neg", {}, gradient)
    if local[0] == "number":
        return ("mul", {}, local, gradient)
    if local[0] == "div" and local[2] == ONE:
        return ("div", {}, gradient, local[3])
    return ("mul", {}, gradient, local)


def _summed_to_shape(between: Between, node: GraphNode, k: int, gradient: Expression) -> Expression:
    """The sum over the dims in which an input was broadcast."""
    id, output = node.inputs[k]
    small, large = between.graph.nodes[id].shape(output), node.shape()
    if small == large:
        return gradient
    extra = len(large) - len(small)
    added = [d for d in range(len(large)) if d < extra or small[d - extra] != large[d]]
    if small == ():
        return ("sum", {"dim": (), "keepdim": False}, gradient)
    return ("sum_over", {"dim": tuple(added)}, gradient)


def _with_upstream(rule: Expression, gradient: Expression) -> Expression:
    """A rule with the gradient in the place of gy."""
    if rule[0] == "upstream":
        return gradient
    if rule[0] in LEAVES:
        return rule
    arguments = [_with_upstream(argument, gradient) for argument in rule[2:]]
    if rule[0] == "mul" and ONE in arguments:
        return arguments[1] if arguments[0] == ONE else arguments[0]
    return (*rule[:2], *arguments)


def _say_shapes(to: Derivation, shapes: dict[str, tuple[int, ...]]) -> None:
    """Adds a line with the shapes of all that was mentioned."""
    pieces = ["shapes: ", to.derivative(to.wrt), f" {shapes[to.wrt]}"]
    for label in list(to.notation.seen):
        if label in shapes and label not in (to.wrt, to.of):
            pieces += [", ", to.name(label), f" {shapes[label]}"]
    to.say(*pieces)
