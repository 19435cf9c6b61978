"""Draws a graph in a terminal: one row for each box, with rails on the left that are the edges."""

from __future__ import annotations

import unicodedata
from typing import Any

from chainrule.drawing.outline import Outline, outline
from chainrule.drawing.scene import Box, Ref, Scene, build_scene
from chainrule.drawing.texts import ELLIPSIS, one_line

MOST_RAILS = 12  # results that are needed again later and have a line of their own
_NAME = 56  # columns of the widest name or formula
_SIGNS = {
    "input": "□", "parameter": "■", "constant": "◇", "op": "●", "output": "▶", "module": "▣",
}  # fmt: skip
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    _UP | _DOWN: "│", _LEFT | _RIGHT: "─", _UP | _DOWN | _RIGHT: "├", _UP | _DOWN | _LEFT: "┤",
    _UP | _DOWN | _LEFT | _RIGHT: "┼", _UP | _LEFT: "╯", _UP | _RIGHT: "╰", _DOWN | _LEFT: "╮",
    _DOWN | _RIGHT: "╭", _UP | _LEFT | _RIGHT: "┴", _DOWN | _LEFT | _RIGHT: "┬",
}  # fmt: skip


def to_text(graph: Any, *, fold: Any = "auto", values: bool = True) -> str:
    """Draws a graph with box characters, values and gradients in columns.

    Args:
        graph: The `Graph` to draw.
        fold: Which modules are one row, as in `to_svg`.
        values: Whether values and gradients are shown.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w = g.inputs("x w")
        >>> for line in cr.drawing.to_text(g.outputs(y=w * x)).splitlines()[:5]:
        ...     print("|" + line)
        | □    w...input
        | │ □  x...input
        | ├─╯
        | ●    y = ...
        | ▶    y...output
    """
    scene = build_scene(graph, fold=fold, values=values)
    flat = outline(scene)
    if not flat.rows:
        return "empty graph\n"
    drawn = _rails(flat)
    cells = [_cells(scene, box) for box in flat.rows]
    rail = max(len(line) for _, line in drawn)
    widths = [max(columns(row[c]) for row in cells) for c in range(len(cells[0]))]
    lines = []
    for row, line in drawn:
        if row is None:
            lines.append(f" {line}".rstrip())
            continue
        texts = [
            _pad(text, width, right=c in (3, 4))
            for c, (text, width) in enumerate(zip(cells[row], widths, strict=True))
            if width
        ]
        lines.append(f" {line.ljust(rail)}  {'  '.join(texts)}".rstrip())
    kinds = {box.kind for box in flat.rows}
    legend = "   ".join(f"{sign} {kind}" for kind, sign in _SIGNS.items() if kind in kinds)
    return "\n".join([*lines, "", f" {legend}"]) + "\n"


def _cells(scene: Scene, box: Box) -> list[str]:
    port = box.ports[0] if box.ports else None
    if box.kind == "op":
        node = scene.nodes[box.node]
        name = cut(f"{node.label} = {scene.graph.formula(node)}", _NAME)
        about = ""
    elif box.kind == "module":
        path = scene.groups[int(box.key[1:])].path
        name, about = cut(path, _NAME), box.subtitle
    else:
        title = scene.nodes[box.node].label if box.node >= 0 else box.title
        name, about = cut(title, _NAME), box.kind
    if port is None:
        return [name, about, "", "", ""]
    gradient = f"∂ {port.gradient}" if port.gradient else ""
    return [name, about, port.shape, port.value, gradient]


def _rails(flat: Outline) -> list[tuple[int | None, str]]:
    """Draws the lines: for each box a row, before it one that joins its inputs' rails."""
    sources: list[list[tuple[int, Ref]]] = [[] for _ in flat.rows]
    uses = [0] * len(flat.rows)
    for a, b, ref in flat.edges:
        sources[b].append((a, ref))
        uses[a] += 1
    lanes: list[int | None] = []  # which row's result runs in each rail
    result: list[tuple[int | None, str]] = []
    for row in range(len(flat.rows)):
        inputs = {lanes.index(a) for a, _ in sources[row] if a in lanes}
        for a, _ in sources[row]:
            uses[a] -= 1
        ended = {lane for lane in inputs if uses[lanes[lane] or 0] == 0}
        lane = min(ended) if ended else _free(lanes)
        if lane is not None and (len(inputs) > 1 or (inputs and lane not in inputs)):
            result.append((None, _joint(lanes, inputs, ended, lane)))
        for ending in ended:
            lanes[ending] = None
        if lane is not None:
            lanes += [None] * (lane + 1 - len(lanes))
            lanes[lane] = row
        sign = _SIGNS[flat.rows[row].kind]
        signs = [sign if i == lane else "│" if a is not None else " " for i, a in enumerate(lanes)]
        result.append((row, " ".join(signs if lane is not None else [*signs, sign])))
        if lane is not None and uses[row] == 0:
            lanes[lane] = None
        while lanes and lanes[-1] is None:
            lanes.pop()
    return result


def _free(lanes: list[int | None]) -> int | None:
    for i, row in enumerate(lanes):
        if row is None:
            return i
    return len(lanes) if len(lanes) < MOST_RAILS else None


def _joint(lanes: list[int | None], inputs: set[int], ended: set[int], target: int) -> str:
    ends = inputs | {target}
    first, final = min(ends), max(ends)
    text = []
    for c in range(max(len(lanes), final + 1)):
        used = c < len(lanes) and lanes[c] is not None
        if c in ends:
            way = (_UP if c in inputs else 0) | (_DOWN if c == target or c not in ended else 0)
            way |= (_LEFT if c > first else 0) | (_RIGHT if c < final else 0)
            text.append(_LINES[way])
        elif used:
            text.append("│")
        else:
            text.append("─" if first < c < final else " ")
        text.append("─" if first <= c < final else " ")
    return "".join(text).rstrip()


def columns(text: str) -> int:
    """Counts the terminal columns of a text; East Asian letters and emoji take two."""
    return sum(
        0
        if unicodedata.combining(c) or c in "\u200d\ufe0f"
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def cut(text: str, limit: int) -> str:
    """Shortens a text to a number of columns, keeping both ends."""
    text = one_line(text)
    if columns(text) <= limit:
        return text
    head, tail, room = "", "", limit - 1
    for c in text:
        if columns(head + c) > (room + 1) // 2:
            break
        head += c
    for c in reversed(text):
        if columns(c + tail) > room // 2:
            break
        tail = c + tail
    return head + ELLIPSIS + tail


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - columns(text))
    return space + text if right else text + space
