"""The page and the SVG in a real Chromium: what a person sees, clicks and types."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_graph as fake
import test_drawing_graphs as real
from browser_tools import FAULTS, NAMES, missing, numbers
from chainrule import drawing
from chainrule.drawing.layout import layout
from chainrule.drawing.scene import build_scene
from chainrule.drawing.texts import text_width

WINDOW = {"width": 1440, "height": 810}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright", "pip install '.[test]'")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing("a browser", "apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


Opener = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    """Opens a text as a file in a window that has no network; errors and requests fail the test."""
    contexts, troubles = [], []

    def opener(text: str, suffix: str = ".html", scheme: str = "light") -> Any:
        path = tmp_path / f"page{len(contexts)}{suffix}"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport=WINDOW, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.on("request", lambda r: None if r.url == path.as_uri() else troubles.append(r.url))
        page.goto(path.as_uri())
        return page

    yield opener
    for context in contexts:
        context.close()
    assert troubles == []


GRAPHS: dict[str, Callable[[], Any]] = {
    "lecture": fake.lecture,
    "mlp": fake.mlp,
    "transformer": lambda: fake.transformer(4),
    "scalars": fake.scalar_net,
    "real lecture": real.lecture,
    "real transformer": real.transformer,
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", GRAPHS)
def test_no_text_is_cut_off_or_covered(open_page: Opener, name: str, scheme: str) -> None:
    graph = GRAPHS[name]()
    for fold in (False, True):
        page = open_page(drawing.to_html(graph, fold=fold), scheme=scheme)
        assert page.evaluate(FAULTS) == []
        page = open_page(drawing.to_svg(graph, fold=fold), ".svg", scheme)
        assert page.evaluate(FAULTS) == []


def test_faults_are_found(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.lecture()))
    page.evaluate("document.querySelector('[data-box=n7] .title').textContent = 'much too wide'")
    page.evaluate("document.querySelector('[data-box=n2]').setAttribute('transform', '')")
    page.evaluate("document.querySelector('[data-box=n0]').setAttribute('transform', '')")
    faults = page.evaluate(FAULTS)
    assert '"much too wide" leaves its form' in faults
    assert any("overlaps" in fault for fault in faults)
    assert "boxes overlap" in faults


def test_no_text_is_cut_off_where_names_are_long_or_foreign(open_page: Opener) -> None:
    g = fake.FakeGraph()
    names = [
        "w" * 500,
        "WWWWWWWWWWWW",
        "日本語の名前です",
        "👩‍🔬🎉 party",
        "שלום עולם",
        "مرحبا",
        "ÄÖÜß_ẞ",
        "Ω≈ç√∫",
        "i" * 300,
    ]
    h = g.add("input", "x", value=1.0)
    for name in names:
        g.modules[f"m{name}"] = f"Type{name}"
        w = g.add("parameter", name, shape=(123456, 123456, 1234567), value=-1.2345e-22)
        h = g.add(
            "op",
            f"r{name}",
            h,
            w,
            op="add",
            module=f"m{name}",
            value=-1.2345e-22,
            gradient=-9.87e99,
        )
    g.output_refs["W" * 90] = (h, 0)
    for fold in (False, True):
        assert open_page(drawing.to_html(g, fold=fold)).evaluate(FAULTS) == []
        assert open_page(drawing.to_svg(g, fold=fold), ".svg").evaluate(FAULTS) == []


def test_texts_are_not_wider_than_measured(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.lecture()))
    texts = [
        "weight",
        "net.0.WEIGHT_MW",
        "−12.345e−17",
        "∂ −0.00123 ± 1.5",
        "64×128·N",
        "日本語",
        "αβγ≈∞",
        "@#%&",
    ]
    for css, size, bold in [
        ("title", 14, True),
        ("value", 13, True),
        ("gradient", 13, False),
        ("shape", 11, False),
    ]:
        widths = page.evaluate(
            """([css, texts]) => texts.map((text) => {
                 const el = document.createElementNS("http://www.w3.org/2000/svg", "text");
                 el.setAttribute("class", css);
                 el.textContent = text;
                 document.getElementById("stage").append(el);
                 return el.getComputedTextLength();
               })""",
            [css, texts],
        )
        for text, width in zip(texts, widths, strict=True):
            assert width <= text_width(text, size, bold=bold) + 0.5, (css, text)


def test_the_page_places_as_python_does(open_page: Opener) -> None:
    """page/place.js repeats layout.py and placement.py, so both must give the same numbers."""
    graph = fake.transformer()
    page = open_page(drawing.to_html(graph))
    paths = sorted(graph.modules)
    for fold in (False, True, "auto", paths[::2], paths[1::2], paths[::3]):
        scene = build_scene(graph, fold=fold)
        python = layout(scene)
        browser = page.evaluate(
            """(open) =>
                 locate(JSON.parse(document.getElementById("data").textContent), new Set(open))""",
            [g.index for g in scene.groups[1:] if g.open],
        )
        assert browser["width"] == pytest.approx(python.width)
        assert browser["height"] == pytest.approx(python.height)
        assert set(browser["places"]) == set(python.places)
        for key, place in python.places.items():
            assert browser["places"][key] == pytest.approx(place, abs=1e-6)
        for g, f in python.frames.items():
            assert browser["frames"][str(g)] == pytest.approx(vars(f))
        for (g, n), d in python.paths.items():
            assert numbers(browser["paths"][f"{g}:{n}"]) == pytest.approx(numbers(d), abs=0.11)
        assert len(browser["paths"]) == len(python.paths)


def details(page: Any) -> dict[str, str]:
    assert page.locator("#details").is_visible()
    return dict(
        zip(
            page.locator("#details dt").all_inner_texts(),
            page.locator("#details dd").all_inner_texts(),
            strict=True,
        )
    )


def test_a_click_tells_all_about_a_node(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.lecture()))
    assert not page.locator("#details").is_visible()
    page.locator("[data-box=n8]").click()
    found = details(page)
    assert found["value"] == "34.0"
    assert found["gradient"] == "-6.0"
    assert found["formula"] == "mul_8 = mul(w2, h)"
    assert found["local ∂ w2"] == "gy * h"
    assert found["source"] == "lecture.py:12"
    page.locator("[data-box='out:L']").click()
    assert page.locator("#details h2").inner_text() == "L"
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()


def shown_numbers(page: Any) -> tuple[set[str], set[str]]:
    visible = """(els) => els.filter((el) => getComputedStyle(el).visibility === "visible")
      .map((el) => el.textContent)"""
    world = page.locator("#world")
    return (
        set(world.locator(".value").evaluate_all(visible)),
        set(world.locator(".gradient").evaluate_all(visible)),
    )


def test_the_slider_walks_forward_and_then_backward(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.lecture()))
    slider = page.locator("#step")
    last = int(slider.get_attribute("max") or 0)
    everything = shown_numbers(page)
    assert len(everything[1]) > 5
    slider.fill("0")
    assert shown_numbers(page) == (set(), set())
    slider.fill("1")
    assert shown_numbers(page) == ({"3", "5", "2", "40"}, set())
    page.locator("[data-box=n8]").click()
    assert details(page)["value"] == details(page)["gradient"] == "not computed yet"
    before: tuple[set[str], set[str]] = (set(), set())
    for step in range(2, last + 1):
        slider.press("ArrowRight")
        now = shown_numbers(page)
        assert before[0] <= now[0]
        assert before[1] <= now[1]
        assert len(now[1]) <= len(before[1]) + 1
        assert page.locator("#count").inner_text() == f"{step} / {last}"
        if step < last:
            assert page.locator(".edge.now").count() + page.locator(".box.now").count() >= 1
        if now[1]:
            assert now[0] == everything[0]  # the backward pass starts when all values are there
        before = now
    assert before == everything
    assert details(page)["gradient"] == "-6.0"
    slider.press("Home")
    assert page.locator("#caption").inner_text() == "nothing is computed yet"


def test_play_pauses_and_ends(open_page: Opener) -> None:
    from playwright.sync_api import expect

    page = open_page(drawing.to_html(fake.lecture()))
    page.keyboard.press("Space")
    assert page.locator("#play").get_attribute("aria-label") == "pause"
    expect(page.locator("#step")).to_have_value("1")
    page.keyboard.press("Space")
    assert page.locator("#play").get_attribute("aria-label") == "play"
    value = int(page.locator("#step").input_value())
    page.keyboard.press("n")
    assert int(page.locator("#step").input_value()) == value + 1
    page.keyboard.press("b")
    assert int(page.locator("#step").input_value()) == value


def test_modules_open_and_close(open_page: Opener) -> None:
    graph = fake.mlp()
    page = open_page(drawing.to_html(graph, fold=True))
    assert page.locator("[data-frame]:not([display])").count() == 0
    page.locator("[data-box=g1]").click()
    assert page.locator("[data-frame='1']").is_visible()
    assert not page.locator("[data-box=g1]").is_visible()
    assert page.evaluate(FAULTS) == []
    page.locator("[data-box=g2]").focus()
    page.keyboard.press("Enter")
    assert page.locator("[data-frame='2']").is_visible()
    assert page.locator("[data-box=n2]").is_visible()
    assert page.evaluate(FAULTS) == []
    assert page.evaluate("document.activeElement.closest('[data-frame]').dataset.frame") == "2"
    page.keyboard.press("Enter")
    assert page.locator("[data-box=g2]").is_visible()
    assert page.evaluate("document.activeElement.dataset.box") == "g2"
    page.locator("#open-all").click()
    assert page.locator("[data-frame]:not([display])").count() == 6
    assert page.locator("#open-all").is_disabled()
    assert page.evaluate(FAULTS) == []
    page.locator("[data-frame='1'] > .header").click()
    assert page.locator("[data-box=g1]").is_visible()
    page.locator("#fold-all").click()
    assert page.locator("[data-frame]:not([display])").count() == 0


def test_a_step_inside_a_folded_module_shows_at_its_box(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.mlp(), fold=True))
    page.locator("#step").fill("1")
    assert "done" not in (page.locator("[data-box=g1]").get_attribute("class") or "").split()
    for _ in range(4):
        page.locator("#next").click()
    assert "done" in (page.locator("[data-box=g1]").get_attribute("class") or "").split()


def test_the_keyboard_reaches_everything(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.lecture()))
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.dataset.box ?? document.activeElement.id")
        )
    boxes = {f"n{n.id}" for n in fake.lecture().nodes if n.label != "2"} | {"out:L"}
    assert boxes | {"fit", "theme", "help", "play", "step"} <= set(seen)
    page.locator("[data-box=n7]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.box") == "n8"
    width = page.evaluate(
        "getComputedStyle(document.activeElement.querySelector('.form')).strokeWidth"
    )
    assert float(width.removesuffix("px")) > 3  # the focus is seen
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.box") == "n7"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.box") == "n2"
    page.keyboard.press("Enter")
    assert details(page)["kind"] == "parameter"
    spoken = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert spoken == "parameter b1, value 2, gradient −12"
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_pan_and_zoom(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.lecture()))

    def state() -> tuple[float, float, float]:
        x, y, w = page.locator("[data-box=n7] .hit").evaluate(
            "(el) => { const r = el.getBoundingClientRect(); return [r.left, r.top, r.width]; }"
        )
        return x, y, w

    x, y, w = state()
    page.mouse.move(400, 600)
    page.mouse.down()
    page.mouse.move(450, 570, steps=4)
    page.mouse.up()
    assert state() == pytest.approx((x + 50, y - 30, w))
    page.mouse.wheel(0, -300)
    assert state()[2] > 1.3 * w
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert state() == pytest.approx((x, y, w))


def test_the_theme_follows_the_system_and_can_be_switched(open_page: Opener) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = open_page(drawing.to_html(fake.lecture()), scheme="dark")
    assert page.evaluate(ground) == "rgb(20, 24, 29)"
    page.locator("#theme").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.keyboard.press("t")
    assert page.evaluate(ground) == "rgb(20, 24, 29)"


@pytest.mark.parametrize(
    "name",
    ["</script><img src=x onerror=alert(1)>", "'\"><svg onload=alert(1)>", "\u2028 @@DATA@@"],
)
def test_a_hostile_name_is_only_text(open_page: Opener, name: str) -> None:
    g = fake.FakeGraph()
    g.modules[name] = name
    x = g.add("input", name, value=1.0)
    h = g.add("op", f"h{name}", x, op="tanh", module=name, value=1.0)
    g.output_refs[name] = (h, 0)
    page = open_page(drawing.to_html(g, title=name, fold=False))
    page.locator("[data-box=n1]").click()
    assert page.locator("#details h2").inner_text().strip() == f"h{name}".strip()
    page.locator("#next, #back").first.click()
    assert page.locator("img").count() == 0
    assert page.locator("svg").count() == 2


def test_a_page_of_3000_nodes_works(open_page: Opener) -> None:
    page = open_page(drawing.to_html(fake.chain(3000)))
    assert page.locator("[data-box]").count() == 3002
    page.locator("#step").fill("2000")
    page.locator("[data-box=n5]").focus()
    page.keyboard.press("Enter")
    assert details(page)["formula"] == "tanh_5 = tanh(tanh_4)"
