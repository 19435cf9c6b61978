"""nn.Module: registration, walking, state, modes, hooks, printing; and the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import functional


class Net(nn.Module):
    """A model with every kind of member."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Tanh()])
        self.scale = nn.Parameter(cr.ones(1))
        self.register_buffer("mean", cr.zeros(3))
        self.register_buffer("scratch", cr.zeros(1), persistent=False)
        self.plain = cr.ones(1)

    def forward(self, x: Any) -> Any:
        x = self.first(x - self.mean)
        for block in self.blocks:
            x = block(x)
        return x * self.scale


NAMES = ["scale", "first.weight", "first.bias", "blocks.0.weight"]


def test_attributes_register_themselves() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [tuple(p.shape) for p in net.parameters()] == [(1,), (4, 3), (4,), (4, 4)]
    assert [name for name, _ in net.named_buffers()] == ["mean", "scratch"]
    assert [name for name, _ in net.named_children()] == ["first", "blocks"]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "first",
        "blocks",
        "blocks.0",
        "blocks.1",
    ]
    assert len(list(net.modules())) == 5
    assert list(net.children()) == [net.first, net.blocks]
    assert len(list(net.buffers())) == 2


def test_parameters_of_one_level() -> None:
    assert [name for name, _ in Net().named_parameters(recurse=False)] == ["scale"]
    assert next(name for name, _ in Net().named_parameters(prefix="net")) == "net.scale"


def test_shared_members_come_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    assert len(list(net.parameters())) == 2
    assert len(list(net.modules())) == 3
    assert sorted(net.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_reassignment_and_deletion() -> None:
    net = Net()
    net.first = nn.Linear(3, 4, bias=False)
    net.scale = nn.Parameter(cr.zeros(1))
    assert "first.bias" not in dict(net.named_parameters())
    assert net.scale.item() == 0.0
    del net.scale
    assert "scale" not in dict(net.named_parameters())
    with pytest.raises(AttributeError, match="scale"):
        net.scale  # noqa: B018
    net.mean = cr.ones(3)
    assert dict(net.named_buffers())["mean"].tolist() == [1, 1, 1]
    net.first = None
    assert "first.weight" not in dict(net.named_parameters())


def test_a_parameter_may_not_become_a_number() -> None:
    with pytest.raises(TypeError, match=r"scale.*float.*; .*Parameter"):
        Net().scale = 1.0


def test_members_before_init_are_refused() -> None:
    class Hasty(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Hasty()


@pytest.mark.parametrize("name", ["", "a.b"])
def test_registered_names_are_attribute_names(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        nn.Module().register_buffer(name, cr.ones(1))


def test_state_dict_round_trip() -> None:
    source, target = Net(), Net()
    with cr.no_grad():
        source.mean.fill_(3.0)
    state = source.state_dict()
    assert list(state) == ["scale", "mean", "first.weight", "first.bias", "blocks.0.weight"]
    assert not any(t.requires_grad for t in state.values())
    report = target.load_state_dict(state)
    assert (list(report.missing_keys), list(report.unexpected_keys)) == ([], [])
    x = cr.randn(2, 3)
    assert target(x).tolist() == source(x).tolist()


def test_state_dict_is_an_alias_and_load_a_copy() -> None:
    net = Net()
    state = net.state_dict()
    state["scale"].fill_(5.0)
    assert net.scale.item() == 5.0
    other = Net()
    other.load_state_dict(state)
    state["scale"].fill_(6.0)
    assert other.scale.item() == 5.0


def test_load_state_dict_not_strict() -> None:
    net = Net()
    state = {"scale": cr.full((1,), 2.0), "stranger": cr.ones(1)}
    report = net.load_state_dict(state, strict=False)
    assert set(report.missing_keys) == {"mean", "first.weight", "first.bias", "blocks.0.weight"}
    assert list(report.unexpected_keys) == ["stranger"]
    assert net.scale.item() == 2.0


def test_modes_reach_every_module() -> None:
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_zero_grad_requires_grad_and_apply() -> None:
    net = Net()
    net(cr.ones(2, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(abs(p.grad).max().item() == 0 for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert net.requires_grad_(False) is net
    assert not net(cr.ones(2, 3)).requires_grad
    visited: list[str] = []
    assert net.apply(lambda m: visited.append(type(m).__name__)) is net
    assert visited == ["Linear", "Linear", "Tanh", "ModuleList", "Net"]


def test_to_changes_dtypes_in_place() -> None:
    net = Net()
    weight = net.first.weight
    net(cr.ones(1, 3)).sum().backward()
    assert net.to(cr.float64) is net
    assert net.first.weight is weight
    tensors = [*net.parameters(), *net.buffers()]
    assert all(t.dtype == cr.float64 for t in tensors)
    assert weight.grad.dtype == cr.float64
    assert net(cr.ones(1, 3, dtype=cr.float64)).dtype == cr.float64
    assert net.float().first.weight.dtype == cr.float32


def test_integer_buffers_keep_their_dtype() -> None:
    module = nn.Module()
    module.register_buffer("count", cr.tensor(0))
    assert module.double().count.dtype == cr.int64


def test_repr() -> None:
    assert repr(nn.Linear(64, 10)) == "Linear(in_features=64, out_features=10, bias=True)"
    assert repr(nn.Softmax(dim=1)) == "Softmax(dim=1)"
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU()))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )


def test_sequential_is_a_list() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh())
    assert len(net) == 3
    assert isinstance(net[-1], nn.Tanh)
    assert [type(m).__name__ for m in net[1:]] == ["ReLU", "Tanh"]
    net.append(nn.Sigmoid())
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    with pytest.raises(IndexError, match=r"9.*; "):
        net[9]
    with pytest.raises(TypeError, match=r"Sequential.*int.*; "):
        nn.Sequential(1)


def test_module_list_is_a_list() -> None:
    blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    blocks.append(nn.ReLU())
    blocks.extend([nn.Tanh()])
    blocks.insert(0, nn.Identity())
    assert [type(m).__name__ for m in blocks] == ["Identity", *["Linear"] * 3, "ReLU", "Tanh"]
    assert len(list(blocks.parameters())) == 6
    del blocks[0]
    assert blocks[-1] is list(blocks)[4]


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (0, 3)])
def test_linear(shape: tuple[int, ...]) -> None:
    layer = nn.Linear(3, 4).double()
    x = cr.randn(shape, dtype=cr.float64)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy() @ weight.T + bias, rtol=1e-12)
    bare = nn.Linear(3, 4, bias=False)
    assert bare.bias is None
    assert bare(x.float()).shape == (*shape[:-1], 4)


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Softmax(dim=1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        (nn.Identity(1, any="thing"), lambda x: x),
        (nn.Flatten(0), np.ravel),
    ],
    ids=lambda value: repr(value) if isinstance(value, nn.Module) else "",
)
def test_layers_without_parameters(layer: Any, function: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4))
    np.testing.assert_allclose(layer(cr.tensor(x)).numpy(), function(x), rtol=1e-12)
    assert list(layer.parameters()) == []


def test_flatten_keeps_the_batch() -> None:
    assert nn.Flatten()(cr.zeros(2, 3, 4)).shape == (2, 12)
    assert nn.Flatten(start_dim=0, end_dim=1)(cr.zeros(2, 3, 4)).shape == (6, 4)


def test_loss_layers_are_their_functions() -> None:
    x, y = cr.randn(4, 3), cr.randn(4, 3)
    target = cr.tensor([0, 2, 1, 2])
    assert nn.MSELoss()(x, y).item() == functional.mse_loss(x, y).item()
    assert nn.MSELoss(reduction="sum")(x, y).item() == ((x - y) ** 2).sum().item()
    expected = functional.cross_entropy(x, target, ignore_index=2)
    assert nn.CrossEntropyLoss(ignore_index=2)(x, target).item() == expected.item()


def test_cross_entropy_options(rng: np.random.Generator) -> None:
    """Class weights, label smoothing and probabilities: the definition, written in NumPy."""
    logits, target = rng.standard_normal((5, 3)), np.array([0, 2, 1, 2, 0])
    weight = np.array([0.5, 1.0, 2.0])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    x, t, w = cr.tensor(logits), cr.tensor(target), cr.tensor(weight)
    picked = -log_p[range(5), target] * weight[target]
    found = functional.cross_entropy(x, t, w)
    assert found.item() == pytest.approx(picked.sum() / weight[target].sum(), rel=1e-12)
    smooth = 0.9 * np.eye(3)[target] + 0.1 / 3
    expected = -(smooth * log_p).sum(1)
    found = functional.cross_entropy(x, t, label_smoothing=0.1, reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    found = functional.cross_entropy(x, cr.tensor(smooth))
    assert found.item() == pytest.approx(expected.mean(), rel=1e-12)


def test_cross_entropy_of_images(rng: np.random.Generator) -> None:
    logits, target = rng.standard_normal((2, 3, 4)), rng.integers(0, 3, (2, 4))
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -np.take_along_axis(log_p, target[:, None], 1).squeeze(1)
    found = functional.cross_entropy(cr.tensor(logits), cr.tensor(target), reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_a_parameter_is_a_leaf_that_shares() -> None:
    data = cr.ones(2)
    p = nn.Parameter(data)
    assert isinstance(p, cr.Tensor)
    assert (p.requires_grad, p.is_leaf, p.data_ptr()) == (True, True, data.data_ptr())
    assert not data.requires_grad
    assert type(p * 2) is cr.Tensor
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    with pytest.raises(TypeError, match=r"list.*; .*Tensor"):
        nn.Parameter([1.0])
    with pytest.raises(TypeError, match=r"int64"):
        nn.Parameter(cr.tensor([1]))
