"""How large each box is and where its parts are, relative to the point where wires enter and leave.

A box is a shape with a line on its right. Texts stand around that line as in a lecture: the value
above it, the gradient below it, the shape on top; what belongs to a box lies in its rectangle, so
boxes that do not overlap have texts that do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.drawing.scene import Box, Group
from chainrule.drawing.texts import shorten, text_width

SIGN, TITLE, NAME, VALUE, SHAPE = 17, 14, 13, 13, 11  # font sizes
RADIUS = 20
TITLE_LIMIT = 170
HEADER = 34  # the strip of a frame that holds a module's name
ROW = 58  # between two lines that leave one box
_SIDE = 8


@dataclass
class Size:
    """A box's rectangle around its anchor (the left end, at the height of the first wire)."""

    width: float
    above: float
    below: float
    shape_x: float = 0
    shape_width: float = 0
    half: float = 0  # of the shape's height
    round: bool = False
    title: str = ""
    subtitle: str = ""
    name: str = ""
    rows: list[float] = field(default_factory=list)  # height of each leaving line


def measure(box: Box) -> Size:
    """Measures a box and shortens its texts."""
    count = max(1, len(box.ports))
    rows = [ROW * (k - (count - 1) / 2) for k in range(len(box.ports))]
    spread = ROW * (count - 1) / 2
    size = _shape(box)
    size.half += spread
    size.rows = rows
    size.above, size.below = size.half, size.half
    if box.name:
        size.name = shorten(box.name, NAME, 120)
        width = text_width(size.name, NAME, bold=True)
        size.shape_x = max(0.0, (width - size.shape_width) / 2)
        size.below += NAME + 7
    size.width = max(size.shape_x * 2 + size.shape_width, size.shape_width)
    line = 0.0
    for row, port in zip(rows, box.ports, strict=True):
        line = max(
            line,
            text_width(port.value, VALUE, bold=True),
            text_width("∂ " + port.gradient, VALUE) if port.gradient else 0,
            text_width(port.shape, SHAPE),
        )
        top = 8 + (VALUE + 1 if port.value else 0) + (SHAPE + 3 if port.shape else 0)
        size.above = max(size.above, top - row)
        size.below = max(size.below, row + (VALUE + 9 if port.gradient else 4))
    if box.ports:
        right = size.shape_x + size.shape_width + (line + 2 * _SIDE if line else 6)
        size.width = max(size.width, right)
    return size


def _shape(box: Box) -> Size:
    if box.kind == "op":
        title = shorten(box.title, SIGN if len(box.title) < 3 else TITLE, TITLE_LIMIT)
        wide = text_width(title, SIGN if len(title) < 3 else TITLE)
        width = max(2.0 * RADIUS, wide + 26)
        return Size(0, 0, 0, 0, width, RADIUS, round=True, title=title)
    if box.kind == "module":
        title = shorten(box.title, TITLE, TITLE_LIMIT, bold=True)
        subtitle = shorten(box.subtitle, NAME, TITLE_LIMIT)
        wide = max(text_width(title, TITLE, bold=True), text_width(subtitle, NAME))
        return Size(0, 0, 0, 0, max(96.0, wide + 52), 27, title=title, subtitle=subtitle)
    if box.kind == "link":
        title = shorten(box.title, NAME, 100)
        return Size(0, 0, 0, 0, text_width(title, NAME) + 18, 12, title=title)
    title = shorten(box.title, TITLE, TITLE_LIMIT, bold=True)
    extra = 40 if box.kind == "output" else 26
    width = max(46.0, text_width(title, TITLE, bold=True) + extra)
    return Size(0, 0, 0, 0, width, 18, title=title)


def frame_title(group: Group) -> tuple[str, str, float]:
    """Gives the texts in a frame's header and the width that they need."""
    title = shorten(group.title, TITLE, 240, bold=True)
    subtitle = shorten(group.type_name, NAME, 160)
    width = text_width(title, TITLE, bold=True) + text_width(subtitle, NAME)
    return title, subtitle, width + 62
