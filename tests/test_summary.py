"""Graph.summary and Module.summary: what is counted, and whether memory agrees."""

from __future__ import annotations

import gc
import math
from typing import Any

import pytest

import chainrule as cr
from chainrule import _C, nn
from chainrule.graphs.summary import MULTIPLY_ADDS
from samples import elementwise

# Structured ops that sum no products of two inputs, or only those of one row (the losses).
WITHOUT_PRODUCTS = {
    "cast", "clone", "detach", "reshape", "permute", "expand", "select", "slice", "embed_slice",
    "sum", "mean", "amax", "amin", "max", "min", "argmax", "argmin", "var", "softmax",
    "log_softmax", "logsumexp", "cat", "gather", "scatter_zeros", "index", "index_zeros",
    "max_pool2d", "cross_entropy", "mse_loss", "layer_norm", "tril", "embedding",
}  # fmt: skip


def bytes_in_use() -> int:
    gc.collect()
    return cr.memory_stats()["bytes_in_use"]


class Block(nn.Module):
    """A block of a transformer, with causal attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        n, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(seen.transpose(1, 2).reshape(n, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.Tanh(),
                         nn.Linear(128, 10))  # fmt: skip


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 10),
    )  # fmt: skip


class Masked(nn.Module):
    """Values that need no gradient, a value used twice, a cast, a broadcast, an unread input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(cr.ones(64))

    def forward(self, x: Any) -> Any:
        mask = (x > 0).float()
        y = x.exp() * self.scale
        y = y * mask + y.sin().detach()
        return (y * y).double() + x.cos()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (mlp(), (256, 64)),
        (lenet(), (32, 1, 28, 28)),
        (Block(64, 4), (16, 32, 64)),
        (Masked(), (256, 64)),
        (mlp().requires_grad_(False), (256, 64)),
    ],
)
def test_bytes_kept_are_those_that_memory_grows_by(model: nn.Module, shape: Any) -> None:
    x = cr.randn(*shape)
    model(x)
    before = bytes_in_use()
    output = model(x)
    grown = bytes_in_use() - before
    g = cr.trace(model, x)
    kept = g._kept([])
    assert (len(kept) > 0) == output.requires_grad
    told = sum(math.prod(g.nodes[i].shape(k)) * g.nodes[i].dtype(k).itemsize for i, k in kept)
    assert model.summary((None, *shape[1:]), N=shape[0]).total.kept_bytes == told
    # Buffers are somewhat larger than their elements, and the output is alive because we hold it.
    before = bytes_in_use()
    refs = {*kept, g.output_refs["output"]}
    same = [cr.zeros(*g.nodes[i].shape(k), dtype=g.nodes[i].dtype(k)) for i, k in refs]
    assert bytes_in_use() - before == grown
    assert same


def test_an_mlp_counted_by_hand() -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    found = model.summary((None, 64), N=100)
    rows = [(r.depth, r.name, r.type, r.parameters, r.multiply_adds, r.kept_bytes)
            for r in found.rows if r.module]  # fmt: skip
    # The rule of relu reads its result, and that of linear its input: which is the same.
    assert rows == [
        (0, "sequential", "Sequential", 2410, 100 * (64 * 32 + 320), 100 * 32 * 4),
        (1, "0", "Linear", 2080, 100 * 64 * 32, 0),
        (1, "1", "ReLU", 0, 0, 100 * 32 * 4),
        (1, "2", "Linear", 330, 100 * 320, 0),
    ]
    assert found.total.parameters == sum(p.numel() for p in model.parameters())
    assert found.total.multiply_adds == rows[0][4]
    assert (found.N, str(found.rows[0].output)) == (100, "(N, 10)")


def test_the_table() -> None:
    text = str(nn.Sequential(nn.Linear(64, 32), nn.ReLU()).summary((None, 64), N=2))
    assert text == (
        "module              type        output   nodes  parameters  multiply-adds  bytes kept\n"
        "------------------  ----------  -------  -----  ----------  -------------  ----------\n"
        "sequential          Sequential  (N, 32)      4       2,080          4,096         256\n"
        "  0                 Linear      (N, 32)      3       2,080          4,096           0\n"
        "  1                 ReLU        (N, 32)      1           0              0         256\n"
        "outside of modules                           1           0              0           0\n"
        "------------------  ----------  -------  -----  ----------  -------------  ----------\n"
        "total                                        5       2,080          4,096         256\n"
        "multiply-adds and bytes kept for backward: with N = 2"
    )
    assert repr(nn.ReLU().summary((3,))).endswith("12")


def test_calls_inside_calls_add_up() -> None:
    inner = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    model = nn.Sequential(inner, inner, nn.Sequential(nn.Linear(8, 2)))
    found = model.summary((5, 8))
    assert [r.module for r in found.rows if r.depth == 1] == [
        "sequential.0", "sequential.0 #2", "sequential.2",
    ]  # fmt: skip
    for depth in (0, 1):
        within = [r for r in found.rows if r.depth == depth]
        assert sum(r.multiply_adds for r in within) == 5 * (64 + 64 + 16)
    assert [r.parameters for r in found.rows if r.depth == 1] == [72, 0, 18]
    assert found.total.nodes == len(cr.trace(model, cr.zeros(5, 8)))


# ---- Multiply-adds ----


def structured() -> set[str]:
    return set(_C.op_names()) - {op.name for op in elementwise.OPS}


def test_every_op_has_a_rule_or_sums_no_products() -> None:
    """A new op that sums products needs a rule in MULTIPLY_ADDS; any other goes into the list."""
    assert structured() == MULTIPLY_ADDS.keys() | WITHOUT_PRODUCTS
    assert MULTIPLY_ADDS.keys().isdisjoint(WITHOUT_PRODUCTS)


def multiply_adds(g: cr.Graph) -> int:
    return g.summary().total.multiply_adds


@pytest.mark.parametrize(
    ("fn", "shapes", "count"),
    [
        (lambda a, b: a @ b, [(3, 4), (4, 5)], 60),
        (lambda a, b: a @ b, [(7, 1, 3, 4), (2, 4, 5)], 14 * 60),
        (lambda a, b: a @ b, [(4,), (4, 5)], 20),
        (lambda a, b: a @ b, [(4,), (4,)], 4),
        (nn.functional.linear, [(6, 7, 4), (5, 4)], 42 * 20),
        (nn.functional.conv2d, [(2, 3, 8, 9), (5, 3, 3, 2)], 2 * 5 * 6 * 8 * 18),
        (
            lambda x, w: nn.functional.conv2d(x, w, stride=2, padding=1, groups=2),
            [(2, 4, 8, 8), (6, 2, 3, 3)],
            2 * 6 * 16 * 18,
        ),
        (
            nn.functional.scaled_dot_product_attention,
            [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4)],
            6 * 35 * (8 + 4),
        ),
        (lambda a, b: (a * b).sum(), [(9,), (9,)], 0),
    ],
)
def test_multiply_adds(fn: Any, shapes: Any, count: int) -> None:
    assert multiply_adds(cr.trace(fn, *(cr.zeros(*s) for s in shapes))) == count


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "groups": 2}])
def test_gradients_of_a_convolution_cost_as_much_each(options: Any) -> None:
    shapes = [(2, 4, 8, 8), (6, 4 // options.get("groups", 1), 3, 3)]
    g = cr.trace(
        lambda x, w: nn.functional.conv2d(x, w, **options).sum(), *(cr.zeros(*s) for s in shapes)
    )
    for name in ("x", "w"):
        assert multiply_adds(g.grad("output", name)) == multiply_adds(g)


def test_gradients_of_a_linear_layer_cost_as_much_each() -> None:
    g = cr.trace(
        lambda x, w: (nn.functional.linear(x, w) ** 2).sum(), cr.zeros(3, 4), cr.zeros(5, 4)
    )
    assert multiply_adds(g.grad("output", "w")) == 2 * multiply_adds(g)  # forward, and one product


# ---- Which nodes need gradients ----


def test_a_graph_without_parameters_is_asked_for_all_inputs() -> None:
    with cr.Graph() as g:
        a, b = g.input("a", (10,)), g.input("b", (10,))
        y = (a.exp() * b.exp()).sum()
    g.outputs(y=y)
    assert g.summary().total.kept_bytes == 80
    assert g.summary(wrt="a").total.kept_bytes == 80  # b.exp() is read, a.exp() is its own rule
    assert g.summary(wrt=["a", "b"]).total.kept_bytes == 80


def test_dropout_counts_nothing_and_modes_stay() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.ReLU().eval())
    assert model.summary((2, 4)).total.multiply_adds == 32
    assert [m.training for m in model.modules()] == [True, True, True, False]


def test_several_inputs_and_dtypes() -> None:
    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(20, 8)

        def forward(self, i: Any, x: Any) -> Any:
            return self.table(i) @ x

    found = Lookup().summary([(None,), (8, 3)], [cr.int64, cr.float32], N=6)
    assert found.total.multiply_adds == 6 * 8 * 3
    assert found.total.parameters == 160
    assert nn.Linear(3, 2).double().summary((5, 3)).total.multiply_adds == 30


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cr.Graph().summary(), RuntimeError, "a graph without outputs"),
        (lambda: nn.ReLU().summary((None,), N=0), ValueError, "N is 0"),
        (lambda: nn.ReLU().summary((None,), N=1.5), TypeError, "N is a float"),
        (lambda: nn.Linear(3, 2).summary((None, 4)), ValueError, "linear: x has shape"),
        (lambda: nn.ReLU().summary([(2,), 3]), TypeError, "one shape or a list of shapes"),
        (lambda: nn.ReLU().summary((2,), [cr.float32] * 2), ValueError, "2 dtypes for 1 inputs"),
        (lambda: cr.trace(cr.exp, 1.0).summary(wrt="q"), KeyError, "no 'q'"),
        (lambda: cr.trace(cr.exp, 1.0).summary(wrt="output"), ValueError, "the result of exp"),
    ],
)
def test_bad_calls(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_model_of_many_modules_is_quick() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(300)))
    found = model.summary((None, 2))
    assert len(found.rows) == 1 + 3 * 300 + 1
    assert len(str(found).splitlines()) == len(found.rows) + 5
