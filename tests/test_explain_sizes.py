"""Derivations in graphs whose batch has no size yet: N stands for it, and is never compared."""

from __future__ import annotations

import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import functional as F

X, T = {"x": (None, 3)}, {"x": (None, 3), "t": (None,)}
IMAGES = {"x": (None, 1, 8, 8), "w": (2, 1, 3, 3)}
GRAPHS = {
    "amax": (X, lambda x: x.amax(1).sum(), "[x = repeat_1(amax)] / sum_1([x = repeat_1(amax)])"),
    "max": (X, lambda x: x.max(1)[0], "repeat_1(gy) ⊙ onehot(out[1])"),
    "softmax": (X, lambda x: cr.softmax(x, 1), "out ⊙ (gy - sum_1(gy ⊙ out))"),
    "log_softmax": (X, lambda x: cr.log_softmax(x, 1), "gy - exp(out) ⊙ sum_1(gy)"),
    "logsumexp": (X, lambda x: cr.logsumexp(x, 1), "repeat_1(gy) ⊙ softmax(x)"),
    "mean": (X, lambda x: x.mean(0), "repeat_0(gy) / N"),
    "mean of all": (X, lambda x: (x * x).mean(), "2/(3*N) · x"),
    "var": (X, lambda x: x.var(1), "repeat_1(gy) ⊙ (x - mean_1(x))"),
    "slice": (X, lambda x: x[1:], "scatter(gy, [1:])"),
    "cat": (X, lambda x: cr.cat([x, x * 2], 0), "gy[:N] + 2·gy[N:2*N]"),
    "layer_norm": (X, nn.LayerNorm(3), "(g - mean_1(g) - x_hat ⊙ mean_1(g ⊙ x_hat)) / s"),
    "cross_entropy": (T, F.cross_entropy, "(softmax(x) - onehot(t)) / n"),
    "embedding": ({"x": (9, 3), "t": (None,)}, lambda x, t: F.embedding(t, x), "scatter(gy, t)"),
    "index": ({"x": (9, 3), "t": (None,)}, lambda x, t: x[t], "scatter(gy, t)"),
    "conv2d": (IMAGES, lambda x, w: F.conv2d(x, w).sum(), "conv_transpose2d(ones(N, 2, 6, 6), w)"),
    "vectors": (
        {"x": (None, 3), "w": (3,)}, lambda x, w: (x @ w).tanh().mean(), "tanh'(x w) w^T / N",
    ),
    "attention": (
        {"x": (None, 5, 4), "k": (None, 5, 4)},
        lambda x, k: F.scaled_dot_product_attention(x, k, k), "0.5·g_S k",
    ),
    "rows": ({"x": (None, 5, 3), "w": (2, 3), "b": (2,)}, F.linear, "gy w"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_size_that_is_not_known(name):
    shapes, fn, expected = GRAPHS[name]
    with cr.Graph() as g:
        made = [g.input(k, s, cr.int64 if k == "t" else cr.float32) for k, s in shapes.items()]
        out = fn(*made)
    g.outputs(out=out)
    lines = g.explain("out", "x").splitlines()
    assert any(line.endswith(f"/dx = {expected}") for line in lines), lines
    assert any(line.startswith("shapes: ") and "N" in line for line in lines)
    for node in g.nodes:
        assert g.formula(node) or not node.op
        for k in range(len(node.inputs)):
            g.local_derivative(node, k)
        if node.kind != "constant":
            for format in ("text", "markdown", "latex"):
                assert g.explain("out", node.label, format)


def test_a_small_gradient_is_followed_by_its_numbers():
    with cr.Graph() as g:
        x, w, b = g.input("x", (None, 2)), g.input("w", (2,)), g.input("b")
        loss = ((x @ w + b) ** 2).mean()
    g.outputs(loss=loss)
    assert g.explain("loss", "w").splitlines()[0].endswith("x^T (x w + b)")
    g.forward(x=[[1, 2], [3, 4]], w=[1, -1], b=0.5)
    before = g.backward("loss", ["x"])
    assert g.explain("loss", "w").splitlines()[0].endswith("x^T (x w + b) = [-2, -3]")
    assert g.explain("loss", "b").splitlines()[0].endswith("sum(x w + b) = -1")
    assert g.explain("loss", "matmul").splitlines()[0].endswith(" = [[-0.5], [-0.5]]")
    assert r"\begin{bmatrix} -2 \\ -3 \end{bmatrix}" in g.explain("loss", "w", "latex")
    x = r"\begin{bmatrix} -0.5 & 0.5 \\ -0.5 & 0.5 \end{bmatrix}"
    assert x in g.explain("loss", "x", "markdown")
    assert g.gradient("x").tolist() == before["x"].tolist() == [[-0.5, 0.5], [-0.5, 0.5]]


def test_an_output_and_another_node_of_one_name():
    with cr.Graph() as g:
        x = g.input("x", (2,))
        h = x * 3
        y = (h * h).sum()
    g.outputs(y=y, h=y * 2).forward(x=[1, 2])
    assert g.explain("y", "h").startswith("dy/dh = 0: ")
