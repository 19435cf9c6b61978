"""The graph as an object: assembled before any value, read off the tape, traced; run both ways."""

import re
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

LECTURE = {"x": 3, "w1": 5, "b1": 2, "w2": 2, "b2": 3, "y": 40}
GRADIENTS = {"x": -60.0, "w1": -36.0, "b1": -12.0, "w2": -102.0, "b2": -6.0, "y": 6.0}


def lecture():
    with cr.Graph() as g:
        x, w1, b1, w2, b2, y = g.inputs("x w1 b1 w2 b2 y")
        y_hat = w2 * (w1 * x + b1) + b2
        L = (y_hat - y) ** 2
    return g.outputs(L=L)


def net(*sizes, seed=0):
    cr.manual_seed(seed)
    layers = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


# ---- assembled before a forward pass ----


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
            if x > 0:
                pass


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


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [(("a", "a"), ValueError, "a second 'a'"), (("",), TypeError, "not empty")],
)
def test_bad_input_names(names, error, message):
    g = cr.Graph()
    with pytest.raises(error, match=message):
        for name in names:
            g.input(name)


@pytest.mark.parametrize(
    ("feeds", "error", "message"),
    [
        ({}, ValueError, "no value for x; every input needs one; pass x="),
        ({"x": 1, "q": 2}, ValueError, "a value for q; only inputs"),
        ({"x": [1.0, 2.0]}, ValueError, r"x of shape \(2,\)"),
        ({"x": cr.tensor(1.0, dtype=cr.float64)}, TypeError, "x of dtype float64"),
        ({"x": "three"}, TypeError, "as_tensor: a str"),
    ],
)
def test_bad_feeds(feeds, error, message):
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    g.outputs(y=x * 2)
    with pytest.raises(error, match=message):
        g.forward(**feeds)
    assert g.forward(x=4)["y"].item() == 8


def test_an_old_feed_is_not_used_again():
    g = lecture()
    g.forward(**LECTURE)
    with pytest.raises(ValueError, match="no value for y"):
        g.forward(**{k: v for k, v in LECTURE.items() if k != "y"})


def test_inputs_must_agree_on_the_unknown_size():
    with cr.Graph() as g:
        a, b = g.input("a", (None,)), g.input("b", (None, 2))
    g.outputs(y=a.sum() + b.sum())
    with pytest.raises(ValueError, match="N is 3 by the inputs before it"):
        g.forward(a=cr.ones(3), b=cr.ones(4, 2))


def test_positional_feeds_are_refused():
    with pytest.raises(TypeError, match=r"write forward\(x=...\)"):
        lecture().forward(3)


def test_unknown_names_say_which_there_are():
    g = lecture()
    g.forward(**LECTURE)
    with pytest.raises(ValueError, match="the outputs are: L; the inputs: x, w1"):
        g.backward("Q")
    with pytest.raises(ValueError, match="the name q"):
        g.backward("L", wrt=["q"])
    with pytest.raises(KeyError):
        g.node("Q")


def test_a_placeholder_of_another_graph_is_refused():
    with cr.Graph() as other:
        (z,) = other.inputs("z")
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    with pytest.raises(RuntimeError, match="placeholder z .* belongs to another graph"):
        g.outputs(y=x * z)


def test_backward_before_forward():
    with pytest.raises(RuntimeError, match="not run forward"):
        lecture().backward("L")


def test_backward_of_a_placeholder_tensor():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        with pytest.raises(RuntimeError, match="no value yet.*g.backward"):
            (x * 2).backward()


def test_an_empty_graph():
    g = cr.Graph()
    with pytest.raises(ValueError, match="no outputs"):
        g.outputs()
    assert g.forward() == {}
    assert g.nodes == ()


def test_an_output_that_is_an_input_or_a_tensor():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    out = g.outputs(x=x, two=cr.tensor(2.0), y=x + 1).forward(x=5)
    assert [out[k].item() for k in ("x", "two", "y")] == [5, 2, 6]


def test_an_output_must_be_a_tensor():
    with pytest.raises(TypeError, match="y is a float"):
        cr.Graph().outputs(y=1.0)


def test_a_gradient_needs_a_path():
    with cr.Graph() as g:
        x, z = g.inputs("x z")
    g.outputs(y=x * 2).forward(x=1, z=2)
    with pytest.raises(RuntimeError, match="no gradient for z"):
        g.backward("y", wrt=["z"])
    with pytest.raises(RuntimeError, match="no gradient for z"):
        g.grad("y", "z")


def test_a_vector_needs_a_gradient_to_start_from():
    with cr.Graph() as g:
        x = g.input("x", (3,))
    g.outputs(y=x * x).forward(x=[1, 2, 3])
    with pytest.raises(RuntimeError, match="pass gradient="):
        g.backward("y")
    assert g.backward("y", gradient=[1, 0, 2])["x"].tolist() == [2, 0, 12]
    with pytest.raises(ValueError, match="they must be equal"):
        g.backward("y", gradient=[1.0])


def test_gradients_of_nodes_between():
    g = lecture()
    g.forward(**LECTURE)
    labels = [n.label for n in g.nodes if n.kind == "op"]
    assert g.backward("L", wrt=labels[1])[labels[1]].item() == -12.0


def test_gradients_do_not_share_memory():
    with cr.Graph() as g:
        a, b = g.inputs("a b")
    g.outputs(y=a + b).forward(a=1, b=2)
    gradients = g.backward("y")
    gradients["a"].add_(5)
    assert gradients["b"].item() == 1.0


# ---- the gradient as a graph ----


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


# ---- from the tape ----


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
    assert cr.graph(y).node("output").source.startswith("test_graph.py:")
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


# ---- traced ----


def test_trace_of_a_function():
    def f(a, b):
        c = a * b
        return {"sum": (c + a).sum(), "c": c}

    g = cr.trace(f, cr.zeros(3), np.zeros(3, np.float32))
    out = g.forward(a=[1, 2, 3], b=[4, 5, 6])
    assert out["c"].tolist() == [4, 10, 18]
    assert out["sum"].item() == 38
    assert g.node("c").source.startswith("test_graph.py:")


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


# ---- the same bits as eager execution ----


@pytest.mark.parametrize("sizes", [(2, 16, 16, 1), (64, 32, 10)])
def test_training_by_graph_gives_the_bits_of_eager_training(sizes):
    models = [net(*sizes, seed=3) for _ in range(2)]
    optimizers = [optim.Adam(m.parameters(), lr=0.01) for m in models]
    with cr.Graph() as g:
        X, t = g.input("X", (None, sizes[0])), g.input("t", (None, sizes[-1]))
        loss = nn.functional.mse_loss(models[1](X), t)
    g.outputs(loss=loss)
    parameters = list(models[1].parameters())
    labels = [n.label for n in g.nodes if n.kind == "parameter"]
    for step in range(5):
        cr.manual_seed(step)
        x, y = cr.randn(20, sizes[0]), cr.randn(20, sizes[-1])
        optimizers[0].zero_grad()
        nn.functional.mse_loss(models[0](x), y).backward()
        optimizers[0].step()
        g.forward(X=x, t=y)
        gradients = g.backward("loss", wrt=labels)
        for parameter, label in zip(parameters, labels, strict=True):
            parameter.grad = gradients[label]
        optimizers[1].step()
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert same_bits(a.detach(), b.detach())


def test_two_threads_do_not_run_one_graph_at_once():
    with cr.Graph() as g:
        x = g.input("x", (600, 600))
    g.outputs(y=x @ x @ x)
    errors, results = [], []

    def run():
        for _ in range(10):
            try:
                results.append(g.forward(x=cr.ones(600, 600))["y"][0, 0].item())
            except RuntimeError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {360_000.0}
    assert all("while the graph is running" in e for e in errors)
