"""Fixtures: a seeded generator, and every global setting put back after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def cpp_folder(pytestconfig: pytest.Config) -> Path:
    """Where the C++ core is built without Python, kept from one run to the next."""
    assert pytestconfig.cache is not None
    return Path(pytestconfig.cache.mkdir("cpp"))


@pytest.fixture(autouse=True)
def global_settings() -> Iterator[None]:
    """Seeds the library's generator; restores instruction set, threads and gradient mode."""
    isa, threads, recording = _C.isa(), _C.get_num_threads(), cr.is_grad_enabled()
    cr.manual_seed(0)
    yield
    _C.force_isa(isa)
    _C.set_num_threads(threads)
    _C.set_grad_enabled(recording)
