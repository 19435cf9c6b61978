"""Formulas as text and as LaTeX: precedence, parentheses, escaped names; and those of graphs."""

from __future__ import annotations

import random

import pytest

import chainrule as cr
from chainrule import _C
from chainrule.graphs.expressions import as_latex, as_text, derivative_name, labels_in, substituted
from chainrule.graphs.latex_names import latex_name

A, B, C = (("label", name) for name in "abc")
TWO, MINUS = ("number", "2"), ("number", "-3")


def op(name, *arguments, **attributes):
    return (name, attributes, *arguments)


# ---- text ----


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (op("mul", op("add", A, B), C), "(a + b) * c"),
        (op("add", op("mul", A, B), C), "a * b + c"),
        (op("sub", A, op("sub", B, C)), "a - (b - c)"),
        (op("sub", op("sub", A, B), C), "a - b - c"),
        (op("div", A, op("mul", B, C)), "a / (b * c)"),
        (op("pow", op("pow", A, B), C), "(a ** b) ** c"),
        (op("pow", A, op("pow", B, C)), "a ** b ** c"),
        (op("pow", op("neg", A), TWO), "(-a) ** 2"),
        (op("neg", op("pow", A, TWO)), "-a ** 2"),
        (op("mul", A, MINUS), "a * (-3)"),
        (op("sub", A, MINUS), "a - (-3)"),
        (op("mul", ("number", "-1"), A), "-a"),
        (op("square", op("sub", A, B)), "(a - b) ** 2"),
        (op("eq", op("gt", A, B), C), "(a > b) == c"),
        (op("matmul", A, op("permute", B, dims=(1, 0))), "a @ b.mT"),
        (op("permute", op("add", A, B), dims=(0, 2, 1)), "(a + b).mT"),
        (op("permute", A, dims=(2, 0, 1)), "permute(a, dims=(2, 0, 1))"),
        (op("sum", A, dim=(), keepdim=False), "sum(a)"),
        (op("sum", A, dim=(0,), keepdim=True), "sum(a, dim=0, keepdim=True)"),
        (op("cast", A, dtype=cr.float64), "cast(a, dtype=float64)"),
        (op("mul", ("label", "w1*x"), B), "(w1*x) * b"),
        (op("relu", ("label", "w1*x")), "relu(w1*x)"),
        (None, ""),
    ],
)
def test_text(expression, text):
    assert as_text(expression) == text


COMPUTED = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
}


def random_expression(draw, depth):
    if depth == 0:
        value = draw.choice([1.5, 2.0, 0.5, -1.25, -0.75])
        return ("number", repr(value)), value
    name = draw.choice(["add", "sub", "mul", "div", "neg"])
    parts = [random_expression(draw, draw.randrange(depth)) for _ in range(1 + (name != "neg"))]
    if name == "div" and parts[1][1] == 0:
        name = "sub"
    return op(name, *(p for p, _ in parts)), COMPUTED[name](*(v for _, v in parts))


@pytest.mark.parametrize("seed", range(200))
def test_text_means_what_the_tree_means(seed):
    expression, value = random_expression(random.Random(seed), 5)
    assert eval(as_text(expression)) == pytest.approx(value)


def test_facts_come_from_the_op_table():
    assert _C._op_facts("mul") == ("*", 6, True)
    assert _C._op_facts("sum")[0] is None
    assert not _C._op_facts("matmul")[2]
    with pytest.raises(KeyError, match="no_such_op"):
        _C._op_facts("no_such_op")


# ---- LaTeX ----


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (op("div", A, op("add", B, TWO)), r"\frac{a}{b + 2}"),
        (op("mul", A, op("add", B, C)), r"a \cdot \left(b + c\right)"),
        (op("square", op("sub", A, B)), r"{\left(a - b\right)}^{2}"),
        (op("pow", op("exp", A), B), r"{\left(e^{a}\right)}^{b}"),
        (op("sigmoid", A), r"\sigma\left(a\right)"),
        (op("tanh", A), r"\tanh\left(a\right)"),
        (op("gelu_tanh", A), r"\operatorname{gelu\_tanh}\left(a\right)"),
        (op("sqrt", op("abs", A)), r"\sqrt{\left|a\right|}"),
        (op("permute", ("label", "W2"), dims=(1, 0)), r"{W_{2}}^{\top}"),
        (op("matmul", A, B), r"a \, b"),
        (op("ge", A, B), r"a \ge b"),
        (op("sum", A, dim=(0,), keepdim=False), r"\operatorname{sum}_{0}\left(a\right)"),
        (op("mul", A, ("number", "1e-05")), r"a \cdot 10^{-5}"),
        (op("mul", A, MINUS), r"a \cdot \left(-3\right)"),
        (op("where", op("gt", A, TWO), B, C), None),
    ],
)
def test_latex(expression, text):
    found = as_latex(expression)
    assert text is None or found == text
    assert balanced(found)


def balanced(text):
    depth = 0
    bare = text.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    for c in bare:
        depth += (c == "{") - (c == "}")
        if depth < 0:
            return False
    return depth == 0 and text.count(r"\left") == text.count(r"\right")


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("x", "x"),
        ("w12", "w_{12}"),
        ("y_hat", r"\hat{y}"),
        ("sigma", r"\sigma"),
        ("alpha_2", r"\alpha_{2}"),
        ("net.0.weight", r"\text{net.0.weight}"),
        ("a_b", r"\text{a\_b}"),
        ("50%", r"\text{50\%}"),
        ("#1&2", r"\text{\#1\&2}"),
        ("{x}", r"\text{\{x\}}"),
        ("\\end{document}", r"\text{\textbackslash{}end\{document\}}"),
        ("a^b~c", r"\text{a\textasciicircum{}b\textasciitilde{}c}"),
        ("größe", r"\text{größe}"),
        ("$x$", r"\text{\$x\$}"),
        ("a\nb", r"\text{a b}"),
        ("<b>", r"\text{\textless{}b\textgreater{}}"),
    ],
)
def test_names_are_escaped(name, latex):
    assert latex_name(name) == latex
    assert balanced(as_latex(op("mul", ("label", name), A)))


# ---- of graphs ----


def graph_of(fn, *shapes):
    return cr.trace(fn, *(cr.ones(*shape) if shape else cr.tensor(1.0) for shape in shapes))


def test_formulas_and_derivatives_of_a_graph():
    g = graph_of(lambda w, x: (w * x - 3) ** 2, (), ())
    assert [g.formula(n) for n in g.nodes if n.op] == ["w * x", "mul - 3", "sub ** 2"]
    assert g.local_derivative("output") == "2 * sub"
    assert [g.local_derivative("mul", k) for k in (0, 1)] == ["x", "w"]
    assert g.formula("w") == g.local_derivative("w") == ""
    with pytest.raises(KeyError, match="no 'q'"):
        g.formula("q")


def test_the_rule_of_a_matrix_product():
    g = graph_of(lambda a, b: a @ b, (2, 3), (3, 4))
    assert g.formula("output") == "a @ b"
    assert [g.local_derivative("output", k) for k in (0, 1)] == ["gy @ b.mT", "a.mT @ gy"]


def test_a_rule_does_not_reshape_to_the_shape_there_is():
    g = graph_of(lambda x, w, b: cr.nn.functional.linear(x, w, b), (2, 3), (4, 3), (4,))
    assert [g.local_derivative("output", k) for k in range(3)] == [
        "gy @ w",
        "gy.mT @ x",
        "sum(gy, dim=0)",
    ]


def test_a_node_that_is_called_gy_is_not_the_gradient():
    g = graph_of(lambda gy, b: gy @ b, (2, 3), (3, 4))
    assert g._derivative(g.node("output").id, 1)[3] == ("upstream", "gy")
    assert g._derivative(g.node("output").id, 1)[2][2] == ("label", "gy")


def test_constants_are_shortest_in_their_own_dtype():
    g = graph_of(lambda x: x * 0.1, ())
    assert g.formula("output") == "x * 0.1"


def test_the_second_output_has_a_name_of_its_own():
    g = graph_of(lambda x: x.max(1).values, (2, 3))
    assert "output[1]" in g.local_derivative("output")


def test_the_derivative_of_a_power_of_two_is_simplified():
    assert graph_of(lambda x: 2**x, ()).local_derivative("output", 1) == "output * 0.6931472"


@pytest.mark.parametrize("name", [n for n in _C.op_names() if _C._op_facts(n)[2]])
def test_derivatives_of_elementwise_ops_can_be_written(name):
    row = getattr(_C.ops, name)
    values = [cr.tensor(0.3, requires_grad=True), cr.tensor(0.7, requires_grad=True)]
    for count in (1, 2):
        try:
            y = row(*values[:count])
        except TypeError:
            continue
        if y.requires_grad:
            g = cr.graph(y)
            known = {node.label for node in g.nodes}
            for k in range(len(g.node("output").inputs)):
                text = g.local_derivative("output", k)
                assert text
                assert balanced(as_latex(g._derivative(g.node("output").id, k)))
                assert set(labels_in(g._derivative(g.node("output").id, k))) <= known


def test_substitution_leaves_other_labels():
    assert as_text(substituted(op("mul", A, B), {"a": op("add", B, C)})) == "(b + c) * b"


def test_names_of_derivatives():
    assert derivative_name("L", "w2") == "dL/dw2"
    assert derivative_name("L", "w1*x") == "dL/d(w1*x)"
