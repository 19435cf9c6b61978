"""The rows of the comparison: what is computed, on which numbers, and nothing about any library.

A row is a small frozen value; the work modules turn it into a job of their library. All libraries
get the same arrays, drawn here from a fixed seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """Base of all rows.

    Attributes:
        name: What `--rows` calls it.
        title: How the table shows it.
        tolerance: Largest difference between two libraries, relative to the largest number.
        goal: What chainrule's median over PyTorch's is to be at most.
        limit: What chainrule's median is to be at most, in the row's unit.
        limit_by: An earlier row and a factor: the limit is chainrule's median there, times it.
    """

    name: str
    title: str
    tolerance: float = 1e-4
    goal: float | None = None
    limit: float | None = None
    limit_by: tuple[str, float] | None = None

    def array(self, *shape: int, scale: float = 1.0) -> Array:
        """Returns normal float32 numbers, the same at every call with that shape."""
        return (np.random.default_rng(20).standard_normal(shape) * scale).astype(np.float32)


@dataclass(frozen=True)
class Add(Row):
    """a + b of 4 elements, with or without a graph being recorded."""

    recording: bool = False


@dataclass(frozen=True)
class Lecture(Row):
    """L = (w2 * (w1 * x + b1) + b2 - y) ** 2 on scalars, and its gradients."""

    parameters = (5.0, 2.0, 2.0, 3.0)  # w1, b1, w2, b2
    x = 3.0
    y = 40.0


@dataclass(frozen=True)
class GraphLecture(Lecture):
    """The same by a graph that was assembled before: a call forward and one backward."""


@dataclass(frozen=True)
class Net(Row):
    """A Linear-ReLU net and its data.

    The loss is the mean squared error for one output, else cross entropy.
    """

    sizes: tuple[int, ...] = ()
    batch: int = 1

    @property
    def regression(self) -> bool:
        """Whether the net has one output."""
        return self.sizes[-1] == 1

    def parameters(self) -> list[tuple[Array, Array]]:
        """Returns (weight (out, in), bias (out,)) for each layer."""
        rng = np.random.default_rng(21)
        layers = []
        for fan_in, fan_out in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            bound = 1 / math.sqrt(fan_in)
            weight = rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)
            layers.append((weight, rng.uniform(-bound, bound, fan_out).astype(np.float32)))
        return layers

    def data(self) -> tuple[Array, Array]:
        """Returns inputs (batch, in) and targets: (batch, 1) floats or (batch,) classes."""
        x = self.array(self.batch, self.sizes[0])
        if self.regression:
            return x, np.sin(x.sum(1, keepdims=True)).astype(np.float32)
        classes = np.random.default_rng(22).integers(0, self.sizes[-1], self.batch)
        return x, classes.astype(np.int64)


@dataclass(frozen=True)
class Train(Net):
    """One training step of the net: zero_grad, forward, loss, backward, update."""

    optimizer: str = "sgd"
    lr = 0.01
    betas = (0.9, 0.999)
    eps = 1e-8


@dataclass(frozen=True)
class Gradients(Net):
    """The gradients of the net's parameters: zero_grad, forward, loss, backward."""


@dataclass(frozen=True)
class GraphGradients(Net):
    """The same by a graph that was assembled before: a call forward and one backward."""


@dataclass(frozen=True)
class LeNet(Row):
    """One SGD step of LeNet-5 with ReLU and max pooling on 28x28 images, with cross entropy.

    conv 5x5 (1 to 6 channels, padding 2), pool, conv 5x5 (6 to 16), pool, 400-120-84-10.
    """

    batch: int = 32
    lr = 0.01
    padding = (2, 0)
    shapes = ((6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84))

    def parameters(self) -> list[tuple[Array, Array]]:
        """Returns (weight, bias) for each layer."""
        rng = np.random.default_rng(23)
        layers = []
        for shape in self.shapes:
            bound = 1 / math.sqrt(math.prod(shape[1:]))
            weight = rng.uniform(-bound, bound, shape).astype(np.float32)
            layers.append((weight, rng.uniform(-bound, bound, shape[0]).astype(np.float32)))
        return layers

    def data(self) -> tuple[Array, Array]:
        """Returns images (batch, 1, 28, 28) and classes (batch,)."""
        classes = np.random.default_rng(24).integers(0, 10, self.batch)
        return self.array(self.batch, 1, 28, 28), classes.astype(np.int64)


@dataclass(frozen=True)
class Chain(Row):
    """y = y * w, many times on scalars, and the gradient of w."""

    length: int = 10_000
    weight = 0.99995


@dataclass(frozen=True)
class Tanh(Row):
    """tanh and its gradient for a given upstream gradient."""

    count: int = 1_000_000


@dataclass(frozen=True)
class Gelu(Tanh):
    """gelu in its exact form, with erf, and its gradient for a given upstream gradient."""


@dataclass(frozen=True)
class Gpt(Row):
    """One AdamW step of a small GPT on next-token cross entropy.

    Token and position embeddings, pre-LayerNorm blocks of causal attention and a GELU MLP four
    times as wide, a final LayerNorm, a Linear head; every parameter is trained.
    """

    layers: int = 2
    width: int = 128
    heads: int = 4
    batch: int = 8
    length: int = 64
    vocabulary: int = 256
    lr = 1e-3
    betas = (0.9, 0.999)
    eps = 1e-8
    weight_decay = 0.01

    def parameters(self) -> dict[str, Array]:
        """Returns the parameters by the names that the modules of `work_eager` give them."""
        rng = np.random.default_rng(23)
        found: dict[str, Array] = {}

        def linear(name: str, fan_in: int, fan_out: int) -> None:
            bound = 1 / math.sqrt(fan_in)
            shapes = {"weight": (fan_out, fan_in), "bias": (fan_out,)}
            for part, shape in shapes.items():
                found[f"{name}.{part}"] = rng.uniform(-bound, bound, shape).astype(np.float32)

        def norm(name: str) -> None:
            found[f"{name}.weight"] = np.ones(self.width, np.float32)
            found[f"{name}.bias"] = np.zeros(self.width, np.float32)

        for name, count in (("token", self.vocabulary), ("position", self.length)):
            table = rng.standard_normal((count, self.width)) * 0.5
            found[f"{name}.weight"] = table.astype(np.float32)
        for i in range(self.layers):
            norm(f"blocks.{i}.norm1")
            linear(f"blocks.{i}.qkv", self.width, 3 * self.width)
            linear(f"blocks.{i}.proj", self.width, self.width)
            norm(f"blocks.{i}.norm2")
            linear(f"blocks.{i}.up", self.width, 4 * self.width)
            linear(f"blocks.{i}.down", 4 * self.width, self.width)
        norm("norm")
        linear("head", self.width, self.vocabulary)
        return found

    def data(self) -> tuple[Array, Array]:
        """Returns tokens and the tokens that follow them, both (batch, length)."""
        rng = np.random.default_rng(24)
        text = rng.integers(0, self.vocabulary, (self.batch, self.length + 1))
        return text[:, :-1].copy(), text[:, 1:].copy()


@dataclass(frozen=True)
class Softmax(Row):
    """softmax over the last dim of a square matrix."""

    size: int = 1024


@dataclass(frozen=True)
class Sum(Row):
    """The sum over one dim of a square matrix."""

    dim: int = 0
    size: int = 1024


@dataclass(frozen=True)
class Matmul(Row):
    """The product of two square matrices."""

    size: int = 16


@dataclass(frozen=True)
class ModuleCall(Row):
    """The call of a module whose forward returns its input."""


@dataclass(frozen=True)
class Parameters(Row):
    """The list of the parameters of a net of many Linear layers."""

    layers: int = 20


@dataclass(frozen=True)
class Fresh(Row):
    """What a script in a fresh interpreter prints as its last number, for the libraries named."""

    unit: str = "MB"
    libraries: tuple[str, ...] = ("chainrule", "torch", "jax", "numpy")
    script: str = ""


_IMPORT = """
import os, time
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, start = resident(), time.perf_counter_ns()
import {library}
microseconds = (time.perf_counter_ns() - start) / 1e3
megabytes = (resident() - before) / 1e6
print(%s)
"""

# All of the process counts, interpreter and library too; only the data does not.
_TRAIN_MEMORY = """
import {library} as lib
from {library} import nn, optim
x, y = lib.randn(10_000, 784), lib.randint(0, 10, (10_000,))
net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer, criterion = optim.Adam(net.parameters()), nn.CrossEntropyLoss()
for epoch in range(3):
    for i in range(0, len(x), 256):
        optimizer.zero_grad()
        criterion(net(x[i : i + 256]), y[i : i + 256]).backward()
        optimizer.step()
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
print((peak - x.numel() * 4 - y.numel() * 8) / 1e6)
"""


def _train_rows() -> list[Row]:
    nets = [
        ((16, 32, 4), 1, {"sgd": 0.15, "adam": 0.10}),
        ((2, 16, 16, 1), 100, {"sgd": 0.20, "adam": 0.12}),
        ((784, 128, 10), 32, {"sgd": 0.30, "adam": 0.20}),
        ((784, 128, 10), 256, {"sgd": 0.50, "adam": 0.45}),
        ((784, 1024, 1024, 10), 256, {"sgd": 0.75, "adam": 0.75}),
    ]
    rows: list[Row] = []
    for sizes, batch, goals in nets:
        net = "-".join(map(str, sizes))
        for optimizer, goal in goals.items():
            title = f"{net}, batch {batch}, {'SGD' if optimizer == 'sgd' else 'Adam'} step"
            name = f"{net}/{batch}/{optimizer}"
            train = Train(name, title, 1e-3, goal, sizes=sizes, batch=batch, optimizer=optimizer)
            rows.append(train)
    return rows


def _gradient_rows() -> list[Row]:
    title, sizes = "2-16-16-1, batch 100, {}forward + backward", (2, 16, 16, 1)
    eager = Gradients("eager-2-16-16-1", title.format(""), 1e-3, sizes=sizes, batch=100)
    graph = GraphGradients(
        "graph-2-16-16-1",
        title.format("assembled, "),
        limit_by=(eager.name, 0.5),
        sizes=sizes,
        batch=100,
    )
    return [eager, graph]


_MATMUL_GOALS = {16: 0.3, 64: 0.5, 256: 0.95, 1024: 1.0}

ROWS: list[Row] = [
    Add("add", "add, 4 elements, not recording", goal=0.10),
    Add("add-recording", "add, 4 elements, recording", goal=0.10, recording=True),
    Lecture("lecture", "lecture scalar loss, forward + backward", goal=0.10),
    GraphLecture("graph-lecture", "lecture scalar loss, assembled, forward + backward", limit=2),
    *_train_rows(),
    *_gradient_rows(),
    LeNet("lenet", "LeNet, batch 32, SGD step", 1e-3, goal=0.4),
    Gpt("gpt", "2-layer GPT, d 128, 4 heads, 8x64 tokens, AdamW step", 1e-3, goal=0.5),
    Chain("chain", "chain of 10,000 scalar multiplies, forward + backward", 1e-2, goal=0.04),
    Tanh("tanh", "tanh, 1M elements, forward + backward", goal=0.9),
    Gelu("gelu", "gelu, 1M elements, forward + backward", goal=0.75),
    Softmax("softmax", "softmax 1024x1024", goal=0.75),
    Sum("sum-0", "sum over dim 0 of 1024x1024", goal=0.75, dim=0),
    Sum("sum-1", "sum over dim 1 of 1024x1024", goal=0.75, dim=1),
    *[Matmul(f"matmul-{n}", f"matmul {n}", goal=goal, size=n) for n, goal in _MATMUL_GOALS.items()],
    ModuleCall("module-call", "call of an empty module"),
    Parameters("parameters", "list(net.parameters()) of 20 Linear layers"),
    Fresh("import-time", "import, time", limit=25_000, unit="us", script=_IMPORT % "microseconds"),
    Fresh("import-memory", "import, memory", limit=20, script=_IMPORT % "megabytes"),
    Fresh(
        "train-memory",
        "784-128-10, batch 256, Adam: peak resident above the data",
        limit=60,
        libraries=("chainrule", "torch"),
        script=_TRAIN_MEMORY,
    ),
]
