"""What explain prints is what backward computes: each printed formula is evaluated, in order."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C, nn
from chainrule.graphs.blackboard import Blackboard
from chainrule.graphs.derivation import Derivation, Math
from chainrule.graphs.paths import Between
from formula_values import Evaluator
from helpers import flat, mapped, to_numpy
from samples import OPS

FUNCTIONS_OF_RULES = re.compile(r"backward_|_zeros|embed_slice|conv2d_|expand\(|clone\(|cast\(")


def assert_same(found, expected, what, rtol=1e-7):
    found, expected = np.asarray(found.detach()), np.asarray(expected.detach())
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, rtol=rtol, atol=1e-9, err_msg=what
    )


# ---- each op ----


def graph_of(op, inputs, attributes):
    """A graph of one op whose inputs are p0, p1, ..., and their values."""
    arrays = flat(inputs)
    feeds = {f"p{k}": cr.tensor(wide(x)) for k, x in enumerate(arrays)}
    with cr.Graph() as g:
        made = [g.input(name, t.shape, t.dtype) for name, t in feeds.items()]
        rest = iter(made)
        y = getattr(_C.ops, op)(*mapped(lambda _: next(rest), inputs), **attributes)
        y = y if isinstance(y, cr.Tensor) else y[0]
    g.outputs(y=y)
    return g, feeds


def wide(x):
    """Floats in float64."""
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype.kind == "f" else x


STRUCTURED = [op for op in OPS if not _C._op_facts(op.name)[2] and op.path == "_C.ops.{}"]
CALLS = [
    pytest.param(op, sample, id=f"{op}-{sample}")
    for op in STRUCTURED
    for sample in op.calls
    if sample.grad
]


def test_the_structured_ops_are_all_there():
    known = {name for name in _C.op_names() if not _C._op_facts(name)[2]}
    assert {op.name for op in STRUCTURED} == known


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_the_formula_of_each_op(op, sample):
    g, feeds = graph_of(op.name, op.inputs(sample), sample.attributes)
    if any(0 in n.shape(k) for n in g.nodes for k in range(n.outputs)):
        return
    g.forward(**feeds)
    node = g.nodes[g.output_refs["y"][0]]
    y = g.value("y")
    if not y.dtype.is_floating_point:
        return
    gy = cr.tensor(np.random.default_rng(0).standard_normal(y.shape))
    shapes = {g._label((n.id, k)): n.shape(k) for n in g.nodes for k in range(n.outputs)}
    values = {label: g.value((n.id, 0)) for n in g.nodes for label in [n.label]}
    values |= {g._label((node.id, k)): g.value((node.id, k)) for k in range(node.outputs)}
    values["gy"], shapes["gy"] = gy, gy.shape
    for k, (id, _) in enumerate(node.inputs):
        between = Between(g, node.id, id)
        if not between.on_path:
            continue
        if g.nodes[id].kind == "constant":  # a bias that is not there
            continue
        expected = g.backward("y", [g.nodes[id].label], gy)[g.nodes[id].label]
        gradient = between.gradient(node.id, k)
        evaluate = Evaluator(dict(values), g, node)
        for name, meaning in gradient.where.items():
            if isinstance(meaning, str):
                counted = values["p1"].numpy() != node.attributes["ignore_index"]
                evaluate.values[name] = counted.sum()
            else:
                evaluate.values[name] = evaluate(meaning)
        board = Blackboard(
            shapes
            | {
                n: evaluate.values[n].shape
                for n in gradient.where
                if isinstance(evaluate.values[n], cr.Tensor)
            }
        )
        for formula in (gradient.formula, board(gradient.formula)):
            found = evaluate(formula)
            if op.name == "cross_entropy":  # as the words say
                ignored = to_numpy(values["p1"]) == node.attributes["ignore_index"]
                found = cr.where(cr.tensor(ignored)[:, None], 0.0, found)
            assert_same(found, expected, f"{op.name}: {formula}")


@pytest.mark.parametrize("op", [op for op in OPS if op.path == "_C.ops.{}"], ids=str)
def test_no_derivation_names_a_rule(op):
    """All ops, in all formats: mathematics, and not what the library calls it inside."""
    for sample in [call for call in op.calls if call.grad][:4]:
        g, feeds = graph_of(op.name, op.inputs(sample), sample.attributes)
        for name in feeds:
            for format in ("text", "markdown", "latex"):
                text = g.explain("y", name, format).replace("\\_", "_")
                assert not FUNCTIONS_OF_RULES.search(text), text
                assert text.count("{") == text.count("}"), text
                assert text.count(r"\left") == text.count(r"\right"), text


# ---- whole derivations ----


class Written(Math):
    """A formula that remembers what it was written from."""

    __slots__ = ("terms",)

    def __new__(cls, text, terms):
        made = super().__new__(cls, text)
        made.terms = terms
        return made


@pytest.fixture
def equations(monkeypatch):
    """The equations that explain writes, each a text and the terms of its last side."""
    found = []
    write, add, equate = Derivation.formula, Derivation.sum, Derivation.equate

    def summed(self, terms):
        return Written(add(self, terms), [each for term in terms for each in term.terms])

    def equated(self, parts, lead=None):
        formulas = [part for part in parts if isinstance(part, Written)]
        found.append((str(parts[0]), formulas[-1].terms))
        equate(self, parts, lead)

    monkeypatch.setattr(Derivation, "formula", lambda self, x: Written(write(self, x), [x]))
    monkeypatch.setattr(Derivation, "sum", summed)
    monkeypatch.setattr(Derivation, "equate", equated)
    return found


class Make:
    """Makes the inputs and layers of a model, and keeps them."""

    def __init__(self, graph):
        self.graph, self.feeds, self.layers = graph, {}, []

    def __call__(self, name, *shape):
        draw = np.random.default_rng([len(self.feeds), len(name)])
        self.feeds[name] = cr.tensor(draw.standard_normal(shape))
        return self.graph.input(name, shape, cr.float64)

    def targets(self):
        self.feeds["t"] = cr.tensor([0, 2, 1, 1, 0])
        return self.graph.input("t", (5,), cr.int64)

    def layer(self, layer):
        self.layers.append(layer.to(cr.float64))
        return layer


def mlp_with_mse(make):
    net = make.layer(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    return nn.functional.mse_loss(net(make("x", 5, 3)), make("t", 5, 2))


def mlp_with_cross_entropy(make):
    net = make.layer(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)))
    return nn.functional.cross_entropy(net(make("x", 5, 3)), make.targets())


def products_of_matrices(make):
    x, w, b = make("x", 5, 3), make("w", 2, 3), make("b", 2)
    return ((x @ w.T + b - make("y", 5, 2)) ** 2).mean()


def matrix_times_vector(make):
    return cr.tanh(make("W", 4, 3) @ make("v", 3)).sum()


def vector_times_matrix(make):
    return (make("v", 3) @ make("W", 3, 4)).exp().sum()


def vector_times_vector(make):
    v = make("v", 3)
    return (v @ v) * (v @ make("u", 3))


def residual_block(make):
    h = make("h", 4, 3)
    return ((h + cr.relu(h @ make("A", 3, 3))) ** 2).sum()


def attention(make):
    q, k, v = (make(name, 5, 4) for name in ("q", "key", "value"))
    return (cr.softmax(q @ k.mT / 2, dim=-1) @ v).square().sum()


def fused_attention(make):
    q, k, v = (make(name, 2, 5, 4) for name in ("q", "key", "value"))
    once = nn.functional.scaled_dot_product_attention(q, k, v)
    return nn.functional.scaled_dot_product_attention(once, k, v).square().mean()


def transformer_block(make):
    x, w = make("x", 2, 5, 4), make("w", 4, 4)
    norm, linear = make.layer(nn.LayerNorm(4)), make.layer(nn.Linear(4, 4))
    h = norm(x)
    h = x + nn.functional.scaled_dot_product_attention(h @ w, h, h)
    return (h + cr.gelu(linear(h))).mean()


def norms_and_variances(make):
    x = make("x", 4, 3)
    return (x / (x * x).sum(1, keepdim=True).sqrt()).var(1).sum() + x.var() + x.mean(0).amax()


def biases_everywhere(make):
    x, b, c, s = (make(n, *shape) for shape, n in (
        ((4, 3), "x"), ((3,), "b"), ((4, 1), "c"), ((), "s")))  # fmt: skip
    return ((x + b) * c / (2 + s * s) - b).logsumexp(1).mean()


def linear_on_one_row(make):
    return make.layer(nn.Linear(3, 2))(make("x", 3)).square().sum()


def reshaped(make):
    x = make("x", 2, 3, 4)
    return (x.flatten(1) @ make("w", 12, 2)).tanh().sum() + x.transpose(0, 2).exp().mean()


def expanded(make):
    return (make("b", 3).expand(4, 3) * make("x", 4, 3)).square().sum()


def ridge_regression(make):
    X, w, y = make("X", 5, 3), make("w", 3), make("y", 5)
    return ((X @ w - y) ** 2).mean() + 0.1 * (w @ w)


def logistic_regression(make):
    X, w, y = make("X", 5, 3), make("w", 3), make("y", 5)
    p = cr.sigmoid(X @ w)
    return -(y * cr.log(p) + (1 - y) * cr.log(1 - p)).mean()


def quadratic_form(make):
    x = make("x", 3)
    return x @ make("A", 3, 3) @ x


def outer_product(make):
    return (make("u", 3)[:, None] * make("v", 4)[None, :]).exp().sum()


def soft_targets(make):
    return -(make("p", 4, 3) * cr.log_softmax(make("z", 4, 3), 1)).sum(1).mean()


def distance(make):
    return ((make("a", 3) - make("b", 3)) ** 2).sum().sqrt() / 3


def two_steps_of_a_recurrence(make):
    x, U, V = make("x", 2, 3), make("U", 3, 4), make("V", 4, 4)
    return cr.tanh(x @ U + cr.tanh(x @ U + make("h", 2, 4) @ V) @ V).sum()


def tied_weights(make):
    W = make("W", 3, 3)
    return (cr.tanh(make("x", 4, 3) @ W) @ W.T).abs().mean() * make("s")


MODELS = [
    ridge_regression,
    logistic_regression,
    quadratic_form,
    outer_product,
    soft_targets,
    distance,
    two_steps_of_a_recurrence,
    tied_weights,
    mlp_with_mse, mlp_with_cross_entropy, products_of_matrices, matrix_times_vector,
    vector_times_matrix, vector_times_vector, residual_block, attention, fused_attention,
    transformer_block, norms_and_variances, biases_everywhere, linear_on_one_row, reshaped,
    expanded,
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_all_that_a_derivation_says(model, equations):
    cr.manual_seed(0)
    with cr.Graph() as g:
        make = Make(g)
        result = model(make)
    g.outputs(L=result)
    g.forward(**make.feeds)
    leaves = [n.label for n in g.nodes if n.kind in ("input", "parameter")
              and n.dtype().is_floating_point]  # fmt: skip
    inside = [n.label for n in g.nodes if n.op and n.outputs == 1]
    for wrt in [*leaves, *inside]:
        if wrt == "L":
            continue
        equations.clear()
        text = g.explain("L", wrt)
        assert not FUNCTIONS_OF_RULES.search(text.split("\nwhere")[0]), text
        if f"dL/d{wrt} = 0: " in text:
            continue
        values = {g._label((n.id, k)): g.value((n.id, k))
                  for n in g.nodes for k in range(n.outputs)}  # fmt: skip
        values["n"] = 5
        evaluate = Evaluator(values, g)
        of_wrt = None
        for name, terms in equations:
            found = [evaluate(term) for term in terms]
            total = found[0]
            for each in found[1:]:
                total = total + each
            if name in values:  # what a node is that nobody named
                assert_same(total, values[name], text)
            values[name] = total
            if name in (f"dL/d{wrt}", f"dL/d({wrt})"):
                of_wrt = total
        expected = g.backward("L", [wrt])[wrt]
        assert_same(of_wrt, expected, text, rtol=1e-5)  # single numbers have six digits


def test_the_evaluator_sees_a_wrong_formula(equations, monkeypatch):
    monkeypatch.setattr(Blackboard, "_transposed", lambda self, x: x)
    with pytest.raises((AssertionError, ValueError)):
        test_all_that_a_derivation_says(products_of_matrices, equations)
