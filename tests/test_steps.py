"""Both passes one node at a time: the numbers of forward and backward, and their bits."""

from __future__ import annotations

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.graphs.numbers import as_data, short
from chainrule.lecture import VALUES, lecture_graph


def net_graph():
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    with cr.Graph() as g:
        x, y = g.input("x", shape=(None, 3)), g.input("y", shape=(None, 1))
        loss = nn.functional.mse_loss(net(x), y)
    g.outputs(loss=loss)
    return g, {"x": cr.rand(5, 3), "y": cr.rand(5, 1)}


def same_bits(a, b):
    a, b = a.detach(), b.detach()
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


# ---- forward ----


def test_forward_of_the_lectures_graph():
    g = lecture_graph()
    steps = list(g.forward_steps(**VALUES))
    assert [s.name for s in steps] == [*VALUES, "w1*x", "h", "w2*h", "y_hat", "r", "L"]
    assert [s.value.item() for s in steps] == [*VALUES.values(), 15, 17, 34, 37, -3, 9]
    assert [s.op for s in steps[6:]] == ["mul", "add", "mul", "add", "sub", "square"]
    assert steps[7].formula == "(w1*x) + b1"
    assert [(name, value.item()) for name, value in steps[7].inputs] == [("w1*x", 15), ("b1", 2)]
    assert str(steps[7]) == "h = (w1*x) + b1 = 15 + 2 = 17"
    assert str(steps[-1]) == "L = r ** 2 = (-3) ** 2 = 9"
    assert g.value("L").item() == 9.0


def test_forward_steps_give_the_bits_of_forward():
    g, feeds = net_graph()
    g.forward(**feeds)
    expected = {n.id: g.value((n.id, 0)).detach().clone() for n in g.nodes}
    for step in g.forward_steps(**feeds):
        assert same_bits(step.value, expected[step.node.id])
    assert same_bits(g.value("loss"), expected[g.node("loss").id])


def test_a_node_runs_when_its_step_is_asked_for():
    g = lecture_graph()
    steps = g.forward_steps(**{**VALUES, "x": 1.0})
    for step in steps:
        if step.name == "w1*x":
            break
    assert g.value("w1*x").item() == 5.0
    assert g.value("h") is None


def test_steps_keep_their_values_when_the_graph_runs_again():
    g = lecture_graph()
    steps = list(g.forward_steps(**VALUES))
    g.forward(**{**VALUES, "x": 100.0})
    assert steps[-1].value.item() == 9.0


def test_constants_have_no_step():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    names = [step.name for step in g.outputs(y=x * 3 + 2).forward_steps(x=1)]
    assert names == ["x", "mul", "y"]


def test_a_missing_feed_is_an_error():
    with cr.Graph() as g:
        x, w = g.inputs("x w")
    with pytest.raises(ValueError, match="no value for w"):
        next(g.outputs(y=w * x).forward_steps(x=1))


def test_every_output_of_a_node_has_a_value():
    with cr.Graph() as g:
        x = g.input("x", shape=(2, 3))
    last = list(g.outputs(m=x.max(1).values).forward_steps(x=[[1, 2, 3], [6, 5, 4]]))[-1]
    assert [v.tolist() for v in last.values] == [[3, 6], [2, 0]]


# ---- backward ----


def test_backward_of_the_lectures_graph():
    g = lecture_graph()
    steps = list(g.backward_steps("L"))
    assert [s.name for s in steps] == ["L", "r", "y_hat", "w2*h", "h", "w1*x"]
    assert [s.upstream.item() for s in steps] == [1, -6, -6, -6, -12, -12]
    to_w2, to_h = steps[3].contributions
    assert (to_w2.name, to_w2.local_derivative, to_w2.local_value.item()) == ("w2", "h", 17)
    assert (to_w2.value.item(), to_w2.sum) == (-102, None)
    assert (to_h.name, to_h.value.item()) == ("h", -12)
    assert "to w2: dL/d(w2*h) * h = -6 * 17 = -102" in str(steps[3])
    assert {n: g.gradient(n).item() for n in VALUES} == {
        n: v.item() for n, v in g.backward("L").items()
    }


def test_a_second_backward_gives_the_same_numbers():
    g, feeds = net_graph()
    g.forward(**feeds)
    first, second = (
        [c.value for s in g.backward_steps("loss") for c in s.contributions] for _ in range(2)
    )
    assert all(map(same_bits, first, second))


def test_backward_steps_give_the_bits_of_backward():
    g, feeds = net_graph()
    list(g.forward_steps(**feeds))
    list(g.backward_steps("loss"))
    stepped = {n.label: g.gradient(n.label) for n in g.nodes if n.kind == "parameter"}
    expected = g.backward("loss", list(stepped))
    assert len(stepped) == 4
    assert all(same_bits(stepped[name], expected[name]) for name in stepped)


def test_running_sums_where_a_variable_is_used_more_than_once():
    with cr.Graph() as g:
        x, w = g.inputs("x w")
        y = x * x + w * x
    g.outputs(y=y).forward(x=3, w=5)
    to = [c for s in g.backward_steps() for c in s.contributions if c.name in ("x", "w")]
    assert [(c.name, c.value.item()) for c in to if c.name == "w"] == [("w", 3)]
    assert [c.sum for c in to if c.name == "w"] == [None]
    assert [c.value.item() for c in to if c.name == "x"] == [5, 3, 3]
    assert [c.sum.item() for c in to if c.name == "x"] == [5, 8, 11]
    assert g.gradient("x").item() == 11


def test_contribution_is_upstream_times_local_derivative():
    with cr.Graph() as g:
        a, b = g.input("a", shape=(2, 3)), g.input("b", shape=(3,))
        y = cr.tanh(a / b) * cr.exp(b) - cr.sigmoid(a) ** 3
    g.outputs(y=y).forward(a=cr.rand(2, 3), b=cr.rand(3) + 1)
    seed = cr.rand(2, 3)
    count = 0
    for step in g.backward_steps("y", seed):
        for c in step.contributions:
            product = step.upstream * c.local_value
            while product.ndim > c.value.ndim:
                product = product.sum(0)
            np.testing.assert_allclose(product.numpy(), c.value.numpy(), rtol=1e-5)
            count += 1
    assert count >= 8


def test_the_local_derivative_is_not_a_quotient():
    with cr.Graph() as g:
        x, w = g.inputs("x w")
    g.outputs(y=(x * w) * 0.0).forward(x=3, w=5)
    last = list(g.backward_steps())[-1]
    assert last.upstream.item() == 0
    assert [c.local_value.item() for c in last.contributions] == [5, 3]


def test_rules_of_other_ops_are_written():
    g, feeds = net_graph()
    g.forward(**feeds)
    linear = next(s for s in g.backward_steps() if s.op == "linear")
    assert linear.contributions[0].local_value is None
    assert "gy @" in str(linear)


def test_backward_before_forward_is_an_error():
    with cr.Graph() as g:
        x, w = g.inputs("x w")
    with pytest.raises(RuntimeError, match="has not run forward"):
        next(g.outputs(y=w * x).backward_steps())


def test_a_vector_needs_a_gradient():
    with cr.Graph() as g:
        x = g.input("x", shape=(2,))
    g.outputs(y=x * 2).forward(x=[1, 2])
    with pytest.raises(RuntimeError, match="gradient"):
        next(g.backward_steps())
    (step,) = g.backward_steps("y", [1, 10])
    assert step.contributions[0].value.tolist() == [2, 20]


# ---- passes that are left ----


def test_a_forward_that_is_left_leaves_the_graph_usable():
    g = lecture_graph()
    next(g.forward_steps(**VALUES))
    with pytest.raises(RuntimeError, match="has not run"):
        g.backward("L")
    assert g.forward(**VALUES)["L"].item() == 9
    assert g.backward("L", "w2")["w2"].item() == -102


def test_a_backward_that_is_left_leaves_the_graph_usable():
    g = lecture_graph()
    next(g.backward_steps("L"))
    assert g.backward("L", "w2")["w2"].item() == -102
    assert len(list(g.backward_steps("L"))) == 6


def test_a_pass_ends_when_another_begins():
    g = lecture_graph()
    first = g.forward_steps(**VALUES)
    next(first)
    assert len(list(g.forward_steps(**VALUES))) == 12
    with pytest.raises(RuntimeError, match="another forward_steps began"):
        next(first)


def test_a_forward_ends_forward_steps():
    g = lecture_graph()
    steps = g.forward_steps(**VALUES)
    next(steps)
    g.forward(**(VALUES | {"x": 7}))
    with pytest.raises(RuntimeError, match=r"forward_steps: forward began on this .* begin again"):
        next(steps)
    assert g.value("x").item() == 7


def test_two_forward_steps_do_not_mix():
    g = lecture_graph()
    first, second = g.forward_steps(**VALUES), g.forward_steps(**(VALUES | {"x": 7}))
    next(first)
    assert next(second).value.item() == 7
    for _ in range(2):
        with pytest.raises((RuntimeError, StopIteration)):
            next(first)
    assert [*second][-1].value.item() == (2 * (5 * 7 + 2) + 3 - 40) ** 2


def test_backward_steps_end_forward_steps():
    g = lecture_graph()
    g.forward(**VALUES)
    steps = g.forward_steps(**VALUES)
    next(steps)
    with pytest.raises(RuntimeError, match="has not run forward"):
        next(g.backward_steps("L"))
    assert len([*steps]) == 11  # what was refused has changed nothing


def test_a_forward_ends_a_backward():
    g = lecture_graph()
    steps = g.backward_steps("L")
    next(steps)
    g.forward(**VALUES)
    with pytest.raises(RuntimeError, match="begin again with backward_steps"):
        next(steps)


def test_another_backward_ends_a_backward():
    g = lecture_graph()
    steps = g.backward_steps("L")
    next(steps)
    g.backward("L")
    with pytest.raises(RuntimeError, match="begin again with backward_steps"):
        next(steps)


# ---- as data ----


def test_steps_as_json():
    g = lecture_graph()
    steps = [*g.forward_steps(**VALUES), *g.backward_steps("L")]
    found = json.loads(json.dumps([s.as_dict() for s in steps], allow_nan=False))
    assert found[7]["inputs"] == [{"name": "w1*x", "value": 15}, {"name": "b1", "value": 2}]
    assert found[-1]["contributions"][0] == {
        "name": "w1",
        "node": 1,
        "local_derivative": "x",
        "local_value": 3,
        "value": -36,
        "sum": None,
    }


def test_numbers_that_json_has_not():
    values = cr.tensor([float("nan"), float("inf"), -float("inf"), 1.0])
    assert as_data(values) == ["NaN", "Infinity", "-Infinity", 1.0]
    assert as_data(cr.zeros(40, 40))["shape"] == [40, 40]
    assert as_data(cr.tensor(True)) is True


def test_short_values():
    assert short(cr.tensor(3)) == "3"
    assert short(cr.zeros(0)) == "[]"
    assert short(cr.arange(8.0).reshape(2, 4)) == "shape (2, 4), from 0 to 7"
    assert short(cr.tensor([True] * 7)) == "shape (7,), from True to True"


def test_reprs():
    g = lecture_graph()
    assert repr(next(g.forward_steps(**VALUES))) == "<ForwardStep x = 3>"
    g.forward(**VALUES)
    step = next(g.backward_steps("L"))
    assert repr(step).startswith("<BackwardStep dL/dL = 1")
    assert repr(step.contributions[0]) == "<Contribution to r: -6>"
