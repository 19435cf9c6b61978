"""Arranges the items of one level in layers, so that every wire runs from left to right.

The steps are those of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical
system structures" (1981): layers by longest path, a bend wherever a wire passes a layer, and few
crossings by barycenters. Crossings are counted as in Barth, Mutzel and Juenger, "Simple and
efficient bilayer cross counting" (2002). All of it is iterative and near-linear.
"""

from __future__ import annotations

from chainrule.drawing.levels import BEND, BOX, ENTRY, EXIT, Item, Level, Link, cut_long_wires
from chainrule.drawing.scene import Scene


def arrange(scene: Scene, level: Level, group: int) -> None:
    """Gives a level its layers, from left to right, each from top to bottom, and its links."""
    layer = _layering(level)
    cut_long_wires(scene, level, group, layer)
    rank = _first_order(level, layer)
    _bend_wires(level, layer, rank)
    level.layers = [[] for _ in range(max(layer, default=-1) + 1)]
    for item in sorted(range(len(level.items)), key=lambda i: (rank[i], i)):
        level.layers[layer[item]].append(item)
    _reduce_crossings(level)


def _neighbours(level: Level) -> tuple[list[list[int]], list[list[int]]]:
    before: list[list[int]] = [[] for _ in level.items]
    after: list[list[int]] = [[] for _ in level.items]
    for (source, _), targets in level.wires.items():
        for target in targets:
            before[target].append(source)
            after[source].append(target)
    return before, after


def _layering(level: Level) -> list[int]:
    before, after = _neighbours(level)
    waiting = [len(b) for b in before]
    order = [i for i, w in enumerate(waiting) if w == 0]
    layer = [0] * len(level.items)
    for i in order:
        for j in after[i]:
            layer[j] = max(layer[j], layer[i] + 1)
            waiting[j] -= 1
            if waiting[j] == 0:
                order.append(j)
    first = 1 if any(item.kind == ENTRY for item in level.items) else 0
    if first:  # borders keep a layer of their own
        for i in order:
            floor = 0 if level.items[i].kind == ENTRY else 1
            layer[i] = max([floor, *(layer[j] + 1 for j in before[i])])
    for i in reversed(
        order
    ):  # what has no more wires on its left than on its right goes to the right
        if after[i] and len(before[i]) <= len(after[i]) and level.items[i].kind != ENTRY:
            layer[i] = min(layer[j] for j in after[i]) - 1
    last = max((layer[i] for i, item in enumerate(level.items) if item.kind != EXIT), default=0) + 1
    for i, item in enumerate(level.items):
        if item.kind == EXIT:
            layer[i] = last
    return layer


def _first_order(level: Level, layer: list[int]) -> list[float]:
    """Orders items as a walk back from the results meets them, inputs in their op's order.

    For an expression tree this is a drawing without crossings, and it reads as the formula does.
    """
    before, after = _neighbours_by_slot(level)
    rank: list[float] = [-1.0] * len(level.items)
    count = 0
    ends = [i for i, a in enumerate(after) if not a]
    stack = sorted(ends, key=lambda i: (-layer[i], i), reverse=True)
    while stack:
        i = stack.pop()
        if rank[i] >= 0:
            continue
        rank[i] = count
        count += 1
        stack.extend(reversed(before[i]))
    return rank


def _neighbours_by_slot(level: Level) -> tuple[list[list[int]], list[list[int]]]:
    found: list[list[tuple[int, int]]] = [[] for _ in level.items]
    after: list[list[int]] = [[] for _ in level.items]
    for (source, _), targets in level.wires.items():
        for target, edges in targets.items():
            found[target].append((edges[0], source))
            after[source].append(target)
    return [[source for _, source in sorted(pairs)] for pairs in found], after


def _bend_wires(level: Level, layer: list[int], rank: list[float]) -> None:
    """Makes links between neighbouring layers only; a wire to several targets shares its bends."""
    for (source, ref), targets in list(level.wires.items()):
        ahead = sorted(targets, key=lambda t: layer[t])
        total, first = sum(rank[t] for t in targets), 0
        trunk = {layer[source]: source}
        for at in range(layer[source] + 1, layer[ahead[-1]]):
            while layer[ahead[first]] <= at:
                total -= rank[ahead[first]]
                first += 1
            bend = level.add(Item(BEND, -1, ref))
            layer.append(at)
            rank.append((rank[source] + total / (len(ahead) - first)) / 2)
            level.links.append(Link(trunk[at - 1], bend, ref, []))
            trunk[at] = bend
        for target, edges in targets.items():
            start = trunk[layer[target] - 1]
            if level.items[target].kind == BOX and len(edges) > 1:  # x * x takes x by two wires
                for n, edge in enumerate(edges):
                    lane = 2 * n - len(edges) + 1
                    level.links.append(Link(start, target, ref, [edge], lane))
            else:
                level.links.append(Link(start, target, ref, edges))


def _reduce_crossings(level: Level) -> None:
    before: list[list[int]] = [[] for _ in level.items]
    after: list[list[int]] = [[] for _ in level.items]
    for link in level.links:
        before[link.target].append(link.source)
        after[link.source].append(link.target)
    place = [0.0] * len(level.items)
    for row in level.layers:
        for p, i in enumerate(row):
            place[i] = p
    best, fewest = [list(row) for row in level.layers], _crossings(level.layers, after, place)
    rounds = 12 if len(level.items) < 1000 else 4
    for turn in range(rounds):
        if fewest == 0:
            break
        down = turn % 2 == 0
        rows = range(1, len(level.layers)) if down else range(len(level.layers) - 2, -1, -1)
        sides = before if down else after
        for r in rows:
            _sort_row(level.layers[r], sides, place)
        crossings = _crossings(level.layers, after, place)
        if crossings < fewest:
            best, fewest = [list(row) for row in level.layers], crossings
    level.layers = best


def _sort_row(row: list[int], sides: list[list[int]], place: list[float]) -> None:
    """Sorts a layer by the mean place of the neighbours; an item without any stays where it is."""
    wish = {i: sum(place[j] for j in sides[i]) / len(sides[i]) for i in row if sides[i]}
    movable = iter(sorted((i for i in row if i in wish), key=lambda i: (wish[i], place[i])))
    row[:] = [next(movable) if i in wish else i for i in row]
    for p, i in enumerate(row):
        place[i] = p


def _crossings(layers: list[list[int]], after: list[list[int]], place: list[float]) -> int:
    total = 0
    for r in range(len(layers) - 1):
        ends: list[int] = []
        for i in layers[r]:
            ends.extend(sorted(int(place[j]) for j in after[i]))
        total += _inversions(ends, len(layers[r + 1]))
    return total


def _inversions(ends: list[int], width: int) -> int:
    tree = [0] * (width + 1)  # a Fenwick tree: how many wires end at or above a place
    total = 0
    for seen, end in enumerate(ends):
        upto, i = 0, end + 1
        while i > 0:
            upto += tree[i]
            i -= i & -i
        total += seen - upto
        i = end + 1
        while i <= width:
            tree[i] += 1
            i += i & -i
    return total
