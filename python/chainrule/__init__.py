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
    from chainrule.gradcheck.check_grads import check_grads as check_grads
    from chainrule.gradcheck.error import GradientError as GradientError
    from chainrule.graphs.graph import Graph as Graph
    from chainrule.graphs.recording import graph as graph
    from chainrule.graphs.recording import source_lines as source_lines
    from chainrule.graphs.recording import trace as trace

_SUBPACKAGES = ("datasets", "drawing", "nn", "optim")
_FROM_MODULES = {  # names that come with the module they live in, when first asked for
    "GradientError": "chainrule.gradcheck.error",
    "Graph": "chainrule.graphs.graph",
    "check_grads": "chainrule.gradcheck.check_grads",
    "graph": "chainrule.graphs.recording",
    "source_lines": "chainrule.graphs.recording",
    "trace": "chainrule.graphs.recording",
}

__all__ = ["enable_grad", "load", "no_grad", "save", "set_grad_enabled"]
__all__ += ["GradientError", "Graph", "check_grads", "graph", "source_lines", "trace"]
__all__ += _C.__all__

if not TYPE_CHECKING:  # a checker that saw this would accept any name as an attribute

    def __getattr__(name: str) -> object:
        """Imports what a name stands for when it is first asked for."""
        import importlib

        if name in _SUBPACKAGES:
            return importlib.import_module(f"chainrule.{name}")
        if name in _FROM_MODULES:
            value = getattr(importlib.import_module(_FROM_MODULES[name]), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists what is imported later beside what is loaded."""
    return sorted({*globals(), *_SUBPACKAGES, *_FROM_MODULES})
