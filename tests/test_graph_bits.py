"""A graph gives the bits of eager execution."""

import threading

import pytest

import chainrule as cr
from chainrule import nn, optim
from graphs import net, same_bits


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

    def once():
        try:
            results.append(g.forward(x=cr.ones(600, 600))["y"][0, 0].item())
        except RuntimeError as error:
            errors.append(str(error))

    def run():
        for _ in range(10):
            once()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {360_000.0}
    assert all("while the graph is running" in e for e in errors)
