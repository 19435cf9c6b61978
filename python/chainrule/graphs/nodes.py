"""One node of a graph, as Python reads it."""

from __future__ import annotations

from chainrule.graphs.numbers import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chainrule import _C

    Ref = tuple[int, int]
    """Output `ref[1]` of the node with the id `ref[0]`."""


class GraphNode:
    """A node: an input, a parameter, a constant, or an op with attributes and inputs.

    Attributes:
        id: Its place in `Graph.nodes`; inputs have smaller ones.
        kind: "input", "parameter", "constant" or "op".
        op: The name of the op; "" in other nodes.
        attributes: The op's attributes by name.
        inputs: (node id, output number) of each input.
        outputs: How many outputs it has.
        name: What somebody called it, or "".
        label: What to call it: its name, the number of a constant, or the op with a count. Those
            of all but constants differ.
        module: The path of the module call that made it, or "".
        module_type: The class of that module, or "".
        source: The user's line that made it, "train.py:12", or "".
        frozen_by: The op that computed an input or constant beside the tape, as comparisons are: it
            is right for the values that the graph was taken with. "" in other nodes.
    """

    __slots__ = (
        "_dtypes",
        "_shapes",
        "attributes",
        "frozen_by",
        "id",
        "inputs",
        "kind",
        "label",
        "module",
        "module_type",
        "name",
        "op",
        "source",
    )

    def __init__(self, id: int, row: tuple[Any, ...], scopes: list[tuple[str, str, int]]) -> None:
        self.id = id
        self.kind: str
        self.op: str
        self.attributes: dict[str, Any]
        self.inputs: tuple[Ref, ...]
        self.name: str
        self.label: str
        self.source: str
        self.frozen_by: str
        self.kind, self.op, self.attributes, self.inputs, shapes, dtypes = row[:6]
        self.name, self.label, scope, self.source, self.frozen_by = row[6:]
        self._shapes: tuple[tuple[int, ...], ...] = shapes
        self._dtypes: tuple[_C.dtype, ...] = dtypes
        self.module: str
        self.module_type: str
        self.module, self.module_type = scopes[scope][:2] if scope >= 0 else ("", "")

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        return len(self._shapes)

    def shape(self, k: int = 0) -> tuple[int, ...]:
        """The shape of output k; a size that is not known yet prints as N."""
        return self._shapes[k]

    def dtype(self, k: int = 0) -> _C.dtype:
        """The dtype of output k."""
        return self._dtypes[k]

    def __repr__(self) -> str:
        what = f"{self.op} of {', '.join(map(str, self.inputs))}" if self.op else self.kind
        return f"<node {self.id} {printable(self.label)}: {what}, {self.shape()}>"
