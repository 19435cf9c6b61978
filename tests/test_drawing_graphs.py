"""Drawings of real graphs: assembled, read off the tape, traced, differentiated."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chainrule as cr
from chainrule import drawing, nn
from chainrule.drawing.layout import layout
from chainrule.drawing.scene import build_scene
from chainrule.lecture import lecture_graph

SVG = "{http://www.w3.org/2000/svg}"


def lecture() -> Any:
    with cr.Graph() as g:
        x, w1, b1, w2, b2, y = g.inputs("x w1 b1 w2 b2 y")
        h = w1 * x + b1
        h.name = "h"
        y_hat = w2 * h + b2
        y_hat.name = "y_hat"
        r = y_hat - y
        r.name = "r"
        loss = r**2
    g.outputs(L=loss)
    g.forward(x=3, w1=5, b1=2, w2=2, b2=3, y=40)
    g.backward("L")
    return g


def mlp() -> Any:
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    x = cr.randn(8, 64)
    loss = nn.functional.cross_entropy(net(x), cr.randint(0, 10, (8,)))
    return cr.graph(loss, names={"net": net, "x": x})


class Block(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.q, self.k, self.v = (nn.Linear(d, d) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x: Any) -> Any:
        n = self.norm1(x)
        attention = nn.functional.scaled_dot_product_attention
        x = x + attention(self.q(n), self.k(n), self.v(n))
        return x + self.mlp(self.norm2(x))


def transformer() -> Any:
    return cr.trace(nn.Sequential(Block(16), Block(16), nn.Linear(16, 5)), cr.randn(2, 4, 16))


def chain() -> Any:
    with cr.Graph() as g:
        y = g.input("x")
        for _ in range(3000):
            y = cr.tanh(y)
    return g.outputs(y=y)


def gradient() -> Any:
    return lecture().grad("L", ["w1", "w2"])


def from_tape() -> Any:
    x = cr.tensor(3.0, name="x")
    w = cr.tensor(2.0, requires_grad=True, name="w")
    loss = (w * x * w - 1).square()
    g = cr.graph(loss)
    loss.backward()
    return g


GRAPHS: dict[str, Callable[[], Any]] = {
    "lecture": lecture,
    "mlp": mlp,
    "transformer": transformer,
    "chain": chain,
    "gradient": gradient,
    "tape": from_tape,
}
WRITERS = [drawing.to_svg, drawing.to_html, drawing.to_dot, drawing.to_mermaid, drawing.to_text]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", GRAPHS)
def test_every_format_draws_every_graph(name: str, writer: Any) -> None:
    graph = GRAPHS[name]()
    text = writer(graph)
    assert text == writer(graph)
    if writer is drawing.to_svg:
        ET.fromstring(text)


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_of_real_graphs_do_not_overlap(name: str) -> None:
    graph = GRAPHS[name]()
    for fold in (False, True):
        d = layout(build_scene(graph, fold=fold))
        boxes = []
        for key, (x, y) in d.places.items():
            size = d.sizes[key]
            boxes.append((x, y - size.above, x + size.width, y + size.below))
        boxes.sort()
        for n, a in enumerate(boxes):
            for b in boxes[n + 1 :]:
                if b[0] >= a[2]:
                    break
                assert b[1] >= a[3] - 1e-6 or a[1] >= b[3] - 1e-6


def test_the_lecture_is_drawn_as_on_the_slide() -> None:
    root = ET.fromstring(drawing.to_svg(lecture()))
    texts = [t.text for t in root.iter(f"{SVG}text")]
    for text in ("w1", "x", "x²", "h", "y_hat", "15", "17", "37", "−3", "9", "∂ −36", "∂ −102"):
        assert text in texts
    rows = drawing.to_text(lecture()).splitlines()
    assert any(re.search(r"● +h = .*17 +∂ −12", row) for row in rows)


def test_modules_are_frames_with_their_parameters() -> None:
    scene = build_scene(mlp(), fold=False)
    paths = {
        box.title: scene.groups[box.group].path for box in scene.boxes if box.kind == "parameter"
    }
    assert set(paths) == {"weight", "bias"}
    assert {g.path for g in scene.groups} == {"", "net", "net.0", "net.1", "net.2"}
    assert "▣" in drawing.to_text(mlp(), fold=True)


def test_the_page_of_a_real_graph_tells_formulas_rules_and_lines() -> None:
    html = drawing.to_html(lecture())
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    h = next(node for node in data["nodes"] if node["label"] == "h")
    assert h["value"] == "17.0"
    assert h["gradient"] == "-12.0"
    assert "b1" in h["formula"]
    assert h["source"].startswith("test_drawing_graphs.py:")


def test_the_picture_in_the_readme_is_what_is_drawn_today():
    graph = lecture_graph()
    graph.backward("L")
    assert (Path(__file__).parents[1] / "examples/lecture.svg").read_text() == graph.to_svg()
