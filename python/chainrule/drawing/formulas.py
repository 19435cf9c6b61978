"""What a graph says about an op in words: its formula, its local derivatives."""

from __future__ import annotations

from typing import Any


def formula(graph: Any, node: Any) -> str:
    """Writes an op with its inputs' labels: by the graph's own formula, else as op(a, b)."""
    own = getattr(graph, "formula", None)
    if own is not None:
        return str(own(node))
    nodes = graph.nodes
    return f"{node.op}({', '.join(nodes[i].label for i, _ in node.inputs)})"


def local_derivative(graph: Any, node: Any, slot: int) -> str:
    """Writes the gradient rule of one input; empty where the graph does not say it."""
    own = getattr(graph, "local_derivative", None)
    return str(own(node, slot) or "") if own is not None else ""
