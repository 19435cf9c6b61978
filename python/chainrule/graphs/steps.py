"""Both passes through a graph, one node at a time.

A step is what happened at one node, with its numbers. The passes are generators: a node runs when
the next step is asked for. After the last step, values and gradients of the graph hold as after
`forward` and `backward`; a pass that is left half way can simply be begun again.
"""

from __future__ import annotations

from chainrule import _C
from chainrule.grad_mode import enable_grad
from chainrule.graphs.expressions import as_text, derivative_name, is_atom, substituted
from chainrule.graphs.numbers import as_data, number_expression, printable, short
from chainrule.graphs.textbook import gradient_of_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from chainrule._C import Tensor
    from chainrule.graphs.graph import Graph
    from chainrule.graphs.nodes import GraphNode, Ref

_SMALL = 100
"""Local derivatives have numbers where the result has at most so many elements."""
_LONG = 300
"""A rule of more characters is not printed; `local_derivative` has it."""


class ForwardStep:
    """One node has run.

    Attributes:
        node: The node.
        name: Its label.
        op: The name of its op; "" of an input or parameter.
        formula: The op with the labels of its inputs: "w1 * x".
        inputs: The label and value of each input.
        value: Its value; of a node with several outputs the first.
        values: All its outputs.
    """

    __slots__ = ("_numbers", "formula", "inputs", "node", "value", "values")

    def __init__(self, graph: Graph, node: GraphNode) -> None:
        self.node = node
        self.formula = graph.formula(node)
        self.inputs = tuple((graph._label(ref), _must(graph.value(ref))) for ref in node.inputs)
        self.values = tuple(_must(graph.value((node.id, k))) for k in range(node.outputs))
        self.value = self.values[0]
        self._numbers = ""
        if node.op and all(value.ndim == 0 for _, value in self.inputs):
            by = {label: number_expression(value) for label, value in self.inputs}
            self._numbers = as_text(substituted(graph._expression(node.id), by))

    @property
    def name(self) -> str:
        """The label of the node."""
        return self.node.label

    @property
    def op(self) -> str:
        """The name of its op; "" of an input or parameter."""
        return self.node.op

    def as_dict(self) -> dict[str, Any]:
        """Returns the step as what JSON has: str, numbers, lists and dicts."""
        return {
            "pass": "forward",
            "node": self.node.id,
            "name": self.name,
            "kind": self.node.kind,
            "op": self.op,
            "formula": self.formula,
            "inputs": [{"name": name, "value": as_data(value)} for name, value in self.inputs],
            "value": as_data(self.value),
        }

    def __str__(self) -> str:
        parts = [
            printable(self.name),
            self.formula,
            self._numbers,
            ", ".join(map(short, self.values)),
        ]
        return " = ".join(part for part in parts if part)

    def __repr__(self) -> str:
        return f"<ForwardStep {self}>"


class Contribution:
    """What a node hands on to the gradient of one of its inputs.

    Attributes:
        name: The label of the input.
        ref: (node id, output number) of the input.
        local_derivative: The formula of how the node's result changes with the input; of an op that
            is not elementwise the rule that takes the gradient gy to that of the input.
        local_value: Its number, or numbers, of an elementwise op with a small result; else None.
        value: What is added to the gradient of the input.
        sum: The gradient of the input with this and all before it, if the input is used more than
            once; else None.
    """

    __slots__ = ("_rule", "local_derivative", "local_value", "name", "ref", "sum", "value")

    def __init__(self, graph: Graph, node: GraphNode, k: int, value: Tensor) -> None:
        self.ref: Ref = node.inputs[k]
        self.name = graph._label(self.ref)
        rule = gradient_of_input(graph, node, k)
        self.local_derivative = str(rule or "")
        self._rule = (as_text(rule.formula), rule.meanings()) if rule else ("", "")
        self.local_value = local_value(graph, node, k)
        self.value = value
        self.sum: Tensor | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns the contribution as what JSON has."""
        return {
            "name": self.name,
            "node": self.ref[0],
            "local_derivative": self.local_derivative,
            "local_value": None if self.local_value is None else as_data(self.local_value),
            "value": as_data(self.value),
            "sum": None if self.sum is None else as_data(self.sum),
        }

    def __repr__(self) -> str:
        return f"<Contribution to {printable(self.name)}: {short(self.value)}>"


class BackwardStep:
    """One node has handed its gradient on to its inputs.

    Attributes:
        node: The node.
        name: Its label.
        of: What the gradients are of.
        upstream: The gradient that arrived at the node, gy; of a node with several outputs that of
            the first which has one.
        contributions: What each input got.
    """

    __slots__ = ("contributions", "formula", "node", "of", "upstream")

    def __init__(self, graph: Graph, node: GraphNode, of: str, upstream: Tensor) -> None:
        self.node, self.of, self.upstream = node, of, upstream
        self.formula = graph.formula(node)
        self.contributions: list[Contribution] = []

    @property
    def name(self) -> str:
        """The label of the node."""
        return self.node.label

    @property
    def op(self) -> str:
        """The name of its op."""
        return self.node.op

    def as_dict(self) -> dict[str, Any]:
        """Returns the step as what JSON has: str, numbers, lists and dicts."""
        return {
            "pass": "backward",
            "node": self.node.id,
            "name": self.name,
            "op": self.op,
            "formula": self.formula,
            "of": self.of,
            "upstream": as_data(self.upstream),
            "contributions": [each.as_dict() for each in self.contributions],
        }

    def __str__(self) -> str:
        gy = derivative_name(self.of, self.name)
        lines = [f"{gy} = {short(self.upstream)}, {printable(self.name)} = {self.formula}"]
        for to in self.contributions:
            text = f"    to {printable(to.name)}: {self._product(to)} = {short(to.value)}"
            if to.sum is not None:
                text += f", in sum {short(to.sum)}"
            if len(to.local_derivative) <= _LONG:
                text += to._rule[1]
            lines.append(text)
        return "\n".join(lines)

    def _product(self, to: Contribution) -> str:
        if to.local_value is None:
            is_short = 0 < len(to.local_derivative) <= _LONG
            return to._rule[0] if is_short else f"the rule of {self.op}"
        upstream, local = short(self.upstream), short(to.local_value)
        words = to.local_derivative if is_atom(to.local_derivative) else f"({to.local_derivative})"
        symbols = f"{derivative_name(self.of, self.name)} * {words}"
        if self.upstream.ndim or to.local_value.ndim:
            return symbols
        local = f"({local})" if local.startswith("-") else local
        return f"{symbols} = {upstream} * {local}"

    def __repr__(self) -> str:
        return f"<BackwardStep {self}>"


def forward_steps(graph: Graph, feeds: dict[str, Any]) -> Iterator[ForwardStep]:
    """Runs forward; see `Graph.forward_steps`."""
    graph._begin_forward(feeds)
    turn = _Turn(graph, "forward_steps")
    for node in graph.nodes:
        if node.kind == "constant":
            continue
        turn.check()
        graph._run_node(node.id)
        yield ForwardStep(graph, node)


def backward_steps(graph: Graph, of: str | None, gradient: Any) -> Iterator[BackwardStep]:
    """Runs backward; see `Graph.backward_steps`."""
    order = graph._begin_backward(of, gradient)
    turn = _Turn(graph, "backward_steps")
    uses: dict[Ref, int] = {}
    for id in order:
        for ref in graph.nodes[id].inputs:
            uses[ref] = uses.get(ref, 0) + 1
    sums: dict[Ref, Tensor] = {}
    name = of or next(iter(graph.output_refs))
    for id in order:
        node = graph.nodes[id]
        turn.check()
        values = graph._run_node_backward(id)
        arrived = (graph._gradient(id, k) for k in range(node.outputs))
        upstream = next((value for value in arrived if value is not None), None)
        if upstream is None:  # its consumers had no gradient for it
            continue
        step = BackwardStep(graph, node, name, upstream)
        for k, value in enumerate(values):
            if value is None:
                continue
            to = Contribution(graph, node, k, value)
            if uses[to.ref] > 1:
                before = sums.get(to.ref)
                to.sum = sums[to.ref] = value if before is None else before + value
            step.contributions.append(to)
        yield step


def local_value(graph: Graph, node: GraphNode, k: int, *, of_any_op: bool = False) -> Tensor | None:
    """The derivative of an elementwise op at the values of the graph, by its rule with gradient 1.

    Args:
        graph: A graph.
        node: One of its nodes.
        k: The place of the input.
        of_any_op: Other ops, too, from one number to another.

    Returns:
        It has the shape of the node's result. None for other ops, for large results and where the
        graph has not run.
    """
    value = graph.value((node.id, 0))
    if value is None or value.numel() > _SMALL:
        return None
    inputs = [_must(graph.value(ref)).detach() for ref in node.inputs]
    of_numbers = of_any_op and value.ndim == inputs[k].ndim == 0
    if not (_C._op_facts(node.op)[2] or of_numbers):
        return None
    inputs[k] = x = inputs[k].expand(value.shape).clone().requires_grad_()
    with enable_grad():
        y = getattr(_C.ops, node.op)(*inputs, **node.attributes)
        y = y[0] if node.outputs > 1 else y
        return _C.grad(y, x, _C.ones_like(y))[0] if y.requires_grad else None


class _Turn:
    """A graph holds the values of one run: steps of one go on until another pass begins."""

    def __init__(self, graph: Graph, op: str) -> None:
        self._graph, self._op = graph, op
        self._number, _ = graph._last_pass()

    def check(self) -> None:
        number, begun = self._graph._last_pass()
        if number != self._number:
            another = f"another {begun}" if begun == self._op else begun
            raise RuntimeError(
                f"{self._op}: {another} began on this graph before these steps ended; a graph "
                f"holds the values of one run; begin again with {self._op}"
            )


def _must(value: Tensor | None) -> Tensor:
    assert value is not None, "a node that ran has a value"
    return value
