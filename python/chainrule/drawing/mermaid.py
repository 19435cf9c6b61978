"""Writes a graph as a Mermaid flowchart, which many wikis and forges draw."""

from __future__ import annotations

import re
from typing import Any

from chainrule.drawing.outline import outline
from chainrule.drawing.scene import Box, Scene, build_scene
from chainrule.drawing.style import LIGHT
from chainrule.drawing.texts import one_line, shape_text, shorten

_BRACKETS = {
    "op": ("((", "))"),
    "input": ("[", "]"),
    "parameter": ("[[", "]]"),
    "constant": ("(", ")"),
    "output": ("{{", "}}"),
    "module": ("[/", "/]"),
}


def to_mermaid(graph: Any, *, fold: Any = "auto", values: bool = True) -> str:
    """Writes a graph as a Mermaid flowchart, with open modules as subgraphs.

    Args:
        graph: The `Graph` to write.
        fold: Which modules are one node, as in `to_svg`.
        values: Whether values and gradients are written into the nodes.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w = g.inputs("x w")
        >>> print(cr.drawing.to_mermaid(g.outputs(y=w * x)))
        flowchart LR
          b0["w"]:::input
          b1["x"]:::input
          b2(("×"))
          b3{{"y"}}
          b0 --> b2
          b1 --> b2
          b2 --> b3
          classDef input fill:#e9f5fd,stroke:#3a8fbf,color:#1d232b
        <BLANKLINE>
    """
    scene = build_scene(graph, fold=fold, values=values)
    flat = outline(scene)
    names = {box.key: f"b{n}" for n, box in enumerate(flat.rows)}
    lines = ["flowchart LR"]
    inside: dict[int, list[Box]] = {}
    for box in flat.rows:
        inside.setdefault(box.group, []).append(box)
    lines += _subgraphs(scene, inside, names)
    for a, b, ref in flat.edges:
        shape = shape_text(scene.nodes[ref[0]].shape(ref[1]))
        label = f'|"{quote(shape)}"|' if shape else ""
        lines.append(f"  {names[flat.rows[a].key]} -->{label} {names[flat.rows[b].key]}")
    for kind in ("input", "parameter", "module"):
        if any(box.kind == kind for box in flat.rows):
            style = f"fill:{LIGHT[kind]},stroke:{LIGHT[f'{kind}-line']},color:{LIGHT['ink']}"
            lines.append(f"  classDef {kind} {style}")
    return "\n".join(lines) + "\n"


def _subgraphs(scene: Scene, inside: dict[int, list[Box]], names: dict[str, str]) -> list[str]:
    lines = [_node(box, names) for box in inside.get(0, [])]
    around: list[int] = []
    for g in scene.groups[1:]:
        if scene.hidden_in(g.index):
            continue
        while around and around[-1] != g.parent:
            lines.append("  end")
            around.pop()
        around.append(g.index)
        title = f"{g.title} · {g.type_name}" if g.type_name else g.title
        lines.append(f'  subgraph s{g.index}["{quote(title)}"]')
        lines += [_node(box, names) for box in inside.get(g.index, [])]
    return lines + ["  end"] * len(around)


def _node(box: Box, names: dict[str, str]) -> str:
    texts = [box.title, box.name, box.subtitle]
    for port in box.ports:
        texts += [port.value, f"∂ {port.gradient}" if port.gradient else ""]
    label = "<br/>".join(quote(text) for text in texts if text)
    left, right = _BRACKETS[box.kind]
    css = f":::{box.kind}" if box.kind in ("input", "parameter", "module") else ""
    return f'  {names[box.key]}{left}"{label}"{right}{css}'


def quote(text: str) -> str:
    """Writes a text inside Mermaid's quotes: what could be markup becomes an entity, #60;."""
    text = shorten(one_line(text), 13, 420)
    text = re.sub(r"""[#"'<>&`%;\\{}|*_~@:]""", lambda found: f"#{ord(found[0])};", text)
    return re.sub(r"^([+-]|\d+\.)", lambda found: found[0][:-1] + f"#{ord(found[0][-1])};", text)
