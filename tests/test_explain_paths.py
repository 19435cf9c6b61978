"""A variable that is used several times: sums over paths whose symbols have one meaning each."""

from __future__ import annotations

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.graphs.paths import Between
from test_explain import evaluated, is_number, lines_of, random_graph, sides


def residual(x):
    h = x * 3
    h.name = "h"
    return h + cr.tanh(h) * h


def of_one_name(x):
    a = x * x
    a.name = "a"
    return a * a * x


USED_OFTEN = {
    "a product and an exponential": lambda x: x * x + x * cr.exp(x),
    "three factors": lambda x: (x + 1) * (x - 1) * x,
    "a residual": residual,
    "a name used twice": of_one_name,
    "a cube": lambda x: x * x * x,
    "a difference": lambda x: (x - 1) / (x + 1) - x,
    "folded beside direct": lambda x: (-x) * x + x,
}


@pytest.mark.parametrize("name", USED_OFTEN)
def test_a_symbol_has_one_meaning(name):
    with cr.Graph() as g:
        (x,) = g.inputs("x")
        y = USED_OFTEN[name](x)
    g.outputs(y=y).forward(x=0.7)
    meanings = {}
    text = g.explain("y", "x")
    equations = [line for line in lines_of(text.split("\nwhere")[0]) if " = " in line]
    for line in equations[:-1]:
        _, _, equation = line.rpartition(":  ")
        names, *rest = sides(equation)
        if "∂" not in names:
            continue
        numbers = [evaluated(side) for side in rest if is_number(side)]
        meaning = 1.0
        for symbol in names.split(" · "):
            of, by = re.fullmatch(r"∂(.+)/∂(.+)", symbol).groups()
            value = partial(g, of, by)
            assert meanings.setdefault(symbol, value) == value
            meaning *= value
        np.testing.assert_allclose(numbers, meaning, rtol=1e-5, err_msg=line)
    total = evaluated(sides(equations[-1])[-1])
    np.testing.assert_allclose(total, g.backward("y")["x"].item(), rtol=1e-5)


def partial(g, of, by):
    """The derivative of a node by another, all other nodes that have a line of their own held.

    Nodes between them that appear nowhere else are part of it: one use of `by`, or all of them.
    """
    target, source = g.node(of), g.node(by)
    values = {n.id: g.value((n.id, 0)).item() for n in g.nodes}

    def slope(id):
        if id == source.id:
            return 1.0
        node, total = g.nodes[id], 0.0
        for k, (used, _) in enumerate(node.inputs):
            is_folded = used == source.id or (g.nodes[used].op and not is_shown(g, used))
            if is_folded and used >= source.id:
                total += local(node, k, values) * slope(used)
        return total

    return slope(target.id)


def is_shown(g, id):
    label = g.nodes[id].label
    return f"∂{label}/" in g.explain("y", "x") or f"/∂{label} " in g.explain("y", "x")


def local(node, k, values):
    """The partial derivative of one op, by finite differences."""
    at = [cr.tensor(values[id], dtype=cr.float64) for id, _ in node.inputs]
    op = getattr(cr._C.ops, node.op)
    high, low = ([x + h * (j == k) for j, x in enumerate(at)] for h in (1e-6, -1e-6))
    return ((op(*high, **node.attributes) - op(*low, **node.attributes)) / 2e-6).item()


@pytest.mark.parametrize("seed", range(60))
def test_two_edges_never_have_the_same_ends(seed):
    """But for paths of one edge, whose partial derivative is not named."""
    g = random_graph(seed)
    out = g.output_refs["out"][0]
    for name in "pqs":
        between = Between(g, out, g.node(name).id)
        if not between.on_path:
            continue
        ends = [(edge.user, edge.used) for edge in between.edges()]
        named = [pair for pair in ends if pair != (between.of, between.wrt)]
        assert len(named) == len(set(named))
        for edge in between.edges():
            chain = [edge.user, *edge.folded, edge.used]
            for user, factor, used in zip(chain, edge.factors, chain[1:], strict=False):
                assert factor.by == used
                assert used in [id for id, _ in g.nodes[user].inputs]
