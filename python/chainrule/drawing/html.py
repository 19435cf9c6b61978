"""Writes the page: one file with the drawing, its data, style and script, and nothing outside."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from chainrule.drawing import placement
from chainrule.drawing.layout import LANE, MARGIN, Drawing, layout
from chainrule.drawing.levels import Item, Level, Link
from chainrule.drawing.measure import HEADER, RADIUS, frame_title
from chainrule.drawing.scene import Box, Ref, Scene, build_scene
from chainrule.drawing.steps import walk
from chainrule.drawing.style import part, variables
from chainrule.drawing.svg import body, escape, legend_strip
from chainrule.drawing.texts import one_line, summary
from chainrule.graphs.expressions import shown

LONGEST_VALUE = 900  # characters of a tensor that the page holds
FEW = 8  # elements that need no summary


def to_html(graph: Any, title: str = "", *, fold: Any = "auto") -> str:
    """Writes a page on which a graph can be looked at, opened and stepped through.

    Args:
        graph: The `Graph` to show.
        title: The page's heading; by default the names of the graph's outputs.
        fold: Which modules are folded at first, as in `to_svg`.

    Returns:
        The text of one HTML file that needs no other file and no network.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w = g.inputs("x w")
        >>> cr.drawing.to_html(g.outputs(y=w * x), "A product")[:15]
        '<!doctype html>'
    """
    names = ", ".join(graph.output_refs)
    title = title or (f"Computation graph of {names}" if names else "Computation graph")
    scene = build_scene(graph, fold=fold)
    drawing = layout(scene)
    script = f"{part('place.js')}\n{part('page.js')}"
    legend, width = legend_strip(drawing, values=True)
    fields = {
        "TITLE": escape(one_line(title)),
        "SCRIPT_HASH": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "LIGHT": variables("light"),
        "DARK": variables("dark"),
        "STYLE": part("drawing.css") + part("page.css"),
        "SCRIPT": script,
        "DATA": for_script(_data(drawing)),
        "LEGEND": f'<svg class="chainrule" width="{width:.0f}" height="24" '
        f'viewBox="-2 -12 {width:.0f} 24" role="img" aria-label="legend">'
        f'<g class="legend">{legend}</g></svg>',
        "DRAWING": "\n".join(body(drawing, page=True)),
    }
    pieces = part("page.html").split("@@")  # text and field names in turn
    return "".join(fields[p] if n % 2 else p for n, p in enumerate(pieces))


def for_script(data: Any) -> str:
    """Writes JSON that no text in it can end: what HTML or JavaScript would read is escaped."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(drawing: Drawing) -> dict[str, Any]:
    scene = drawing.scene
    return {
        "rules": {
            "GAP": placement.GAP,
            "MIN": placement.MIN_COLUMN_GAP,
            "MAX": placement.MAX_COLUMN_GAP,
            "PAD": placement.PAD,
            "BEND": placement.BEND_HALF,
            "LEAF": placement.LEAF,
            "STRAIGHT": placement.STRAIGHT,
            "MARGIN": MARGIN,
            "HEADER": HEADER,
            "LANE": LANE,
            "RADIUS": RADIUS,
        },
        "nodes": [_node(scene, node) for node in scene.nodes],
        "boxes": [_box(drawing, box) for box in scene.boxes],
        "modules": {g: _box(drawing, box) for g, box in drawing.modules.items()},
        "groups": [
            {
                "path": g.path,
                "type": g.type_name,
                "parent": g.parent,
                "open": g.open,
                "header": frame_title(g)[2],
            }
            for g in scene.groups
        ],
        "levels": [_level(level) for level in drawing.levels],
        "edges": [[f"{e.ref[0]}:{e.ref[1]}", scene.boxes[e.target].key] for e in scene.edges],
        "steps": walk(scene),
    }


def _box(drawing: Drawing, box: Box) -> dict[str, Any]:
    size = drawing.sizes[box.key]
    leave = {_ref(p.ref): row for p, row in zip(box.ports, size.rows, strict=True)}
    return {
        "key": box.key,
        "kind": box.kind,
        "node": box.node,
        "group": box.group,
        "width": size.width,
        "above": size.above,
        "below": size.below,
        "inset": size.shape_x,
        "round": size.round,
        "leave": leave,
    }


def _ref(ref: Ref) -> str:
    return f"{ref[0]}:{ref[1]}"


def _level(level: Level) -> dict[str, Any]:
    return {
        "items": [_item(item) for item in level.items],
        "layers": level.layers,
        "links": [_link(link) for link in level.links],
    }


def _item(item: Item) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": item.kind}
    if item.index >= 0:
        data["index"] = item.index
    if item.ref is not None:
        data["ref"] = _ref(item.ref)
    if item.leaf:
        data["leaf"] = True
    return data


def _link(link: Link) -> dict[str, Any]:
    return {
        "source": link.source,
        "target": link.target,
        "ref": _ref(link.ref),
        "edges": link.edges,
        "lane": link.lane,
    }


def _node(scene: Scene, node: Any) -> dict[str, Any]:
    """Collects what the page tells about a node that is clicked; empty fields are left out."""
    graph = scene.graph
    shapes = [f"({', '.join(str(s) for s in node.shape(k))})" for k in range(node.outputs)]
    op = node.kind == "op"
    rules = [graph.local_derivative(node, k) for k in range(len(node.inputs))] if op else []
    data = {
        "label": node.label,
        "kind": node.kind,
        "formula": graph.formula(node) if op else "",
        "attributes": ", ".join(f"{k}={v}" for k, v in shown(node.op, node.attributes).items()),
        "shape": ", ".join(shapes),
        "dtype": str(node.dtype()).replace("chainrule.", ""),
        "module": node.module + (f" ({node.module_type})" if node.module_type else ""),
        "source": node.source,
        "value": _tensors(graph.value, node),
        "gradient": _tensors(graph.gradient, node),
        "rules": [
            [scene.nodes[i].label, rule]
            for (i, _), rule in zip(node.inputs, rules, strict=False)
            if rule
        ],
    }
    return {key: value for key, value in data.items() if value}


def _tensors(read: Any, node: Any) -> str:
    """Writes a node's values, or gradients, in full where they are small."""
    found = [read((node.id, k)) for k in range(node.outputs)]
    return "\n".join(_tensor(t) for t in found if t is not None)


def _tensor(tensor: Any) -> str:
    if len(tensor.shape) == 0:
        return str(tensor.item())
    text = repr(tensor)
    if tensor.numel() > FEW:
        text = f"{summary(tensor)}\n{text}"
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + " …"
