"""A size that is not known before the graph runs: right for any size, or one clear error."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import functional as F


def assembled(build, *shape):
    with cr.Graph() as g:
        x = g.input("x", shape or (None, 4))
        y = build(x)
    return g.outputs(y=y)


FACTORS = {
    "x * cr.tensor(n)": lambda x, n: x * cr.tensor(n),
    "x * cr.as_tensor(n)": lambda x, n: x * cr.as_tensor(n),
    "x / cr.tensor(n, dtype=float32)": lambda x, n: x / cr.tensor(n, dtype=cr.float32),
    "a tensor times n": lambda x, n: x * (cr.tensor(2.0) * n),
    "a parameter times n": lambda x, n: x * (cr.ones(4, requires_grad=True) * n),
    "an int32 tensor times n": lambda x, n: x * (cr.tensor(2, dtype=cr.int32) * n),
    "n * x": lambda x, n: n * x,
    "x ** n": lambda x, n: x**n,
    "cr.where": lambda x, n: cr.where(x > 1, x, n),
}


@pytest.mark.parametrize("case", FACTORS)
def test_n_as_a_number_is_right_for_every_size(case):
    g = assembled(lambda x: FACTORS[case](x, x.shape[0]))
    for n in (1, 3, 7):
        x = cr.arange(4.0 * n).reshape(n, 4) / n
        expected = FACTORS[case](x, n).detach()
        found = g.forward(x=x)["y"]
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)


TWO_OPEN = {
    "matmul": lambda x: x @ x.mT,
    "broadcasting": lambda x: x.sum(1)[:, None] * x.sum(1)[None, :],
    "expand": lambda x: x[:, None].expand(x.shape[0], x.shape[0], 4),
    "eye": lambda x: cr.eye(x.shape[0]) @ x,
}


@pytest.mark.parametrize("case", TWO_OPEN)
def test_two_open_sizes_are_one_clear_error(case):
    with pytest.raises(ValueError, match=r"one size of a tensor may be left open; give the input"):
        assembled(TWO_OPEN[case])


def test_the_gradient_of_attention_over_an_open_length():
    def attention(q):
        return F.scaled_dot_product_attention(q, q, q, is_causal=True).sum()

    g = assembled(attention, 1, None, 4)
    q = cr.randn(1, 3, 4, requires_grad=True)
    g.forward(x=q.detach())
    attention(q).backward()
    np.testing.assert_allclose(g.backward("y")["x"].numpy(), q.grad.numpy(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"one size of a tensor may be left open; give the input"):
        g.grad("y", "x")


@pytest.mark.parametrize(
    "use",
    [
        lambda n: n * 20_000_000,
        lambda n: n * 2_000_000_000,
        lambda n: n + 1_000_001,
        lambda n: n - 20_000_000,
        lambda n: n * n,
    ],
)
def test_sizes_beyond_what_can_be_followed(use):
    with pytest.raises(RuntimeError, match="up to a million") as caught:
        use(cr.Graph().input("x", (None, 4)).shape[0])
    assert "66600000" not in str(caught.value)


def test_n_in_a_list_has_no_value():
    n = cr.Graph().input("x", (None, 4)).shape[0]
    with pytest.raises(RuntimeError, match="the size N among the elements"):
        cr.tensor([n, 1])


def test_many_sizes_in_turn():
    weight = cr.randn(4, 3)
    g = assembled(lambda x: (x @ weight).tanh().sum())
    for n in [*range(1, 400), 5, 399, 1]:
        x = cr.ones(n, 4) / n
        assert g.forward(x=x)["y"].item() == (x @ weight).tanh().sum().item()
        assert g.backward("y")["x"].shape == (n, 4)


def test_the_values_of_many_large_sizes_are_not_all_kept():
    g = assembled(lambda x: (x * 2).sum(), None, 1_000_000)
    before = cr.memory_stats()["bytes_in_use"]
    for n in range(1, 16):
        g.forward(x=cr.ones(n, 1_000_000))
    assert cr.memory_stats()["bytes_in_use"] - before < 300e6


@pytest.mark.parametrize("rows", [slice(None, 2), slice(2, None), slice(-2, None)])
def test_n_too_small_for_a_slice(rows):
    """Whoever assembled the graph was told that there are 2 rows, and may have used it."""
    g = assembled(lambda x: (x[rows] * x[rows].shape[0]).sum())
    assert g.forward(x=cr.ones(4, 4))["y"].item() == 16
    with pytest.raises(ValueError, match=r"graph: N = 1, for which slice gives shape .* larger N"):
        g.forward(x=cr.ones(1, 4))
    assert g.forward(x=cr.ones(4, 4))["y"].item() == 16
