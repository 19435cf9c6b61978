"""The drawing functions as methods; they are imported when one is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike


class Drawable:
    """What a Graph can do to be looked at; see the functions of the same names in cr.drawing."""

    __slots__ = ()

    def to_svg(self, *, fold: Any = "auto", theme: str = "auto", values: bool = True) -> str:
        """Returns the graph as an SVG document; see `cr.drawing.to_svg`."""
        from chainrule import drawing

        return drawing.to_svg(self, fold=fold, theme=theme, values=values)

    def to_html(self, title: str = "", *, fold: Any = "auto") -> str:
        """Returns a page to walk through the graph, in one file; see `cr.drawing.to_html`."""
        from chainrule import drawing

        return drawing.to_html(self, title, fold=fold)

    def to_dot(self, *, fold: Any = "auto", values: bool = True) -> str:
        """Returns the graph in Graphviz's language; see `cr.drawing.to_dot`."""
        from chainrule import drawing

        return drawing.to_dot(self, fold=fold, values=values)

    def to_mermaid(self, *, fold: Any = "auto", values: bool = True) -> str:
        """Returns the graph in Mermaid's language; see `cr.drawing.to_mermaid`."""
        from chainrule import drawing

        return drawing.to_mermaid(self, fold=fold, values=values)

    def to_text(self, *, fold: Any = "auto", values: bool = True) -> str:
        """Returns the graph as text for a terminal; see `cr.drawing.to_text`."""
        from chainrule import drawing

        return drawing.to_text(self, fold=fold, values=values)

    def draw(self, path: str | PathLike[str]) -> None:
        """Writes a picture whose kind the suffix says, .svg .html .dot .mmd .txt.

        Raises:
            ValueError: The suffix is another one.
            OSError: The file cannot be written.
        """
        from chainrule import drawing

        drawing.write(self, path)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows."""
        from chainrule import drawing

        return drawing.mime_bundle(self)
