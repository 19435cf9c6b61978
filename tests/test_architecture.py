"""What the house asks and no compiler checks: floors, sizes, symbols, commands that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cpp_build import ROOT, library, must, tool

FLOORS = ("core", "math", "kernels", "autograd", "ops", "graph")
CORE = ROOT / "csrc" / "chainrule"
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
SOURCES = sorted(p for p in (ROOT / "csrc").rglob("*") if p.suffix in {".h", ".cpp"})
MAX_LINES = 400


def written_by_hand() -> list[Path]:
    folders = ("csrc", "python", "tests", "benchmarks", "examples")
    kinds = {".h", ".cpp", ".py", ".txt", ".in"}
    return [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in kinds]


def includes(path: Path) -> list[str]:
    return INCLUDE.findall(path.read_text())


@pytest.mark.parametrize("floor", FLOORS)
def test_includes_go_down_only(floor: str) -> None:
    files = [p for p in SOURCES if p.is_relative_to(CORE / floor)]
    assert files
    reachable = FLOORS[: FLOORS.index(floor) + 1]
    for path in files:
        for name in includes(path):
            if name.startswith("chainrule/"):
                assert name.split("/")[1] in reachable, f"{path.name} includes {name}"
                assert (ROOT / "csrc" / name).is_file()
            else:
                assert "/" not in name or name.startswith("sys/"), f"{path.name} includes {name}"


def test_every_folder_of_the_core_is_a_floor() -> None:
    assert sorted(p.name for p in CORE.iterdir()) == sorted(FLOORS)


def test_kernels_know_no_tensors_and_no_exceptions() -> None:
    for path in (CORE / "kernels").iterdir():
        text = path.read_text()
        assert not re.search(
            r"\b(Tensor|throw|try|malloc|new)\b(?! elements)[ (]", uncommented(text)
        ), path.name


def uncommented(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def test_python_is_in_the_bindings_only() -> None:
    for path in SOURCES:
        if not path.is_relative_to(ROOT / "csrc" / "bindings"):
            assert not [n for n in includes(path) if re.match(r"pybind11|Python\.h", n)], path


def test_no_file_is_too_long() -> None:
    lengths = {str(p.relative_to(ROOT)): p.read_text().count("\n") for p in written_by_hand()}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_kernels_of_one_instruction_set_leak_no_weak_symbols(cpp_folder: Path) -> None:
    """Code that a linker might pick for everybody must not be built for newer processors."""
    nm = tool("nm", "apt-get install binutils")
    objects = sorted(library(cpp_folder).glob("csrc/CMakeFiles/chainrule_kernels_v*.dir/**/*.o"))
    assert {level for p in objects for level in re.findall(r"kernels_v(\d)", str(p))} == set("234")
    for path in objects:
        symbols = [line.split() for line in must(nm, "--defined-only", path).splitlines()]
        weak = [name for *_, kind, name in symbols if kind in "WVuwv"]
        assert weak == [], path.name


def test_the_wheel_is_small() -> None:
    from chainrule import _C

    assert Path(_C.__file__).stat().st_size < 6e6  # about 2 MB compressed


def commands(document: str) -> list[str]:
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_commands_of_the_documents_exist(document: str) -> None:
    cmake_presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    presets = {preset["name"] for preset in cmake_presets}
    project = (ROOT / "pyproject.toml").read_text()
    found = commands(document)
    assert found
    for command in found:
        words = command.split()
        for word in words:
            if re.fullmatch(r"(\./)?[\w./-]+\.(py|sh|txt|cpp)|(\./)?\.ci/run", word):
                assert (ROOT / word).exists(), command
        if "--preset" in words:
            assert words[words.index("--preset") + 1] in presets, command
        for extras in re.findall(r"\.\[([\w,]+)\]", command):
            for extra in extras.split(","):
                assert re.search(rf"^{extra} = \[", project, re.MULTILINE), command


@pytest.mark.parametrize("document", sorted(p.name for p in ROOT.glob("*.md")))
def test_links_of_the_documents_exist(document: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / document).read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target
