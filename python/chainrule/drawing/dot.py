"""Writes a graph in the DOT language of Graphviz."""

from __future__ import annotations

from typing import Any

from chainrule.drawing.outline import outline
from chainrule.drawing.scene import Box, Scene, build_scene
from chainrule.drawing.style import LIGHT
from chainrule.drawing.texts import one_line, shape_text

_SHAPES = {
    "op": 'shape=box, style="rounded,filled"',
    "input": "shape=box, style=filled",
    "parameter": "shape=box, style=filled, peripheries=2",
    "constant": 'shape=box, style="filled,dashed"',
    "output": "shape=cds, style=filled",
    "module": "shape=box3d, style=filled",
}


def to_dot(graph: Any, *, fold: Any = "auto", values: bool = True) -> str:
    """Writes a graph for Graphviz, with open modules as clusters.

    Args:
        graph: The `Graph` to write.
        fold: Which modules are one node, as in `to_svg`.
        values: Whether values and gradients are written into the nodes.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w = g.inputs("x w")
        >>> cr.drawing.to_dot(g.outputs(y=w * x)).splitlines()[-3:]
        ['  "n0" -> "n2";', '  "n2" -> "out:y";', '}']
    """
    scene = build_scene(graph, fold=fold, values=values)
    flat = outline(scene)
    lines = [
        "digraph chainrule {",
        '  rankdir=LR; bgcolor="transparent";',
        '  node [fontname="sans-serif"]; edge [color="#9aa4b0"];',
    ]
    inside: dict[int, list[Box]] = {}
    for box in flat.rows:
        inside.setdefault(box.group, []).append(box)
    lines += _clusters(scene, inside)
    for a, b, ref in flat.edges:
        shape = shape_text(scene.nodes[ref[0]].shape(ref[1]))
        label = f" [label={quote(shape)}]" if shape else ""
        lines.append(f"  {quote(flat.rows[a].key)} -> {quote(flat.rows[b].key)}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _clusters(scene: Scene, inside: dict[int, list[Box]]) -> list[str]:
    """Writes groups within groups: a brace closes when the next group stands outside it."""
    lines: list[str] = [_node(box) for box in inside.get(0, [])]
    around: list[int] = []
    for g in scene.groups[1:]:
        if scene.hidden_in(g.index):
            continue
        while around and around[-1] != g.parent:
            lines.append("  }")
            around.pop()
        around.append(g.index)
        title = f"{g.title} · {g.type_name}" if g.type_name else g.title
        lines.append(f'  subgraph "cluster_{g.index}" {{ label={quote(title)}; color="#8d83ab";')
        lines += [_node(box) for box in inside.get(g.index, [])]
    lines += ["  }"] * len(around)
    return lines


def _node(box: Box) -> str:
    texts = [box.title, box.name, box.subtitle]
    for port in box.ports:
        texts += [port.value, f"∂ {port.gradient}" if port.gradient else ""]
    label = "\\n".join(_plain(text) for text in texts if text)
    fill = {"op": "op", "output": "hair"}.get(box.kind, box.kind)
    return (
        f'  {quote(box.key)} [label="{label}", tooltip={quote(box.tooltip)}, '
        f'{_SHAPES[box.kind]}, fillcolor="{LIGHT.get(fill, "#ffffff")}"];'
    )


def quote(text: str) -> str:
    """Writes a DOT string, in which only quotes and backslashes mean anything."""
    return f'"{_plain(text)}"'


def _plain(text: str) -> str:
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"')
