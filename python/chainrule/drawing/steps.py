"""The walk that the page's slider makes: forward, then backward, one wire at a time.

A step names the wire that carries something, the node that is at work, the numbers that appear, and
a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chainrule.drawing.scene import Edge, Ref, Scene
from chainrule.drawing.texts import shorten, summary

Step = dict[str, Any]


def walk(scene: Scene) -> list[Step]:
    """Lists all steps of a scene."""
    incoming: dict[int, list[int]] = {}
    for number, edge in enumerate(scene.edges):
        incoming.setdefault(edge.target, []).append(number)
    return [*_forward(scene, incoming), *_backward(scene, incoming)]


def _forward(scene: Scene, incoming: dict[int, list[int]]) -> Iterator[Step]:
    leaves = [n for n in scene.nodes if n.kind != "op" and n.id in scene.box_of_node]
    yield {
        "phase": "forward",
        "show": [[n.id, 0] for n in leaves],
        "nodes": [n.id for n in leaves],
        "text": "inputs and parameters are given",
    }
    for node in scene.nodes:
        if node.kind != "op":
            continue
        edges = incoming.get(scene.box_of_node[node.id], [])
        for n in edges:
            yield {
                "phase": "forward",
                "edge": n,
                "text": f"{_label(scene, scene.edges[n].ref)} goes into {_short(node.label)}",
            }
        value = summary(scene.graph.value((node.id, 0)))
        yield {
            "phase": "forward",
            "nodes": [node.id],
            "show": [[node.id, k] for k in range(node.outputs)],
            "text": _equation(_short(node.label), scene.graph.formula(node), value),
        }
    for name, ref in scene.graph.output_refs.items():
        box = next(i for i, b in enumerate(scene.boxes) if b.key == f"out:{name}")
        yield {
            "phase": "forward",
            "edge": incoming[box][0],
            "boxes": [f"out:{name}"],
            "text": f"output {_equation(_short(name), '', summary(scene.graph.value(ref)))}",
        }


def _equation(left: str, formula: str, value: str) -> str:
    return " = ".join(part for part in (left, shorten(formula, 13, 420), value) if part)


def _backward(scene: Scene, incoming: dict[int, list[int]]) -> Iterator[Step]:
    graph = scene.graph
    texts = {
        ref: summary(graph.gradient(ref))
        for node in scene.nodes
        for ref in [(node.id, k) for k in range(node.outputs)]
        if graph.gradient(ref) is not None
    }
    used = _flowing(scene, incoming, texts)
    left: dict[Ref, int] = {}
    for edge in used.values():
        left[edge.ref] = left.get(edge.ref, 0) + 1
    for number, edge in enumerate(scene.edges):
        if scene.boxes[edge.target].kind == "output" and edge.ref in texts and edge.ref not in left:
            yield {
                "phase": "backward",
                "edge": number,
                "grad": [list(edge.ref)],
                "boxes": [scene.boxes[edge.target].key],
                "text": "backward starts: gradient of "
                f"{_label(scene, edge.ref)} = {texts[edge.ref]}",
            }
    for node in reversed(scene.nodes):
        for number in incoming.get(scene.box_of_node.get(node.id, -1), []):
            if number not in used:
                continue
            edge = used[number]
            left[edge.ref] -= 1
            name = _label(scene, edge.ref)
            rule = shorten(graph.local_derivative(node, edge.slot), 13, 240)
            text = f"{_short(node.label)} passes its gradient to {name}"
            if rule:
                text += f", times {rule}" if "gy" not in rule else f": {rule}"
            step: Step = {"phase": "backward", "edge": number, "nodes": [node.id], "text": text}
            if left[edge.ref] == 0:
                step["grad"] = [list(edge.ref)]
                step["text"] += f"; gradient of {name} = {texts[edge.ref]}"
            else:
                step["text"] += "; more will be added"
            yield step


def _flowing(
    scene: Scene, incoming: dict[int, list[int]], texts: dict[Ref, str]
) -> dict[int, Edge]:
    """Finds the wires over which a gradient comes back: both ends have one."""
    used = {}
    for node in scene.nodes:
        if any((node.id, k) in texts for k in range(node.outputs)):
            for number in incoming.get(scene.box_of_node.get(node.id, -1), []):
                if scene.edges[number].ref in texts:
                    used[number] = scene.edges[number]
    return used


def _label(scene: Scene, ref: Ref) -> str:
    node = scene.nodes[ref[0]]
    return _short(node.label) + (f".{ref[1]}" if node.outputs > 1 else "")


def _short(name: str) -> str:
    return shorten(name, 13, 180)
