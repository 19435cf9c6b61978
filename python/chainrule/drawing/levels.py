"""The inside of each module, as items that are joined by wires: what one layered drawing arranges.

A module is a drawing of its own, with ports on its left and right border; the drawing around it
sees one item. So a frame never covers a stranger, and whether a module is open changes sizes only:
layers and order stay, which lets the page open a module by the same few rules of placement.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.drawing.scene import Box, Port, Ref, Scene
from chainrule.drawing.texts import shorten

BOX, GROUP, ENTRY, EXIT, BEND = "box", "group", "entry", "exit", "bend"


@dataclass
class Item:
    """One thing that a level arranges: a box, a module, a port of the border, a wire's bend."""

    kind: str
    index: int  # of the box or group; for others of the wire
    ref: Ref | None = None
    leaf: bool = False


@dataclass
class Link:
    """A piece of wire between neighbouring layers; its edges are those that end with it."""

    source: int
    target: int
    ref: Ref
    edges: list[int]
    lane: int = 0  # keeps two wires between the same items apart


@dataclass
class Level:
    """The inside of one group."""

    items: list[Item] = field(default_factory=list)
    wires: dict[tuple[int, Ref], dict[int, list[int]]] = field(default_factory=dict)
    layers: list[list[int]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def add(self, item: Item) -> int:
        """Takes an item in and gives its number."""
        self.items.append(item)
        return len(self.items) - 1


class _Builder:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.levels = [Level() for _ in scene.groups]
        self.item_of_box = [-1] * len(scene.boxes)
        self.item_of_group = [-1] * len(scene.groups)
        self.ports: dict[tuple[str, int, Ref], int] = {}
        self.depth = [0] * len(scene.groups)
        for g in scene.groups[1:]:
            self.depth[g.index] = self.depth[g.parent] + 1

    def run(self) -> list[Level]:
        for i, box in enumerate(self.scene.boxes):
            for g in reversed(self._outer(box.group)):
                self._enter(g)
            leaf = box.kind in ("input", "parameter", "constant")
            self.item_of_box[i] = self.levels[box.group].add(Item(BOX, i, leaf=leaf))
        for number, edge in enumerate(self.scene.edges):
            self._edge(number, edge.source, edge.target, edge.ref)
        return self.levels

    def _outer(self, group: int) -> list[int]:
        """Lists a group and those around it, from the inside out, that have no item yet."""
        found = []
        while group > 0 and self.item_of_group[group] < 0:
            found.append(group)
            group = self.scene.groups[group].parent
        return found

    def _enter(self, group: int) -> None:
        parent = self.scene.groups[group].parent
        self.item_of_group[group] = self.levels[parent].add(Item(GROUP, group))

    def _edge(self, number: int, source: int, target: int, ref: Ref) -> None:
        boxes, groups = self.scene.boxes, self.scene.groups
        a, b = boxes[source].group, boxes[target].group
        from_item, to_item = self.item_of_box[source], self.item_of_box[target]
        while a != b:  # climb the deeper end to its border until both are in one level
            if self.depth[a] >= self.depth[b]:
                self._wire(a, from_item, self._port(EXIT, a, ref), ref, number)
                from_item, a = self.item_of_group[a], groups[a].parent
            else:
                self._wire(b, self._port(ENTRY, b, ref), to_item, ref, number)
                to_item, b = self.item_of_group[b], groups[b].parent
        self._wire(a, from_item, to_item, ref, number)

    def _port(self, kind: str, group: int, ref: Ref) -> int:
        key = (kind, group, ref)
        if key not in self.ports:
            self.ports[key] = self.levels[group].add(Item(kind, -1, ref))
        return self.ports[key]

    def _wire(self, group: int, source: int, target: int, ref: Ref, edge: int) -> None:
        level = self.levels[group]
        level.wires.setdefault((source, ref), {}).setdefault(target, []).append(edge)


def build_levels(scene: Scene) -> list[Level]:
    """Builds one level for each group of the scene, not yet arranged."""
    return _Builder(scene).run()


def module_boxes(scene: Scene, levels: list[Level]) -> dict[int, Box]:
    """Makes the box that stands for each module while it is folded, with the wires that leave."""
    ports = {p.ref: p for box in scene.boxes for p in box.ports}
    result = {}
    for g in scene.groups[1:]:
        leaving = [item.ref for item in levels[g.index].items if item.kind == EXIT and item.ref]
        own = [ports[ref] for ref in leaving]
        copies = [Port(p.ref, p.shape, p.value, p.gradient) for p in own]
        inside = sum(item.kind in (BOX, GROUP) for item in levels[g.index].items)
        tooltip = f"module {g.path}" + (f" ({g.type_name})" if g.type_name else "")
        result[g.index] = Box(
            f"g{g.index}",
            "module",
            g.title,
            g.parent,
            "",
            g.type_name,
            f"{tooltip}, {inside} nodes",
            -1,
            copies,
        )
    return result


def cut_long_wires(scene: Scene, level: Level, group: int, layer: list[int]) -> None:
    """Replaces the longest wires by a small box with their source's name, beside the consumer.

    A wire over k layers takes k bends. Where wires are many and long (the gradient of a chain uses
    every value again, in reverse) the bends would outnumber the nodes by far, and nobody could
    follow those lines.
    """
    spans = []
    for (source, ref), targets in level.wires.items():
        longest = max(layer[t] for t in targets) - layer[source] - 1
        if longest > 1:
            spans.append((longest, source, ref))
    spare = sum(s for s, _, _ in spans) - (4 * len(level.items) + 200)
    if spare <= 0:
        return
    label = {box.node: box for box in scene.boxes if box.node >= 0}
    for span, source, ref in sorted(spans, reverse=True):
        if spare <= 0 or span < 4:
            return
        spare -= span
        targets = level.wires[(source, ref)]
        for target in [t for t in targets if layer[t] - layer[source] > 3]:
            if level.items[target].kind not in (BOX, GROUP):
                continue
            box = label[ref[0]]
            text = scene.nodes[ref[0]].label
            number = len(scene.boxes)
            scene.boxes.append(
                Box(f"l{number}", "link", shorten(text, 12, 90), group, tooltip=f"value of {text}",
                    node=ref[0], ports=[Port(ref, box.ports[ref[1]].shape)])
            )  # fmt: skip
            item = level.add(Item(BOX, number, leaf=True))
            layer.append(layer[target] - 1)
            level.wires[(item, ref)] = {target: targets.pop(target)}
        if not targets:
            del level.wires[(source, ref)]
