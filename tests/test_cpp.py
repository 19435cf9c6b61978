"""The C++ unit tests, built without Python and run by ctest, one test for each source file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpp_build import ROOT, built, configured, lacking, must, tool

NAMES = sorted(path.stem for path in (ROOT / "tests" / "cpp").glob("test_*.cpp"))


@pytest.fixture(scope="module")
def test_folder(cpp_folder: Path) -> Path:
    done = configured(cpp_folder, "-DCHAINRULE_TESTS=ON")
    if done.returncode:
        if "doctest" in done.stdout:
            lacking("doctest is not installed (apt-get install doctest-dev), and not fetched")
        pytest.fail(done.stdout[-8000:])
    return built(cpp_folder, "chainrule_tests")


@pytest.mark.parametrize("name", NAMES)
def test_unit(name: str, test_folder: Path) -> None:
    ctest = tool("ctest", "pip install cmake")
    must(
        ctest, "--test-dir", test_folder, "-R", f"^{name}$", "--no-tests=error",
        "--output-on-failure", "--timeout", "300",
    )  # fmt: skip
