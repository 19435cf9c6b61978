"""What was measured, as a Markdown table and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from timing import Stats

_SUBJECT = "chainrule"


@dataclass(frozen=True)
class Result:
    """One row: the statistics of each library that has it, in `unit` (us or MB)."""

    name: str
    title: str
    unit: str
    stats: dict[str, Stats]

    def ratio(self, library: str) -> float | None:
        """Returns chainrule's median over the library's, or None if one of them has none."""
        if _SUBJECT not in self.stats or library not in self.stats:
            return None
        return self.stats[_SUBJECT].median / self.stats[library].median


def _figure(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _cell(stats: Stats | None) -> str:
    if stats is None:
        return ""
    return f"{_figure(stats.median)} ({_figure(stats.minimum)}, ±{_figure(stats.spread / 2)})"


def markdown(results: list[Result], libraries: list[str]) -> str:
    """Returns a table: median (minimum, ± half the distance of the quartiles), and ratios."""
    rivals = [library for library in libraries if library != _SUBJECT and _SUBJECT in libraries]
    header = ["work", "unit", *libraries, *(f"/ {rival}" for rival in rivals)]
    lines = [header, ["---"] * len(header)]
    for result in results:
        ratios = [result.ratio(rival) for rival in rivals]
        lines.append(
            [
                result.title,
                result.unit,
                *(_cell(result.stats.get(library)) for library in libraries),
                *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plot(results: list[Result], path: Path) -> None:
    """Draws chainrule's time over each other library's, on a logarithmic axis.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    rivals = list(dict.fromkeys(k for r in results for k in r.stats if k != _SUBJECT))
    figure = Figure(figsize=(9, 1 + 0.45 * len(results)), layout="constrained")
    axes = figure.subplots()
    for i, rival in enumerate(rivals):
        drawn = [(y, ratio) for y, r in enumerate(results) if (ratio := r.ratio(rival))]
        heights = [y + 0.25 * (i - (len(rivals) - 1) / 2) for y, _ in drawn]
        axes.plot([ratio for _, ratio in drawn], heights, "o", label=f"against {rival}")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(results)), [result.title for result in results])
    axes.invert_yaxis()
    axes.set_xlabel("time of chainrule / time of the other: left of 1 is faster")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
