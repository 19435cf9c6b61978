"""Every public name has a docstring with an example, and every example runs as printed."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import chainrule as cr
from chainrule import _C, nn, optim

PUBLIC = {
    "chainrule": cr,
    "chainrule.nn": nn,
    "chainrule.nn.functional": nn.functional,
    "chainrule.nn.init": nn.init,
    "chainrule.optim": optim,
    "chainrule.datasets": cr.datasets,
}
SIGNATURE = re.compile(r"\w+\(.*\)( -> .*)?$")
# Values, not things that do something: a dtype's repr says what it is.
VALUES = (type(cr.float32), ModuleType, str)


def public_names() -> Iterator[tuple[str, Any]]:
    for path, module in PUBLIC.items():
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == path
        ]
        for name in names:
            value = getattr(module, name)
            if not isinstance(value, VALUES):
                yield f"{path}.{name}", value


def members(owner: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(owner).items():
        if not name.startswith("_"):
            yield f"{owner.__name__}.{name}", value


def submodules() -> list[str]:
    walked = pkgutil.walk_packages(cr.__path__, "chainrule.")
    return [info.name for info in walked if not info.name.endswith(("__main__", "._C"))]


def described() -> dict[str, Any]:
    """Everything that must have a docstring: public names and the methods of Tensor and Module."""
    found = dict(public_names())
    for owner in (cr.Tensor, nn.Module, optim.Optimizer):
        found.update(members(owner))
    return found


DESCRIBED = described()
EXEMPLIFIED = {
    **dict(public_names()),
    **{name: value for name, value in members(cr.Tensor) if callable(value)},
}


def examples() -> dict[str, doctest.DocTest]:
    """Examples of all Python modules, and of what is compiled."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {
        test.name: test
        for path in ("chainrule", *submodules())
        for test in finder.find(importlib.import_module(path), path, globs={})
        if test.examples
    }
    parser = doctest.DocTestParser()
    compiled = {f"_C.{name}": getattr(_C, name) for name in _C.__all__} | dict(members(cr.Tensor))
    compiled |= {f"ops.{name}": getattr(_C.ops, name) for name in _C.op_names()}
    for name, value in compiled.items():
        text = inspect.getdoc(value) or ""
        if ">>>" in text:
            found[name] = parser.get_doctest(text, {}, name, None, 0)
    return found


EXAMPLES = examples()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 100


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    test = EXAMPLES[name]
    test.globs.update(cr=cr, nn=nn, optim=optim)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    assert report == [], "".join(report)


@pytest.mark.parametrize("name", DESCRIBED)
def test_docstring(name: str) -> None:
    text = inspect.getdoc(DESCRIBED[name])
    assert text, "no docstring"
    lines = [line for line in text.splitlines() if line.strip()]
    if SIGNATURE.match(lines[0]):  # compiled functions begin with theirs
        lines = lines[1:]
    assert lines, "a signature and nothing else"
    assert lines[0].endswith((".", ":")), f"no sentence: {lines[0]!r}"


@pytest.mark.parametrize("name", EXEMPLIFIED)
def test_docstring_has_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(EXEMPLIFIED[name]) or "")


@pytest.mark.parametrize("name", _C.op_names())
def test_every_op_is_described(name: str) -> None:
    assert inspect.getdoc(getattr(_C.ops, name))


def test_the_listed_surface_is_there() -> None:
    """The names that the first release promises."""
    functions = """
        tensor from_numpy zeros ones full empty arange linspace eye rand randn randint randperm
        zeros_like ones_like full_like empty_like rand_like randn_like randint_like manual_seed
        no_grad enable_grad is_grad_enabled grad save load
        exp log sqrt tanh sigmoid relu abs square sin cos maximum minimum where clamp
        sum mean max min argmax argmin var softmax log_softmax logsumexp cat stack gather matmul
        float32 float64 int64 int32 bool Tensor
    """
    methods = """
        reshape view transpose permute T expand squeeze unsqueeze flatten item numpy __array__
        __dlpack__ __dlpack_device__ detach clone requires_grad_ retain_grad grad_fn backward
        add_ sub_ mul_ div_ zero_ fill_ copy_ sum mean max min argmax argmin var exp log sqrt tanh
        sigmoid relu abs square sin cos clamp softmax log_softmax logsumexp gather matmul
        shape size dim ndim numel stride storage_offset is_contiguous contiguous data_ptr
        element_size tolist to float double int long bool type_as is_leaf data grad requires_grad
        dtype __len__ __iter__ __bool__ __float__ __int__ __index__ __setitem__ __deepcopy__
    """
    layers = """
        Module Parameter Linear ReLU Tanh Sigmoid Softmax Flatten Identity Sequential ModuleList
        MSELoss CrossEntropyLoss init functional
    """
    losses = "cross_entropy mse_loss nll_loss linear softmax log_softmax relu"
    assert [name for name in functions.split() if not hasattr(cr, name)] == []
    assert [name for name in methods.split() if not hasattr(cr.Tensor, name)] == []
    assert [name for name in layers.split() if not hasattr(nn, name)] == []
    assert [name for name in losses.split() if not hasattr(nn.functional, name)] == []
    assert [name for name in ("SGD", "Adam", "AdamW") if not hasattr(optim, name)] == []
