"""What was measured, as a Markdown table and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rows import Row
    from timing import Stats

_SUBJECT = "chainrule"
_JUDGE = "torch"  # the goals are ratios to its time
_MISSED = " ✗"


@dataclass(frozen=True)
class Result:
    """One row: the statistics of each library that has it, in `unit` (us or MB), and its goal."""

    name: str
    title: str
    unit: str
    stats: dict[str, Stats]
    goal: float | None = None  # of the ratio to PyTorch
    limit: float | None = None  # of chainrule's median

    def ratio(self, library: str) -> float | None:
        """Returns chainrule's median over the library's, or None if one of them has none."""
        if _SUBJECT not in self.stats or library not in self.stats:
            return None
        return self.stats[_SUBJECT].median / self.stats[library].median

    def is_behind(self, library: str) -> bool:
        """Whether chainrule misses its goal against PyTorch, or loses to another library."""
        ratio = self.ratio(library)
        most = self.goal if library == _JUDGE and self.goal is not None else 1.0
        return ratio is not None and ratio > most

    def is_over(self) -> bool:
        """Whether chainrule's median is above the row's limit."""
        subject = self.stats.get(_SUBJECT)
        return subject is not None and self.limit is not None and subject.median > self.limit

    def shortcomings(self) -> list[str]:
        """Returns what is behind, in words."""
        found = [f"/ {library}" for library in self.stats if self.is_behind(library)]
        return found + ["limit"] * self.is_over()


def limit_of(row: Row, before: list[Result]) -> float | None:
    """Returns the limit of a row; None if it is set by a row that has not run."""
    if row.limit_by is None:
        return row.limit
    name, factor = row.limit_by
    medians = [r.stats[_SUBJECT].median for r in before if r.name == name and _SUBJECT in r.stats]
    return factor * medians[0] if medians else None


def _figure(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _cell(stats: Stats | None) -> str:
    if stats is None:
        return ""
    return f"{_figure(stats.median)} ({_figure(stats.minimum)}, ±{_figure(stats.spread / 2)})"


def _goal(result: Result) -> str:
    if result.limit is not None:
        return f"{_figure(result.limit)} {result.unit}{_MISSED if result.is_over() else ''}"
    return "" if result.goal is None else f"{result.goal:.2f}"


def _ratio(result: Result, rival: str) -> str:
    ratio = result.ratio(rival)
    if ratio is None:
        return ""
    return f"{ratio:.2f}{_MISSED if result.is_behind(rival) else ''}"


def markdown(results: list[Result], libraries: list[str]) -> str:
    """Returns a table: median (minimum, ± half the distance of the quartiles), goals, ratios."""
    rivals = [library for library in libraries if library != _SUBJECT and _SUBJECT in libraries]
    has_limit = any(result.limit is not None for result in results)
    goals = ["goal"] * (bool(rivals) or has_limit)
    header = ["work", "unit", *libraries, *goals, *(f"/ {rival}" for rival in rivals)]
    lines = [header, ["---"] * len(header)]
    lines += [
        [
            result.title,
            result.unit,
            *(_cell(result.stats.get(library)) for library in libraries),
            *([_goal(result)] * len(goals)),
            *(_ratio(result, rival) for rival in rivals),
        ]
        for result in results
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(results: list[Result]) -> str:
    """Returns one line: which rows miss their goal or lose to a library."""
    judged = [r for r in results if r.goal is None or r.ratio(_JUDGE) is not None]
    behind = {r.name: r.shortcomings() for r in results if r.shortcomings()}
    met = sum(r.name not in behind for r in judged)
    line = f"{met} of {len(judged)} rows meet their goals"
    if behind:
        words = (f"{name} ({' and '.join(what)})" for name, what in behind.items())
        line += "; not: " + ", ".join(words)
    if len(judged) < len(results):
        line += f"; {len(results) - len(judged)} have a goal against {_JUDGE}, which was not run"
    return line


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
    if rivals:
        axes.legend()
    figure.savefig(path, dpi=120)
