"""The same bits: for any number of threads, and wherever in a vector loop an element lies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C, nn, optim
from helpers import to_numpy, to_tensors
from samples import Op
from samples.elementwise import OPS as ELEMENTWISE

THREADS = (1, 2, 4)
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 67)


class Reader(nn.Module):
    """Scores of short texts: one block of a transformer, averaged over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(50, 32, padding_idx=0)
        self.norm1 = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.norm2 = nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 128), nn.GELU(), nn.Dropout(0.1), nn.Linear(128, 32))
        self.head = nn.Linear(32, 10)

    def forward(self, tokens: cr.Tensor) -> cr.Tensor:
        x = self.token(tokens)
        batch, length, width = x.shape
        q, k, v = (
            part.reshape(batch, length, 2, width // 2).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, dim=2)
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + y.transpose(1, 2).reshape(batch, length, width)
        x = x + self.mlp(self.norm2(x))
        return self.head(x.mean(1))


# A model and one batch for it, large enough to be split among threads; the outputs are 10 scores.
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], cr.Tensor]]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(300, 257), nn.Tanh(), nn.Linear(257, 10)),
        lambda: cr.randn(256, 300),
    ),
    "deep": (
        lambda: nn.Sequential(
            *(layer for _ in range(3) for layer in (nn.Linear(192, 192), nn.ReLU())),
            nn.Linear(192, 64),
            nn.Sigmoid(),
            nn.Linear(64, 10),
        ),
        lambda: cr.randn(400, 192),
    ),
    "images": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 16, 3, stride=2, groups=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(144, 10),
        ),
        lambda: cr.randn(256, 3, 14, 14),
    ),
    "texts": (Reader, lambda: cr.randint(0, 50, (256, 12))),
}
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.01),
    "SGD, Nesterov": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "AdamW, AMSGrad": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
}


def trained(threads: int, model: str, optimizer: str) -> str:
    """A hash of the losses, weights and last gradients of a few steps."""
    _C.set_num_threads(threads)
    cr.manual_seed(11)
    make_net, make_input = MODELS[model]
    net, x, target = make_net(), make_input(), cr.randint(0, 10, (256,))
    opt = OPTIMIZERS[optimizer](net.parameters())
    bits = hashlib.sha256()
    for _ in range(4):
        opt.zero_grad()
        loss = nn.functional.cross_entropy(net(x)[:256], target)
        loss.backward()
        opt.step()
        bits.update(loss.detach().numpy().tobytes())
    for p in net.parameters():
        bits.update(p.detach().numpy().tobytes())
        bits.update(p.grad.numpy().tobytes())
    return bits.hexdigest()


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_training_does_not_depend_on_threads(model: str, optimizer: str, isa: str) -> None:
    _C.force_isa(isa)
    assert len({trained(threads, model, optimizer) for threads in THREADS}) == 1


BIG = 300_007
PARALLEL = {
    "add": lambda x, y: x + y,
    "broadcast": lambda x, y: x[:300_000].reshape(1000, 300) * y[:300],
    "exp": lambda x, y: cr.exp(x),
    "sum": lambda x, y: x.sum(),
    "sum dim 0": lambda x, y: x[:300_000].reshape(3000, 100).sum(0),
    "sum dim 1": lambda x, y: x[:300_000].reshape(100, 3000).sum(1),
    "sum of a transpose": lambda x, y: x[:300_000].reshape(3000, 100).T.sum(0),
    "mean": lambda x, y: x.mean(),
    "var": lambda x, y: x.var(),
    "amax": lambda x, y: cr.maximum(x, y).max(),
    "logsumexp": lambda x, y: x.logsumexp(0),
    "softmax": lambda x, y: x[:300_000].reshape(1000, 300).softmax(1),
    "softmax dim 0": lambda x, y: x[:300_000].reshape(1000, 300).softmax(0),
    "matmul": lambda x, y: x[:90_000].reshape(300, 300) @ y[:90_000].reshape(300, 300),
    "matrix-vector": lambda x, y: x[:300_000].reshape(1000, 300) @ y[:300],
    "dot": lambda x, y: x @ y,
    "transpose copy": lambda x, y: x[:300_000].reshape(1000, 300).T.contiguous(),
}


@pytest.mark.parametrize("name", PARALLEL)
def test_ops_and_gradients_do_not_depend_on_threads(name: str, rng: np.random.Generator) -> None:
    values = [rng.standard_normal(BIG).astype(np.float32) for _ in range(2)]
    found = set()
    for threads in THREADS:
        _C.set_num_threads(threads)
        x, y = (cr.tensor(v).requires_grad_() for v in values)
        out = PARALLEL[name](x, y)
        (out * out).sum().backward()
        parts = [out.detach(), *(t.grad for t in (x, y) if t.grad is not None)]
        found.add(b"".join(np.ascontiguousarray(p.numpy()).tobytes() for p in parts))
    assert len(found) == 1


def test_gather_with_repeats_adds_in_one_order(rng: np.random.Generator) -> None:
    values = rng.standard_normal(1000).astype(np.float32)
    places = rng.integers(0, 1000, 200_000)
    weights = cr.tensor(rng.standard_normal(200_000).astype(np.float32))
    found = set()
    for threads in THREADS:
        _C.set_num_threads(threads)
        x = cr.tensor(values).requires_grad_()
        (x[cr.tensor(places)] * weights).sum().backward()
        found.add(x.grad.numpy().tobytes())
    assert len(found) == 1


def operands(op: Op) -> int:
    return len(op.calls[0].inputs)


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", [pytest.param(op, id=op.name) for op in ELEMENTWISE])
def test_body_and_tail_give_the_same_bits(op: Op, dtype: Any, isa: str) -> None:
    """Element i of a vector loop, whole registers or tail, equals the op on that element alone."""
    _C.force_isa(isa)
    rng = np.random.default_rng(5)
    full = [rng.uniform(*op.domain_of(i), max(LENGTHS)).astype(dtype) for i in range(operands(op))]
    if op.name == "where":
        full[0] = full[0] > 0
    alone = [one_by_one(op, full, i) for i in range(max(LENGTHS))]
    for length in LENGTHS:
        found = outputs(op, [v[:length] for v in full])
        for y, column in zip(found, zip(*alone[:length], strict=True), strict=True):
            assert y.tobytes() == np.concatenate(column).tobytes(), f"length {length}"


def one_by_one(op: Op, full: list[np.ndarray], i: int) -> list[np.ndarray]:
    return outputs(op, [v[i : i + 1] for v in full])


def outputs(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    """The output and, where there are any, the gradients of an elementwise op."""
    leaves = [t.requires_grad_() if t.dtype != cr.bool else t for t in to_tensors(values)]
    y = getattr(_C.ops, op.name)(*leaves)
    found = [to_numpy(y)]
    if y.requires_grad:
        wanted = [t for t in leaves if t.requires_grad]
        found += [to_numpy(g) for g in cr.grad(y, wanted, grad_outputs=cr.ones_like(y))]
    return found


@pytest.mark.parametrize("isa", _C.available_isas())
def test_softmax_of_a_row_does_not_depend_on_its_neighbours(isa: str) -> None:
    _C.force_isa(isa)
    x = cr.randn(9, 37)
    whole = x.softmax(1).numpy()
    for i in range(9):
        assert x[i : i + 1].softmax(1).numpy().tobytes() == whole[i].tobytes()
