"""Graphs read off the tape, and traced."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from graphs import net, same_bits


def test_a_graph_from_a_result():
    x, y = cr.tensor(3.0, name="x"), cr.tensor(40.0, name="y")
    w1 = cr.tensor(5.0, requires_grad=True, name="w1")
    h = w1 * x + 2
    h.name = "h"
    g = cr.graph((h - y) ** 2)
    kinds = {node.label: node.kind for node in g.nodes}
    assert kinds["x"] == kinds["y"] == "input"
    assert kinds["w1"] == "parameter"
    assert kinds["2"] == "constant"
    assert kinds["h"] == "op"
    assert g.value("h").item() == 17
    assert g.value("output").item() == 23**2
    assert g.forward(x=1)["output"].item() == 33**2
    assert g.backward()["w1"].item() == -66


def test_names_from_the_callers_variables():
    model = net(2, 3, 1)
    x, target = cr.ones(4, 2), cr.zeros(4, 1)
    loss = nn.functional.mse_loss(model(x), target)
    g = cr.graph(loss, names=locals())
    labels = {node.label for node in g.nodes}
    assert {"x", "target", "loss", "model.0.weight", "model.2.bias"} <= labels
    assert list(g.output_refs) == ["loss"]


def test_modules_are_known_to_the_tape():
    model = net(2, 3, 1)
    out = model(cr.ones(4, 2))
    g = cr.graph(out)
    assert g.modules == {
        "sequential": "Sequential",
        "sequential.0": "Linear",
        "sequential.1": "Tanh",
        "sequential.2": "Linear",
    }
    assert [n.module for n in g.nodes if n.kind == "op"][:2] == ["sequential.0", "sequential.1"]
    assert "model.0" in cr.graph(out, names={"model": model}).modules


def test_a_module_called_twice_is_two_calls():
    layer = nn.Linear(2, 2)
    g = cr.graph(layer(layer(cr.ones(2))), names={"layer": layer})
    assert list(g.modules) == ["layer", "layer #2"]
    assert sum(n.kind == "parameter" for n in g.nodes) == 2


def test_source_lines_are_remembered_when_asked():
    w = cr.tensor(2.0, requires_grad=True)
    assert cr.graph(w * 3).node("output").source == ""
    with cr.source_lines():
        y = w * 3
    assert cr.graph(y).node("output").source.startswith("test_graph_tape.py:")
    assert cr.graph(w * 3).node("output").source == ""


def test_a_graph_of_a_freed_tape_keeps_its_structure():
    x, w = cr.tensor([1.0, 2.0], name="x"), cr.tensor([3.0, 4.0], requires_grad=True, name="w")
    loss = (w * x).sum()
    loss.backward()
    g = cr.graph(loss)
    assert [n.op for n in g.nodes if n.op] == ["mul", "sum"]
    missing = [n.label for n in g.nodes if n.kind == "input"]
    assert g.forward(**{missing[0]: x})["output"].item() == 11
    with pytest.raises(ValueError, match="before backward"):
        cr.graph(loss).forward()


def test_a_result_without_history():
    with pytest.raises(RuntimeError, match="computed without recording"):
        cr.graph(cr.ones(2) * 2)
    with pytest.raises(TypeError, match="a float"):
        cr.graph(1.0)
    with pytest.raises(ValueError, match="no results"):
        cr.graph()


def test_parameters_are_shared_with_their_owner():
    w = cr.tensor(2.0, requires_grad=True, name="w")
    g = cr.graph(w * 3)
    with cr.no_grad():
        w.add_(1)
    assert g.forward()["output"].item() == 9


def test_a_parameter_that_changed_after_forward_is_noticed():
    w = cr.tensor(2.0, requires_grad=True, name="w")
    g = cr.graph(w * w)
    with cr.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="w was changed after forward read it"):
        g.backward()


def test_duplicate_names_are_told_apart():
    a, b = (cr.tensor(float(v), requires_grad=True, name="w") for v in (1, 2))
    g = cr.graph(a * b)
    assert sorted(g.backward()) == ["w", "w_2"]


def test_changes_in_place_are_steps_of_the_graph():
    w = cr.tensor([1.0, 2.0], requires_grad=True, name="w")
    h = w * 2
    h += 1
    h *= h
    g = cr.graph(h.sum())
    assert g.forward()["output"].item() == 9 + 25
    assert g.backward()["w"].tolist() == [12.0, 20.0]


def test_a_chain_of_a_hundred_thousand_nodes():
    x = cr.tensor(1.0, requires_grad=True, name="x")
    y = x
    for _ in range(100_000):
        y = y + 0.5
    g = cr.graph(y)
    assert len(g.nodes) == 200_001  # a constant beside each sum
    assert g.value("output").item() == pytest.approx(50_001, rel=1e-3)
    assert g.backward()["x"].item() == 1.0


def test_trace_of_a_function():
    def f(a, b):
        c = a * b
        return {"sum": (c + a).sum(), "c": c}

    g = cr.trace(f, cr.zeros(3), np.zeros(3, np.float32))
    out = g.forward(a=[1, 2, 3], b=[4, 5, 6])
    assert out["c"].tolist() == [4, 10, 18]
    assert out["sum"].item() == 38
    assert g.node("c").source.startswith("test_graph_tape.py:")


def test_trace_of_a_module():
    model = net(2, 4, 1)
    g = cr.trace(model, cr.zeros(3, 2))
    x = cr.randn(3, 2)
    assert same_bits(g.forward(input=x)["output"], model(x).detach())
    assert [n.label for n in g.nodes if n.kind == "parameter"] == [
        f"sequential.{name}" for name, _ in model.named_parameters()
    ]


def test_trace_does_not_call_the_function_again():
    calls = []

    def f(x):
        calls.append(1)
        return x * 2

    g = cr.trace(f, 1.0)
    for value in range(5):
        assert g.forward(x=value)["output"].item() == 2 * value
    assert len(calls) == 1


def test_trace_errors():
    with pytest.raises(TypeError, match="fn returned a str"):
        cr.trace(lambda x: "no", 1.0)
    with pytest.raises(RuntimeError, match="no value yet"):
        cr.trace(lambda x: x.item(), 1.0)
    with pytest.raises(RuntimeError, match=r"dropout.*eval\(\)"):
        cr.trace(nn.Dropout(0.5), cr.zeros(3))
    assert cr.trace(nn.Dropout(0.5).eval(), cr.zeros(3)).forward(input=[1, 2, 3])


def test_frozen_parameters_are_parameters():
    model = net(2, 3, 1).requires_grad_(False)
    g = cr.trace(model, cr.zeros(1, 2))
    assert sum(n.kind == "parameter" for n in g.nodes) == 4
