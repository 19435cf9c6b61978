"""Colours and the style sheet of drawings, in light and dark.

Values are blue and gradients vermilion, parameters green and inputs sky blue: hues of Okabe and
Ito, "Color Universal Design" (2008), darkened or lightened until texts have a contrast of 4.5.
No meaning rests on colour alone: values stand above their line in bold, gradients below it in
italics behind a ∂, and every kind of box has a shape or border of its own.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

LIGHT = {
    "ground": "#ffffff", "panel": "#ffffff", "ink": "#1d232b", "muted": "#5d6773",
    "line": "#9aa4b0", "hair": "#e1e5ea", "op": "#ffffff", "op-line": "#4a5461",
    "input": "#e9f5fd", "input-line": "#3a8fbf", "parameter": "#e8f6f0",
    "parameter-line": "#00845f", "output": "#333b46", "output-line": "#1d232b",
    "output-ink": "#ffffff", "module": "#f3f1f8", "module-line": "#8d83ab",
    "frame": "#6b5fa00d", "value": "#0067a3", "gradient": "#b84a00", "focus": "#7a3fb0",
}  # fmt: skip
DARK = {
    "ground": "#14181d", "panel": "#1b2026", "ink": "#e8ecf1", "muted": "#9aa5b1",
    "line": "#647080", "hair": "#2d343d", "op": "#1d232a", "op-line": "#aab4c0",
    "input": "#142c3a", "input-line": "#56b4e9", "parameter": "#10302a",
    "parameter-line": "#2fb98f", "output": "#e8ecf1", "output-line": "#ffffff",
    "output-ink": "#14181d", "module": "#252231", "module-line": "#8a80ab",
    "frame": "#a79bdc12", "value": "#62bdf2", "gradient": "#ff9a52", "focus": "#c9a0f5",
}  # fmt: skip
THEMES = {"light": LIGHT, "dark": DARK}


@lru_cache
def part(name: str) -> str:
    """Reads one of the static parts that stand beside the package's code."""
    return (files("chainrule.drawing") / "page" / name).read_text(encoding="utf-8")


def variables(theme: str) -> str:
    """Writes a theme's colours as CSS variables."""
    return " ".join(f"--{name}: {colour};" for name, colour in THEMES[theme].items())


def sheet(theme: str) -> str:
    """Writes the style sheet of a lone SVG, in plain colours: some viewers know no variables.

    Its rules hold for drawings of this theme only, since a notebook may show several on one page.
    """
    rules = _plain("light" if theme == "auto" else theme)
    if theme == "auto":
        rules += f"\n@media (prefers-color-scheme: dark) {{\n{_plain('dark')}\n}}"
    return rules.replace(".chainrule ", f".chainrule-{theme} ")


def _plain(theme: str) -> str:
    css = part("drawing.css").strip()
    return re.sub(r"var\(--([\w-]+)\)", lambda found: THEMES[theme][found[1]], css)
