"""A stand-in for chainrule.Graph with the attributes that drawing reads."""

from __future__ import annotations

from typing import Any

import chainrule as cr


class Node:
    def __init__(self, graph, id, kind, op, inputs, shape, name, module, label):
        self.id, self.kind, self.op, self.inputs = id, kind, op, tuple(inputs)
        self.attributes: dict[str, Any] = {}
        self.outputs = 1
        self._shape = tuple(shape)
        self.name, self.module = name, module
        self.module_type = graph.modules.get(module, "")
        self.label = label or name or f"{op}_{id}"
        self.source = "lecture.py:12" if kind == "op" else ""

    def shape(self, k=0):
        return self._shape

    def dtype(self, k=0):
        return cr.float32


class FakeGraph:
    def __init__(self):
        self._nodes, self.modules, self.output_refs = [], {}, {}
        self.values, self.gradients = {}, {}

    @property
    def nodes(self):
        return tuple(self._nodes)

    def add(
        self,
        kind,
        name="",
        *inputs,
        op="",
        shape=(),
        module="",
        value=None,
        gradient=None,
        label="",
        outputs=1,
    ):
        refs = [(i, 0) if isinstance(i, int) else i for i in inputs]
        node = Node(self, len(self._nodes), kind, op, refs, shape, name, module, label)
        node.outputs = outputs
        self._nodes.append(node)
        if value is not None:
            self.values[node.id, 0] = cr.tensor(value) if not hasattr(value, "shape") else value
        if gradient is not None:
            self.gradients[node.id, 0] = (
                cr.tensor(gradient) if not hasattr(gradient, "shape") else gradient
            )
        return node.id

    def value(self, ref):
        return self.values.get(tuple(ref))

    def gradient(self, ref):
        return self.gradients.get(tuple(ref))

    def formula(self, node):
        return f"{node.op}({', '.join(self._nodes[i].label for i, _ in node.inputs)})"

    def local_derivative(self, node, k):
        return "gy * " + self._nodes[node.inputs[1 - k][0]].label if len(node.inputs) == 2 else "gy"


def lecture():
    g = FakeGraph()
    x = g.add("input", "x", value=3.0, gradient=-60.0)
    w1 = g.add("parameter", "w1", value=5.0, gradient=-36.0)
    b1 = g.add("parameter", "b1", value=2.0, gradient=-12.0)
    w2 = g.add("parameter", "w2", value=2.0, gradient=-102.0)
    b2 = g.add("parameter", "b2", value=3.0, gradient=-6.0)
    y = g.add("input", "y", value=40.0, gradient=6.0)
    m = g.add("op", "", w1, x, op="mul", value=15.0, gradient=-12.0)
    h = g.add("op", "h", m, b1, op="add", value=17.0, gradient=-12.0)
    p = g.add("op", "", w2, h, op="mul", value=34.0, gradient=-6.0)
    y_hat = g.add("op", "y_hat", p, b2, op="add", value=37.0, gradient=-6.0)
    r = g.add("op", "r", y_hat, y, op="sub", value=-3.0, gradient=-6.0)
    two = g.add("constant", label="2", value=2.0)
    loss = g.add("op", "L", r, two, op="pow", value=9.0, gradient=1.0)
    g.output_refs["L"] = (loss, 0)
    return g


def linear(g, x, path, n_in, n_out, batch="N"):
    g.modules.setdefault(path, "Linear")
    w = g.add(
        "parameter",
        f"{path}.weight",
        shape=(n_out, n_in),
        value=cr.randn(n_out, n_in),
        gradient=cr.randn(n_out, n_in),
    )
    b = g.add(
        "parameter", f"{path}.bias", shape=(n_out,), value=cr.randn(n_out), gradient=cr.randn(n_out)
    )
    return g.add(
        "op",
        "",
        x,
        w,
        b,
        op="linear",
        shape=(batch, n_out),
        module=path,
        value=cr.randn(8, n_out),
        gradient=cr.randn(8, n_out),
    )


def unary(g, op, x, shape, path="", kind="", **kw):
    if path:
        g.modules.setdefault(path, kind)
    return g.add(
        "op",
        "",
        x,
        op=op,
        shape=shape,
        module=path,
        value=cr.randn(8, 4),
        gradient=cr.randn(8, 4),
        **kw,
    )


def mlp(layers=3, width=64):
    g = FakeGraph()
    g.modules["net"] = "Sequential"
    h = g.add("input", "X", shape=("N", 64), value=cr.randn(8, 64))
    t = g.add("input", "target", shape=("N",))
    for i in range(layers):
        h = linear(g, h, f"net.{2 * i}", 64, width)
        if i < layers - 1:
            h = unary(g, "relu", h, ("N", width), f"net.{2 * i + 1}", "ReLU")
    loss = g.add("op", "loss", h, t, op="cross_entropy", value=2.31, gradient=1.0)
    g.output_refs["loss"] = (loss, 0)
    return g


def transformer(blocks=2, d=32):
    g = FakeGraph()
    shape = ("N", 16, d)
    g.modules["net"] = "Transformer"
    ids = g.add("input", "tokens", shape=("N", 16))
    table = g.add(
        "parameter",
        "net.embed.weight",
        shape=(65, d),
        value=cr.randn(65, d),
        gradient=cr.randn(65, d),
    )
    g.modules["net.embed"] = "Embedding"
    x = g.add("op", "", table, ids, op="embedding", shape=shape, module="net.embed")
    for b in range(blocks):
        p = f"net.blocks.{b}"
        g.modules[p] = "Block"
        n = norm(g, x, f"{p}.norm1", shape, d)
        g.modules[f"{p}.attention"] = "SelfAttention"
        heads = []
        for role in "qkv":
            y = linear(g, n, f"{p}.attention.{role}", d, d, "N*16")
            y = unary(g, "reshape", y, ("N", 16, 4, 8), f"{p}.attention")
            heads.append(unary(g, "permute", y, ("N", 4, 16, 8), f"{p}.attention"))
        y = g.add(
            "op",
            "",
            *heads,
            op="scaled_dot_product_attention",
            shape=("N", 4, 16, 8),
            module=f"{p}.attention",
        )
        y = unary(g, "permute", y, ("N", 16, 4, 8), f"{p}.attention")
        y = unary(g, "reshape", y, shape, f"{p}.attention")
        y = linear(g, y, f"{p}.attention.out", d, d, "N*16")
        x = g.add("op", "", x, y, op="add", shape=shape, module=p)
        n = norm(g, x, f"{p}.norm2", shape, d)
        g.modules[f"{p}.mlp"] = "Sequential"
        y = linear(g, n, f"{p}.mlp.0", d, 4 * d)
        y = unary(g, "gelu", y, shape, f"{p}.mlp.1", "GELU")
        y = linear(g, y, f"{p}.mlp.2", 4 * d, d)
        x = g.add("op", "", x, y, op="add", shape=shape, module=p)
    x = norm(g, x, "net.norm", shape, d)
    x = linear(g, x, "net.head", d, 65)
    t = g.add("input", "target", shape=("N", 16))
    loss = g.add("op", "loss", x, t, op="cross_entropy", value=4.17, gradient=1.0)
    g.output_refs["loss"] = (loss, 0)
    return g


def norm(g, x, path, shape, d):
    g.modules[path] = "LayerNorm"
    w = g.add("parameter", f"{path}.weight", shape=(d,))
    b = g.add("parameter", f"{path}.bias", shape=(d,))
    return g.add("op", "", x, w, b, op="layer_norm", shape=shape, module=path)


def chain(length):
    g = FakeGraph()
    h = g.add("input", "x", value=1.0)
    for _ in range(length):
        h = g.add("op", "", h, op="tanh", value=0.5, gradient=0.1)
    g.output_refs["y"] = (h, 0)
    return g


def scalar_net(nodes=150):
    """A net of scalars, as of a lecture's class Value."""
    g = FakeGraph()
    xs = [g.add("input", f"x{i}", value=0.5 * i, gradient=-0.25) for i in range(3)]
    layer = 0
    while len(g.nodes) < nodes:
        layer += 1
        following = []
        for n in range(3):
            total = g.add("parameter", f"b{layer}{n}", value=0.1, gradient=0.2)
            for i, x in enumerate(xs):
                w = g.add("parameter", f"w{layer}{n}{i}", value=-0.12345, gradient=12.5)
                p = g.add("op", "", w, x, op="mul", value=0.3, gradient=0.3)
                total = g.add("op", "", total, p, op="add", value=1.5, gradient=-1.5)
            following.append(
                g.add("op", f"h{layer}{n}", total, op="tanh", value=0.7, gradient=1e-7)
            )
        xs = following
    a = g.add("op", "", xs[0], xs[1], op="add", value=0.4, gradient=1.0)
    a = g.add("op", "s", a, xs[2], op="add", value=0.4, gradient=1.0)
    g.output_refs["s"] = (a, 0)
    return g
