"""Long graphs on a small stack, and memory that stays flat: in fresh interpreters."""

from __future__ import annotations

from pathlib import Path

import pytest

import chainrule as cr
from chainrule import _C
from helpers import run_python

NODES = 1_000_000

CHAINS = {
    "backward": "y.backward()\nassert x.grad.item() == 1.0",
    "backward with retain_graph": "y.backward(retain_graph=True)\nassert x.grad.item() == 1.0",
    "grad": "assert cr.grad(y, x)[0].item() == 1.0",
    "dropped without backward": "",
    "broken off in the middle": (
        "w.detach().add_(0)\n"
        "try:\n"
        "    y.backward()\n"
        "except RuntimeError as error:\n"
        "    assert 'mul' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')"
    ),
}


@pytest.mark.parametrize("end", CHAINS)
def test_a_million_nodes_on_a_small_stack(end: str) -> None:
    """Built, differentiated, and freed under `ulimit -s 512`."""
    out = run_python(
        f"""
import chainrule as cr
from chainrule import _C
before = _C.live_tensors()
x = cr.tensor(1.0, requires_grad=True)
w = cr.tensor(1.0, requires_grad=True)
y = x
for _ in range({NODES}):
    y = y * w
{CHAINS[end]}
del x, w, y
if "error" in globals(): del error
print(_C.live_tensors() - before)
""",
        stack_kib=512,
    )
    assert out.strip() == "0"


def test_a_long_chain_of_views_and_changes_on_a_small_stack() -> None:
    out = run_python(
        """
import chainrule as cr
from chainrule import _C
before = _C.live_tensors()
x = cr.ones(4, requires_grad=True)
y = x * 1.0
for i in range(100_000):
    y = y.reshape(2, 2).T.reshape(4)
    y.add_(1.0)
y.sum().backward()
assert x.grad.tolist() == [1.0] * 4
del x, y
print(_C.live_tensors() - before)
""",
        stack_kib=512,
    )
    assert out.strip() == "0"


def test_second_derivative_of_a_long_chain_on_a_small_stack() -> None:
    out = run_python(
        """
import chainrule as cr
from chainrule import _C
before = _C.live_tensors()
x = cr.tensor(1.0, dtype=cr.float64, requires_grad=True)
y = x
for _ in range(100_000):
    y = y * x
(g,) = cr.grad(y, x, create_graph=True)
(h,) = cr.grad(g, x)
assert (g.item(), h.item()) == (100_001.0, 100_001.0 * 100_000.0), (g, h)
del x, y, g, h
print(_C.live_tensors() - before)
""",
        stack_kib=512,
    )
    assert out.strip() == "0"


TRAINING = """
import os
import chainrule as cr
from chainrule import _C, nn, optim

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

x, target = cr.randn(32, 64), cr.randint(0, 10, (32,))
net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
opt = optim.Adam(net.parameters(), lr=1e-3)
failures = 0

def step(i):
    global failures
    opt.zero_grad()
    hidden = net[:2](x)
    loss = nn.functional.cross_entropy(net[2](hidden), target)
    if {raising} and i % 10 == 0:
        hidden.detach().add_(1.0)
        try:
            loss.backward()
        except RuntimeError:
            failures += 1
    else:
        loss.backward()
        opt.step()

for i in range(200):
    step(i)
tensors, memory = _C.live_tensors(), resident()
for i in range(1000):
    step(i)
print(_C.live_tensors() - tensors, resident() - memory, failures)
"""


@pytest.mark.parametrize(("raising", "failures"), [(False, 0), (True, 120)])
def test_training_leaves_memory_flat(raising: bool, failures: int) -> None:
    out = run_python(TRAINING.replace("{raising}", str(raising)))
    tensors, growth, failed = map(int, out.split())
    assert (tensors, failed) == (0, failures)
    assert growth < 2**20


def test_create_graph_with_backward_leaks_no_cycle() -> None:
    """The gradient of a leaf holds a graph that holds the leaf."""
    import gc

    gc.collect()
    before = _C.live_tensors()
    for _ in range(10):
        x = cr.ones(5, requires_grad=True)
        (x * x * x).sum().backward(create_graph=True)
        (x.grad * x.grad).sum().backward(create_graph=True)
    del x
    gc.collect()
    assert _C.live_tensors() == before


def test_a_failed_backward_leaks_nothing() -> None:
    before = _C.live_tensors()
    x = cr.ones(5, requires_grad=True)
    for _ in range(10):
        y = x * 2
        z = (y * y * cr.exp(y)).sum()
        y.detach().add_(1.0)
        with pytest.raises(RuntimeError):
            z.backward()
    del x, y, z
    assert _C.live_tensors() == before


def test_errors_leak_nothing() -> None:
    before = _C.live_tensors()
    for _ in range(10):
        with pytest.raises(ValueError, match="add"):
            cr.ones(2, 3) + cr.ones(4)
        with pytest.raises(ValueError, match="tensor"):
            cr.tensor([[1.0], [2.0, 3.0]])
        with pytest.raises(IndexError):
            cr.ones(3)[5]
    assert _C.live_tensors() == before


HOSTILE_HEADERS = {
    "numbers": '{"__metadata__":[' + "0," * 5_000_000 + "0]}",
    "keys": "{" + ",".join(f'"{i:x}":0' for i in range(900_000)) + "}",
    "numbers for nodes": '{"__metadata__":{"chainrule.graph":"{\\"version\\":1,\\"nodes\\":['
    + "0," * 5_000_000
    + '0],\\"scopes\\":[],\\"outputs\\":{}}"}}',
}


@pytest.mark.parametrize("kind", HOSTILE_HEADERS)
def test_a_hostile_file_takes_a_few_times_its_size(kind: str, tmp_path: Path) -> None:
    header = HOSTILE_HEADERS[kind].encode()
    file = tmp_path / "hostile.crg"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    out = run_python(
        f"""
import chainrule as cr
def peak():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
cr.Graph()
before = peak()
try:
    cr.Graph.load({str(file)!r})
except ValueError:
    print(peak() - before)
"""
    )
    assert len(header) < int(out) < 6 * len(header)
