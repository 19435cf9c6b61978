"""Copies of graphs, and why there is no pickle of one."""

import copy
import pickle

import pytest

import chainrule as cr
from graphs import LECTURE, lecture, net


def test_copies_run_on_their_own():
    g = lecture()
    g.forward(**LECTURE)
    for other in (copy.copy(g), copy.deepcopy(g)):
        assert other.value("L") is None
        other.forward(**LECTURE | {"y": 36})
        assert other.value("L").item() == 1
        assert g.value("L").item() == 9
        assert [n.label for n in other.nodes] == [n.label for n in g.nodes]


def test_a_copy_shares_parameters_and_a_deep_copy_does_not():
    w = cr.tensor([2.0], requires_grad=True, name="w")
    g = cr.graph(w * w.detach() * 3)
    shallow, deep = copy.copy(g), copy.deepcopy(g)
    with cr.no_grad():
        w.fill_(5)
    assert shallow.forward()["output"].item() == 75
    assert deep.forward()["output"].item() == 12
    own = deep.value("w")
    assert own.requires_grad
    with cr.no_grad():
        own.fill_(1)  # and so does what shares its memory
    assert deep.forward()["output"].item() == 3


def test_a_deep_copy_of_a_model_and_its_graph_stay_together():
    model = net(3, 2)
    g = cr.trace(model, cr.ones(1, 3))
    model_copy, graph_copy = copy.deepcopy([model, g])
    with cr.no_grad():
        for parameter in model_copy.parameters():
            parameter.zero_()
    x = cr.ones(1, 3)
    assert graph_copy.forward(input=x)["output"].tolist() == [[0, 0]]
    assert g.forward(input=x)["output"].tolist() == model(x).tolist()


def test_a_copy_before_its_outputs():
    with cr.Graph() as g:
        x, w = g.inputs("x w")
        y = w * x
    other = copy.copy(g)
    assert other.outputs(y=y).forward(x=2, w=3)["y"].item() == 6


def test_pickle_says_what_to_do():
    with pytest.raises(TypeError, match=r"use save\(\) and load\(\)"):
        pickle.dumps(lecture())
