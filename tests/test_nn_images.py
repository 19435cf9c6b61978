"""Layers that work on images: Conv2d and MaxPool2d, against the samples' references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C, nn
from chainrule.nn import functional
from samples import convolution as reference


def test_conv2d_is_its_function(rng: np.random.Generator) -> None:
    layer = nn.Conv2d(4, 6, (2, 3), stride=2, padding=(1, 0), dilation=2, groups=2).double()
    x = rng.standard_normal((3, 4, 7, 9))
    weight, bias = (p.detach().numpy() for p in layer.parameters())
    expected = reference.conv2d(x, weight, bias, 2, (1, 0), 2, 2)
    np.testing.assert_allclose(layer(cr.tensor(x)).detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(layer(cr.tensor(x[0])).detach().numpy(), expected[0], rtol=1e-12)


def test_conv2d_state_has_pytorch_names() -> None:
    layer = nn.Conv2d(4, 6, 3, groups=2)
    shapes = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    assert shapes == {"weight": (6, 2, 3, 3), "bias": (6,)}
    assert nn.Conv2d(4, 6, 3, bias=False).bias is None
    assert nn.Conv2d(1, 1, 1, dtype=cr.float64).weight.dtype == cr.float64


def test_conv2d_starts_as_in_pytorch() -> None:
    layer = nn.Conv2d(32, 640, (3, 5), groups=4)
    bound = 1 / math.sqrt(32 // 4 * 3 * 5)
    for parameter in layer.parameters():
        x = parameter.detach().numpy()
        assert abs(x).max() <= bound * (1 + 1e-6)
        assert abs(x).max() > 0.95 * bound
    assert layer.weight.detach().numpy().var() == pytest.approx(bound**2 / 3, rel=0.03)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            nn.Conv2d(1, 6, 5, padding=2),
            "Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))",
        ),
        (
            nn.Conv2d(2, 6, (5, 3), 2, dilation=2, groups=2, bias=False),
            "Conv2d(2, 6, kernel_size=(5, 3), stride=(2, 2), dilation=(2, 2), groups=2, "
            "bias=False)",
        ),
        (
            nn.Conv2d(1, 1, 3, padding="same"),
            "Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), padding=same)",
        ),
        (
            nn.MaxPool2d(2),
            "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
        ),
        (
            nn.MaxPool2d((2, 3), 1, 1),
            "MaxPool2d(kernel_size=(2, 3), stride=1, padding=1, dilation=1, ceil_mode=False)",
        ),
    ],
)
def test_repr(layer: Any, text: str) -> None:
    assert repr(layer) == text


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3), (5, 4), (2, 2)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_padding(kernel: tuple[int, int], dilation: int, rng: np.random.Generator) -> None:
    """One more row or column on the right and below where the number is odd."""
    x, weight = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((4, 3, *kernel))
    (rows, columns) = (dilation * (k - 1) for k in kernel)
    border = [(rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)]
    expected = reference.conv2d(np.pad(x, [(0, 0), (0, 0), *border]), weight, dilation=dilation)
    found = functional.conv2d(cr.tensor(x), cr.tensor(weight), padding="same", dilation=dilation)
    assert found.shape == (2, 4, 6, 7)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    layer = nn.Conv2d(3, 4, kernel, padding="same", dilation=dilation, bias=False).double()
    with cr.no_grad():
        layer.weight.copy_(cr.tensor(weight))
    assert layer(cr.tensor(x)).tolist() == found.tolist()


def test_valid_padding_is_none(rng: np.random.Generator) -> None:
    x, weight = cr.randn(2, 3, 6, 7), cr.randn(4, 3, 3, 2)
    found = functional.conv2d(x, weight, padding="valid", stride=2)
    assert found.tolist() == functional.conv2d(x, weight, stride=2).tolist()


def test_max_pool2d(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 7, 8))
    values, positions = reference.max_pool2d(x, (2, 3), (2, 3))
    np.testing.assert_array_equal(nn.MaxPool2d((2, 3))(cr.tensor(x)).numpy(), values)
    np.testing.assert_array_equal(functional.max_pool2d(cr.tensor(x), (2, 3)).numpy(), values)
    both = nn.MaxPool2d((2, 3), return_indices=True)(cr.tensor(x))
    np.testing.assert_array_equal(both[1].numpy(), positions)
    both = functional.max_pool2d(cr.tensor(x), 3, 2, 1, 1, True, True)
    for found, expected in zip(both, reference.max_pool2d(x, 3, 2, 1, 1, True), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)


def test_max_pool2d_adds_up_overlapping_windows() -> None:
    x = cr.tensor([[[0.0, 1.0, 0.0]]], requires_grad=True)
    functional.max_pool2d(x, (1, 2), 1).sum().backward()
    assert x.grad.tolist() == [[[0.0, 2.0, 0.0]]]


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 10),
    )  # fmt: skip


@pytest.mark.parametrize("isa", _C.available_isas())
def test_training_lenet_does_not_depend_on_threads(isa: str) -> None:
    """Also that it learns: the loss on one batch falls."""
    _C.force_isa(isa)
    found = set()
    for threads in (1, 2, 4):
        _C.set_num_threads(threads)
        cr.manual_seed(7)
        net, x, target = lenet(), cr.randn(37, 1, 28, 28), cr.randint(0, 10, (37,))
        opt = cr.optim.SGD(net.parameters(), lr=0.1)
        losses = []
        for _ in range(5):
            opt.zero_grad()
            loss = functional.cross_entropy(net(x), target)
            loss.backward()
            opt.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
        found.add(b"".join(p.detach().numpy().tobytes() for p in net.parameters()))
    assert len(found) == 1


SIZES = [
    ((1, 64, 30, 31), (70, 64, 3, 3), {"padding": 1}),
    ((5, 8, 40, 40), (8, 1, 3, 3), {"groups": 8, "stride": 2}),
    ((1, 3, 200, 300), (10, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((3, 20, 12, 12), (500, 20, 12, 12), {}),
]


@pytest.mark.parametrize(("x", "weight", "options"), SIZES)
def test_gradients_do_not_depend_on_threads(x: Any, weight: Any, options: Any) -> None:
    cr.manual_seed(3)
    inputs = [cr.randn(x), cr.randn(weight), cr.randn(weight[0])]
    found = set()
    for threads in (1, 2, 4):
        _C.set_num_threads(threads)
        leaves = [t.clone().requires_grad_() for t in inputs]
        y = functional.conv2d(*leaves, **options)
        (y * y).sum().backward()
        found.add(b"".join(t.detach().numpy().tobytes() for t in (y, *(t.grad for t in leaves))))
    assert len(found) == 1


def test_unused_cells_hold_nothing_back(rng: np.random.Generator) -> None:
    """Infinities in the image reach only the gradients of the elements that met them."""
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.inf
    weight = cr.ones(1, 1, 2, 2, dtype=cr.float64).requires_grad_()
    functional.conv2d(cr.tensor(x), weight).sum().backward()
    assert weight.grad.tolist() == [[[[np.inf, 0.0], [0.0, 0.0]]]]


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda: nn.Conv2d(3, 4, 1, groups=2), r"^Conv2d: in_channels is 3.*; "),
        (lambda: nn.Conv2d(1, 1, 1, groups=0), r"^Conv2d: .*groups 0; "),
        (lambda: nn.Conv2d(1, 1, (1, 2, 3)), r"^Conv2d: kernel_size .*; "),
        (lambda: nn.Conv2d(1, 1, (1, 2.5)), r"^Conv2d: kernel_size .*; "),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), r"^Conv2d: .*'same'.*; "),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), r"^Conv2d: .*'full'; "),
        (
            lambda: functional.conv2d(cr.ones(1, 1, 3, 3), cr.ones(1, 1, 2, 2), None, 2, "same"),
            r"^conv2d: .*'same'.*; ",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3)(cr.ones(1, 4, 5, 5)),
            r"^conv2d: x has shape \(1, 4, 5, 5\), weight has shape \(4, 3, 3, 3\); .*4 != 3",
        ),
    ],
)
def test_bad_input(act: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        act()


@pytest.mark.parametrize("value", [2.5, "3", None])
def test_sizes_of_another_type(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^Conv2d: kernel_size is .*; it must be an int or a pair"):
        nn.Conv2d(1, 1, value)


def test_sizes_may_be_integers_of_numpy() -> None:
    layer = nn.Conv2d(1, 1, np.int64(3), [np.int32(2), 1])
    assert (layer.kernel_size, layer.stride) == ((3, 3), (2, 1))
    assert layer(cr.ones(1, 1, 5, 5)).shape == (1, 1, 2, 3)
