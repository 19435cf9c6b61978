"""Reverse-mode automatic differentiation and the models people train with it, on one C++ core.

Owns the names a user types: all of the compiled module, the gradient modes, save and load, and the
subpackages nn, optim, datasets and drawing, which are imported when they are first used. The import
itself loads the compiled module and nothing else: no numpy, no tqdm, no safetensors, nothing slow
of Python's own.
"""

from __future__ import annotations

from chainrule import _C
from chainrule._C import *  # noqa: F403
from chainrule._C import __version__ as __version__
from chainrule.grad_mode import enable_grad, no_grad, set_grad_enabled
from chainrule.serialization import load, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule import datasets as datasets
    from chainrule import drawing as drawing
    from chainrule import nn as nn
    from chainrule import optim as optim

__all__ = ["enable_grad", "load", "no_grad", "save", "set_grad_enabled"]
__all__ += _C.__all__

_SUBPACKAGES = ("datasets", "drawing", "nn", "optim")

if not TYPE_CHECKING:  # a checker that saw this would accept any name as an attribute

    def __getattr__(name: str) -> object:
        """Imports a subpackage when its name is first asked for."""
        if name in _SUBPACKAGES:
            import importlib

            return importlib.import_module(f"chainrule.{name}")
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists the subpackages beside the names that are already loaded."""
    return sorted({*globals(), *_SUBPACKAGES})
