"""What a derivation calls things: odd names, slices, and graphs that have no outputs yet."""

from __future__ import annotations

import pytest

import chainrule as cr


def test_a_name_does_not_command_the_terminal():
    name = "a\x1b[31m\nb"
    with cr.Graph() as g:
        x = g.input(name)
    g.outputs(y=x * 2 + x).forward(**{name: 3.0})
    texts = [g.explain("y", name), repr(g), repr(g.nodes[0])]
    texts += [text for step in g.forward_steps(**{name: 3.0}) for text in (str(step), repr(step))]
    texts += [text for step in g.backward_steps() for text in (str(step), repr(step))]
    assert any(r"a\x1b[31m\nb" in text for text in texts)
    for text in texts:
        assert "\x1b" not in text
        assert "31m\nb" not in text
    for format in ("markdown", "latex"):
        assert "\x1b" not in g.explain("y", name, format)


def test_a_graph_without_outputs_says_so():
    with cr.Graph() as g:
        x, w = g.inputs("x w")
        (x * w).tanh()
    for ask in (
        lambda: g.explain("L", "w"),
        lambda: g.forward(x=1.0, w=2.0),
        lambda: g.backward("L"),
        lambda: next(g.forward_steps(x=1.0)),
        lambda: next(g.backward_steps("L")),
        lambda: g.grad("L", ["w"]),
    ):
        with pytest.raises(RuntimeError, match=r"^\w+: a graph without outputs; say outputs\("):
            ask()


def test_slices_are_written_as_python_does():
    with cr.Graph() as g:
        x = g.input("x", (4, 5, 6))
        y = x[1:, :3, ::2][:, -1]
    lines = g.outputs(y=y).explain("y", "x").splitlines()
    assert lines[1].startswith("dL/dx = scatter(scatter(")
    assert "9223372036854775807" not in "".join(map(g.formula, g.nodes))
    assert g.formula("slice") == "x[1:]"
    assert g.formula("slice_2") == "slice[:, :3]"
    assert g.formula("slice_3") == "slice_2[:, :, ::2]"
    assert g.formula("y") == "slice_3[:, -1]"
    assert r"\left(\text{gy}, [{:}, -1]\right)" in g.explain("y", "x", "latex")


def test_options_at_their_defaults_are_not_written():
    with cr.Graph() as g:
        x, w = g.input("x", (None, 3, 8, 8)), g.input("w", (4, 3, 3, 3))
        y = cr.nn.functional.conv2d(x, w, padding=1)
        z = cr.softmax(y[:, :, 0, 0], dim=1)
        loss = cr.nn.functional.cross_entropy(z, g.input("t", (None,), cr.int64))
    g.outputs(loss=loss)
    assert "padding=(1, 1))" in g.formula("y")
    assert "stride" not in g.formula("y")
    assert g.formula("loss") == "cross_entropy(z, t, mean=True)"
    assert g.formula("z").endswith("dim=1)")


def test_two_losses_count_their_own_rows():
    with cr.Graph() as g:
        z, t, n = g.input("z", (4, 3)), g.input("t", (4,), cr.int64), g.input("n")
        loss = cr.nn.functional.cross_entropy(z, t)
        again = cr.nn.functional.cross_entropy(z, t, ignore_index=1)
    text = g.outputs(L=loss * n + again).explain("L", "z")
    assert text.startswith(
        "dL/dz = (softmax(z) - onehot(t)) / n_ + n·(softmax(z) - onehot(t)) / n__2"
    )
    assert "n_ is the number of rows whose target is not 1;" in text
    assert "n__2 is the number of rows whose target is not -100;" in text
    assert "n is " not in text


def test_of_many_names_the_nearest_are_told_first():
    with cr.Graph() as g:
        y = g.input("x")
        for k in range(30):
            y = y * g.input(f"net.{k}.weight")
    g.outputs(y=y)
    with pytest.raises(ValueError, match=r"there are net\.17\.weight, .* and \d+ more$"):
        g.explain("y", "nett.17.weight")


def test_the_page_leaves_out_what_is_always_so():
    with cr.Graph() as g:
        x = g.input("x", (4, 5))
        y = x[1:]
    page = g.outputs(y=y).to_html()
    assert '"attributes": "dim=0, start=1"' in page or '"attributes":"dim=0, start=1"' in page
    assert "9223372036854775807" not in page


def test_different_constants_have_different_names():
    first, second = cr.tensor([1.0, 2.0]), cr.tensor([10.0, 20.0])
    with cr.Graph() as g:
        x = g.input("x", (2,))
        y = (x * first).sum() + (x * second).sum() + (x * x * first).sum()
    g.outputs(y=y)
    labels = [node.label for node in g.nodes if node.kind == "constant"]
    assert labels == ["constant(2,)", "constant_2(2,)"]
    text = g.explain("y", "x")
    assert "constant(2,)" in text
    assert "constant_2(2,)" in text


def test_numbers_of_two_runs_are_not_mixed():
    x = cr.tensor(3.0, requires_grad=True, name="x")
    w = cr.tensor(2.0, requires_grad=True, name="w")
    g = cr.graph((w * x) ** 2)
    assert "24" in g.explain("output", "x")
    with cr.no_grad():
        w.mul_(10)
    assert "240" not in g.explain("output", "x")
    g.forward()
    assert "2400" in g.explain("output", "x")
