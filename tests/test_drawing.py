"""What the formats hold: all of the graph, nothing a name could break, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import fake_graph as fake
from chainrule import drawing
from chainrule.drawing.style import THEMES, part
from chainrule.drawing.text import columns

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = {
    "markup": "<b>w</b> &amp; <script>alert(1)</script>",
    "end of script": "</script><img src=x onerror=alert(1)>",
    "quotes": "a\"b'c`d",
    "line breaks": "a\nb\rc\td\u2028e\u2029f",
    "backslash": 'tail\\" , shape=x ]; \\N',
    "mermaid": "end %% --> x;|y| #quot; {z}",
    "template": "@@DATA@@ ${x} {{y}}",
    "emoji": "w👩‍🔬🎉",
    "right to left": "שלום \u202eevil\u202c",
    "long": "w" * 500,
    "control": "a\x00b\x1bc\ufffe",
    "surrogate": "a\ud800b",
    "empty looking": " \u200b ",
    "list": "1. first",
}
WRITERS = [drawing.to_svg, drawing.to_html, drawing.to_dot, drawing.to_mermaid, drawing.to_text]


def hostile_graph(name: str) -> fake.FakeGraph:
    g = fake.FakeGraph()
    g.modules[name] = name
    x = g.add("input", name, value=1.0, gradient=2.0)
    w = g.add("parameter", f"{name}.w", value=1.0)
    h = g.add("op", f"h {name}", x, w, op="mul", module=name, value=1.0)
    g.nodes[h].source = f"{name}.py:3"
    g.output_refs[name] = (h, 0)
    return g


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> str:
    return request.param


def texts(svg: str, kind: str) -> list[str]:
    root = ET.fromstring(svg)
    return [t.text or "" for t in root.iter(f"{SVG}text") if kind in t.get("class", "").split()]


def test_svg_shows_names_values_and_gradients() -> None:
    svg = drawing.to_svg(fake.lecture())
    titles = ["w1", "x", "×", "b1", "w2", "+", "×", "b2", "+", "y", "−", "x²", "L"]
    assert sorted(texts(svg, "title")) == sorted(titles)
    assert sorted(texts(svg, "name")) == ["h", "r", "y_hat"]
    assert {"5", "3", "17", "37", "−3", "9"} <= set(texts(svg, "value"))
    assert {"∂ −36", "∂ −12", "∂ −102", "∂ −6", "∂ 1"} <= set(texts(svg, "gradient"))
    bare = drawing.to_svg(fake.lecture(), values=False)
    assert texts(bare, "value") == texts(bare, "gradient") == []


def test_svg_writes_shapes_at_the_wires_and_summaries_of_large_values() -> None:
    svg = drawing.to_svg(fake.mlp(), fold=False)
    assert {"N×64", "64×64", "64"} <= set(texts(svg, "shape"))
    assert any(re.fullmatch(r"−?[\d.]+ ± [\d.]+", v) for v in texts(svg, "value"))


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_svg_stands_alone(theme: str) -> None:
    svg = drawing.to_svg(fake.transformer(), theme=theme)
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert "var(" not in svg
    assert not re.search(r"<script|url\(|@import|href|<image|foreignObject", svg)
    assert (THEMES["dark"]["ink"] in svg) == (theme != "light")
    assert (THEMES["light"]["ink"] in svg) == (theme != "dark")
    assert ("prefers-color-scheme" in svg) == (theme == "auto")
    assert " id=" not in svg  # two drawings may stand on one page
    style = re.sub(r"@media.*", "", svg[svg.index("<style>") + 7 : svg.index("</style>")])
    assert all(
        rule.startswith(f".chainrule-{theme} ") for rule in re.findall(r"^\..*", style, re.M)
    )


def test_svg_refuses_an_unknown_theme() -> None:
    with pytest.raises(
        ValueError, match="draw: theme is 'blue'; it must be 'auto', 'light' or 'dark'"
    ):
        drawing.to_svg(fake.lecture(), theme="blue")


@pytest.mark.parametrize("writer", WRITERS)
def test_an_empty_graph_is_drawn(writer: Any) -> None:
    assert writer(fake.FakeGraph())


@pytest.mark.parametrize("writer", WRITERS)
def test_everything_can_be_encoded(writer: Any, hostile: str) -> None:
    writer(hostile_graph(hostile)).encode("utf-8")


def test_names_cannot_break_svg(hostile: str) -> None:
    for fold in (True, False):
        root = ET.fromstring(drawing.to_svg(hostile_graph(hostile), fold=fold))
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "g", "rect", "path", "circle", "text", "title", "style"}
        attributes = {name for element in root.iter() for name in element.attrib}
        assert not [name for name in attributes if name.startswith("on")]


def test_a_long_name_is_short_in_the_drawing_and_whole_in_the_tooltip() -> None:
    name = HOSTILE["long"]
    svg = drawing.to_svg(hostile_graph(name), fold=False)
    assert all(len(t) < 60 for kind in ("title", "name", "subtitle") for t in texts(svg, kind))
    tooltips = [t.text or "" for t in ET.fromstring(svg).iter(f"{SVG}title")]
    assert any(f"h {name}" in t for t in tooltips)


class Page(HTMLParser):
    """Collects elements, and the text of scripts, as a browser would."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts and self.cdata_elem:
            self.scripts[-1] += data


def test_names_cannot_break_the_page(hostile: str) -> None:
    text = drawing.to_html(hostile_graph(hostile), title=hostile)
    page = Page(text)
    plain = Page(drawing.to_html(hostile_graph("w"), title="w"))
    assert [tag for tag, _ in page.elements if tag in ("script", "img", "b", "link", "iframe")] == [
        "script"
    ] * 2
    assert (
        sum(tag != "text" for tag, _ in page.elements)
        <= sum(tag != "text" for tag, _ in plain.elements) + 2
    )
    assert not [a for _, attrs in page.elements for a in attrs if a.startswith("on")]
    data, script = page.scripts
    assert json.loads(data)["nodes"][0]["label"] == hostile
    assert not re.search("[<>&\u2028\u2029]", data)
    assert script == plain.scripts[1]


def test_the_page_asks_for_nothing_and_allows_its_own_script_only() -> None:
    text = drawing.to_html(fake.transformer())
    assert "http" not in text.replace("http-equiv", "")
    script = Page(text).scripts[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for t, a in Page(text).elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_parts_of_the_page_are_small() -> None:
    names = ["page.html", "page.css", "drawing.css", "page.js", "place.js"]
    assert sum(len(part(name)) for name in names) < 60_000


def test_the_page_walks_forward_and_then_backward_edge_by_edge() -> None:
    graph = fake.lecture()
    data = json.loads(Page(drawing.to_html(graph)).scripts[0])
    phases = [step["phase"] for step in data["steps"]]
    assert phases == sorted(phases, reverse=True)  # forward comes after backward in the alphabet
    edges = {phase: [s["edge"] for s in data["steps"] if s["phase"] == phase and "edge" in s]
             for phase in ("forward", "backward")}  # fmt: skip
    assert sorted(edges["forward"]) == list(range(len(data["edges"])))
    assert sorted(edges["backward"]) == list(range(len(data["edges"])))
    seen: set[tuple[int, int]] = set()
    for step in data["steps"]:
        if step["phase"] == "forward":
            for node, k in step.get("show", []):
                assert all(
                    graph.nodes[i].kind == "constant" or (i, o) in seen
                    for i, o in graph.nodes[node].inputs
                )
                seen.add((node, k))
    shown = [tuple(ref) for step in data["steps"] for ref in step.get("grad", [])]
    assert sorted(shown) == sorted(ref for ref in graph.gradients)
    assert any("gradient of w2 = −102" in step["text"] for step in data["steps"])


def test_a_gradient_appears_when_all_that_adds_to_it_has_come() -> None:
    g = fake.FakeGraph()
    x = g.add("input", "x", value=3.0, gradient=7.0)
    a = g.add("op", "a", x, x, op="mul", value=9.0, gradient=1.0)
    y = g.add("op", "y", a, x, op="add", value=12.0, gradient=1.0)
    g.output_refs["y"] = (y, 0)
    data = json.loads(Page(drawing.to_html(g)).scripts[0])
    backward = [s for s in data["steps"] if s["phase"] == "backward"]
    assert [s.get("grad") for s in backward] == [[[2, 0]], [[1, 0]], None, None, [[0, 0]]]


DOT_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|->|[{}\[\];,=]|[\w.]+|\s+')


def dot_tokens(text: str) -> list[str]:
    at, found = 0, []
    while at < len(text):
        match = DOT_TOKEN.match(text, at)
        assert match, text[at : at + 60]
        at = match.end()
        found.append(match[0])
    return found


def test_names_cannot_break_dot(hostile: str) -> None:
    for fold in (True, False):
        shapes = []
        for name in (hostile, "w"):
            tokens = dot_tokens(drawing.to_dot(hostile_graph(name), fold=fold))
            shapes.append(['""' if t.startswith('"') else t for t in tokens])
        assert shapes[0] == shapes[1]


def test_dot_has_nodes_edges_and_clusters() -> None:
    text = drawing.to_dot(fake.mlp(), fold=False)
    assert text.count("->") == 14
    assert text.count("subgraph") == 6
    assert text.count("{") == text.count("}") == 7
    assert '[label="N×64"]' in text
    assert drawing.to_dot(fake.mlp(), fold=True).count("->") == 4


MERMAID_LINE = re.compile(
    r'flowchart LR|  end|  subgraph s\d+\["[^"]*"\]|  classDef \w+ [\w:#,-]+'
    r'|  b\d+ -->(\|"[^"]*"\|)? b\d+'
    r'|  b\d+(\[|\(|\[\[|\(\(|\{\{|\[/)"[^"]*"(\]|\)|\]\]|\)\)|\}\}|/\])(:::\w+)?'
)


def test_names_cannot_break_mermaid(hostile: str) -> None:
    for fold in (True, False):
        text = drawing.to_mermaid(hostile_graph(hostile), fold=fold)
        for line in text.splitlines():
            assert MERMAID_LINE.fullmatch(line), line
            for quoted in re.findall('"([^"]*)"', line):
                rest = re.sub(r"#\d+;|<br/>", "", quoted)
                assert not re.search("[<>&#;`%{}|\\\\]", rest), line


def test_mermaid_has_nodes_edges_and_subgraphs() -> None:
    text = drawing.to_mermaid(fake.mlp(), fold=False)
    assert text.count("-->") == 14
    assert text.count("subgraph") == text.count("  end") == 6
    assert '-->|"N×64"|' in text


LECTURE = """\
 ■    w1                      parameter   5   ∂ −36
 │ □  x                       input       3   ∂ −60
 ├─╯
 ●    mul_6 = mul(w1, x)                 15   ∂ −12
 │ ■  b1                      parameter   2   ∂ −12
 ├─╯
 ●    h = add(mul_6, b1)                 17   ∂ −12
 │ ■  w2                      parameter   2  ∂ −102
 ├─╯
 ●    mul_8 = mul(w2, h)                 34    ∂ −6
 │ ■  b2                      parameter   3    ∂ −6
 ├─╯
 ●    y_hat = add(mul_8, b2)             37    ∂ −6
 │ □  y                       input      40     ∂ 6
 ├─╯
 ●    r = sub(y_hat, y)                  −3    ∂ −6
 ●    L = pow(r, 2)                       9     ∂ 1
 ▶    L                       output

 □ input   ■ parameter   ● op   ▶ output
"""


def test_text_is_drawn_for_a_terminal() -> None:
    assert drawing.to_text(fake.lecture()) == LECTURE


def test_text_rails_branch_and_join() -> None:
    g = fake.FakeGraph()
    x = g.add("input", "x")
    a = g.add("op", "a", x, op="sin")
    b = g.add("op", "b", x, op="cos")
    c = g.add("op", "c", a, b, x, op="f")
    g.output_refs["c"] = (c, 0)
    rails = [line[:9].rstrip() for line in drawing.to_text(g).splitlines()[:7]]
    assert rails == [" □      x", " ├─╮", " │ ●    a", " ├─│─╮", " │ │ ●  b", " ├─┴─╯", " ●      c"]


def test_text_keeps_one_line_for_a_box_and_its_columns(hostile: str) -> None:
    text = drawing.to_text(hostile_graph(hostile), fold=False)
    lines = text.split("\n")
    assert len(lines) == 4 + 1 + 1 + 1 + 1  # boxes, their joint, a gap, the legend, the end
    assert all(columns(line) < 130 and (line.isprintable() or "\u200d" in line) for line in lines)


def test_text_of_a_folded_graph() -> None:
    text = drawing.to_text(fake.mlp(), fold=True)
    assert "▣" in text
    assert "net " in text
    assert "relu" not in text


@pytest.mark.parametrize("suffix", [".svg", ".html", ".dot", ".mmd", ".txt", ".SVG"])
def test_write_chooses_by_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"graph{suffix}"
    drawing.write(fake.lecture(), path)
    writer = dict(zip((".svg", ".html", ".dot", ".mmd", ".txt"), WRITERS, strict=True))[
        suffix.lower()
    ]
    assert path.read_text(encoding="utf-8") == writer(fake.lecture())


@pytest.mark.parametrize("name", ["graph.png", "graph", "graph.svg.gz"])
def test_write_refuses_other_suffixes(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ValueError, match=r"draw: the file .* one of \.svg, \.html, \.dot, \.mmd, \.txt"
    ):
        drawing.write(fake.lecture(), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_notebook_gets_a_picture_and_a_text() -> None:
    bundle = drawing.mime_bundle(fake.lecture())
    assert bundle == {
        "image/svg+xml": drawing.to_svg(fake.lecture()),
        "text/plain": drawing.to_text(fake.lecture()),
    }


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", THEMES)
def test_texts_have_contrast(theme: str) -> None:
    colours = THEMES[theme]
    pairs = [
             ("value", "ground"), ("gradient", "ground"), ("muted", "ground"), ("ink", "ground"),
             ("ink", "parameter"), ("ink", "input"), ("ink", "module"), ("muted", "module"),
             ("output-ink", "output"), ("value", "panel"), ("gradient", "panel"),
             ("muted", "panel"),
    ]  # fmt: skip
    for text, ground in pairs:
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
