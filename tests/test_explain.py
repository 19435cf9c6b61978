"""Derivations: what they say is true. Printed numbers are evaluated, and compared with backward."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.lecture import VALUES, lecture_graph


def evaluated(text):
    """The value of a side of an equation that is made of numbers."""
    return eval(text.replace("·", "*").replace("^", "**"), {"inf": np.inf, "nan": np.nan})


def is_number(side):
    return re.fullmatch(r"[-+*/·^()\d.e ]+|.*\binf\b.*|.*\bnan\b.*", side) is not None


def sides(line):
    return [side.strip() for side in line.split(" = ")]


def lines_of(text):
    """The equations of a derivation, each on one line."""
    return re.sub(r"\n +(?== )", " ", text).splitlines()


# ---- the lecture's graph ----


def test_the_lectures_derivation():
    assert lecture_graph().explain("L", "w2") == (
        "dL/dw2 = dL/dr · dr/dy_hat · dy_hat/d(w2*h) · d(w2*h)/dw2 = 2(y_hat - y) · h"
        " = 2·(-3)·17 = -102"
    )


def test_a_node_without_a_name_is_folded():
    with cr.Graph() as g:
        w, h, b, y = g.inputs("w h b y")
        y_hat = w * h + b
        r = y_hat - y
        L = r**2
    g.outputs(L=L).forward(w=2, h=17, b=3, y=40)
    assert g.explain("L", "w") == (
        "dL/dw = dL/dr · dr/dy_hat · dy_hat/dw = 2(y_hat - y) · h = 2·(-3)·17 = -102"
    )


def test_without_numbers_before_the_graph_has_run():
    with cr.Graph() as g:
        w, x = g.inputs("w x")
    g.outputs(y=(w * x) ** 2)
    assert g.explain("y", "w") == "dy/dw = 2·w·x · x"
    g.forward(w=2, x=3)
    assert g.explain("y", "w") == "dy/dw = 2·w·x · x = 2·6·3 = 36"


@pytest.mark.parametrize("name", VALUES)
def test_every_gradient_of_the_lectures_graph(name):
    g = lecture_graph()
    found = sides(g.explain("L", name))
    expected = g.backward("L")[name].item()
    assert [evaluated(side) for side in found if is_number(side)] == [expected, expected]


# ---- sums over paths ----


def test_each_path_has_a_line():
    with cr.Graph() as g:
        x, u, v = g.inputs("x u v")
        a, b = u * x, v * x
        y = a * b
    g.outputs(y=y).forward(x=2, u=3, v=5)
    assert g.explain("y", "x").splitlines() == [
        "dy/dx is the sum over 2 paths:",
        "  x -> a -> y:  ∂y/∂a · ∂a/∂x = b · u = 10·3 = 30",
        "  x -> b -> y:  ∂y/∂b · ∂b/∂x = a · v = 6·5 = 30",
        "dy/dx = 30 + 30 = 60",
    ]


def test_a_square_as_a_product_has_a_term_for_each_use():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
    g.outputs(y=x * x).forward(x=3)
    assert g.explain("y", "x") == "dy/dx = x + x = 3 + 3 = 6"


def test_very_many_paths_are_not_walked():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        y = x
        for _ in range(60):
            y = y * 0.5 + y * 0.25
    g.outputs(y=y).forward(x=2)
    text = g.explain("y", "x")
    assert text.startswith("node by node, from y down to x:")
    last = next(line for line in lines_of(text) if line.startswith("dy/dx = "))
    assert evaluated(sides(last)[-1]) == pytest.approx(0.75**60, rel=1e-4)
    assert len(text) < 20_000


def test_a_long_chain_is_written_without_recursion():
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        y = x
        for _ in range(3000):
            y = y * 1.001
    g.outputs(y=y).forward(x=2)
    text = g.explain("y", "x")
    assert evaluated(sides(lines_of(text.split("\nwhere")[0])[-1])[-1]) == pytest.approx(
        1.001**3000, rel=1e-3
    )


UNARY = [cr.tanh, cr.exp, cr.sigmoid, cr.relu, cr.sin, lambda x: x**2, lambda x: -x, abs]
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a - b,
    lambda a, b: a / (b * b + 1),
    cr.maximum,
]


def random_graph(seed):
    draw = random.Random(seed)
    with cr.Graph() as g:
        values = list(g.inputs("p q s"))
        for i in range(draw.randrange(2, 12)):
            if draw.random() < 0.4:
                value = draw.choice(UNARY)(draw.choice(values[-4:]))
            else:
                value = draw.choice(BINARY)(draw.choice(values), draw.choice(values[-3:]))
            if draw.random() < 0.5:
                value.name = f"v{i}"
            values.append(value)
        out = values[-1] + values[-2]
    g.outputs(out=out)
    g.forward(p=draw.uniform(-1, 1), q=draw.uniform(0.2, 1), s=draw.uniform(-1, 2))
    return g


@pytest.mark.parametrize("seed", range(150))
def test_the_printed_numbers_are_true(seed):
    g = random_graph(seed)
    gradients = g.backward("out")
    for name in "pqs":
        expected = gradients[name].item() if name in gradients else 0.0
        text = g.explain("out", name)
        if " = 0: " in text:
            assert expected == 0
            continue
        equations = [line for line in lines_of(text.split("\nwhere")[0]) if " = " in line]
        for line in equations:
            numeric = [evaluated(side) for side in sides(line.split(":  ")[-1]) if is_number(side)]
            assert numeric, line
            np.testing.assert_allclose(numeric, numeric[-1], rtol=2e-3, atol=2e-4, err_msg=line)
        total = evaluated(sides(equations[-1])[-1])
        np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-5, err_msg=text)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("format", ["markdown", "latex"])
def test_other_formats_are_well_formed(seed, format):
    text = random_graph(seed).explain("out", "p", format)
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")
    if format == "latex":
        assert text.startswith("\\begin{aligned}\n")
        assert text.endswith("\n\\end{aligned}")
    else:
        assert text.count("$") % 2 == 0


def test_latex():
    with cr.Graph() as g:
        w2, h, y = g.inputs("w2 h y")
    g.outputs(L=(w2 * h - y) ** 2).forward(w2=2, h=17, y=37)
    assert g.explain("L", "w2", format="latex") == (
        "\\begin{aligned}\n"
        "\\frac{dL}{dw_{2}} &= 2\\left(w_{2} \\cdot h - y\\right) \\cdot h \\\\\n"
        "&= 2 \\cdot \\left(-3\\right) \\cdot 17 \\\\\n"
        "&= -102\n"
        "\\end{aligned}"
    )
    assert g.explain("L", "w2", format="markdown") == (
        "$$\n\\frac{dL}{dw_{2}} = 2\\left(w_{2} \\cdot h - y\\right) \\cdot h"
        " = 2 \\cdot \\left(-3\\right) \\cdot 17 = -102\n$$"
    )


def test_markup_in_names_is_escaped():
    with cr.Graph() as g:
        x = g.input("100%_{x}\\")
    text = g.outputs(y=x**2).explain("y", "100%_{x}\\", "latex")
    assert r"\text{100\%\_\{x\}\textbackslash{}}" in text


# ---- tensors ----


def mlp():
    with cr.Graph() as g:
        x, W1, W2 = g.input("x", (2, 5)), g.input("W1", (3, 2)), g.input("W2", (1, 3))
        b1 = g.input("b1", (3, 1))
        a = W1 @ x + b1
        y = W2 @ cr.sigmoid(a)
    return g.outputs(y=y)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("W1", "(W2^T gy ⊙ sigmoid'(a)) x^T"),
        ("W2", "gy sigmoid(a)^T"),
        ("b1", "sum_1(W2^T gy ⊙ sigmoid'(a))"),
        ("x", "W1^T (W2^T gy ⊙ sigmoid'(a))"),
        ("a", "W2^T gy ⊙ sigmoid'(a)"),
    ],
)
def test_the_matrix_form(name, form):
    text = mlp().explain("y", name)
    assert f"dL/d{name} = {form}" in text.splitlines()
    assert "gy = dL/dy" in text


def test_shapes_are_shown():
    last = mlp().explain("y", "W1").splitlines()[-1]
    assert last.startswith("shapes: dL/dW1 (3, 2), ")
    for part in ("gy (1, 5)", "W2 (1, 3)", "a (3, 5)", "x (2, 5)"):
        assert part in last


def test_the_matrix_form_as_latex():
    text = mlp().explain("y", "W1", "latex")
    assert (
        r"\left({W_{2}}^{\top} \, \text{gy} \odot \sigma'\left(a\right)\right) \, {x}^{\top}"
        in text
    )


FORM = {"sigmoid": lambda a: 1 / (1 + np.exp(-a))}


def test_the_matrix_form_is_true():
    """The printed formula, computed with numpy, is the gradient."""
    g = mlp()
    feeds = {n.name: cr.randn(*n.shape()) for n in g.nodes if n.kind == "input"}
    g.forward(**feeds)
    gy = cr.randn(1, 5)
    found = g.backward("y", list(feeds), gy)
    W1, W2, x = (feeds[name].numpy() for name in ("W1", "W2", "x"))
    s = FORM["sigmoid"](g.value("a").numpy())
    at_a = W2.T @ gy.numpy() * (s * (1 - s))
    expected = {"W1": at_a @ x.T, "W2": gy.numpy() @ s.T, "x": W1.T @ at_a}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].numpy(), value, rtol=1e-4, atol=1e-6)


def test_a_scalar_loss_of_tensors():
    with cr.Graph() as g:
        x, w, t = g.input("x", (None, 3)), g.input("w", (3, 1)), g.input("t", (None, 1))
        y_hat = x @ w
        loss = nn.functional.mse_loss(y_hat, t)
    text = g.outputs(loss=loss).explain("loss", "w")
    assert text.splitlines()[0].startswith("dloss/dw = 2/N · x^T (y_hat - t)")
    assert "x (N, 3)" in text


def test_a_gradient_that_several_need_has_a_line():
    with cr.Graph() as g:
        x, w = g.input("x", (3,)), g.input("w", (3,))
        h = cr.tanh(w * x)
        y = (h * h + h).sum()
    lines = g.outputs(y=y).explain("y", "w").splitlines()
    assert lines[:2] == [
        "dy/dh = ones(3,) + 2·h",
        "dy/dw = dy/dh ⊙ tanh'(w ⊙ x) ⊙ x",
    ]


def test_a_weight_used_a_thousand_times():
    with cr.Graph() as g:
        x, w = g.input("x", (3,)), g.input("w", (3,))
        h = x
        for _ in range(1000):
            h = h * w
    assert "dL/dw = " in g.outputs(y=h).explain("y", "w")


def test_a_long_rule_brings_its_names_along():
    g = cr.trace(nn.LayerNorm(3), cr.zeros(2, 3), names=["x"])
    lines = g.explain("output", "x").splitlines()
    assert lines[1:5] == [
        "s = sqrt(mean_1((x - mean_1(x))^2) + 1e-05)",
        "x_hat = (x - mean_1(x)) / s",
        "g = gy ⊙ layernorm.weight",
        "dL/dx = (g - mean_1(g) - x_hat ⊙ mean_1(g ⊙ x_hat)) / s",
    ]
    assert r"\hat{x} &= \frac{" in g.explain("output", "x", "latex")


def test_names_of_two_rules_do_not_meet():
    with cr.Graph() as g:
        q, P = g.input("q", (2, 3)), g.input("P", (2, 3))
        once = nn.functional.scaled_dot_product_attention(q, P, P)
        y = nn.functional.scaled_dot_product_attention(once, P, P).sum()
    lines = g.outputs(y=y).explain("y", "q").splitlines()
    defined = [line.split(" = ")[0] for line in lines if " = " in line]
    assert len(defined) == len(set(defined))
    assert {"P_", "P__2"} <= set(defined)
    assert "P" not in defined  # that is the input


def test_cross_entropy_as_a_lecturer_writes_it():
    with cr.Graph() as g:
        z, t = g.input("z", (None, 3)), g.input("t", (None,), cr.int64)
    g.outputs(L=nn.functional.cross_entropy(z, t))
    lines = g.explain("L", "z").splitlines()
    assert lines[0] == "dL/dz = (softmax(z) - onehot(t)) / n"
    assert lines[2].startswith("n is the number of rows whose target is not -100")
    assert lines[3].startswith("onehot(t): 1 at ")
    latex = g.explain("L", "z", "latex")
    assert (
        r"\frac{dL}{dz} &= \frac{\operatorname{softmax}\left(z\right) - "
        r"\operatorname{onehot}\left(t\right)}{n}"
    ) in latex


def test_modules_convolutions_and_classes():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    with cr.Graph() as g:
        x, t = g.input("x", (None, 1, 8, 8)), g.input("t", (None,), cr.int64)
        loss = nn.functional.cross_entropy(net(x), t)
    text = g.outputs(loss=loss).explain("loss", "net.0.weight")
    assert "relu'(conv2d)" in text
    assert "net.3.weight (2, 72)" in text
    assert "conv2d = conv2d(x, net.0.weight, net.0.bias" in text
    g.forward(x=cr.rand(2, 1, 8, 8), t=[0, 1])
    for step in [*g.forward_steps(x=cr.rand(2, 1, 8, 8), t=[0, 1]), *g.backward_steps()]:
        assert len(str(step)) < 800
        assert step.as_dict()["name"] == step.name


# ---- nothing to derive, and mistakes ----


def test_an_independent_variable():
    with cr.Graph() as g:
        x, z = g.inputs("x z")
    g.outputs(L=x**2, other=z * 2)
    assert g.explain("L", "z") == "dL/dz = 0: L does not depend on z"
    assert g.explain("L", "L") == "dL/dL = 1"


def test_no_gradient_passes():
    with cr.Graph() as g:
        x, n = g.input("x"), g.input("n", (), cr.int64)
    g.outputs(L=x.detach() ** 2, m=x * n)
    assert g.explain("L", "x") == ("dL/dx = 0: no operation between x and L lets a gradient pass")
    assert "n has dtype int64" in g.explain("m", "n")


@pytest.mark.parametrize(("of", "wrt"), [("Q", "x"), ("L", "q"), ("L", "2")])
def test_a_bad_name_lists_what_there_is(of, wrt):
    with cr.Graph() as g:
        x, w = g.inputs("x w")
    g.outputs(L=(w * x) ** 2 * 2)
    with pytest.raises(ValueError, match=r"explain: the name '.*there are L, x, w, mul"):
        g.explain(of, wrt)


def test_a_bad_format():
    with pytest.raises(ValueError, match="'text', 'markdown', 'latex'"):
        lecture_graph().explain("L", "x", format="pdf")


def test_a_gradient_of_a_gradient():
    """The output that holds the gradient by w1 has the name of the input w1."""
    g = lecture_graph().grad("L", ["w1"])
    g.forward(**VALUES)
    lines = g.explain("w1", "w1").splitlines()
    assert lines[0] == "the output w1 is mul_3:"
    w2, x = VALUES["w2"], VALUES["x"]
    assert lines[1].startswith("dmul_3/dw1 = ")
    assert evaluated(sides(lines_of("\n".join(lines[1:]))[0])[-1]) == 2 * (w2 * x) ** 2
