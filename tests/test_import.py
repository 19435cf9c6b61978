"""What `import chainrule` loads, and when the rest comes."""

from __future__ import annotations

import pytest

from helpers import run_python

HEAVY = "{'numpy', 'tqdm', 'safetensors'}"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "from chainrule import nn, optim",
        "x = cr.tensor([[1.0, 2.0]], requires_grad=True); (x @ x.T).sum().backward(); repr(x.grad)",
        "cr.randn(3).tolist(); memoryview(cr.ones(2)); cr.ones(2).__dlpack__()",
        "net = cr.nn.Linear(2, 2); cr.optim.Adam(net.parameters()); net.state_dict()",
    ],
    ids=["import", "nn and optim", "backward", "buffers", "model"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    script = f"import sys, chainrule as cr\n{code}\nprint(sorted({HEAVY} & set(sys.modules)))"
    assert run_python(script).strip() == "[]"


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("cr.ones(2).numpy()", "numpy"),
        ("cr.datasets.digits()", "numpy"),
        ("import tempfile; cr.save({}, tempfile.mkdtemp() + '/x')", "safetensors"),
    ],
)
def test_each_is_loaded_at_its_first_use(code: str, module: str) -> None:
    script = f"import sys, chainrule as cr\n{code}\nprint({module!r} in sys.modules)"
    assert run_python(script).strip() == "True"


def test_subpackages_are_attributes() -> None:
    script = "import chainrule as cr; print(cr.nn.Linear.__name__, cr.optim.SGD.__name__)"
    assert run_python(script).split() == ["Linear", "SGD"]


def test_unknown_attribute() -> None:
    import chainrule as cr

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        cr.nonsense  # noqa: B018
    assert {"nn", "optim", "datasets", "tensor"} <= set(dir(cr))
    assert all(hasattr(cr, name) for name in cr.__all__)


def test_names_shadow_no_builtin_on_star_import() -> None:
    """`chainrule.bool` and the like are dtypes, and a star import brings what __all__ lists."""
    script = "from chainrule import *; print(tensor([1.0]).item())"
    assert run_python(script).strip() == "1.0"


def test_the_import_takes_little_memory() -> None:
    """At most 20 MB beyond the bare interpreter; the time (25 ms) is a row of the benchmarks."""
    script = """
import os
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before = resident()
import chainrule
print(resident() - before)
"""
    assert int(run_python(script)) < 20e6


def test_the_import_loads_few_modules() -> None:
    """What makes an import slow, counted instead of timed: files that are opened and run."""
    script = """
import sys
before = set(sys.modules)
import chainrule
loaded = set(sys.modules) - before
print(len(loaded), sorted(name for name in loaded if not name.startswith("chainrule")))
"""
    count, _, names = run_python(script).partition(" ")
    assert int(count) <= 25, names


TRAINING = """
import chainrule as cr
from chainrule import nn, optim
x, y = cr.randn(10_000, 784), cr.randint(0, 10, (10_000,))
net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer, criterion = optim.Adam(net.parameters()), nn.CrossEntropyLoss()
for i in range(0, len(x), 256):
    optimizer.zero_grad()
    criterion(net(x[i : i + 256]), y[i : i + 256]).backward()
    optimizer.step()
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
print(peak - x.numel() * 4 - y.numel() * 8)
"""


def test_training_takes_little_memory() -> None:
    """The whole process above its data, at the most: 17 MB where 60 are promised."""
    assert int(run_python(TRAINING)) < 60e6
