"""From a scene to places: every visible box, frame and wire of a drawing, in pixels.

Modules are laid out from the inside out: an open one is a frame as large as its inside, a folded
one a box. Nothing here recurses over the graph; groups are numbered so that inner ones come later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.drawing.layers import arrange
from chainrule.drawing.levels import (
    BEND,
    BOX,
    ENTRY,
    EXIT,
    GROUP,
    Level,
    Link,
    build_levels,
    module_boxes,
)
from chainrule.drawing.measure import HEADER, RADIUS, Size, frame_title, measure
from chainrule.drawing.placement import PAD, Extent, Placed, enters, leaves, place
from chainrule.drawing.scene import Box, Scene

MARGIN = 28
LANE = 6


@dataclass
class Frame:
    """The rectangle of an open module."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Drawing:
    """A scene with its arrangement and, after `locate`, the places of all that is visible."""

    scene: Scene
    levels: list[Level]
    modules: dict[int, Box]
    sizes: dict[str, Size]
    width: float = 0
    height: float = 0
    places: dict[str, tuple[float, float]] = field(default_factory=dict)  # by key of box
    frames: dict[int, Frame] = field(default_factory=dict)
    paths: dict[tuple[int, int], str] = field(default_factory=dict)  # by group and link
    ends: dict[tuple[int, int], tuple[float, float, float, float]] = field(default_factory=dict)


def layout(scene: Scene) -> Drawing:
    """Arranges and places a whole scene."""
    levels = build_levels(scene)
    for g, level in enumerate(levels):
        arrange(scene, level, g)
    modules = module_boxes(scene, levels)
    sizes = {box.key: measure(box) for box in [*scene.boxes, *modules.values()]}
    drawing = Drawing(scene, levels, modules, sizes)
    locate(drawing)
    return drawing


def locate(drawing: Drawing) -> None:
    """Places everything, with the modules open or folded as the scene says now."""
    scene = drawing.scene
    inside: dict[int, tuple[Placed, list[Extent]]] = {}
    shown = [g for g in scene.groups if not scene.hidden_in(g.index)]
    for g in reversed(shown):
        level = drawing.levels[g.index]
        extents = [_extent(drawing, item.kind, item.index, inside) for item in level.items]
        inside[g.index] = place(level, extents), extents
    drawing.places, drawing.frames, drawing.paths, drawing.ends = {}, {}, {}, {}
    root = inside[0][0]
    drawing.width = root.width + 2 * (MARGIN - PAD)
    drawing.height = root.height + 2 * MARGIN
    origin = {0: (float(MARGIN - PAD), float(MARGIN))}
    for g in shown:  # from the outside in
        x, y = origin[g.index]
        placed, extents = inside[g.index]
        level = drawing.levels[g.index]
        for i, item in enumerate(level.items):
            at = x + placed.x[i], y + placed.y[i]
            if item.kind == BOX:
                drawing.places[scene.boxes[item.index].key] = at
            elif item.kind == GROUP and not scene.groups[item.index].open:
                drawing.places[drawing.modules[item.index].key] = at
            elif item.kind == GROUP:
                e = extents[i]
                top = at[1] - e.above
                drawing.frames[item.index] = Frame(at[0], top, e.width, e.above + e.below)
                origin[item.index] = at[0], top + HEADER
        for n, link in enumerate(level.links):
            _draw(drawing, g.index, n, link, (x, y), placed, extents)


def _extent(
    drawing: Drawing, kind: str, index: int, inside: dict[int, tuple[Placed, list[Extent]]]
) -> Extent:
    if kind == BOX:
        box = drawing.scene.boxes[index]
    elif kind == GROUP and not drawing.scene.groups[index].open:
        box = drawing.modules[index]
    elif kind == GROUP:
        return _frame_extent(drawing, index, inside[index][0])
    else:
        return Extent()
    size = drawing.sizes[box.key]
    rows = {p.ref: row for p, row in zip(box.ports, size.rows, strict=True)}
    return Extent(size.width, size.above, size.below, {}, rows)


def _frame_extent(drawing: Drawing, group: int, placed: Placed) -> Extent:
    """Measures an open module; its anchor is where its first wire enters, else its middle."""
    level = drawing.levels[group]
    enter = {
        i.ref: placed.y[n] + HEADER for n, i in enumerate(level.items) if i.kind == ENTRY and i.ref
    }
    leave = {
        i.ref: placed.y[n] + HEADER for n, i in enumerate(level.items) if i.kind == EXIT and i.ref
    }
    height = placed.height + HEADER + PAD
    width = max(placed.width, frame_title(drawing.scene.groups[group])[2])
    anchor = height / 2
    return Extent(
        width,
        anchor,
        height - anchor,
        {ref: v - anchor for ref, v in enter.items()},
        {ref: v - anchor for ref, v in leave.items()},
    )


def _draw(
    drawing: Drawing,
    group: int,
    number: int,
    link: Link,
    origin: tuple[float, float],
    placed: Placed,
    extents: list[Extent],
) -> None:
    level = drawing.levels[group]
    source, target = level.items[link.source], level.items[link.target]
    a, b = link.source, link.target
    y0 = origin[1] + placed.y[a] + leaves(extents, link)
    y1 = origin[1] + placed.y[b] + enters(extents, link) + link.lane * LANE
    start = placed.x[a] + (0 if source.kind == BEND else extents[a].width)
    end = placed.x[b]
    arrow = False
    size = None
    if target.kind == BOX:
        size = drawing.sizes[drawing.scene.boxes[target.index].key]
    elif target.kind == GROUP and not drawing.scene.groups[target.index].open:
        size = drawing.sizes[drawing.modules[target.index].key]
    if size is not None:
        arrow = True
        end += size.shape_x
        if size.round and link.lane:
            end += (
                RADIUS - (RADIUS**2 - (link.lane * LANE) ** 2) ** 0.5 if abs(link.lane) < 3 else 6
            )
    wide = group > 0 and target.kind == EXIT  # a frame may be wider than its inside
    if wide:
        end = drawing.frames[group].width
    left, right = origin[0] + placed.right[a], origin[0] + placed.x[b]
    points = origin[0] + start, y0, origin[0] + end, y1
    drawing.ends[group, number] = points
    drawing.paths[group, number] = path(points, left, right, arrow=arrow)


def path(
    points: tuple[float, float, float, float], left: float, right: float, *, arrow: bool
) -> str:
    """Writes a wire: straight beside its boxes, a curve in the gap between the columns."""
    x0, y0, x1, y1 = points
    text = f"M{_n(x0)} {_n(y0)}"
    if abs(y1 - y0) < 0.5:
        text += f"L{_n(x1)} {_n(y1)}"
    else:
        middle = (left + right) / 2
        text += (
            f"H{_n(left)}C{_n(middle)} {_n(y0)} {_n(middle)} {_n(y1)} {_n(right)} {_n(y1)}H{_n(x1)}"
        )
    if arrow:
        text += f"M{_n(x1 - 7)} {_n(y1 - 4)}L{_n(x1 - 1)} {_n(y1)}L{_n(x1 - 7)} {_n(y1 + 4)}"
    return text


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
