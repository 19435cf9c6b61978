"""Graphs assembled before any value exists, and run."""

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from graphs import GRADIENTS, LECTURE, lecture, net, same_bits


def test_the_lectures_graph():
    g = lecture()
    assert g.forward(**LECTURE)["L"].item() == 9.0
    assert {k: v.item() for k, v in g.backward("L").items()} == GRADIENTS


def test_a_second_backward_gives_the_same_numbers():
    g = lecture()
    g.forward(**LECTURE)
    assert [v.item() for v in g.backward("L").values()] == [v.item() for v in g.backward().values()]


def test_another_forward_gives_other_numbers():
    g = lecture()
    g.forward(**LECTURE)
    assert g.forward(**{**LECTURE, "y": 37})["L"].item() == 0.0
    assert g.backward("L", "w1")["w1"].item() == 0.0


def test_results_stay_when_the_graph_runs_again():
    g = lecture()
    first = g.forward(**LECTURE)["L"]
    gradients = g.backward("L")
    g.forward(**{**LECTURE, "x": 100})
    g.backward("L")
    assert first.item() == 9.0
    assert {k: v.item() for k, v in gradients.items()} == GRADIENTS


def test_values_and_gradients_of_all_nodes_can_be_read():
    g = lecture()
    g.forward(**LECTURE)
    by_label = {node.label: g.value((node.id, 0)) for node in g.nodes if node.kind == "op"}
    assert [v.item() for v in by_label.values()] == [15, 17, 34, 37, -3, 9]
    g.backward("L")
    assert g.gradient("w1").item() == -36.0
    assert [g.gradient((n.id, 0)).item() for n in g.nodes if n.kind == "op"] == [
        -12.0, -12.0, -6.0, -6.0, -6.0, 1.0,
    ]  # fmt: skip


def test_a_mismatch_is_an_error_at_its_line():
    with cr.Graph() as g:
        a, b = g.input("a", (2, 3)), g.input("b", (4, 5))
        with pytest.raises(ValueError, match=r"matmul: a has shape \(2, 3\), b has shape \(4, 5\)"):
            a @ b


@pytest.mark.parametrize(
    ("fn", "sizes"),
    [
        (lambda x: cr.zeros(3, 4) @ x, "(4 != N)"),
        (lambda x: x.T + cr.zeros(4, 3), "(N and 3 are not)"),
        (lambda x: nn.functional.linear(x.T, cr.zeros(3, 3), cr.zeros(3)), "(N != 3)"),
    ],
)
def test_a_mismatch_with_an_unknown_size_says_n(fn, sizes):
    with cr.Graph() as g, pytest.raises(ValueError, match=re.escape(sizes)):
        fn(g.input("x", (None, 4)))


def test_an_unknown_batch_size_stays_symbolic():
    model = net(4, 8, 3)
    with cr.Graph() as g:
        X = g.input("X", (None, 4))
        T = g.input("T", (None,), cr.int64)
        logits = model(X)
        assert str(logits.shape) == "(N, 3)"
        loss = nn.functional.cross_entropy(logits, T)
    g.outputs(loss=loss, logits=logits)
    for n in (5, 1, 12, 5):
        x, t = cr.randn(n, 4), cr.tensor([i % 3 for i in range(n)])
        out = g.forward(X=x, T=t)
        eager = nn.functional.cross_entropy(model(x), t)
        assert same_bits(out["loss"], eager.detach())
        assert out["logits"].shape == (n, 3)
        eager.backward()
        gradients = g.backward("loss")
        for node, parameter in zip(
            [n for n in g.nodes if n.kind == "parameter"], model.parameters(), strict=True
        ):
            assert same_bits(gradients[node.label], parameter.grad)
            parameter.grad = None


def test_sizes_computed_from_the_unknown_one():
    with cr.Graph() as g:
        x = g.input("x", (None, 2, 3))
        flat = x.reshape(x.shape[0], -1)
        assert str(flat.shape) == "(N, 6)"
        assert str(x.flatten().shape) == "(6*N,)"
        assert str(x[1:].shape) == "(N - 1, 2, 3)"
        mean = flat.sum() / x.shape[0]
        other = x[1:].mean() + x.flatten().sum() / (x.shape[0] * 2 - 1)
    g.outputs(mean=mean, other=other)
    for n in (2, 7):
        value = cr.randn(n, 2, 3)
        out = g.forward(x=value)
        assert out["mean"].item() == pytest.approx(value.sum().item() / n, rel=1e-6)
        expected = value[1:].mean().item() + value.sum().item() / (2 * n - 1)
        assert out["other"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "use",
    [
        lambda n: 1.0 / n,
        lambda n: float(n),
        lambda n: n % 2,
        lambda n: n // 2,
        lambda n: n**2,
        lambda n: n / 2,
        lambda n: n > 3,
        lambda n: 2.5 * n,
    ],
)
def test_what_cannot_be_followed_from_a_size_is_an_error(use):
    with cr.Graph() as g:
        x = g.input("x", (None, 2))
        with pytest.raises(RuntimeError, match=r"N is not known before the graph runs"):
            use(x.shape[0])


def test_memory_of_an_unknown_size_is_an_error():
    with cr.Graph() as g:
        x = g.input("x", (None, 2))
        with pytest.raises(RuntimeError, match=r"N is not known before the graph runs"):
            cr.zeros(x.shape[0], 2)


def test_a_part_of_an_unknown_size_is_an_error():
    with cr.Graph() as g, pytest.raises(ValueError, match="only multiples of N"):
        g.input("x", (None, 2))[::2]


def test_python_control_flow_needs_a_value():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        with pytest.raises(RuntimeError, match=r"no value yet.*where\(condition, a, b\)"):
            bool(x > 0)  # what `if x > 0` asks


def test_where_takes_the_place_of_control_flow():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        y = cr.where(x > 0, x * 2, -x)
    g.outputs(y=y)
    assert [g.forward(x=v)["y"].item() for v in (3, -4)] == [6, 4]


def test_plus_equals_works_on_placeholders():
    with cr.Graph() as g:
        x, b = g.inputs("x b")
        y = x * 2
        y += b
        y -= 1
    assert g.outputs(y=y).forward(x=3, b=5)["y"].item() == 10


def test_detach_stops_the_gradient():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        y = x * x.detach()
    g.outputs(y=y).forward(x=3)
    assert g.backward("y")["x"].item() == 3.0


def test_int_inputs_have_no_gradient():
    with cr.Graph() as g:
        table = g.input("table", (5, 2))
        i = g.input("i", (3,), cr.int64)
        y = nn.functional.embedding(i, table).sum()
    g.outputs(y=y).forward(table=cr.ones(5, 2), i=[0, 2, 2])
    assert list(g.backward("y")) == ["table"]


def test_the_gradient_is_a_graph_again():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    first = g.outputs(y=x**4).grad("y", ["x"])
    second = first.grad("x", "x")
    assert first.forward(x=2)["x"].item() == 32
    assert second.forward(x=2)["x"].item() == 48
    assert second.grad("x", "x").forward(x=2)["x"].item() == 48


def test_the_gradient_graph_has_the_unknown_size_too():
    model = net(3, 5, 1)
    with cr.Graph() as g:
        X, y = g.input("X", (None, 3)), g.input("y", (None, 1))
        loss = nn.functional.mse_loss(model(X), y) + (model(X) ** 2).mean() + X.var(0).sum()
    g.outputs(loss=loss)
    of_x = g.grad("loss", "X")
    for n in (4, 9):
        x = cr.randn(n, 3, requires_grad=True)
        t = cr.randn(n, 1)
        eager = nn.functional.mse_loss(model(x), t) + (model(x) ** 2).mean() + x.var(0).sum()
        (expected,) = cr.grad(eager, [x])
        got = of_x.forward(X=x.detach(), y=t)["X"]
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=2e-5, atol=1e-6)


def test_gradients_can_be_looked_at_after_a_step():
    w = cr.tensor([1.0, 2.0], requires_grad=True, name="w")
    g = cr.graph((w * w).sum())
    g.backward()
    with cr.no_grad():
        w.sub_(0.1)
    assert "w" in g.to_text()


def test_the_gradient_of_max_behind_what_simplifies_away():
    with cr.Graph() as g:
        x = g.input("x", (2, 3))
    g.outputs(L=(x * 1.0).max(dim=1)[0].sum())
    x = cr.tensor([[1.0, 5.0, 2.0], [7.0, 0.0, 3.0]])
    assert g.grad("L", "x").forward(x=x)["x"].tolist() == [[0, 1, 0], [1, 0, 0]]


def test_modules_may_go_before_the_graph_is_read():
    def head(x):
        return nn.Linear(8, 2)(x)

    assert cr.trace(head, cr.zeros(3, 8)).forward(x=cr.ones(3, 8))["output"].shape == (3, 2)
