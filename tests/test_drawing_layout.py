"""Where things stand in a drawing: layers, order, places and wires, for graphs of every form."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

import chainrule as cr
import fake_graph as fake
from chainrule.drawing.layers import _crossings
from chainrule.drawing.layout import Drawing, layout
from chainrule.drawing.levels import BEND, BOX, GROUP, Level
from chainrule.drawing.scene import build_scene
from chainrule.drawing.svg import to_svg
from chainrule.drawing.texts import number, shorten, summary, text_width


def random_graph(seed: int, size: int = 60) -> fake.FakeGraph:
    """A graph with wide and narrow parts, long wires, repeated inputs and nested modules."""
    rng = random.Random(seed)
    g = fake.FakeGraph()
    paths = ["", "a", "a.b", "a.b.c", "d", "a.e"]
    g.modules.update({"a": "Outer", "a.b": "Inner", "a.b.c": "Core", "d": "Other", "a.e": "Side"})
    path = ""
    for i in range(size):
        kind = (
            rng.choices(["op", "parameter", "input", "constant"], [8, 2, 1, 1])[0] if i else "input"
        )
        if rng.random() < 0.3:
            path = rng.choice(paths)
        if kind == "op":
            near = range(max(0, i - 8), i) if rng.random() < 0.8 else range(i)
            inputs = [rng.choice(near) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
            name = f"v{i}" * rng.choice([0, 1, 1, 4])
            g.add("op", name, *inputs, op=rng.choice(["add", "tanh", "layer_norm"]), module=path,
                  value=rng.uniform(-9, 9), gradient=rng.uniform(-1e6, 1e6))  # fmt: skip
        else:
            g.add(kind, "" if kind == "constant" else f"leaf{i}", value=1.0, label=str(i))
    g.output_refs["out"] = (size - 1, 0)
    return g


def two_outputs() -> fake.FakeGraph:
    g = fake.FakeGraph()
    x = g.add("input", "x", shape=("N", 4))
    m = g.add("op", "", x, op="max", shape=("N",), outputs=2)
    a = g.add("op", "", (m, 1), (m, 0), op="mul", shape=("N",))
    g.output_refs.update(a=(a, 0), indices=(m, 1))
    return g


def gradient_of_chain(length: int) -> fake.FakeGraph:
    """Every value is used again, in reverse order: the wires would be longer than the graph."""
    g = fake.FakeGraph()
    values = [g.add("input", "x")]
    for _ in range(length):
        values.append(g.add("op", "", values[-1], op="sin"))
    grad = g.add("constant", label="1")
    for value in reversed(values):
        grad = g.add("op", "", grad, value, op="mul")
    g.output_refs["gx"] = (grad, 0)
    return g


GRAPHS = {
    "lecture": fake.lecture,
    "mlp": fake.mlp,
    "transformer": fake.transformer,
    "scalars": fake.scalar_net,
    "two outputs": two_outputs,
    "gradient": lambda: gradient_of_chain(60),
    **{f"random {seed}": lambda seed=seed: random_graph(seed) for seed in range(12)},
}


@pytest.fixture(params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> Any:
    return GRAPHS[request.param]()


def foldings(graph: Any) -> Iterator[Drawing]:
    paths = sorted(graph.modules)
    for fold in (False, True, "auto", paths[::2], paths[1::2]):
        yield layout(build_scene(graph, fold=fold))


def rectangles(drawing: Drawing) -> dict[str, tuple[float, float, float, float]]:
    result = {}
    for key, (x, y) in drawing.places.items():
        size = drawing.sizes[key]
        result[key] = (x, y - size.above, x + size.width, y + size.below)
    return result


def overlap(a: tuple[float, ...], b: tuple[float, ...], room: float = 0) -> bool:
    return a[0] < b[2] - room and b[0] < a[2] - room and a[1] < b[3] - room and b[1] < a[3] - room


def test_boxes_do_not_overlap_and_are_in_the_picture(graph: Any) -> None:
    for drawing in foldings(graph):
        boxes = sorted(rectangles(drawing).items(), key=lambda entry: entry[1])
        for n, (key, a) in enumerate(boxes):
            assert 0 <= a[0] <= a[2] <= drawing.width, key
            assert 0 <= a[1] <= a[3] <= drawing.height, key
            for other, b in boxes[n + 1 :]:
                if b[0] >= a[2]:
                    break
                assert not overlap(a, b, 1e-6), (key, other)


def test_a_frame_holds_what_belongs_to_it_and_nothing_else(graph: Any) -> None:
    for drawing in foldings(graph):
        scene = drawing.scene
        groups = {box.key: box.group for box in [*scene.boxes, *drawing.modules.values()]}
        for g, f in drawing.frames.items():
            frame = (f.x, f.y, f.x + f.width, f.y + f.height)
            for key, box in rectangles(drawing).items():
                around = groups[key]
                while around > g:
                    around = scene.groups[around].parent
                if around == g:
                    assert frame[0] <= box[0] <= box[2] <= frame[2], (g, key)
                    assert frame[1] <= box[1] <= box[3] <= frame[3], (g, key)
                else:
                    assert not overlap(frame, box, 1e-6), (g, key)


def test_every_node_is_drawn_once_or_is_inside_a_folded_module(graph: Any) -> None:
    for drawing in foldings(graph):
        scene = drawing.scene
        for box in scene.boxes:
            assert (box.key in drawing.places) != scene.hidden_in(box.group), box.key
        for g, box in drawing.modules.items():
            around_is_open = not scene.hidden_in(scene.groups[g].parent)
            assert (box.key in drawing.places) == (around_is_open and not scene.groups[g].open)


def test_wires_run_from_left_to_right_through_neighbouring_layers(graph: Any) -> None:
    for level in layout(build_scene(graph)).levels:
        layer = {i: n for n, row in enumerate(level.layers) for i in row}
        assert len(layer) == len(level.items)
        for link in level.links:
            assert layer[link.target] == layer[link.source] + 1


def test_every_wire_ends_at_its_boxes(graph: Any) -> None:
    for drawing in foldings(graph):
        boxes = rectangles(drawing)
        for (g, n), (x0, y0, x1, y1) in drawing.ends.items():
            level = drawing.levels[g]
            link = level.links[n]
            source, target = level.items[link.source], level.items[link.target]
            if (key := shown_key(drawing, source)) is not None:
                _, top, right, bottom = boxes[key]
                assert x0 == pytest.approx(right), key
                assert top <= y0 <= bottom, key
            if (key := shown_key(drawing, target)) is not None:
                size = drawing.sizes[key]
                x, y = drawing.places[key]
                assert x + size.shape_x <= x1 + 1e-6 <= x + size.shape_x + 21, key
                assert abs(y1 - y) <= size.half, key


def shown_key(drawing: Drawing, item: Any) -> str | None:
    if item.kind == BOX:
        return drawing.scene.boxes[item.index].key
    if item.kind == GROUP and not drawing.scene.groups[item.index].open:
        return drawing.modules[item.index].key
    return None


def test_no_wire_runs_through_a_box(graph: Any) -> None:
    for drawing in foldings(graph):
        boxes = list(rectangles(drawing).values())
        for key, d in drawing.paths.items():
            for x, y in samples(d):
                inside = [b for b in boxes if b[0] + 1 < x < b[2] - 1 and b[1] + 1 < y < b[3] - 1]
                assert all(is_end(drawing, key, b) for b in inside), (key, x, y)


def is_end(drawing: Drawing, key: tuple[int, int], box: tuple[float, ...]) -> bool:
    x1, y1 = drawing.ends[key][2:]
    return (
        box[0] - 1 <= x1 <= box[2] and box[1] <= y1 <= box[3]
    )  # a name may be wider than its circle


def samples(d: str) -> Iterator[tuple[float, float]]:
    """Points along a wire, without its arrow head."""
    d = d[: d.index("M", 1)] if "M" in d[1:] else d
    parts = [
        (c, [float(v) for v in values.split()])
        for c, values in re.findall(r"([MHLC])([^MHLC]+)", d)
    ]
    x = y = 0.0
    for command, v in parts:
        if command == "M":
            x, y = v
        elif command in "HL":
            to = (v[0], v[1] if command == "L" else y)
            yield from ((x + (to[0] - x) * t / 9, y + (to[1] - y) * t / 9) for t in range(10))
            x, y = to
        else:
            for t in (i / 20 for i in range(21)):
                a, b, c, e = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                yield a * x + b * v[0] + c * v[2] + e * v[4], a * y + b * v[1] + c * v[3] + e * v[5]
            x, y = v[4], v[5]


def test_a_drawing_is_the_same_every_time(graph: Any) -> None:
    assert to_svg(graph) == to_svg(graph)


@pytest.mark.parametrize("name", ["lecture", "mlp"])
def test_a_formula_has_no_crossings(name: str) -> None:
    for level in layout(build_scene(GRAPHS[name](), fold=False)).levels:
        assert crossings(level) == 0


def crossings(level: Level) -> int:
    """Counts pairs of links that cross, one by one."""
    place = {i: p for row in level.layers for p, i in enumerate(row)}
    layer = {i: n for n, row in enumerate(level.layers) for i in row}
    links = [(layer[k.source], place[k.source], place[k.target]) for k in level.links]
    pairs = ((a, b) for n, a in enumerate(links) for b in links[n + 1 :] if a[0] == b[0])
    return sum((a[1] - b[1]) * (a[2] - b[2]) < 0 for a, b in pairs)


@pytest.mark.parametrize("seed", range(6))
def test_crossings_are_counted_as_by_hand(seed: int) -> None:
    (level, *_) = layout(build_scene(random_graph(seed), fold=True)).levels
    after: list[list[int]] = [[] for _ in level.items]
    place = [0.0] * len(level.items)
    for link in level.links:
        after[link.source].append(link.target)
    for row in level.layers:
        for p, i in enumerate(row):
            place[i] = p
    assert _crossings(level.layers, after, place) == crossings(level)


def test_a_chain_is_one_straight_line() -> None:
    drawing = layout(build_scene(fake.chain(50)))
    heights = [y for _, y in drawing.places.values()]
    assert max(heights) - min(heights) < 0.01


@pytest.mark.parametrize(
    "make",
    [lambda: fake.chain(3000), lambda: fake.scalar_net(3000), lambda: gradient_of_chain(1500)],
    ids=["chain", "net", "gradient"],
)
def test_large_graphs_take_few_bends_and_no_recursion(make: Any) -> None:
    graph = make()
    limit, depth, frame = sys.getrecursionlimit(), 0, sys._getframe()
    while frame.f_back:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + 60)
    try:
        drawing = layout(build_scene(graph))
    finally:
        sys.setrecursionlimit(limit)
    bends = sum(item.kind == BEND for level in drawing.levels for item in level.items)
    assert bends <= 4 * len(drawing.scene.boxes) + 200


@pytest.mark.parametrize(
    "make",
    [
        lambda: fake.chain(3000),
        lambda: fake.scalar_net(3000),
        lambda: fake.transformer(80),
        lambda: gradient_of_chain(1500),
    ],
    ids=["chain", "net", "transformer", "gradient"],
)
def test_3000_nodes_are_drawn_within_2_seconds(make: Any) -> None:
    graph = make()
    assert len(graph.nodes) > 2800
    start = time.process_time()  # what others do on this machine does not count
    to_svg(graph, fold=False)
    assert time.process_time() - start < 2


def test_a_long_wire_is_cut_where_there_are_many() -> None:
    drawing = layout(build_scene(gradient_of_chain(400)))
    links = [box for box in drawing.scene.boxes if box.kind == "link"]
    assert links
    labels = {node.label for node in drawing.scene.graph.nodes}
    assert all(box.title in labels for box in links)
    assert not any(box.kind == "link" for box in layout(build_scene(fake.lecture())).scene.boxes)


def test_a_module_that_is_called_twice_is_two_boxes() -> None:
    g = fake.FakeGraph()
    g.modules["act"] = "Tanh"
    x = g.add("input", "x")
    for _ in range(2):
        x = g.add("op", "", x, op="tanh", module="act")
        x = g.add("op", "", x, op="neg")
    g.output_refs["y"] = (x, 0)
    drawing = layout(build_scene(g, fold=True))
    assert sorted(k for k in drawing.places if k.startswith("g")) == ["g1", "g2"]


def test_parameters_stand_in_the_module_that_uses_them_and_shared_ones_outside() -> None:
    g = fake.FakeGraph()
    g.modules.update({"net": "Net", "net.a": "A", "net.b": "B"})
    x, shared, own = g.add("input", "x"), g.add("parameter", "w"), g.add("parameter", "net.a.v")
    a = g.add("op", "", x, shared, own, op="add", module="net.a")
    b = g.add("op", "", a, shared, op="mul", module="net.b")
    g.output_refs["y"] = (b, 0)
    scene = build_scene(g, fold=False)
    path = {box.title: scene.groups[box.group].path for box in scene.boxes}
    assert path["v"] == "net.a"
    assert path["w"] == "net"
    assert path["x"] == ""


def test_modules_are_folded_until_the_drawing_is_small() -> None:
    assert all(g.open for g in build_scene(fake.mlp()).groups)
    large = build_scene(fake.transformer(8))
    assert not all(g.open for g in large.groups)
    assert len(layout(large).places) <= 60
    with pytest.raises(ValueError, match=r"draw: fold names \['nest'\]; .*net\.0, net\.1"):
        build_scene(fake.mlp(), fold=["nest"])


def test_a_constant_stands_in_the_op_that_uses_it() -> None:
    g = fake.FakeGraph()
    x = g.add("input", "x")
    titles = []
    for op, slot in [("mul", 0), ("mul", 1), ("sub", 0), ("div", 1), ("pow", 1), ("maximum", 1)]:
        c = g.add("constant", label="3")
        titles.append(g.add("op", "", *((c, x) if slot == 0 else (x, c)), op=op))
    c = g.add("constant", label="0.5")
    g.add("op", "", x, c, op="pow")
    c = g.add("constant", label="1", shape=(3,))
    g.add("op", "", x, c, op="add")
    boxes = [box for box in build_scene(g).boxes if box.kind != "input"]
    found = ["3 ×", "× 3", "3 −", "÷ 3", "x³", "max 3", "x^0.5", "1", "+"]
    assert [box.title for box in boxes] == found


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.0, "9"), (-36.0, "−36"), (0.1, "0.1"), (1 / 3, "0.3333"), (-0.0, "0"), (1.2e-7, "1.2e−7"),
     (123456.0, "1.235e5"), (float("inf"), "∞"), (float("-inf"), "−∞"), (float("nan"), "nan"),
     (True, "True"), (-3, "−3")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    "text", ["a" * 500, "é" * 500, "日本" * 300, "👩‍🔬" * 200, "e\u0301" * 300]
)
def test_long_names_are_shortened_in_the_middle(text: str) -> None:
    short = shorten(text, 14, 170)
    assert text_width(short, 14) <= 170
    assert text_width(short, 14) > 120
    assert "…" in short
    head, tail = short.split("…")
    assert text.startswith(head)
    assert text.endswith(tail)


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (cr.tensor(2.5), "2.5"),
        (cr.tensor([[-1.0]]), "−1"),
        (cr.tensor([1.0, -2.0, 0.5]), "[1, −2, 0.5]"),
        (cr.tensor([1e-8, 1.23456e-9, 7.0, 1 / 3]), "1.8 ± 3"),
        (cr.tensor([[1.0, 3.0], [1.0, 3.0]]), "2 ± 1"),
        (cr.full([2, 3], 1e30), "1e30 ± 0"),
        (cr.tensor([[float("nan"), 1.0]]), "nan ± nan"),
        (cr.arange(100), "0 … 99"),
        (cr.tensor([[True, False]]), "False … True"),
        (cr.zeros(0, 3), "empty"),
        (None, ""),
    ],
)
def test_what_a_tensor_holds_in_short(tensor: Any, text: str) -> None:
    assert summary(tensor) == text


def test_marks_that_turn_or_break_a_line_are_not_drawn() -> None:
    assert shorten("a\nb\u202ec\x00d\te", 14, 400) == "a⏎bcd e"
    assert shorten("שלום", 14, 400) == "שלום"
