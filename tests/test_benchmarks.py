"""The comparison with other libraries: what it refuses to time, how it judges, how it ends."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def loaded(name: str) -> ModuleType:
        return importlib.import_module(name)

    return loaded


def compare(*arguments: str, script: str = "compare.py") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_run_ends_with_a_table_and_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = compare(
        "--rows", "add,matmul-16,import-memory", "--libraries", "chainrule,numpy", "--repeat", "2",
        "--budget", "0.005", "--json", str(file),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| matmul 16 | us |" in done.stdout
    figures = json.loads(file.read_text())
    assert set(figures["versions"]) == {"chainrule", "numpy"}
    rows = {row["name"]: row for row in figures["rows"]}
    assert set(rows) == {"add", "matmul-16", "import-memory"}
    assert (rows["add"]["goal"], rows["import-memory"]["limit"]) == (0.10, 20)
    for row in rows.values():
        for stats in row["stats"].values():
            assert 0 < stats["minimum"] <= stats["median"]
            assert stats["samples"] >= 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows", "nonsense"], "no row is called 'nonsense'; rows: add, "),
        (["--libraries", "numpi"], "'numpi' is none of chainrule, torch, jax, numpy"),
        (["--repeat", "0"], "'0' is not a positive integer"),
        (["--threads", "two"], "'two' is not a positive integer"),
        (["--budget", "nan"], "'nan' is no time"),
        (["--json", "/nowhere/x.json"], "'/nowhere/x.json' is no file in an existing folder"),
    ],
)
def test_a_bad_command_line(arguments: list[str], words: str) -> None:
    done = compare(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize("script", ["compare.py", "gemm.py"])
def test_help_says_what_the_exit_status_means(script: str) -> None:
    done = compare("--help", script=script)
    assert done.returncode == 0
    assert "Exit status: 0" in done.stdout


def test_the_plot_is_refused_before_the_work(
    load: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert load("compare").main(["--plot", str(tmp_path / "x.png")]) == 1
    assert "no plot: matplotlib is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threads", "0"], "'0' is not a positive integer"),
        (["--budget", "-1"], "'-1' is no time"),
        (["--libraries", "jax"], "invalid choice: 'jax'"),
        (["--harness", "/nowhere"], "'/nowhere' is no file"),
    ],
)
def test_a_bad_command_line_of_products(arguments: list[str], words: str) -> None:
    done = compare(*arguments, script="gemm.py")
    assert done.returncode == 2
    assert words in done.stderr


def test_a_table_of_products(load: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    gemm = load("gemm")
    monkeypatch.setattr(gemm, "SHAPES", ((3, 4, 5),))
    monkeypatch.setattr(gemm, "HARNESS", FOLDER / "nothing")
    for name in ("OMP", "OPENBLAS", "MKL"):  # put back after the test
        monkeypatch.setenv(f"{name}_NUM_THREADS", "1")
    options = ["--libraries", "chainrule", "numpy", "--threads", "1", "--repeat", "1"]
    assert gemm.main([*options, "--budget", "0.001"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(gemm.DTYPES) * len(gemm.LAYOUTS)
    for line in lines[2:]:
        assert re.fullmatch(r"\| 1 \| float\d\d \| [NT]{2} \| 3 x 4 x 5( \| [\de.-]+){2} \|", line)


def test_products_that_differ_are_not_timed(load: Any) -> None:
    gemm = load("gemm")
    product = gemm.Product(2, 2, 4, "float32", "NN")
    good = {"numpy": np.ones((2, 2)), "torch": np.ones((2, 2)) * (1 + 1e-7)}
    gemm._check(product, good)
    for bad in (np.ones((2, 2)) * 1.1, np.full((2, 2), np.nan)):
        with pytest.raises(RuntimeError, match="chainrule differs from the others"):
            gemm._check(product, {**good, "chainrule": bad})


def result(
    load: Any, goal: float | None = None, limit: float | None = None, **medians: float
) -> Any:
    stats = {k: load("timing").Stats(v, v, 0.0, 3) for k, v in medians.items()}
    return load("report").Result("row", "a row", "us", stats, goal, limit)


@pytest.mark.parametrize(
    ("goal", "limit", "medians", "behind"),
    [
        (0.5, None, {"chainrule": 4, "torch": 10}, []),
        (0.5, None, {"chainrule": 6, "torch": 10}, ["/ torch"]),
        (0.5, None, {"chainrule": 4, "torch": 10, "jax": 3, "numpy": 5}, ["/ jax"]),
        (None, None, {"chainrule": 11, "torch": 10}, ["/ torch"]),
        (None, 20, {"chainrule": 21, "torch": 90}, ["limit"]),
        (None, 20, {"chainrule": 19}, []),
        (0.5, None, {"numpy": 3}, []),
    ],
)
def test_what_is_behind(
    goal: float | None, limit: float | None, medians: dict[str, float], behind: list[str], load: Any
) -> None:
    row = result(load, goal, limit, **medians)
    assert row.shortcomings() == behind
    table = load("report").markdown([row], list(medians))
    assert table.count("✗") == len(behind)
    assert ("not: row (" in load("report").verdict([row])) == bool(behind)


def test_a_goal_without_its_rival_is_not_judged(load: Any) -> None:
    line = load("report").verdict([result(load, 0.5, chainrule=4, numpy=9)])
    assert line.startswith("0 of 0 rows meet their goals")
    assert "1 have a goal against torch, which was not run" in line


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ([np.ones(3)], None),
        ([np.ones(3) * 1.00001], None),
        ([np.ones(3) * 1.1], "differ by 0.1"),
        ([np.array([1, 1, np.nan])], "differ by nan"),
        ([np.ones(2)], r"shape \(2,\)"),
        ([], "gave 0 results"),
    ],
)
def test_libraries_that_disagree_are_not_timed(
    theirs: list[np.ndarray], words: str | None, load: Any
) -> None:
    row = load("rows").Row("row", "a row")
    found = load("compare")._disagreement(row, {"torch": [np.ones(3)], "chainrule": theirs})
    if words is None:
        assert found is None
    else:
        assert re.search(words, found)


def test_every_row_has_a_name_of_its_own(load: Any) -> None:
    names = [row.name for row in load("rows").ROWS]
    assert len(set(names)) == len(names)


def test_rows_of_graphs_stand_beside_the_same_work_run_eagerly(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = compare(
        "--rows", "eager-*,graph-*", "--libraries", "chainrule", "--repeat", "1",
        "--budget", "0.002", "--json", str(file),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert rows["graph-lecture"]["limit"] == 2
    eager = rows["eager-2-16-16-1"]
    assert rows["graph-2-16-16-1"]["limit"] == eager["stats"]["chainrule"]["median"] / 2
    assert eager["limit"] is None


def test_rows_of_graphs_compute_what_eager_rows_do(load: Any) -> None:
    rows = {row.name: row for row in load("rows").ROWS}
    work = load("work_chainrule")
    jobs = {name: work.prepare(rows[name]) for name in ("eager-2-16-16-1", "graph-2-16-16-1")}
    eager, graph = (job.read(job.run()) for job in jobs.values())
    assert [a.tobytes() for a in eager] == [a.tobytes() for a in graph]
    lecture = work.prepare(rows["graph-lecture"])
    assert [float(a) for a in lecture.read(lecture.run())] == [9, -60, -36, -12, -102, -6, 6]


def test_a_limit_by_a_row_that_has_not_run(load: Any) -> None:
    row = load("rows").Row("graph", "a graph", limit_by=("row", 0.5))
    limit_of = load("report").limit_of
    assert limit_of(row, []) is None
    assert limit_of(row, [result(load, numpy=3)]) is None
    assert limit_of(row, [result(load, chainrule=3)]) == 1.5


def test_every_structured_op_has_a_case() -> None:
    """What the program itself refuses, without building it."""
    csrc = FOLDER.parent / "csrc" / "chainrule"
    vocabulary = (csrc / "math" / "op_list.h").read_text().split("using StructuredOps =")[1]
    ops = re.findall(r"\bstruct (\w+)", vocabulary.split(";")[0])
    cases = (FOLDER / "cpp" / "structured.cpp").read_text().split("std::vector<Case> cases()")[1]
    measured = set(re.findall(r"\bmake\(\s*(?:\w+<)?(\w+)[{>]", cases))
    assert len(ops) > 30
    assert [op for op in ops if op not in measured] == []
