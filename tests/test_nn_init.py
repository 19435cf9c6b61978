"""nn.init: bounds and moments, and PyTorch's defaults for Linear."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import init

FAN_OUT, FAN_IN = 300, 400
COUNT = FAN_OUT * FAN_IN


def filled(fill: Any, **options: Any) -> np.ndarray:
    weight = cr.empty(FAN_OUT, FAN_IN, dtype=cr.float64)
    assert fill(weight, **options) is weight
    return weight.numpy()


@pytest.mark.parametrize(
    ("fill", "options", "bound"),
    [
        (init.uniform_, {"a": -2.0, "b": 2.0}, 2.0),
        (init.xavier_uniform_, {}, math.sqrt(6 / (FAN_IN + FAN_OUT))),
        (init.xavier_uniform_, {"gain": 3.0}, 3 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
        (init.kaiming_uniform_, {}, math.sqrt(6 / FAN_IN)),
        (init.kaiming_uniform_, {"a": math.sqrt(5)}, 1 / math.sqrt(FAN_IN)),
        (
            init.kaiming_uniform_,
            {"mode": "fan_out", "nonlinearity": "relu"},
            math.sqrt(6 / FAN_OUT),
        ),
    ],
)
def test_uniform_fills(fill: Any, options: dict[str, Any], bound: float) -> None:
    x = filled(fill, **options)
    assert abs(x).max() <= bound
    assert abs(x).max() > 0.999 * bound
    assert abs(x.mean()) < 5 * bound / math.sqrt(3 * COUNT)
    assert x.var() == pytest.approx(bound**2 / 3, rel=0.02)


@pytest.mark.parametrize(
    ("fill", "options", "deviation"),
    [
        (init.normal_, {"std": 0.5}, 0.5),
        (init.xavier_normal_, {}, math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (init.kaiming_normal_, {}, math.sqrt(2 / FAN_IN)),
        (init.kaiming_normal_, {"mode": "fan_out"}, math.sqrt(2 / FAN_OUT)),
    ],
)
def test_normal_fills(fill: Any, options: dict[str, Any], deviation: float) -> None:
    x = filled(fill, **options)
    assert abs(x.mean()) < 5 * deviation / math.sqrt(COUNT)
    assert x.std() == pytest.approx(deviation, rel=0.02)


def test_constant_fills() -> None:
    assert filled(init.zeros_).max() == 0
    assert filled(init.ones_).min() == 1
    assert set(filled(init.constant_, val=0.25).ravel()) == {0.25}


def test_linear_starts_as_in_pytorch() -> None:
    layer = nn.Linear(FAN_IN, FAN_OUT)
    bound = 1 / math.sqrt(FAN_IN)
    for parameter in layer.parameters():
        x = parameter.detach().numpy()
        assert abs(x).max() <= bound * (1 + 1e-6)
        assert abs(x).max() > 0.95 * bound
    assert layer.weight.detach().numpy().var() == pytest.approx(bound**2 / 3, rel=0.02)


def test_fills_are_not_recorded() -> None:
    weight = nn.Parameter(cr.empty(2, 3))
    init.kaiming_uniform_(weight)
    assert (weight.requires_grad, weight.is_leaf, weight.grad_fn) == (True, True, None)


def test_fills_follow_the_seed() -> None:
    cr.manual_seed(3)
    first = nn.Linear(4, 4).weight.tolist()
    cr.manual_seed(3)
    assert nn.Linear(4, 4).weight.tolist() == first
    assert nn.Linear(4, 4).weight.tolist() != first


@pytest.mark.parametrize(
    ("fill", "text"),
    [
        (lambda: init.xavier_uniform_(cr.empty(3)), r"^xavier_uniform_: .*\(3,\).*; "),
        (lambda: init.kaiming_normal_(cr.empty(())), r"^kaiming_normal_: .*\(\).*; "),
        (lambda: init.kaiming_uniform_(cr.empty(2, 2), mode="fan"), r"'fan'.*; "),
        (lambda: init.calculate_gain("swirl"), r"'swirl'.*; "),
    ],
)
def test_bad_input(fill: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        fill()
