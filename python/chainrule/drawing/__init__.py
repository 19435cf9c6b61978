"""Pictures of a graph: SVG, a page to walk through, DOT, Mermaid and text.

Everything is drawn by code in this package; no program, font or network is asked. `Graph` offers
these functions as its methods.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from chainrule.drawing.dot import to_dot
from chainrule.drawing.html import to_html
from chainrule.drawing.mermaid import to_mermaid
from chainrule.drawing.svg import to_svg
from chainrule.drawing.text import to_text

__all__ = ["mime_bundle", "to_dot", "to_html", "to_mermaid", "to_svg", "to_text", "write"]

_WRITERS: dict[str, Callable[[Any], str]] = {
    ".svg": to_svg,
    ".html": to_html,
    ".dot": to_dot,
    ".mmd": to_mermaid,
    ".txt": to_text,
}


def write(graph: Any, path: str | PathLike[str]) -> None:
    """Writes a graph's picture into a file whose suffix says which: .svg .html .dot .mmd .txt.

    Args:
        graph: The `Graph` to draw.
        path: Where to write.

    Raises:
        ValueError: If the suffix is another one.
        OSError: If the file cannot be written.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w = g.inputs("x w")
        >>> cr.drawing.write(g.outputs(y=w * x), "graph.png")
        Traceback (most recent call last):
        ValueError: draw: the file 'graph.png' ends in '.png'; it must end in one of .svg, ...
    """
    suffix = Path(fspath(path)).suffix.lower()
    if suffix not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise ValueError(
            f"draw: the file {fspath(path)!r} ends in {suffix!r}; it must end in one of {known}"
        )
    text = _WRITERS[suffix](graph)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise type(error)(
            f"draw: {fspath(path)}: {error.strerror or error}; it must name a file that can be "
            "written, in a directory that exists"
        ) from None


def mime_bundle(graph: Any) -> dict[str, str]:
    """Gives what a notebook shows for a graph: a picture, and text where there are no pictures."""
    return {"image/svg+xml": to_svg(graph), "text/plain": to_text(graph)}
