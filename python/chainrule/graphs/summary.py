"""What a graph costs, module by module: nodes, parameters, multiply-adds, memory kept for backward.

Everything is counted from the shapes of the nodes; nothing is run. What the tape keeps is told by
csrc/chainrule/graph/kept.cpp, from what the gradient rules of each op read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from chainrule.graphs.checks import names_in
from chainrule.graphs.graph import Graph
from chainrule.graphs.sizes import UnknownSize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chainrule import _C
    from chainrule.graphs.nodes import GraphNode
    from chainrule.nn.module import Module

    Shapes = Sequence[tuple[int, ...]]
    """The shape of the output of a node, then those of its inputs."""


# ---- Multiply-adds ----


def _product(shapes: Shapes) -> int:
    y, a = shapes[0], shapes[1]
    return math.prod(y) * a[-1]


def _convolution(shapes: Shapes) -> int:
    y, _, weight = shapes[:3]
    return math.prod(y) * math.prod(weight[1:])


def _convolution_input(shapes: Shapes) -> int:
    _, gy, weight = shapes
    return math.prod(gy) * math.prod(weight[1:])


def _convolution_weight(shapes: Shapes) -> int:
    weight, gy, _ = shapes
    return math.prod(gy) * math.prod(weight[1:])


def _attention(shapes: Shapes) -> int:
    _, query, key, value = shapes
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


MULTIPLY_ADDS: dict[str, Callable[[Shapes], int]] = {
    "matmul": _product,
    "linear": _product,
    "conv2d": _convolution,
    "conv2d_input": _convolution_input,
    "conv2d_weight": _convolution_weight,
    "scaled_dot_product_attention": _attention,
}
"""The ops that sum products, and how many. Zeros count: padding, and keys a causal mask hides.

As other tools count (torchinfo, fvcore), so that numbers can be compared: elementwise ops,
reductions and the bias of a layer count nothing.
"""


# ---- The result ----


@dataclass(frozen=True)
class SummaryRow:
    """What one module call costs, the calls inside it included.

    Attributes:
        module: Its path in the graph, "net.0"; "" outside of all calls, and for the total.
        name: What it is called inside the call around it, "0".
        type: The class of the module, or "".
        depth: How many calls it is inside of.
        output: The shape of the last result in it; a size that is not known prints as N.
        nodes: How many nodes of the graph. A parameter or constant belongs to the call that uses it
            first, an input to none.
        parameters: Elements of parameters and buffers; a shared one counts where it is used first.
        multiply_adds: Of matrix products, convolutions and attention, forward only.
        kept_bytes: Memory of the results computed here that stays for backward.
    """

    module: str
    name: str
    type: str = ""
    depth: int = 0
    output: tuple[int, ...] | None = None
    nodes: int = 0
    parameters: int = 0
    multiply_adds: int = 0
    kept_bytes: int = 0

    def plus(self, other: SummaryRow) -> SummaryRow:
        """Returns this row with the counts of another one added."""
        return replace(
            self,
            nodes=self.nodes + other.nodes,
            parameters=self.parameters + other.parameters,
            multiply_adds=self.multiply_adds + other.multiply_adds,
            kept_bytes=self.kept_bytes + other.kept_bytes,
        )


class Summary:
    """What a graph costs; `str()` of it is a table.

    Attributes:
        rows: A SummaryRow for each module call, outer calls before inner ones, and for what is
            outside of them.
        total: The SummaryRow of all.
        N: What was taken for the size that is not known before the graph runs; None if all are.
    """

    def __init__(self, rows: list[SummaryRow], total: SummaryRow, N: int | None) -> None:
        self.rows = rows
        self.total = total
        self.N = N

    def __str__(self) -> str:
        table = [
            ["module", "type", "output", "nodes", "parameters", "multiply-adds", "bytes kept"],
            *(_cells(row) for row in [*self.rows, self.total]),
        ]
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        rule = ["-" * width for width in widths]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 3 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in [table[0], rule, *table[1:-1], rule, table[-1]]
        ]
        if self.N is not None:
            lines.append(f"multiply-adds and bytes kept for backward: with N = {self.N}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def _cells(row: SummaryRow) -> list[str]:
    counts = (row.nodes, row.parameters, row.multiply_adds, row.kept_bytes)
    shape = "" if row.output is None else str(row.output)
    return ["  " * row.depth + row.name, row.type, shape, *(f"{count:,}" for count in counts)]


# ---- Counting ----


def summarize(graph: Graph, N: int, wrt: str | Iterable[str] | None) -> Summary:
    """Returns what a graph costs; see `Graph.summary`."""
    if not isinstance(N, int) or isinstance(N, bool):
        raise TypeError(f"summary: N is a {type(N).__name__}; it must be an int")
    if N < 1:
        raise ValueError(f"summary: N is {N}; a batch has at least one sample")
    if not graph.output_refs:
        raise RuntimeError("summary: a graph without outputs; say outputs(L=...) first")
    names = [wrt] if isinstance(wrt, str) else names_in(wrt or (), "summary", "wrt")
    leaves = [graph.node(name) for name in names]
    for leaf in leaves:
        if leaf.kind not in ("input", "parameter"):
            what = f"the result of {leaf.op}" if leaf.op else "a constant"
            raise ValueError(
                f"summary: {leaf.label} in wrt is {what}; it must be an input or a parameter"
            )
    is_open = any(
        isinstance(size, UnknownSize)
        for node in graph.nodes
        for k in range(node.outputs)
        for size in node.shape(k)
    )
    sized = graph
    if is_open:
        sized = Graph()
        sized._set_at_size(graph, N)
    outside, calls = _own_counts(graph, sized, [leaf.id for leaf in leaves])
    rows = _with_inner_calls(graph, calls)
    total = SummaryRow("", "total")
    for row in [outside, *rows]:
        if row.depth == 0:
            total = total.plus(row)
    if outside.nodes:
        rows.append(outside)
    return Summary(rows, total, N if is_open else None)


def _own_counts(
    graph: Graph, sized: Graph, leaves: list[int]
) -> tuple[SummaryRow, dict[str, SummaryRow]]:
    """What is outside of modules, and in each module call by its path, without the calls in it."""
    counts = {"": SummaryRow("", "outside of modules")}
    counts.update((path, SummaryRow(path, path, kind)) for path, kind in graph.modules.items())
    users = _first_users(graph.nodes)
    kept: dict[int, int] = {}
    for id, k in sized._kept(leaves):
        node = sized.nodes[id]
        kept[id] = kept.get(id, 0) + math.prod(node.shape(k)) * node.dtype(k).itemsize
    for node in sized.nodes:
        path = node.module or users.get(node.id, "")
        own = SummaryRow(
            path,
            "",
            nodes=1,
            parameters=math.prod(node.shape()) if node.kind == "parameter" else 0,
            multiply_adds=_multiply_adds(node, sized.nodes),
            kept_bytes=kept.get(node.id, 0),
        )
        counts[path] = counts[path].plus(own)
    return counts.pop(""), counts


def _first_users(nodes: tuple[GraphNode, ...]) -> dict[int, str]:
    """The module call that first uses a parameter or constant, by the id of that."""
    users: dict[int, str] = {}
    for node in nodes:
        for id, _ in node.inputs:
            if nodes[id].kind in ("parameter", "constant"):
                users.setdefault(id, node.module)
    return users


def _multiply_adds(node: GraphNode, nodes: tuple[GraphNode, ...]) -> int:
    rule = MULTIPLY_ADDS.get(node.op)
    return rule([node.shape(), *(nodes[id].shape(k) for id, k in node.inputs)]) if rule else 0


def _with_inner_calls(graph: Graph, counts: dict[str, SummaryRow]) -> list[SummaryRow]:
    """Adds inner calls to the outer ones, and puts each under the call that it is in."""
    scopes = graph._scopes()
    parents = {path: scopes[parent][0] if parent >= 0 else "" for path, _, parent in scopes}
    children: dict[str, list[str]] = {"": []}
    for path, parent in parents.items():
        children.setdefault(parent, []).append(path)
    for path, parent in reversed(list(parents.items())):  # inner calls first
        if parent:
            counts[parent] = counts[parent].plus(counts[path])
    last = _last_results(graph, parents)
    rows = []
    stack = [(path, 0) for path in reversed(children[""])]
    while stack:
        path, depth = stack.pop()
        name = path.removeprefix(parents[path] + ".")
        rows.append(replace(counts[path], name=name, depth=depth, output=last.get(path)))
        stack += [(child, depth + 1) for child in reversed(children.get(path, []))]
    return rows


def _last_results(graph: Graph, parents: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """The shape of the last result in each module call, the calls inside it included."""
    last = {}
    for node in graph.nodes:
        path = node.module
        while path and node.kind == "op":
            last[path] = node.shape()
            path = parents[path]
    return last


# ---- Modules ----


def summarize_module(
    module: Module,
    input_shape: Sequence[int | None] | Sequence[Sequence[int | None]],
    dtype: _C.dtype | Sequence[_C.dtype] | None,
    N: int,
) -> Summary:
    """Returns what a module costs on inputs of these shapes; see `nn.Module.summary`."""
    from chainrule import _C
    from chainrule.graphs.recording import traced

    shapes = _shapes(input_shape)
    if dtype is None:
        floating = (_C.float32, _C.float64)
        dtype = next((p.dtype for p in module.parameters() if p.dtype in floating), _C.float32)
    dtypes = [dtype] * len(shapes) if isinstance(dtype, _C.dtype) else list(dtype)
    if len(dtypes) != len(shapes):
        raise ValueError(
            f"summary: {len(dtypes)} dtypes for {len(shapes)} inputs; give one for all or one each"
        )
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        graph = traced(module, shapes, dtypes)
    finally:
        for each, training in modes:
            each.training = training
    return graph.summary(N=N)


def _shapes(
    given: Sequence[int | None] | Sequence[Sequence[int | None]],
) -> list[tuple[int | None, ...]]:
    """One shape or several, as several."""
    sizes, shapes = [], []
    try:
        for item in given:
            if item is None or isinstance(item, int):
                sizes.append(item)
            else:
                shapes.append(tuple(item))
    except TypeError:
        is_shape = False
    else:
        is_shape = not (sizes and shapes) and not isinstance(given, str)
    if not is_shape:
        raise TypeError(
            f"summary: input_shape is {given!r}; it must be one shape or a list of shapes; "
            "write (None, 64) for a batch"
        )
    return shapes or [tuple(sizes)]
