"""What there is to draw, as plain data: a graph's boxes, edges and module groups, with texts.

A scene knows neither places nor colours. Every format is written from it, so that all of them show
the same names, values and gradients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chainrule.drawing.texts import one_line, shape_text, summary
from chainrule.drawing.titles import inlined_constants, op_title

AUTO_LIMIT = 60  # boxes that a drawing shows before modules are folded

Ref = tuple[int, int]


@dataclass
class Port:
    """One output of a box: the texts that stand at the line which leaves it."""

    ref: Ref
    shape: str = ""
    value: str = ""
    gradient: str = ""


@dataclass
class Box:
    """A node to draw: kind is input, parameter, constant, op, output, module or link."""

    key: str
    kind: str
    title: str
    group: int
    name: str = ""  # what the user called an op's result
    subtitle: str = ""
    tooltip: str = ""
    node: int = -1
    ports: list[Port] = field(default_factory=list)


@dataclass
class Edge:
    """Output `ref` of one node is input `slot` of the box `target`."""

    ref: Ref
    source: int
    target: int
    slot: int


@dataclass
class Group:
    """One call of a module. Groups stand after the group that holds them; group 0 is the graph."""

    index: int
    path: str
    type_name: str
    parent: int
    title: str = ""  # the path as seen from the group around it
    open: bool = True


@dataclass
class Scene:
    """Everything that a drawing shows."""

    boxes: list[Box]
    edges: list[Edge]
    groups: list[Group]
    box_of_node: dict[int, int]
    graph: Any
    nodes: tuple[Any, ...]

    def visible_group(self, box: Box) -> int:
        """Gives the outermost folded group that hides the box, or its own group."""
        shown, g = box.group, box.group
        while g > 0:
            if not self.groups[g].open:
                shown = g
            g = self.groups[g].parent
        return shown

    def hidden_in(self, group: int) -> bool:
        """Tells whether a group, or one around it, is folded."""
        while group > 0:
            if not self.groups[group].open:
                return True
            group = self.groups[group].parent
        return False


def build_scene(graph: Any, *, fold: Any = "auto", values: bool = True) -> Scene:
    """Reads a graph.

    Args:
        graph: The `Graph` to draw.
        fold: "auto" (modules are folded where more than about 60 boxes would show), True (all
            modules), False (none), or the paths of the modules to fold.
        values: Whether values and gradients are shown.
    """
    nodes = graph.nodes
    groups, group_of = _groups(nodes, graph.modules)
    inlined = inlined_constants(nodes, {i for i, _ in graph.output_refs.values()})
    _place_leaves(nodes, groups, group_of)
    boxes: list[Box] = []
    edges: list[Edge] = []
    box_of_node: dict[int, int] = {}
    outputs = {ref: name for name, ref in graph.output_refs.items()}
    for node in nodes:
        if node.id in inlined:
            continue
        constants = {k: inlined[i] for k, (i, _) in enumerate(node.inputs) if i in inlined}
        box_of_node[node.id] = len(boxes)
        box = _box(graph, node, group_of[node.id], constants, outputs, values)
        box.title = _within(box.title, groups[box.group].path)
        boxes.append(box)
        for slot, ref in enumerate(node.inputs):
            if ref[0] not in inlined:
                edges.append(Edge(tuple(ref), box_of_node[ref[0]], box_of_node[node.id], slot))
    for name, ref in graph.output_refs.items():
        box = Box(f"out:{name}", "output", one_line(name), 0, tooltip=f"output {name}")
        edges.append(Edge(tuple(ref), box_of_node[ref[0]], len(boxes), 0))
        boxes.append(box)
    scene = Scene(boxes, edges, groups, box_of_node, graph, nodes)
    _fold(scene, fold)
    return scene


def _box(
    graph: Any,
    node: Any,
    group: int,
    constants: dict[int, str],
    outputs: dict[Ref, str],
    values: bool,
) -> Box:
    title = op_title(node, constants) if node.kind == "op" else one_line(node.label)
    name = one_line(node.name) if node.kind == "op" else ""
    if name and outputs.get((node.id, 0)) == node.name:
        name = ""  # the output's box says it
    formula = graph.formula(node) if node.kind == "op" else ""
    tooltip = "\n".join(
        part
        for part in (
            f"{node.label} = {formula}" if formula else f"{node.kind} {node.label}",
            f"{_dtype(node)}, shape ({', '.join(str(s) for s in node.shape())})",
            node.source,
        )
        if part
    )
    ports = []
    for k in range(node.outputs):
        port = Port((node.id, k), shape_text(node.shape(k)))
        if values:
            port.value = summary(graph.value((node.id, k)))
            port.gradient = summary(graph.gradient((node.id, k)))
        ports.append(port)
    return Box(f"n{node.id}", node.kind, title, group, name, "", tooltip, node.id, ports)


def _within(name: str, path: str) -> str:
    """Drops from a name the path of the module in whose frame it stands: net.0.weight is weight."""
    return name[len(path) + 1 :] if path and name.startswith(path + ".") else name


def _dtype(node: Any) -> str:
    return str(node.dtype()).replace("chainrule.", "")


def _groups(nodes: Iterable[Any], modules: dict[str, str]) -> tuple[list[Group], dict[int, int]]:
    """Cuts the nodes into module calls.

    Nodes come in the order in which they ran, so a call is a run of neighbours with the same path.
    Runs of a topological order can be drawn as one box each without making a cycle, also where a
    module is called twice.
    """
    groups = [Group(0, "", "", -1)]
    group_of: dict[int, int] = {}
    prefixes: dict[str, list[str]] = {"": []}
    now: list[tuple[str, int]] = []  # the path that is open, from the outside in
    for node in nodes:
        if node.kind != "op":
            continue
        path = node.module
        if path not in prefixes:
            parts = path.split(".")
            names = [".".join(parts[: i + 1]) for i in range(len(parts))]
            prefixes[path] = [n for n in names if n in modules or n == path]
        want = prefixes[path]
        keep = 0
        while keep < len(now) and keep < len(want) and now[keep][0] == want[keep]:
            keep += 1
        del now[keep:]
        for name in want[keep:]:
            parent = now[-1][1] if now else 0
            type_name = modules.get(name, node.module_type if name == path else "")
            title = one_line(_within(name, groups[parent].path))
            groups.append(Group(len(groups), name, type_name, parent, title))
            now.append((name, len(groups) - 1))
        group_of[node.id] = now[-1][1] if now else 0
    return groups, group_of


def _place_leaves(nodes: tuple[Any, ...], groups: list[Group], group_of: dict[int, int]) -> None:
    """Puts a parameter or constant into the innermost group that holds all its consumers."""
    depth = [0] * len(groups)
    for g in groups[1:]:
        depth[g.index] = depth[g.parent] + 1
    home: dict[int, int] = {}
    for node in nodes:
        for i, _ in node.inputs:
            if nodes[i].kind in ("parameter", "constant"):
                a, b = home.get(i, group_of[node.id]), group_of[node.id]
                while a != b:
                    if depth[a] >= depth[b]:
                        a = groups[a].parent
                    else:
                        b = groups[b].parent
                home[i] = a
    for node in nodes:
        if node.kind != "op":
            group_of[node.id] = home.get(node.id, 0)


def _fold(scene: Scene, fold: Any) -> None:
    groups = scene.groups
    if fold is True or fold is False:
        for g in groups[1:]:
            g.open = not fold
    elif fold is None or fold == "auto":
        _fold_to_fit(scene)
    else:
        paths = {fold} if isinstance(fold, str) else set(fold)
        unknown = paths - {g.path for g in groups[1:]} - set(scene.graph.modules)
        if unknown:
            known = ", ".join(sorted({g.path for g in groups[1:]})) or "none"
            raise ValueError(
                f"draw: fold names {sorted(unknown)!r}; "
                f"it takes modules of the graph; those are: {known}"
            )
        for g in groups[1:]:
            g.open = g.path not in paths


def _fold_to_fit(scene: Scene) -> None:
    """Opens modules, the outermost first, as long as the drawing stays small."""
    inside = [0] * len(scene.groups)  # boxes and groups directly in a group
    for box in scene.boxes:
        inside[box.group] += 1
    for g in scene.groups[1:]:
        inside[g.parent] += 1
    shown = inside[0]
    level = [0]
    for g in scene.groups[1:]:
        g.open = False
    by_parent: dict[int, list[Group]] = {}
    for g in scene.groups[1:]:
        by_parent.setdefault(g.parent, []).append(g)
    while level:
        following = [g for parent in level for g in by_parent.get(parent, [])]
        shown += sum(inside[g.index] - 1 for g in following)
        if shown > AUTO_LIMIT:
            break
        for g in following:
            g.open = True
        level = [g.index for g in following]
