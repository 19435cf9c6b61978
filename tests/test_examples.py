"""The examples run, as scripts and as notebooks, and both say the same."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cpp_build import ROOT, lacking

FOLDER = ROOT / "examples"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
SAYS = {
    "01_scalar_regression": ["h = 17", "L = 9", "dL/dw2         -102        -102"],
    "02_linear_model": ["step 100   loss 0.0"],
    "03_mlp": ["y = [0.5, 0.5, 0.5, 0.5]", "y = [0.0"],
    "04_graph_before_values": ["dL/dw1 = -36", "d²L/dw2² = 578.0", "error: matmul: a has shape"],
    "05_modules": ["Linear", "multiply-adds", "right on the test set 9", "is read as"],
    "06_scalar_engine": ["the engine", "the loss, step by step", "  0                           9"],
}


@functools.cache
def printed_by(script: Path) -> str:
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def notebooks() -> ModuleType:
    if importlib.util.find_spec("jupytext") is None:
        lacking("there is no jupytext (pip install jupytext)")
    spec = importlib.util.spec_from_file_location("notebooks", FOLDER / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_listed() -> None:
    assert {script.stem for script in SCRIPTS} == SAYS.keys()
    for readme in (ROOT / "README.md", FOLDER / "README.md"):
        for script in SCRIPTS:
            assert script.name in readme.read_text(), f"{readme}: {script.name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_run(script: Path) -> None:
    for words in SAYS[script.stem]:
        assert words in printed_by(script)


def test_notebooks_are_those_of_the_scripts() -> None:
    made = notebooks()
    expected = {made.path_of(script): made.text_of(script) for script in SCRIPTS}
    assert sorted((FOLDER / "notebooks").iterdir()) == sorted(expected)
    for path, text in expected.items():
        assert path.read_text() == text, f"{path}: run python examples/notebooks.py"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # what Jupyter's own packages deprecate is not ours
def test_notebooks_run(script: Path) -> None:
    for package in ("nbclient", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            lacking(f"there is no {package} (pip install {package})")
    from nbclient import NotebookClient

    notebook = notebooks().notebook_of(script)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    streams = [output for output in outputs if output.output_type == "stream"]
    assert {output.name for output in streams} == {"stdout"}
    assert "".join(output.text for output in streams) == printed_by(script)


def test_the_smallest_engine_is_small() -> None:
    lines = (FOLDER / "06_scalar_engine.py").read_text().splitlines()
    start = lines.index("import itertools")
    end = lines.index("# %% [markdown]", start)
    assert len(lines[start:end]) <= 60
