"""Random numbers: the same for a seed and any thread count, and of the distributions they claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C

COUNT = 100_003  # several parallel blocks and a tail

DRAWS: dict[str, Callable[[], Any]] = {
    "rand": lambda: cr.rand(COUNT),
    "rand float64": lambda: cr.rand(COUNT, dtype=cr.float64),
    "randn": lambda: cr.randn(COUNT),
    "randn float64": lambda: cr.randn(COUNT, dtype=cr.float64),
    "randint": lambda: cr.randint(-3, 1000, (COUNT,)),
    "randperm": lambda: cr.randperm(COUNT),
}


def drawn(name: str, seed: int = 7) -> np.ndarray:
    cr.manual_seed(seed)
    return DRAWS[name]().numpy()


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_gives_the_same_bits(name: str) -> None:
    assert drawn(name).tobytes() == drawn(name).tobytes()
    assert drawn(name, 7).tobytes() != drawn(name, 8).tobytes()


@pytest.mark.parametrize("name", DRAWS)
def test_any_thread_count_gives_the_same_bits(name: str) -> None:
    found = set()
    for threads in (1, 2, 4):
        _C.set_num_threads(threads)
        found.add(drawn(name).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("isa", _C.available_isas())
@pytest.mark.parametrize("name", ["rand", "randint", "randperm"])
def test_any_instruction_set_gives_the_same_integers_and_uniforms(name: str, isa: str) -> None:
    expected = drawn(name).tobytes()
    _C.force_isa(isa)
    assert drawn(name).tobytes() == expected


@pytest.mark.parametrize("name", DRAWS)
def test_the_next_call_differs(name: str) -> None:
    cr.manual_seed(7)
    first, second = DRAWS[name]().numpy(), DRAWS[name]().numpy()
    assert (first == second).mean() < 0.01


def test_calls_are_uncorrelated() -> None:
    cr.manual_seed(3)
    draws = np.stack([cr.rand(COUNT).numpy() for _ in range(4)])
    correlations = np.corrcoef(draws)[np.triu_indices(4, 1)]
    assert abs(correlations).max() < 5 / np.sqrt(COUNT)


def test_neighbouring_seeds_are_uncorrelated() -> None:
    draws = np.stack([drawn("rand", seed) for seed in range(4)])
    correlations = np.corrcoef(draws)[np.triu_indices(4, 1)]
    assert abs(correlations).max() < 5 / np.sqrt(COUNT)


@pytest.mark.parametrize("name", ["rand", "rand float64"])
def test_rand_is_uniform(name: str) -> None:
    x = drawn(name).astype(np.float64)
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(x.mean() - 0.5) < 5 * np.sqrt(1 / 12 / COUNT)
    assert abs(x.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / COUNT)
    counts = np.histogram(x, 64, (0, 1))[0]
    chi_squared = ((counts - COUNT / 64) ** 2 / (COUNT / 64)).sum()
    assert chi_squared < 63 + 5 * np.sqrt(2 * 63)


@pytest.mark.parametrize("name", ["randn", "randn float64"])
def test_randn_is_normal(name: str) -> None:
    x = drawn(name).astype(np.float64)
    assert np.isfinite(x).all()
    assert abs(x.mean()) < 5 / np.sqrt(COUNT)
    assert abs((x**2).mean() - 1) < 5 * np.sqrt(2 / COUNT)
    assert abs((x**3).mean()) < 5 * np.sqrt(15 / COUNT)
    assert abs((x**4).mean() - 3) < 5 * np.sqrt(96 / COUNT)
    assert abs((abs(x) < 1).mean() - 0.6826895) < 5 * np.sqrt(0.22 / COUNT)
    assert abs(x[:-1] @ x[1:]) / COUNT < 5 / np.sqrt(COUNT)


def test_randint_covers_its_range_evenly() -> None:
    cr.manual_seed(1)
    x = cr.randint(-2, 5, (COUNT,)).numpy()
    assert (x.dtype, x.min(), x.max()) == (np.int64, -2, 4)
    counts = np.bincount(x + 2, minlength=7)
    assert ((counts - COUNT / 7) ** 2 / (COUNT / 7)).sum() < 6 + 5 * np.sqrt(12)
    assert cr.randint(3, (4,)).numpy().max() < 3
    assert cr.randint(0, 1, (5,)).tolist() == [0] * 5


def test_randint_of_a_wide_range() -> None:
    cr.manual_seed(1)
    x = cr.randint(-(2**62), 2**62, (1000,)).numpy()
    assert abs(x.astype(np.float64).mean()) < 5 * 2**62 / np.sqrt(3 * 1000)
    assert len(np.unique(x)) == 1000
    assert len(np.unique(x & 0xFFFF)) > 900


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 1000])
def test_randperm_is_a_permutation(count: int) -> None:
    x = cr.randperm(count)
    assert x.dtype == cr.int64
    assert sorted(x.tolist()) == list(range(count))


def test_randperm_is_fair() -> None:
    cr.manual_seed(0)
    seen: dict[tuple[int, ...], int] = {}
    rounds = 6000
    for _ in range(rounds):
        order = tuple(cr.randperm(3).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 6
    expected = rounds / 6
    assert sum((n - expected) ** 2 / expected for n in seen.values()) < 5 + 5 * np.sqrt(10)


def test_a_prefix_does_not_depend_on_the_length() -> None:
    """Counter-based: element i is a function of the seed, the call and i."""
    cr.manual_seed(5)
    short = cr.rand(100).tolist()
    cr.manual_seed(5)
    assert cr.rand(5000)[:100].tolist() == short


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: cr.randint(5, 5, (2,)), ValueError, r"^randint: .*5.*; "),
        (lambda: cr.randint(0, 5, (-1,)), ValueError, r"-1.*; "),
        (lambda: cr.rand(2, dtype=cr.int64), TypeError, r"^rand: .*int64.*; "),
        (lambda: cr.randn(2, dtype=cr.bool), TypeError, r"^randn: .*bool.*; "),
        (lambda: cr.randperm(-1), ValueError, r"^randperm: .*-1.*; "),
        (lambda: cr.manual_seed("x"), TypeError, r"str"),
    ],
    ids=["empty range", "negative size", "integer rand", "bool randn", "negative count", "seed"],
)
def test_bad_input(make: Callable[[], Any], error: type[Exception], text: str) -> None:
    cr.manual_seed(9)
    expected = cr.rand(3).tolist()
    cr.manual_seed(9)
    with pytest.raises(error, match=text):
        make()
    assert cr.rand(3).tolist() == expected, "a refused call used random numbers up"
