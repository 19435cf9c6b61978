"""`python -m chainrule step`: a graph one node at a time, for a person or, as JSON, a program."""

from __future__ import annotations

import json
import sys

from chainrule._C import ones
from chainrule.graphs.expressions import derivative_name
from chainrule.graphs.numbers import NO_OUTPUTS, printable, short
from chainrule.graphs.steps import BackwardStep, ForwardStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from chainrule._C import Tensor
    from chainrule.graphs.graph import Graph
    from chainrule.graphs.nodes import GraphNode

    Step = ForwardStep | BackwardStep

HELP = """\
n, next       run the next node; an empty line does the same
b, back       go back one step
r, run NODE   run to the next step of a node
p, print NODE print a node: value and gradient so far
l, list       list all nodes, and the values so far
g, backward   run to the first step of the backward pass
h, help       print this
q, quit       end"""


def run(graph: Graph, of: str | None = None, as_json: bool = False) -> None:
    """Steps through a graph as stdin says, or prints all steps as JSON.

    Args:
        graph: The graph. Inputs have the values of its last run.
        of: The output to differentiate; the first one if None. If it has more than one element, the
            gradient of each is 1.
        as_json: Print one JSON object with all steps, and read nothing.

    Raises:
        ValueError: An input has no value, or there is no such output or node.
        RuntimeError: As `Graph.forward_steps` and `Graph.backward_steps`.
    """
    if not graph.output_refs:
        raise RuntimeError(f"step: {NO_OUTPUTS}")
    of = of or next(iter(graph.output_refs))
    if of not in graph.output_refs and of not in [n.label for n in graph.nodes if n.op]:
        raise ValueError(
            f"step: the name {of!r}; it must be that of an output or an op of the graph; the "
            f"outputs are {_listed(graph.output_refs)}"
        )
    walk = Walk(graph, of)
    if as_json:
        while walk.next():
            pass
        found = {"of": of, "steps": [step.as_dict() for step in walk.steps]}
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    print(f"{graph!r}: h lists the commands")
    for line in _lines():
        if not _obey(walk, line):
            return


def _lines() -> Iterator[str]:
    """The lines of stdin, after a prompt if a person types them."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history
    try:
        while True:
            yield input("(step) ")
    except EOFError:
        print()


def _obey(walk: Walk, line: str) -> bool:
    """Does what one line says; False if that is to end."""
    word, _, argument = line.strip().partition(" ")
    argument = argument.strip()
    if word in ("", "n", "next"):
        print(walk.current() if walk.next() else walk.end())
    elif word in ("b", "back"):
        print(walk.current() if walk.back() else "this is the start")
    elif word in ("g", "backward"):
        found = walk.run_to(lambda step: isinstance(step, BackwardStep))
        print(walk.current() if found else f"no backward step is ahead; {walk.where()}")
    elif word in ("r", "run", "p", "print"):
        node = walk.node(argument)
        if node is None:
            print(f"{word}: no node {argument!r}; there are {_listed(walk.labels())}")
        elif word in ("p", "print"):
            print(walk.about(node))
        elif walk.run_to(lambda step: step.node is node):
            print(walk.current())
        else:
            print(f"no step of {printable(argument)} is ahead; {walk.where()}")
    elif word in ("l", "list"):
        print(walk.listing())
    elif word in ("h", "help"):
        print(HELP)
    elif word in ("q", "quit"):
        return False
    else:
        print(f"{word}: no such command; h lists them")
    sys.stdout.flush()
    return True


class Walk:
    """The steps of both passes, and a place among them.

    A step is computed when the walk first comes to it; going back shows it again.
    """

    def __init__(self, graph: Graph, of: str) -> None:
        self.graph, self.of = graph, of
        self.steps: list[Step] = []
        self._at = -1
        self._rest = self._run(_feeds(graph))

    def _run(self, feeds: dict[str, Any]) -> Iterator[Step]:
        yield from self.graph.forward_steps(**feeds)
        value = self.graph.value(self.of)
        assert value is not None
        if value.dtype.is_floating_point:
            yield from self.graph.backward_steps(self.of, ones(value.shape, dtype=value.dtype))

    # ---- moving ----

    def next(self) -> bool:
        """Goes one step on; False at the end."""
        if self._at + 1 == len(self.steps):
            step = next(self._rest, None)
            if step is None:
                return False
            self.steps.append(step)
        self._at += 1
        return True

    def back(self) -> bool:
        """Goes one step back; False at the first step and before it."""
        if self._at <= 0:
            return False
        self._at -= 1
        return True

    def run_to(self, is_wanted: Any) -> bool:
        """Goes on to the next step like that; where there is none, stays."""
        start = self._at
        while self.next():
            if is_wanted(self.steps[self._at]):
                return True
        self._at = start
        return False

    # ---- telling ----

    def current(self) -> str:
        """The step of this place, after its number."""
        step = self.steps[self._at]
        phase = "forward" if isinstance(step, ForwardStep) else "backward"
        return f"[{self._at + 1} {phase}] {step}"

    def where(self) -> str:
        """Where the walk is, in words."""
        return f"the walk is at step {self._at + 1}" if self._at >= 0 else "nothing has run yet"

    def end(self) -> str:
        """What there is to say after the last step: the gradients of the leaves."""
        leaves = [node for node in self.graph.nodes if node.kind in ("input", "parameter")]
        found = [(node.label, self._gradient(node)) for node in leaves]
        texts = [
            f"{derivative_name(self.of, label)} = {short(g)}" for label, g in found if g is not None
        ]
        return "\n    ".join(["the end", *texts])

    def node(self, name: str) -> GraphNode | None:
        """The node of that label."""
        return next((n for n in self.graph.nodes if n.label == name and n.kind != "constant"), None)

    def labels(self) -> list[str]:
        """The labels of all nodes that steps are made of."""
        return [node.label for node in self.graph.nodes if node.kind != "constant"]

    def listing(self) -> str:
        """All nodes, a line each; an arrow is at the one of this place."""
        here = self.steps[self._at].node if self._at >= 0 else None
        nodes = [node for node in self.graph.nodes if node.kind != "constant"]
        return "\n".join(f"{'->' if n is here else '  '} {self._line(n)}" for n in nodes)

    def about(self, node: GraphNode) -> str:
        """All about one node at this place of the walk."""
        text = f"{self._line(node)}, {node.kind}, shape {node.shape()}, {node.dtype().name}"
        text += f", made at {node.source}" if node.source else ""
        value, gradient = self._value(node), self._gradient(node)
        if value is not None and value.numel() > 1:
            text += f"\n{value!r}"
        if gradient is not None:
            text += f"\n    {derivative_name(self.of, node.label)} = {short(gradient)}"
        return text

    def _line(self, node: GraphNode) -> str:
        value = self._value(node)
        parts = [
            printable(node.label),
            self.graph.formula(node),
            "" if value is None else short(value),
        ]
        return " = ".join(part for part in parts if part)

    def _value(self, node: GraphNode) -> Tensor | None:
        for step in self.steps[: self._at + 1]:
            if isinstance(step, ForwardStep) and step.node is node:
                return step.value
        return None

    def _gradient(self, node: GraphNode) -> Tensor | None:
        """The gradient of a node, as far as it has been added up at this place."""
        found = None
        for step in self.steps[: self._at + 1]:
            if isinstance(step, BackwardStep):
                if step.node is node:
                    found = step.upstream
                for to in step.contributions:
                    if to.ref == (node.id, 0):
                        found = to.value if to.sum is None else to.sum
        return found


def _feeds(graph: Graph) -> dict[str, Tensor]:
    """The values that the inputs have from the last run."""
    values = {n.label: graph.value((n.id, 0)) for n in graph.nodes if n.kind == "input"}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ValueError(
            f"step: no value for {_listed(missing)}; stepping shows numbers; run the graph in "
            f"the file, as in g.forward({printable(missing[0])}=...)"
        )
    return {name: value for name, value in values.items() if value is not None}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(printable, names))
