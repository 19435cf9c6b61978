"""The visible boxes in the order of computation and the edges between them, for text formats."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.drawing.levels import build_levels, module_boxes
from chainrule.drawing.scene import Box, Ref, Scene


@dataclass
class Outline:
    """Rows in topological order; an edge is (row of its source, row of its target, output)."""

    rows: list[Box]
    edges: list[tuple[int, int, Ref]]


def outline(scene: Scene) -> Outline:
    """Lists what shows of a scene: a folded module is one row, and edges inside it are gone."""
    modules = module_boxes(scene, build_levels(scene))
    stands_for: list[Box] = []
    for box in scene.boxes:
        g = scene.visible_group(box)
        stands_for.append(box if g == 0 or scene.groups[g].open else modules[g])
    incoming: dict[str, list[tuple[str, Ref]]] = {}
    for edge in scene.edges:
        a, b = stands_for[edge.source], stands_for[edge.target]
        pair = (a.key, edge.ref)
        wires = incoming.setdefault(b.key, [])
        if a is not b and (b.kind != "module" or pair not in wires):
            wires.append(pair)
    last = {box.key: n for n, box in enumerate(stands_for)}
    row: dict[str, int] = {}
    rows: list[Box] = []
    by_key = {box.key: box for box in stands_for}

    def emit(box: Box) -> None:
        if box.key not in row:
            row[box.key] = len(rows)
            rows.append(box)

    unused = {box.key for box in stands_for} - {a for w in incoming.values() for a, _ in w}
    for n, box in enumerate(stands_for):
        leaf = box.kind in ("input", "parameter", "constant")
        if last[box.key] != n or (leaf and box.key not in unused):
            continue  # a leaf stands before its first consumer, a module where its last node ran
        for source, _ in incoming.get(box.key, []):
            emit(by_key[source])
        emit(box)
    edges = [
        (row[source], row[target], ref)
        for target, wires in incoming.items()
        for source, ref in wires
    ]
    edges.sort(key=lambda e: e[1])
    return Outline(rows, edges)
