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
