"""Options and keywords as models written for torch.nn use them; messages about wrong ones."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import functional
from samples import convolution as reference

# ---- inplace ----


@pytest.mark.parametrize("layer", [nn.ReLU, nn.SiLU])
def test_inplace_changes_the_input_and_keeps_the_gradient(layer: Any) -> None:
    assert layer().inplace is False
    assert layer(inplace=False).inplace is False
    assert repr(layer()) == f"{layer.__name__}()"
    assert repr(layer(inplace=True)) == f"{layer.__name__}(inplace=True)"
    values = np.linspace(-2, 2, 8)
    gradients = []
    for inplace in (False, True):
        x = cr.tensor(values, requires_grad=True)
        z = x * 2
        before = z.tolist()
        y = layer(inplace)(z)
        assert (y is z) is inplace
        assert (z.tolist() == before) is not inplace
        (y * y).sum().backward()
        gradients.append(x.grad.tolist())
    assert gradients[0] == gradients[1]


@pytest.mark.parametrize("function", [functional.relu, functional.silu])
def test_inplace_functions(function: Any) -> None:
    x = cr.tensor([-1.0, 2.0])
    expected = function(x).tolist()
    assert function(x, inplace=True) is x
    assert x.tolist() == expected
    with pytest.raises(RuntimeError, match=r"leaf"):
        function(cr.ones(2, requires_grad=True), inplace=True)


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_dropout_in_place(p: float) -> None:
    assert repr(nn.Dropout(p, inplace=True)) == f"Dropout(p={p}, inplace=True)"
    x = cr.ones(100)
    y = nn.Dropout(p, inplace=True)(x)
    assert y is x
    assert set(x.tolist()) <= {0.0, 2.0}
    assert 0.0 in x.tolist()
    z = cr.ones(100)
    nn.Dropout(p)(z)
    assert z.tolist() == [1.0] * 100


# ---- options that have one value ----


def test_options_of_pytorch_at_their_defaults() -> None:
    layer = nn.Conv2d(1, 2, 3, padding=1, bias=False, padding_mode="zeros")
    assert layer(cr.ones(1, 1, 4, 4)).shape == (1, 2, 4, 4)
    table = nn.Embedding(4, 2, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False)
    assert table(cr.tensor([1])).shape == (1, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Conv2d(1, 1, 1, padding_mode="reflect"),
            r"^Conv2d: padding_mode is 'reflect'; it must be 'zeros'; .*$",
        ),
        (
            lambda: nn.Embedding(2, 2, max_norm=1.0),
            r"^Embedding: max_norm is 1.0; it must be None,",
        ),
        (
            lambda: nn.Embedding(2, 2, scale_grad_by_freq=True),
            r"^Embedding: scale_grad_by_freq is True; it must be False,",
        ),
        (lambda: nn.Embedding(2, 2, sparse=True), r"^Embedding: sparse is True; it must be False,"),
        (
            lambda: nn.Conv2d(-1, 1, 1),
            r"^Conv2d: in_channels is -1, out_channels 1; neither may be negative$",
        ),
    ],
)
def test_refused_options(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2), ()])
def test_embedding_takes_a_table(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^embedding: weight has shape \(.*\); it must be \(num_"):
        functional.embedding(cr.tensor([0]), cr.ones(shape))


def test_split_by_either_name() -> None:
    x = cr.arange(5)
    expected = [piece.tolist() for piece in x.split(2)]
    assert [piece.tolist() for piece in x.split(split_size=2)] == expected
    assert [piece.tolist() for piece in cr.split(x, split_size_or_sections=2)] == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: functional.layer_norm([1.0], (1,)),  # type: ignore[arg-type]
            r"^layer_norm: input is a list; it must be a Tensor; .*$",
        ),
        (
            lambda: cr.arange(4).split(True),
            r"^split: split_size_or_sections is a bool; it must be an int$",
        ),
        (lambda: cr.set_num_threads(True), r"^set_num_threads: n is a bool; it must be an int$"),
        (lambda: cr.ones(2).sum(dim=True), r"^sum: dim is a bool; it must be an int"),
    ],
)
def test_messages_about_types(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


# ---- pooling with a window that is wider than the image ----


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((2, 2), {"kernel_size": 3, "stride": 2}),
        ((2, 5), {"kernel_size": (3, 2), "stride": (2, 2)}),
        ((1, 1), {"kernel_size": 4, "stride": 3, "padding": 1}),
        ((3, 4), {"kernel_size": 3, "stride": 4, "dilation": (2, 3)}),
        ((3, 3), {"kernel_size": 2, "stride": 2, "padding": 1}),
        ((4, 4), {"kernel_size": 2, "stride": 3, "padding": 1}),
    ],
)
def test_ceil_mode_counts_windows_as_pytorch_does(
    size: tuple[int, int], options: dict[str, Any], rng: np.random.Generator
) -> None:
    x = rng.standard_normal((2, 3, *size))
    found = functional.max_pool2d(cr.tensor(x), ceil_mode=True, return_indices=True, **options)
    for a, b in zip(found, reference.max_pool2d(x, ceil_mode=True, **options), strict=True):
        np.testing.assert_array_equal(a.numpy(), b)


def test_a_window_wider_than_the_image_has_a_gradient_and_a_bound() -> None:
    x = cr.tensor([[[1.0, 4.0], [3.0, 2.0]]], requires_grad=True)
    functional.max_pool2d(x, 10**9, ceil_mode=True).sum().backward()  # no table of 10**18 offsets
    assert x.grad.tolist() == [[[0.0, 1.0], [0.0, 0.0]]]
    with pytest.raises(ValueError, match=r"^max_pool2d: .*; the kernel must span at most"):
        functional.max_pool2d(x, 3)
    with pytest.raises(ValueError, match=r"^max_pool2d: .*; the kernel must span less than"):
        functional.max_pool2d(x, 5, 2, ceil_mode=True)


# ---- pickle ----


def double(module: nn.Module, args: Any, output: cr.Tensor) -> cr.Tensor:
    return output * 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_modules_pickle_with_every_protocol(protocol: int) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.5)).eval()
    net[0].register_forward_hook(double)
    x = cr.ones(4, 2)
    again = pickle.loads(pickle.dumps(net, protocol))
    assert again(x).tolist() == net(x).tolist()
    handle = again[0].register_forward_hook(double)  # the dict still takes a weak reference
    assert again(x).tolist() != net(x).tolist()
    handle.remove()
    assert again(x).tolist() == net(x).tolist()
