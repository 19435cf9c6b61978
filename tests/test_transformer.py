"""The layers of transformers: what the tables of samples do not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from chainrule._C import ops

import chainrule as cr
from chainrule import _C, nn
from chainrule.nn import functional


def test_embedding_padding_row_starts_at_zero_and_gets_no_gradient() -> None:
    layer = nn.Embedding(4, 3, padding_idx=-2)
    assert layer.padding_idx == 2
    assert layer.weight[2].tolist() == [0.0, 0.0, 0.0]
    layer(cr.tensor([2, 1, 1, 2])).sum().backward()
    assert layer.weight.grad.tolist() == [[0.0] * 3, [2.0] * 3, [0.0] * 3, [0.0] * 3]
    weight = layer.weight.detach().requires_grad_()
    y = functional.embedding(cr.tensor([2, 1]), weight, padding_idx=2)
    (gradient,) = cr.grad((y * y).sum(), [weight], create_graph=True)
    assert gradient[2].tolist() == [0.0] * 3
    assert repr(layer) == "Embedding(4, 3, padding_idx=2)"


def test_embedding_errors() -> None:
    with pytest.raises(IndexError, match=r"Embedding: padding_idx is 4, .*; "):
        nn.Embedding(4, 3, padding_idx=4)
    with pytest.raises(IndexError, match=r"^embedding: index 7 .*\[0, 3\]"):
        nn.Embedding(4, 3)(cr.tensor([7]))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["weight", "bias"]),
        ({"bias": False}, ["weight"]),
        ({"elementwise_affine": False}, []),
    ],
)
def test_layer_norm_options(options: dict[str, bool], names: list[str]) -> None:
    layer = nn.LayerNorm([2, 3], **options)
    assert [name for name, _ in layer.named_parameters()] == names
    x = cr.randn(4, 2, 3)
    y = layer(x)
    assert y.mean((1, 2)).tolist() == pytest.approx([0.0] * 4, abs=1e-6)
    assert y.var((1, 2), correction=0).tolist() == pytest.approx([1.0] * 4, abs=1e-3)


def test_layer_norm_of_a_large_mean() -> None:
    """The variance is taken about the mean: squares of a million would drown it."""
    x = cr.tensor([[1e6, 1e6 + 1, 1e6 + 3, 1e6 + 4]])
    expected = functional.layer_norm(x.double() - 1e6, 4)
    y = functional.layer_norm(x, 4)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-5)


def test_dropout() -> None:
    cr.manual_seed(3)
    x = cr.ones(100_000)
    y = nn.Dropout(0.25)(x).numpy()
    assert sorted(set(y.tolist())) == [0.0, pytest.approx(4 / 3)]
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert nn.Dropout(0.25).eval()(x) is x
    assert functional.dropout(x, 0.0) is x
    assert functional.dropout(x, 1.0).sum().item() == 0.0
    with pytest.raises(ValueError, match=r"Dropout: p is 1.5; "):
        nn.Dropout(1.5)
    with pytest.raises(TypeError, match=r"Dropout: p is 'half'; "):
        nn.Dropout("half")  # type: ignore[arg-type]
    for p in (0.5, 1.0):
        with pytest.raises(TypeError, match=r"^dropout: input has dtype chainrule\.int64; .*; "):
            functional.dropout(cr.ones(3, dtype=cr.int64), p)


def test_dropout_passes_the_gradient_of_what_stays() -> None:
    cr.manual_seed(3)
    x = cr.ones(64, requires_grad=True)
    y = functional.dropout(x, 0.5)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


@pytest.mark.parametrize("name", ["none", "tanh"])
def test_gelu_layer(name: str) -> None:
    x = cr.linspace(-3, 3, 7)
    assert nn.GELU(name)(x).tolist() == functional.gelu(x, approximate=name).tolist()
    with pytest.raises(ValueError, match=r"GELU: approximate is 'erf'; "):
        nn.GELU("erf")


def heads(*shape: int) -> Any:
    """Strided, as a model has them: (batch, length, heads, features) seen by heads."""
    return cr.randn(*shape, dtype=cr.float64).transpose(1, 2).detach().requires_grad_()


def test_attention_with_a_mask_equals_the_causal_one() -> None:
    q, k, v = heads(2, 5, 3, 4), heads(2, 7, 3, 4), heads(2, 7, 3, 6)
    mask = cr.tril(cr.ones(5, 7, dtype=cr.bool))
    results = []
    for options in ({"is_causal": True}, {"attn_mask": mask}):
        y = functional.scaled_dot_product_attention(q, k, v, **options)
        gradients = cr.grad((y * y).sum(), [q, k, v])
        results.append([y.detach(), *gradients])
    for fused, composed in zip(*results, strict=True):
        np.testing.assert_allclose(fused.numpy(), composed.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["bool", "added"])
def test_attention_of_a_query_that_sees_nothing_is_zero(kind: str) -> None:
    """And so are the gradients through it, while the other queries keep theirs."""
    visible = cr.tensor([[True, True], [False, False]])
    mask = visible if kind == "bool" else cr.where(visible, cr.zeros(2, 2), -np.inf)
    q, k, v = (cr.randn(2, 3, requires_grad=True) for _ in range(3))
    y = functional.scaled_dot_product_attention(q, k, v, mask)
    assert y[1].tolist() == [0.0] * 3
    gradients = cr.grad((y * y).sum(), [q, k, v])
    alone = functional.scaled_dot_product_attention(q[:1], k, v)
    for found, expected in zip(gradients, cr.grad((alone * alone).sum(), [q, k, v]), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_attention_errors() -> None:
    x = cr.ones(2, 3)
    name = "scaled_dot_product_attention"
    with pytest.raises(TypeError, match=rf"^{name}: attn_mask has dtype chainrule\.int64; .*; "):
        functional.scaled_dot_product_attention(x, x, x, cr.ones(2, 2, dtype=cr.int64))
    with pytest.raises(ValueError, match=rf"^{name}: attn_mask and is_causal=True; "):
        functional.scaled_dot_product_attention(x, x, x, cr.ones(2, 2), is_causal=True)
    with pytest.raises(ValueError, match=rf"^{name}: dropout_p is 1.5; "):
        functional.scaled_dot_product_attention(x, x, x, dropout_p=1.5)


def test_attention_dropout_drops_weights() -> None:
    cr.manual_seed(1)
    x = cr.ones(4, 3)
    y = functional.scaled_dot_product_attention(x, x, cr.eye(4), dropout_p=0.5)
    assert set(np.round(y.numpy().ravel(), 4).tolist()) == {0.0, 0.5}


@pytest.mark.parametrize("isa", _C.available_isas())
def test_transformer_ops_do_not_depend_on_threads(isa: str, rng: np.random.Generator) -> None:
    _C.force_isa(isa)
    values = [rng.standard_normal((3, 150, 4, 40)).astype(np.float32) for _ in range(3)]
    weight = rng.standard_normal(160).astype(np.float32)
    index = cr.tensor(rng.integers(0, 3, 500))
    found = set()
    for threads in (1, 2, 4):
        _C.set_num_threads(threads)
        q, k, v = (cr.tensor(a).requires_grad_() for a in values)
        w = cr.tensor(weight).requires_grad_()
        views = [x.transpose(1, 2) for x in (q, k, v)]
        y = functional.scaled_dot_product_attention(*views, is_causal=True)
        y = functional.layer_norm(y.transpose(1, 2).reshape(3, 150, 160), 160, w)
        y = ops.embedding(functional.gelu(y), index)
        (y * y).sum().backward()
        bits = [y.detach(), *(x.grad for x in (q, k, v, w))]
        found.add(b"".join(np.ascontiguousarray(x.numpy()).tobytes() for x in bits))
    assert len(found) == 1


@pytest.mark.parametrize("cut", ["split", "chunk"])
def test_pieces_are_views(cut: str) -> None:
    x = cr.arange(12).reshape(2, 6)
    pieces = getattr(x, cut)(3, 1)
    assert [p.shape for p in pieces] == ([(2, 3)] * 2 if cut == "split" else [(2, 2)] * 3)
    pieces[0].fill_(-1)
    assert x[0, 0].item() == -1


def test_pieces_that_do_not_fit() -> None:
    x = cr.arange(5)
    assert [p.tolist() for p in x.chunk(4)] == [[0, 1], [2, 3], [4]]
    assert [p.shape[0] for p in cr.zeros(0).chunk(3)] == [0, 0, 0]
    assert [p.shape[0] for p in cr.zeros(0).split(2)] == [0]
    with pytest.raises(ValueError, match=r"^split: .*2 != 5"):
        x.split([1, 1])
    with pytest.raises(ValueError, match=r"^split: sections \(6, -1\); none may be negative"):
        x.split([6, -1])
    assert [p.tolist() for p in x.split(np.int64(3))] == [[0, 1, 2], [3, 4]]
    with pytest.raises(ValueError, match=r"^split: split size 0; "):
        x.split(0)
    with pytest.raises(ValueError, match=r"^chunk: 0 chunks; "):
        x.chunk(0)
    with pytest.raises(IndexError, match=r"^split: "):
        x.split(1, 1)
