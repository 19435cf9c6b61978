"""Writes a drawing as SVG: alone with its style, or as the inside of the page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as _escape
from typing import Any

from chainrule.drawing.layout import Drawing, Frame, layout
from chainrule.drawing.levels import BOX, GROUP
from chainrule.drawing.measure import NAME, TITLE, VALUE, Size, frame_title
from chainrule.drawing.scene import Box, Group, build_scene
from chainrule.drawing.style import THEMES, sheet
from chainrule.drawing.texts import one_line, text_width

_XML = {c: "" for c in range(32) if c not in (9, 10)} | {0x7F: "", 0xFFFE: "", 0xFFFF: ""}


def escape(text: str) -> str:
    """Makes a text safe in XML, inside elements and quoted attributes."""
    text = text.translate(_XML).encode("utf-8", "replace").decode("utf-8")
    return _escape(text, quote=True)


def to_svg(graph: Any, *, fold: Any = "auto", theme: str = "auto", values: bool = True) -> str:
    """Draws a graph as one SVG document, without outside fonts, scripts or files.

    Args:
        graph: The `Graph` to draw.
        fold: "auto" folds modules where more than about 60 boxes would show; True folds all, False
            none; or the paths of the modules to fold, such as `["net.0"]`.
        theme: "light", "dark", or "auto", which follows the reader's system.
        values: Whether values and gradients are written beside the wires.

    Returns:
        The document's text.

    Raises:
        ValueError: If the theme is none of the three, or `fold` names a module that is not there.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w = g.inputs("x w")
        >>> cr.drawing.to_svg(g.outputs(y=w * x))[:28]
        '<svg xmlns="http://www.w3.or'
    """
    if theme != "auto" and theme not in THEMES:
        raise ValueError(f"draw: theme is {theme!r}; it must be 'auto', 'light' or 'dark'")
    drawing = layout(build_scene(graph, fold=fold, values=values))
    legend, legend_width = legend_strip(drawing, values)
    width, height = max(drawing.width, legend_width + 48), drawing.height + 44
    count = len(drawing.places)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chainrule chainrule-{theme}" '
        f'role="img" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">',
        f"<title>Computation graph of {count} boxes</title>",
        f"<style>\n{sheet(theme)}\n</style>",
        f'<rect class="ground" width="{width:.0f}" height="{height:.0f}"/>',
        *body(drawing),
        f'<g class="legend" transform="translate(24 {drawing.height + 16:.0f})">{legend}</g>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def body(drawing: Drawing, *, page: bool = False) -> Iterator[str]:
    """Yields frames, wires and boxes; for the page the hidden ones too, with handles."""
    scene = drawing.scene
    yield '<g class="frames">'
    for group in scene.groups[1:]:
        if page or group.index in drawing.frames:
            yield _frame(group, drawing.frames.get(group.index), page)
    yield '</g>\n<g class="edges">'
    for g, level in enumerate(drawing.levels):
        for n in range(len(level.links)):
            d = drawing.paths.get((g, n))
            if d is not None:
                handle = f' data-wire="{g}:{n}"' if page else ""
                yield f'<path class="edge"{handle} d="{d}"/>'
            elif page:
                yield f'<path class="edge" data-wire="{g}:{n}" display="none"/>'
    yield '</g>\n<g class="boxes">'
    for level in drawing.levels:  # from left to right, which is also the order of the Tab key
        for row in level.layers:
            for i in row:
                item = level.items[i]
                if item.kind == BOX:
                    yield from _placed(drawing, scene.boxes[item.index], page)
                elif item.kind == GROUP:
                    yield from _placed(drawing, drawing.modules[item.index], page)
    yield "</g>"


def _placed(drawing: Drawing, box: Box, page: bool) -> Iterator[str]:
    at = drawing.places.get(box.key)
    if at is None and not page:
        return
    x, y = at or (0.0, 0.0)
    handle, hit = ' display="none"' if at is None else "", ""
    if page:
        label = escape(_spoken(box))
        size = drawing.sizes[box.key]
        hit = _rect(0, -size.above, size.width, size.above + size.below, 0, "hit")
        handle += f' data-box="{escape(box.key)}" tabindex="0" role="button" aria-label="{label}"'
    yield (
        f'<g class="box {box.kind}"{handle} transform="translate({x:.1f} {y:.1f})">'
        f"<title>{escape(box.tooltip)}</title>{hit}{_parts(box, drawing.sizes[box.key])}</g>"
    )


def _spoken(box: Box) -> str:
    """Says what a box is, for a reader who hears the page."""
    texts = [f"{box.kind} {box.title}", box.name, box.subtitle]
    for port in box.ports:
        texts.append(f"shape {port.shape}" if port.shape else "")
        texts.append(f"value {port.value}" if port.value else "")
        texts.append(f"gradient {port.gradient}" if port.gradient else "")
    return ", ".join(text for text in texts if text)


def _parts(box: Box, size: Size) -> str:
    middle = size.shape_x + size.shape_width / 2
    edge = size.shape_x + size.shape_width
    parts = []
    for row, port in zip(size.rows, box.ports, strict=True):
        handle = f' data-ref="{port.ref[0]}:{port.ref[1]}"'
        parts.append(f'<path class="stub"{handle} d="M{edge:.1f} {row:.0f}H{size.width:.1f}"/>')
        texts = ((port.value, "value", -7), (port.gradient, "gradient", VALUE + 4))
        x = (edge + size.width) / 2
        for text, kind, rise in texts:
            if text:
                shown = f"∂ {text}" if kind == "gradient" else text
                parts.append(_text(x, row + rise, kind, shown, handle))
        if port.shape:
            parts.append(_text(x, row - (VALUE + 10 if port.value else 7), "shape", port.shape))
    parts.append(_form(box.kind, size))
    if box.kind == "module":
        parts.append(_switch(size.shape_x + 18, -1.5, folded=True))
        x = middle + 12
        parts.append(_text(x, -5 if size.subtitle else 3, "title", size.title))
        if size.subtitle:
            parts.append(_text(x, 14, "subtitle", size.subtitle))
    else:
        sign = box.kind == "op" and len(size.title) < 3
        x = middle - 4 if box.kind == "output" else middle
        parts.append(_text(x, 6 if sign else 5, "title sign" if sign else "title", size.title))
    if size.name:
        parts.append(_text(middle, size.half + NAME + 2, "name", size.name))
    return "".join(parts)


def _text(
    x: float, y: float, kind: str, text: str, handle: str = "", anchor: str = "middle"
) -> str:
    place = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text class="{kind}"{handle} x="{x:.1f}" y="{y:.1f}"{place}>{escape(text)}</text>'


def _form(kind: str, size: Size) -> str:
    x, w, h = size.shape_x, size.shape_width, size.half
    if kind == "op":
        return _rect(x, -h, w, 2 * h, 20)
    if kind == "parameter":
        return _rect(x, -h, w, 2 * h, min(7, h / 2)) + _rect(
            x + 3, 3 - h, w - 6, 2 * h - 6, min(4.5, h / 4), "inner"
        )
    if kind == "output":
        tip = x + w
        upper = f"M{x + 1.2:.1f} {1.2 - h}H{tip - 13:.1f}L{tip - 1:.1f} 0"
        return f'<path class="form" d="{upper}L{tip - 13:.1f} {h - 1.2}H{x + 1.2:.1f}Z"/>'
    if kind == "module":
        r = min(9, h / 3)
        return _rect(x + 4, 4 - h, w - 4, 2 * h - 4, r) + _rect(x, -h, w - 4, 2 * h - 4, r)
    return _rect(x, -h, w, 2 * h, {"link": h, "constant": 4}.get(kind, 1.5))


def _rect(x: float, y: float, w: float, h: float, r: float, kind: str = "form") -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{w:.1f}" height="{h:.1f}" rx="{r:g}"/>'
    )


def _switch(x: float, y: float, *, folded: bool) -> str:
    upright = f"M{x:.1f} {y - 4:.1f}v8" if folded else ""
    return (
        f'<circle class="switch" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
        f'<path class="mark" d="M{x - 4:.1f} {y:.1f}h8{upright}"/>'
    )


def _frame(group: Group, frame: Frame | None, page: bool) -> str:
    title, subtitle, _ = frame_title(group)
    x, y, w, h = (frame.x, frame.y, frame.width, frame.height) if frame else (0, 0, 0, 0)
    handle = "" if frame else ' display="none"'
    if page:
        handle += f' data-frame="{group.index}"'
    inner = ""
    if page:
        label = escape(one_line(f"close module {group.path}"))
        inner = f' tabindex="0" role="button" aria-expanded="true" aria-label="{label}"'
    beside = 36 + text_width(title, TITLE, bold=True) + 8
    return (
        f'<g class="frame"{handle} transform="translate({x:.1f} {y:.1f})">'
        f'<rect class="form" width="{w:.1f}" height="{h:.1f}" rx="12"/>'
        f'<g class="header"{inner}>{_switch(20, 18, folded=False)}'
        f"{_text(36, 23, 'title', title, anchor='start')}"
        f"{_text(beside, 23, 'subtitle', subtitle, anchor='start') if subtitle else ''}</g></g>"
    )


def legend_strip(drawing: Drawing, values: bool) -> tuple[str, float]:
    """Draws what the signs mean, in one row, and gives its width."""
    kinds = {box.kind for box in drawing.scene.boxes} | {"module" for _ in drawing.modules}
    x, parts = 0.0, []
    entries = [
        (k, k) for k in ("input", "parameter", "constant", "op", "module", "output") if k in kinds
    ]
    for kind, word in entries:
        half = 8
        size = Size(0, 0, 0, 0, 16.0 if kind == "op" else 26.0, half)
        parts.append(f'<g class="{kind}" transform="translate({x:.1f} 0)">{_form(kind, size)}</g>')
        x += size.shape_width + 7
        text = {"op": "operation", "module": "module (folded)"}.get(word, word)
        parts.append(_text(x, 4, "", text, anchor="start"))
        x += text_width(text, 12) + 22
    ports = [port for box in drawing.scene.boxes for port in box.ports]
    if values and any(port.value or port.gradient for port in ports):
        for style, text in (("value", "12  value"), ("gradient", "∂ 12  gradient")):
            parts.append(_text(x, 4, style, text, anchor="start"))
            x += text_width(text, 13, bold=True) + 22
    return "".join(parts), x
