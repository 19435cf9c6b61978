"""Optimizers against literal NumPy versions of their definitions; groups; state dicts; refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

STEPS = 6
SHAPES = [(), (5,), (3, 7), (2, 0), (41,)]


def sgd(p: np.ndarray, gradients: list[np.ndarray], o: dict[str, Any]) -> np.ndarray:
    momentum, buffer = o.get("momentum", 0.0), None
    for gradient in gradients:
        g = (-gradient if o.get("maximize") else gradient) + o.get("weight_decay", 0.0) * p
        if momentum:
            first = buffer is None
            buffer = g if first else momentum * buffer + (1 - o.get("dampening", 0.0)) * g
            g = g + momentum * buffer if o.get("nesterov") else buffer
        p = p - o["lr"] * g
    return p


def adam(p: np.ndarray, gradients: list[np.ndarray], o: dict[str, Any]) -> np.ndarray:
    beta1, beta2 = o.get("betas", (0.9, 0.999))
    eps, decay = o.get("eps", 1e-8), o.get("weight_decay", 0.0)
    m, v, top = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for t, gradient in enumerate(gradients, start=1):
        g = -gradient if o.get("maximize") else gradient
        if o.get("decoupled_weight_decay"):
            p = p - o["lr"] * decay * p
        else:
            g = g + decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        top = np.maximum(top, v)
        second = (top if o.get("amsgrad") else v) / (1 - beta2**t)
        p = p - o["lr"] * (m / (1 - beta1**t)) / (np.sqrt(second) + eps)
    return p


def adamw(p: np.ndarray, gradients: list[np.ndarray], o: dict[str, Any]) -> np.ndarray:
    return adam(p, gradients, {"weight_decay": 1e-2, **o, "decoupled_weight_decay": True})


CASES: list[tuple[Any, Any, dict[str, Any]]] = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "maximize": True}),
    (optim.Adam, adam, {"lr": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3}),
    (optim.Adam, adam, {"lr": 0.1, "amsgrad": True}),
    (optim.Adam, adam, {"lr": 0.1, "maximize": True, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True, "betas": (0.8, 0.9)}),
]
IDS = [f"{kind.__name__}-{','.join(f'{k}={v}' for k, v in o.items())}" for kind, _, o in CASES]


def problem(rng: np.random.Generator, dtype: Any) -> tuple[list[Any], list[list[np.ndarray]]]:
    """Parameters of several shapes and, for each, the gradients of every step."""
    values = [rng.standard_normal(shape) for shape in SHAPES]
    gradients = [[rng.standard_normal(shape) * 10.0**-i for i in range(STEPS)] for shape in SHAPES]
    return [nn.Parameter(cr.tensor(v).to(dtype)) for v in values], gradients


def feed(params: list[Any], gradients: list[list[np.ndarray]], i: int) -> None:
    for param, of_steps in zip(params, gradients, strict=True):
        param.grad = cr.tensor(of_steps[i]).to(param.dtype)


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
@pytest.mark.parametrize(("dtype", "rtol"), [(cr.float64, 1e-12), (cr.float32, 1e-4)])
def test_steps_follow_the_definition(
    kind: Any, reference: Any, options: dict[str, Any], dtype: Any, rtol: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    params, gradients = problem(rng, dtype)
    starts = [p.detach().double().numpy().copy() for p in params]
    opt = kind(params, **options)
    for i in range(STEPS):
        feed(params, gradients, i)
        opt.step()
    for param, start, of_steps in zip(params, starts, gradients, strict=True):
        expected = reference(start, of_steps, options)
        np.testing.assert_allclose(param.detach().numpy(), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
def test_strided_parameters_and_gradients(
    kind: Any, reference: Any, options: dict[str, Any], rng: np.random.Generator
) -> None:
    start, of_steps = rng.standard_normal((3, 4)), rng.standard_normal((STEPS, 3, 4))
    param = nn.Parameter(cr.tensor(start.T.copy()).T)
    assert not param.is_contiguous()
    opt = kind([param], **options)
    for gradient in of_steps:
        param.grad = cr.tensor(gradient.T.copy()).T
        opt.step()
    expected = reference(start, list(of_steps), options)
    np.testing.assert_allclose(param.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_parameters_without_gradient_are_left_alone(kind: Any) -> None:
    used, unused = nn.Parameter(cr.ones(2)), nn.Parameter(cr.ones(2))
    opt = kind([used, unused], lr=0.1, weight_decay=0.5)
    (used * 2).sum().backward()
    opt.step()
    assert unused.tolist() == [1.0, 1.0]
    assert unused._version == 0
    assert used.tolist() != [1.0, 1.0]
    opt.zero_grad()
    assert used.grad is None


def test_late_gradients_start_their_own_count() -> None:
    """Adam's bias correction counts the steps of each parameter."""
    early, late = nn.Parameter(cr.zeros(1)), nn.Parameter(cr.zeros(1))
    opt = optim.Adam([early, late], lr=0.5)
    early.grad = cr.ones(1)
    opt.step()
    late.grad = cr.ones(1)
    opt.step()
    assert late.item() == pytest.approx(-0.5, rel=1e-6)
    assert early.item() == pytest.approx(-1.0, rel=1e-6)


def test_groups_have_their_own_options() -> None:
    a, b, c = (nn.Parameter(cr.ones(1)) for _ in range(3))
    opt = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.25, "weight_decay": 1.0}], lr=0.5)
    opt.add_param_group({"params": c, "lr": 0.0})
    for p in (a, b, c):
        p.grad = cr.ones(1)
    opt.step()
    assert [p.item() for p in (a, b, c)] == [0.5, 0.5, 1.0]
    opt.param_groups[2]["lr"] = 1.0
    opt.step()
    assert c.item() == 0.0
    assert [len(group["params"]) for group in opt.param_groups] == [1, 1, 1]


def test_closure_runs_with_recording() -> None:
    p = nn.Parameter(cr.ones(1))
    opt = optim.SGD([p], lr=0.5)

    def closure() -> Any:
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with cr.no_grad():
        assert opt.step(closure).item() == 1.0
    assert p.item() == 0.0


def test_a_step_is_not_recorded_but_counted() -> None:
    p = nn.Parameter(cr.ones(1))
    opt = optim.SGD([p], lr=0.5)
    loss = p * p
    loss.backward(retain_graph=True)
    opt.step()
    assert (p.is_leaf, p.requires_grad, p._version) == (True, True, 1)
    with pytest.raises(RuntimeError, match="mul"):
        loss.backward()


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
def test_state_dict_continues_bit_for_bit(
    kind: Any, reference: Any, options: dict[str, Any], rng: np.random.Generator, tmp_path: Any
) -> None:
    params, gradients = problem(rng, cr.float32)
    opt = kind([{"params": params[:2]}, {"params": params[2:]}], **options)
    for i in range(STEPS // 2):
        feed(params, gradients, i)
        opt.step()
    copies = [nn.Parameter(p.detach().clone()) for p in params]
    other = kind([{"params": copies[:2]}, {"params": copies[2:]}], lr=77.0)
    cr.save(opt.state_dict(), tmp_path / "opt.safetensors")
    other.load_state_dict(cr.load(tmp_path / "opt.safetensors"))
    for i in range(STEPS // 2, STEPS):
        for some, optimizer in ((params, opt), (copies, other)):
            feed(some, gradients, i)
            optimizer.step()
    for left, right in zip(params, copies, strict=True):
        assert left.detach().numpy().tobytes() == right.detach().numpy().tobytes()


def test_state_dict_layout() -> None:
    p = nn.Parameter(cr.ones(2))
    opt = optim.Adam([p], lr=0.5)
    assert opt.state_dict()["state"] == {}
    p.grad = cr.ones(2)
    opt.step()
    state = opt.state_dict()
    assert state["param_groups"][0]["params"] == [0]
    assert state["param_groups"][0]["lr"] == 0.5
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}
    assert int(state["state"][0]["step"]) == 1
    assert list(opt.state) == [p]


def broken(change: Any) -> tuple[Any, dict[str, Any]]:
    p = nn.Parameter(cr.ones(2))
    opt = optim.Adam([p], lr=0.5)
    p.grad = cr.ones(2)
    opt.step()
    source = optim.Adam([nn.Parameter(cr.ones(2))], lr=0.125)
    source.param_groups[0]["params"][0].grad = cr.ones(2)
    source.step()
    state = source.state_dict()
    change(state)
    return opt, state


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s["state"][0].update(exp_avg=cr.ones(3)), r"exp_avg.*\(3,\).*\(2,\)"),
        (lambda s: s["state"].update({5: {}}), r"\b5\b"),
        (lambda s: s["state"][0].update(velocity=cr.ones(2)), r"velocity"),
        (lambda s: s["param_groups"][0].update(lr=-1.0), r"lr.*-1"),
        (lambda s: s["param_groups"][0]["params"].append(1), r"2.*1"),
    ],
    ids=["shape", "stray entry", "unknown state", "bad option", "group size"],
)
def test_bad_state_dict_changes_nothing(change: Any, text: str) -> None:
    opt, state = broken(change)
    before = repr(opt.state_dict())
    with pytest.raises(ValueError, match=text):
        opt.load_state_dict(state)
    assert repr(opt.state_dict()) == before


@pytest.mark.parametrize(
    "kind", [lambda p: optim.SGD(p, lr=0.5, momentum=0.9), lambda p: optim.Adam(p, lr=0.5)]
)
def test_misshapen_state_changes_nothing(kind: Any) -> None:
    good, bad = nn.Parameter(cr.ones(2)), nn.Parameter(cr.ones(2))
    opt = kind([good, bad])
    good.grad, bad.grad = cr.ones(2), cr.ones(2)
    opt.step()
    bad.data = cr.ones(3)
    bad.grad = cr.ones(3)
    before = (good.tolist(), repr(opt.state_dict()))
    with pytest.raises(ValueError, match=r"_step: .*\(3,\).*\(2,\).*; "):
        opt.step()
    assert (good.tolist(), repr(opt.state_dict())) == before
    assert bad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda p: optim.SGD([], lr=0.1), ValueError, r"^SGD: .*empty"),
        (lambda p: optim.SGD([p], lr=-0.1), ValueError, r"^SGD: lr.*-0.1.*; "),
        (lambda p: optim.SGD([p], lr=float("nan")), ValueError, r"^SGD: lr.*nan.*; "),
        (lambda p: optim.SGD([p], lr="fast"), TypeError, r"^SGD: lr.*str.*; "),
        (lambda p: optim.SGD([p], lr=0.1, nesterov=True), ValueError, r"^SGD: .*; .*momentum"),
        (lambda p: optim.SGD([p], lr=0.1, momentum=-1), ValueError, r"^SGD: momentum.*-1.*; "),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, r"^Adam: betas.*1.0.*; "),
        (lambda p: optim.Adam([p], eps=-1.0), ValueError, r"^Adam: eps.*-1.*; "),
        (lambda p: optim.AdamW([p], weight_decay=-1.0), ValueError, r"^AdamW: weight_decay.*-1"),
        (lambda p: optim.SGD([p, p], lr=0.1), ValueError, r"^SGD: .*twice"),
        (lambda p: optim.SGD([p * 2], lr=0.1), ValueError, r"^SGD: .*; .*lea"),
        (lambda p: optim.SGD(p, lr=0.1), TypeError, r"^SGD: .*; .*list"),
        (lambda p: optim.SGD([("w", p)], lr=0.1), TypeError, r"^SGD: .*tuple.*; "),
    ],
)
def test_bad_construction(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make(nn.Parameter(cr.ones(2)))


@pytest.mark.parametrize(
    "kind", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.Adam(p, lr=0.05)]
)
def test_training_reduces_the_loss(kind: Any) -> None:
    x = cr.linspace(-2, 2, 64).unsqueeze(1)
    y = cr.sin(2 * x)
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = kind(net.parameters())
    losses = []
    for _ in range(200):
        opt.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
