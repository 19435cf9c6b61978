"""What happens when a module is called: its forward, hooks, errors; and copies of modules."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
from typing import Any

import pytest

import chainrule as cr
from chainrule import nn


class Arguments(nn.Module):
    """Returns what it was called with."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 9, 40])
@pytest.mark.parametrize("kwargs", [{}, {"k": 1}])
def test_all_arguments_reach_forward(count: int, kwargs: dict[str, int]) -> None:
    args = tuple(range(count))
    assert Arguments()(*args, **kwargs) == (args, kwargs)
    hooked = Arguments()
    hooked.register_forward_hook(lambda *_: None)
    assert hooked(*args, **kwargs) == (args, kwargs)


def test_forward_hooks() -> None:
    layer = nn.Identity()
    calls: list[Any] = []
    before = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    after = layer.register_forward_hook(
        lambda m, args, out: calls.append((args[0].item(), out.item()))
    )
    assert layer(cr.tensor(1.0)).item() == 2.0
    assert calls == [(2.0, 2.0)]
    change = layer.register_forward_hook(lambda m, args, out: out * 10)
    assert layer(cr.tensor(1.0)).item() == 20.0
    for handle in (before, after, change):
        handle.remove()
    assert layer(cr.tensor(1.0)).item() == 1.0
    assert len(calls) == 2


def test_hooks_with_keyword_arguments() -> None:
    layer = Arguments()
    layer.register_forward_pre_hook(lambda m, a, k: ((*a, 2), {**k, "y": 3}), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, k, out: (a, k, out), with_kwargs=True)
    expected = ((1, 2), {"x": 0, "y": 3})
    assert layer(1, x=0) == (*expected, expected)


def test_a_hook_that_fails_names_its_module() -> None:
    def refuse(*_: Any) -> None:
        raise ValueError("refused")

    net = nn.Sequential(nn.ReLU(), nn.Tanh())
    net[1].register_forward_pre_hook(refuse)
    with pytest.raises(ValueError, match=r"^refused; in sequential\.1 \(Tanh\(\)\)$"):
        net(cr.ones(1))


class Doubled(nn.Linear):
    """Overrides the call itself."""

    def __call__(self, x: Any) -> Any:
        return super().__call__(x) * 2


def test_a_subclass_may_override_the_call() -> None:
    layer, x = Doubled(2, 3), cr.randn(4, 2)
    expected = (layer.forward(x) * 2).tolist()
    assert layer(x).tolist() == expected
    assert nn.Sequential(layer)(x).tolist() == expected
    with pytest.raises(ValueError, match=r"; in sequential\.0 \(Doubled\(.*\)\)$"):
        nn.Sequential(layer)(cr.ones(4, 5))


class Mixin:
    def forward(self, x: Any) -> Any:
        return x + 1


class Mixed(Mixin, nn.Module):
    pass


class Static(nn.Module):
    @staticmethod
    def forward(x: Any) -> Any:
        return x + 1


def replaced() -> nn.Module:
    layer = nn.Identity()
    layer.forward = lambda x: x + 1  # type: ignore[method-assign]
    return layer


@pytest.mark.parametrize("make", [Mixed, Static, replaced])
def test_forward_may_come_from_anywhere(make: Any) -> None:
    assert make()(1) == 2


def test_a_module_without_forward() -> None:
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


class Forgetful(nn.Module):
    def __init__(self) -> None:
        pass

    def forward(self, x: Any) -> Any:
        return x


def test_a_module_without_init() -> None:
    words = r"^Forgetful: it was called before Module.__init__\(\).*; call super\(\).__init__\(\)"
    with pytest.raises(AttributeError, match=words):
        Forgetful()(1)


class Endless(nn.Module):
    def forward(self, x: Any) -> Any:
        return self(x)


def test_endless_calls_are_an_error() -> None:
    with pytest.raises(RecursionError):
        Endless()(1)


class Interrupted(nn.Module):
    def forward(self, x: Any) -> Any:
        raise KeyboardInterrupt


def test_what_is_no_error_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        nn.Sequential(Interrupted())(1)
    assert caught.value.args == ()


def test_calls_keep_no_references() -> None:
    net, x = nn.Sequential(Arguments()), cr.ones(2)
    bad = nn.Linear(3, 3)

    def calls() -> None:
        for _ in range(50):
            net(x)
            with pytest.raises(ValueError, match="in linear"):
                bad(x)

    calls()
    before = sys.getrefcount(x)
    calls()
    assert sys.getrefcount(x) == before


def test_the_signature_of_a_module_is_that_of_forward() -> None:
    assert list(inspect.signature(nn.Linear(2, 3)).parameters) == ["input"]
    assert list(inspect.signature(nn.Linear).parameters)[:2] == ["in_features", "out_features"]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_modules_can_be_copied(clone: Any) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    other = clone(net)
    x = cr.randn(4, 2)
    assert other(x).tolist() == net(x).tolist()
    with cr.no_grad():
        other[0].weight.zero_()
    assert abs(net[0].weight).max().item() > 0
    assert isinstance(other[0].weight, nn.Parameter)
