"""Whatever is done with a tensor that has no value yet works or is an error, and never a crash."""

import inspect
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C
from chainrule.nn import functional

SKIPPED = {"__class__", "__new__", "__init__", "__delattr__", "__setattr__", "__getattribute__"}


def placeholders():
    g = cr.Graph()
    return g.input("x", (3, 4)), g.input("n", (None, 4)), g.input("i", (3,), cr.int64)


def attempt(use):
    """Runs it; the errors of chainrule and of Python's protocols are fine, our own bugs are not."""
    try:
        return use()
    except SystemError:
        raise
    except Exception as error:
        return error


@pytest.mark.parametrize("name", sorted(set(dir(cr.Tensor)) - SKIPPED))
def test_every_attribute_and_method(name):
    for k in range(3):
        x = placeholders()[k]
        value = attempt(lambda x=x: getattr(x, name))
        if callable(value) and not isinstance(value, Exception):
            for args in ((), (1,), (x,), (0, 1), (x, x), (2.5,)):
                attempt(lambda args=args, value=value: value(*args))


@pytest.mark.parametrize(
    "function",
    [f for n, f in sorted(vars(_C).items()) if callable(f) and not isinstance(f, type)
     and "threads" not in n and "isa" not in n and "lines" not in n]
    + [f for _, f in inspect.getmembers(functional, inspect.isfunction)],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_every_function(function):
    x, n, i = placeholders()
    for args in ((x,), (n,), (i,), (x, n), (x, i), (x, 1), (n, 1), (x, x, x)):
        attempt(lambda args=args: function(*args))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: bool(x.sum()),
        lambda x: np.asarray(x),
        lambda x: pickle.dumps(x),
        lambda x: memoryview(x),
        lambda x: x[x > 0],
        lambda x: x.add_(1),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: cr.zeros(3, 4).copy_(x),
        lambda x: x.sum().backward(),
        lambda x: cr.grad(x.sum(), [x]),
        lambda x: cr.save({"x": x}, "/dev/null"),
    ],
)
def test_what_needs_a_value_says_that_there_is_none(use):
    x = placeholders()[0]
    error = attempt(lambda: use(x))
    assert isinstance(error, (RuntimeError, BufferError, ValueError)), error


def test_it_says_what_it_is():
    x, n, _ = placeholders()
    assert repr(x) == "placeholder(x, shape=(3, 4), dtype=float32)"
    assert repr(n * 2) == "placeholder(shape=(N, 4), dtype=float32)"
