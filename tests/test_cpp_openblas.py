"""Matrix products with CHAINRULE_OPENBLAS=ON: those that OpenBLAS makes, and all against it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from cpp_build import built, configured, lacking, must, tool


@pytest.fixture(scope="module")
def oracle_folder(cpp_folder: Path) -> Path:
    if importlib.util.find_spec("scipy_openblas32") is None:
        lacking("there is no OpenBLAS (pip install scipy-openblas32)")
    options = ("-DCHAINRULE_TESTS=ON", "-DCHAINRULE_OPENBLAS=ON")
    done = configured(cpp_folder, *options, f"-DPython3_EXECUTABLE={sys.executable}")
    if done.returncode:
        if "doctest" in done.stdout:
            lacking("doctest is not installed (apt-get install doctest-dev), and not fetched")
        pytest.fail(done.stdout[-8000:])
    return built(cpp_folder, "chainrule_openblas_tests")


def test_products_agree(oracle_folder: Path) -> None:
    ctest = tool("ctest", "pip install cmake")
    must(
        ctest, "--test-dir", oracle_folder, "-R", "^oracle_openblas$", "--no-tests=error",
        "--output-on-failure", "--timeout", "300",
    )  # fmt: skip
