"""A C++ program of someone else's finds the installed package, builds on it, and learns XOR."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpp_build import ROOT, generator, library, must, tool


@pytest.fixture(scope="module")
def prefix(cpp_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("prefix")
    cmake = tool("cmake", "pip install cmake")
    must(cmake, "--install", library(cpp_folder), "--component", "cpp", "--prefix", where)
    return where


def test_the_package_holds_headers_library_and_configuration(prefix: Path) -> None:
    installed = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    headers = {
        f"include/{path.relative_to(ROOT / 'csrc')}"
        for path in (ROOT / "csrc/chainrule").rglob("*.h")
    }
    assert headers <= installed
    others = installed - headers
    assert {Path(path).name for path in others} >= {
        "libchainrule.a",
        "chainrule-config.cmake",
        "chainrule-config-version.cmake",
        "chainrule-targets.cmake",
    }
    texts = [(prefix / path).read_text() for path in others if path.endswith(".cmake")]
    assert not any(str(ROOT) in text for text in texts), "the package points into the source tree"


def test_a_consumer_learns_xor(prefix: Path, tmp_path: Path) -> None:
    cmake = tool("cmake", "pip install cmake")
    source = ROOT / "tests" / "cpp" / "consumer"
    must(cmake, "-S", source, "-B", tmp_path, *generator(), f"-DCMAKE_PREFIX_PATH={prefix}")
    must(cmake, "--build", tmp_path)
    assert "learned XOR" in must(tmp_path / "xor", cwd=tmp_path)
