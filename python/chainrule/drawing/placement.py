"""Places the items of one level: columns from left to right, heights by least squares.

Heights come from sweeps over the layers as in Gansner, Koutsofios, North and Vo, "A technique for
drawing directed graphs" (1993), section 4.2: an item wishes to stand level with its neighbours. In
each layer the wishes are met as nearly as order and sizes allow, exactly and in linear time, by
pooling adjacent violators (de Leeuw, Hornik and Mair, "Isotone optimization in R", 2009).
page/place.js does the same when a module is opened; a test compares the two number by number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.drawing.levels import BEND, BOX, ENTRY, EXIT, GROUP, Level

GAP = 16  # between items of a layer
MIN_COLUMN_GAP, MAX_COLUMN_GAP = 36, 120
PAD = 18  # between a frame and what stands in it
BEND_HALF = 5  # half the room of a wire that passes a layer
LEAF = 0.002  # a parameter makes way for the line of results
STRAIGHT = 8  # how much more a bend is drawn to a bend


@dataclass
class Extent:
    """The rectangle of an item around its anchor, and where wires enter and leave."""

    width: float = 0
    above: float = BEND_HALF
    below: float = BEND_HALF
    enter: dict[tuple[int, int], float] = field(default_factory=dict)  # an open module's ports
    leave: dict[tuple[int, int], float] = field(default_factory=dict)


@dataclass
class Placed:
    """The places of a level's items; x is a column's left, y an item's anchor."""

    x: list[float]
    y: list[float]
    right: list[float]  # of the column that an item stands in
    width: float
    height: float


def place(level: Level, extents: list[Extent]) -> Placed:
    """Places a level whose items have these sizes. The first row of rectangles touches y = 0."""
    y = _heights(level, extents)
    top = min((y[i] - e.above for i, e in enumerate(extents)), default=0.0)
    y = [v - top for v in y]
    bottom = max((y[i] + e.below for i, e in enumerate(extents)), default=0.0)
    x, right, width = _columns(level, extents, y)
    return Placed(x, y, right, width, bottom)


def _columns(
    level: Level, extents: list[Extent], y: list[float]
) -> tuple[list[float], list[float], float]:
    column = [0] * len(extents)
    for c, row in enumerate(level.layers):
        for i in row:
            column[i] = c
    steep = [0.0] * len(level.layers)  # a gap is wider where wires climb more
    for link in level.links:
        rise = y[link.source] + leaves(extents, link) - y[link.target] - enters(extents, link)
        steep[column[link.source]] = max(steep[column[link.source]], abs(rise))
    x, right = [0.0] * len(extents), [0.0] * len(extents)
    at = 0.0
    for c, row in enumerate(level.layers):
        if c == 0 and any(level.items[i].kind != ENTRY for i in row):
            at += PAD
        end = at + max(extents[i].width for i in row)
        widest = max((extents[i].width for i in row if level.items[i].leaf), default=0.0)
        for i in row:  # leaves stand near what they go into, beside wide modules too
            x[i], right[i] = (end - widest if level.items[i].leaf else at), end
        at = end
        if c < len(level.layers) - 1:
            at += min(max(MIN_COLUMN_GAP, 24 + 0.2 * steep[c]), MAX_COLUMN_GAP)
    if level.layers and any(level.items[i].kind != EXIT for i in level.layers[-1]):
        at += PAD
    return x, right, at


def leaves(extents: list[Extent], link: object) -> float:
    """Gives the height, relative to the anchor of its source, at which a wire leaves."""
    return extents[link.source].leave.get(link.ref, 0.0)  # type: ignore[attr-defined]


def enters(extents: list[Extent], link: object) -> float:
    """Gives the height, relative to the anchor of its target, at which a wire enters."""
    return extents[link.target].enter.get(link.ref, 0.0)  # type: ignore[attr-defined]


def _heights(level: Level, extents: list[Extent]) -> list[float]:
    y = [0.0] * len(extents)
    for row in level.layers:
        total = sum(extents[i].above + extents[i].below + GAP for i in row) - GAP
        at = -total / 2
        for i in row:
            y[i] = at + extents[i].above
            at += extents[i].above + extents[i].below + GAP
    before, after = _pulls(level, extents)
    rounds = 8 if len(extents) < 1500 else 4
    for _ in range(rounds):
        for row in level.layers:
            _settle(level, extents, row, before, y)
        for row in reversed(level.layers):
            _settle(level, extents, row, after, y)
    return y


Pull = tuple[int, float, float]


def _pulls(level: Level, extents: list[Extent]) -> tuple[list[list[Pull]], list[list[Pull]]]:
    """Lists for each item its neighbours on both sides, the offset to stand level, and a weight."""
    before: list[list[Pull]] = [[] for _ in extents]
    after: list[list[Pull]] = [[] for _ in extents]
    items = level.items
    strong = [False] * len(extents)  # has an input that is no leaf: leaves then follow it
    for link in level.links:
        if not items[link.source].leaf:
            strong[link.target] = True
    for link in level.links:
        a, b = link.source, link.target
        offset = leaves(extents, link) - enters(extents, link)
        both = items[a].kind not in (BOX, GROUP) and items[b].kind not in (BOX, GROUP)
        weight = float(STRAIGHT if both else 1)
        after[a].append((b, -offset, weight))
        if not (items[a].leaf and strong[b]):
            before[b].append((a, offset, weight))
    return before, after


def _settle(
    level: Level, extents: list[Extent], row: list[int], pulls: list[list[Pull]], y: list[float]
) -> None:
    """Moves a layer's items to where their neighbours wish them, in order and without overlap."""
    means: list[float] = []  # of pools of items that touch
    weights: list[float] = []
    counts: list[int] = []
    offsets: list[float] = []
    offset = 0.0
    for n, i in enumerate(row):
        if n > 0:
            e = extents[row[n - 1]]
            small = level.items[i].kind == BEND and level.items[row[n - 1]].kind == BEND
            offset += e.below + extents[i].above + (2 if small else GAP)
        offsets.append(offset)
        total = wish = 0.0
        for j, shift, weight in pulls[i]:
            total += weight
            wish += weight * (y[j] + shift)
        if total > 0:
            wish /= total
            mass = LEAF if level.items[i].leaf else 4.0 if level.items[i].kind != BEND else 8.0
        else:
            wish, mass = y[i], LEAF / 4
        mean, mass_sum, count = wish - offset, mass, 1
        while means and means[-1] > mean:
            mean = (mean * mass_sum + means[-1] * weights[-1]) / (mass_sum + weights[-1])
            mass_sum += weights.pop()
            count += counts.pop()
            means.pop()
        means.append(mean)
        weights.append(mass_sum)
        counts.append(count)
    at = 0
    for mean, count in zip(means, counts, strict=True):
        for _ in range(count):
            y[row[at]] = mean + offsets[at]
            at += 1
