"""The gradient of a tensor as one formula of matrices, from the output inwards."""

from __future__ import annotations

from chainrule import _C
from chainrule.graphs.blackboard import ONE
from chainrule.graphs.derivation import Math
from chainrule.graphs.expressions import LEAVES, size_of, substituted
from chainrule.graphs.formula_shapes import plain
from chainrule.graphs.numbers import SHOWN
from chainrule.graphs.paths import VIEWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule._C import Tensor
    from chainrule.graphs.derivation import Derivation
    from chainrule.graphs.expressions import Expression
    from chainrule.graphs.nodes import GraphNode
    from chainrule.graphs.paths import Between
    from chainrule.graphs.textbook import Gradient

_NESTED = 16
"""A formula of more leaves and ops than that gets a line of its own."""
_SIMPLE = 3
"""The derivative of a function of one variable that is longer is written f'(x)."""


def matrix_form(between: Between, to: Derivation, of: str) -> None:
    """Adds the lines of the derivation of one gradient, that of the output `of`.

    A gradient stays inside the formula of the next one, unless several terms are added up in it,
    several formulas need it, or it is long: then it has a line.
    """
    form = _MatrixForm(between, to, of)
    terms: dict[int, list[Expression]] = {between.of: [form.seed()]}
    for id in reversed(between.on_path):
        if id == between.wrt:
            break
        gradient = form.with_a_line_where_it_helps(id, terms.pop(id))
        for k in between.inputs[id]:
            used = between.graph.nodes[id].inputs[k][0]
            terms.setdefault(used, []).append(form.handed_on(id, k, gradient))
    last = [to.formula(part) for part in form.collected(terms[between.wrt])]
    value = form.value()
    to.equate([to.derivative(to.wrt), to.sum(last), *([] if value is None else [to.tensor(value)])])
    form.say_shapes()


class _MatrixForm:
    """The formulas of one derivation, and what is known of their names."""

    def __init__(self, between: Between, to: Derivation, of: str) -> None:
        self._between, self._to, self._of = between, to, of
        self._graph = between.graph
        self._shapes, names = between.shapes, between.names(to)
        self._simplified = between.simplified
        self._defined: dict[str, Expression | str] = {}
        for id, name in names.items():
            self._add_name(name, self._graph.nodes[id].shape())

    def seed(self) -> Expression:
        """The gradient that backward is given: 1, or that of a loss outside of the graph."""
        to, of, shapes = self._to, self._to.of, self._shapes
        if not shapes[of]:
            return ONE
        to.of = next(name for name in ("L", "loss", "J", "E", "loss_") if name not in shapes)
        gy = next(name for name in ("gy", f"g_{of}", f"g of {of}") if name not in shapes)
        self._add_name(gy, shapes[of])
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

    def _add_name(self, name: str, shape: tuple[int, ...]) -> None:
        self._shapes[name] = shape
        self._simplified.add_name(name, shape)
        if set(plain(shape)) - {1}:
            self._to.notation.add_tensor(name)

    def collected(self, parts: list[Expression]) -> list[Expression]:
        """The terms of a sum; what is there twice is there once, times 2."""
        found: list[tuple[Expression, int]] = []
        for part in parts:
            counts = [i for i, (each, _) in enumerate(found) if each == part]
            if counts:
                found[counts[0]] = part, found[counts[0]][1] + 1
            else:
                found.append((part, 1))
        return [
            part if n == 1 else self._simplified(("mul", {}, ("number", str(n)), part))
            for part, n in found
        ]

    def with_a_line_where_it_helps(self, id: int, parts: list[Expression]) -> Expression:
        """The gradient of a node: the sum of the parts, or its name once it has a line."""
        to, node = self._to, self._graph.nodes[id]
        parts = self.collected(parts)
        gradient = parts[0]
        size, places = size_of(gradient), self._between.inputs[id]
        rules = [self._between.gradient(id, k) for k in places]
        is_long = (size > _NESTED or any(rule and rule.where for rule in rules)) and size > 1
        is_shared = len(places) > 1 and size > 1 and not _is_number_of_ones(gradient)
        is_cut = (is_long or is_shared) and node.op not in VIEWS
        if len(parts) == 1 and not is_cut:
            return gradient
        to.equate([to.derivative(node.label), to.sum([to.formula(part) for part in parts])])
        return gradient_of(to.of, node.label)

    def handed_on(self, id: int, k: int, gradient: Expression) -> Expression:
        """The gradient of input k of a node by that of the node."""
        between, node = self._between, self._graph.nodes[id]
        rule = between.gradient(id, k)
        assert rule is not None, "paths go where gradients pass"
        if not _C._op_facts(node.op)[2]:
            formula = self._with_definitions(rule, gradient)
            return self._simplified(_with_upstream(between.written_out(formula, {}), gradient))
        short = self._simplified(rule.formula)
        is_word = short[0] == "called"  # such as sign(x)
        if len(node.inputs) == 1 and size_of(rule.formula) > _SIMPLE and not is_word:
            argument = between.written_out(("label", self._graph._label(node.inputs[0])), {})
            local: Expression = ("prime", {"op": node.op}, argument)
        else:
            local = between.written_out(short, {})
        found = _summed_to_shape(between, node, k, _times(gradient, local))
        return self._simplified(found)

    def _with_definitions(self, rule: Gradient, gradient: Expression) -> Expression:
        """The formula of a rule, after a line for each name that it brings along."""
        to = self._to
        renamed: dict[Any, Expression] = {}
        for given, meaning in rule.where.items():
            if not isinstance(meaning, str):
                meaning = self._between.written_out(substituted(meaning, renamed), {})
                meaning = self._simplified(_with_upstream(meaning, gradient))
            name, count = given, 1
            while self._defined.get(name, meaning) != meaning:
                count += 1
                name = f"{given}_{count}"
            if isinstance(meaning, str):
                renamed["number", given] = ("number", name)
            else:
                renamed[given] = ("label", name)
            if name in self._defined:
                continue
            self._defined[name] = meaning
            if isinstance(meaning, str):
                to.remark(to.name(name), f" is {meaning}")
            else:
                self._add_name(name, self._simplified.shape(meaning) or (0,))
                to.equate([to.name(name), to.formula(meaning)])
        return substituted(rule.formula, renamed)

    def value(self) -> Tensor | None:
        """The gradient in numbers, if the graph has run and there are few of them."""
        between, graph, of = self._between, self._graph, self._of
        wrt = graph.nodes[between.wrt].label
        of_value, wrt_value = graph.value((between.of, 0)), graph.value((between.wrt, 0))
        inputs = [node for node in graph.nodes if node.kind == "input"]
        if not between.has_run() or of_value is None or of_value.ndim or wrt_value is None:
            return None
        if wrt_value.numel() > SHOWN or not all(node.name for node in inputs):
            return None
        feeds = {node.name: graph.value((node.id, 0)) for node in inputs}
        run = {name: value for name, value in feeds.items() if value is not None}
        return graph.grad(of, wrt).forward(**run)[wrt]

    def say_shapes(self) -> None:
        """Adds a line with the shapes of all that was mentioned."""
        to, shapes = self._to, self._shapes
        pieces = ["shapes: ", to.derivative(to.wrt), f" {shapes[to.wrt]}"]
        for label in list(to.notation.seen):
            is_counted = label in self._defined or label in (to.wrt, to.of)
            if label in shapes and not is_counted:
                pieces += [", ", to.name(label), f" {shapes[label]}"]
        to.say(*pieces)


def gradient_of(of: str, by: str, is_partial: bool = False) -> Expression:
    """The gradient of `of` by `by`, as a leaf of a formula."""
    return ("gradient", {"of": of, "by": by, "is_partial": is_partial})


def _is_number_of_ones(x: Expression) -> bool:
    return x[0] in ("number", "ones") or (
        x[0] in ("neg", "mul", "div") and all(map(_is_number_of_ones, x[2:]))
    )


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
    small, large = plain(between.graph.nodes[id].shape(output)), plain(node.shape())
    if small == large:
        return gradient
    extra = len(large) - len(small)
    added = [d for d in range(len(large)) if d < extra or small[d - extra] != large[d]]
    if small == ():
        return ("sum", {"dim": (), "keepdim": False}, gradient)
    return ("sum_over", {"dim": tuple(added), "shape": small}, gradient)


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
