"""Runs the same work on chainrule, PyTorch, JAX and NumPy in alternation and prints the medians.

Before a row is timed, all libraries must have computed the same numbers. The column "goal" is what
chainrule's time over PyTorch's is to be at most, or a limit; a cross marks a ratio above its goal
or, where there is none and against the other libraries, above 1. Exit status: 0, also where goals
are missed; 1 if a row failed, the libraries disagreed, none could be loaded or there is no
matplotlib for the plot; 2 for a bad command line.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import os
import platform
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from command_line import file, positive, seconds
from report import Result, limit_of, markdown, plot, verdict
from rows import ROWS, Array, Fresh, Row
from timing import summarize
from workers import Worker, WorkerError, fresh_cost

LIBRARIES = ("chainrule", "torch", "jax", "numpy")
FRESH_REPEATS = 7  # an import takes up to seconds


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _libraries(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in LIBRARIES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(LIBRARIES)}")
    return names


def _rows(text: str) -> list[Row]:
    patterns = text.split(",")
    for pattern in patterns:
        if not fnmatch.filter([row.name for row in ROWS], pattern):
            names = ", ".join(row.name for row in ROWS)
            raise argparse.ArgumentTypeError(f"no row is called {pattern!r}; rows: {names}")
    return [row for row in ROWS if any(fnmatch.fnmatch(row.name, p) for p in patterns)]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__)
    parser.add_argument(
        "--rows", type=_rows, default=ROWS, help="names or patterns, as in add,matmul-*"
    )
    parser.add_argument(
        "--repeat", type=positive, default=15, help="rounds of alternation (default 15)"
    )
    parser.add_argument(
        "--budget", type=seconds, default=0.06, help="seconds a library and round (default 0.06)"
    )
    parser.add_argument(
        "--libraries", type=_libraries, default=list(LIBRARIES), help="default: all four"
    )
    parser.add_argument("--threads", type=positive, default=2, help="for every library (default 2)")
    parser.add_argument("--json", type=file, help="write all figures to this file")
    parser.add_argument("--plot", type=file, help="write a bar chart (needs matplotlib)")
    return parser.parse_args(arguments)


def _start(libraries: list[str], threads: int) -> list[Worker]:
    """Starts a worker for each library that can be loaded and says on one line which cannot."""
    workers, missing = [], []
    for library in libraries:
        worker = Worker(library, threads)
        if worker.problem:
            missing.append(f"{library} ({worker.problem})")
        else:
            workers.append(worker)
    if missing:
        _note("not compared: " + "; ".join(missing))
    return workers


def _disagreement(row: Row, results: dict[str, list[Array]]) -> str | None:
    """Returns how two libraries differ by more than the row allows, or None."""
    (first, expected), *others = results.items()
    for library, values in others:
        if len(values) != len(expected):
            return f"{library} gave {len(values)} results, {first} {len(expected)}"
        for mine, theirs in zip(values, expected, strict=True):
            if mine.shape != theirs.shape:
                return f"{library} gave shape {mine.shape}, {first} {theirs.shape}"
            error = float(np.abs(mine.astype(np.float64) - theirs).max())
            if not error <= row.tolerance * max(1e-30, float(np.abs(theirs).max())):
                return f"{library} and {first} differ by {error:.3g}"
    return None


def _compare(row: Row, workers: list[Worker], repeat: int, budget: float) -> Result:
    """Checks a row, then times it in alternation.

    Raises:
        WorkerError: A library failed, or they disagree.
    """
    results: dict[str, list[Array]] = {}
    ready = []
    for worker in workers:
        try:
            values = worker.prepare(row)
        except WorkerError as error:
            raise WorkerError(f"{worker.library}: {error}") from None
        if values is not None:
            results[worker.library] = values
            ready.append(worker)
    problem = _disagreement(row, results)
    if problem:
        raise WorkerError(problem)
    samples: dict[str, list[float]] = {worker.library: [] for worker in ready}
    for turn in range(repeat):
        for i in range(len(ready)):  # a different one goes first each time
            worker = ready[(turn + i) % len(ready)]
            samples[worker.library] += worker.measure(budget)
    return _result(row, "us", samples)


def _compare_fresh(row: Fresh, libraries: list[str], repeat: int) -> Result:
    wanted = [library for library in libraries if library in row.libraries]
    samples: dict[str, list[float]] = {library: [] for library in wanted}
    for turn in range(min(repeat, FRESH_REPEATS) + 1):
        for library in wanted:
            cost = fresh_cost(row, library)
            if turn > 0:  # the first one may read from the disk
                samples[library].append(cost)
    return _result(row, row.unit, samples)


def _result(row: Row, unit: str, samples: dict[str, list[float]]) -> Result:
    stats = {library: summarize(times) for library, times in samples.items()}
    return Result(row.name, row.title, unit, stats, row.goal)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _run(options: argparse.Namespace, workers: list[Worker]) -> tuple[list[Result], int]:
    results, failures = [], 0
    for i, row in enumerate(options.rows):
        _note(f"[{i + 1}/{len(options.rows)}] {row.title}")
        try:
            if isinstance(row, Fresh):
                names = [worker.library for worker in workers]
                result = _compare_fresh(row, names, options.repeat)
            else:
                result = _compare(row, workers, options.repeat, options.budget)
            results.append(replace(result, limit=limit_of(row, results)))
        except WorkerError as error:
            failures += 1
            _note(f"    not timed: {error}")
    return results, failures


def main(arguments: list[str] | None = None) -> int:
    """Runs the comparison and returns the exit status."""
    options = _parse(arguments)
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        _note("no plot: matplotlib is not installed; pip install matplotlib, or leave out --plot")
        return 1
    # Read by OpenMP, OpenBLAS and chainrule when the workers import them.
    for name in ("OMP", "OPENBLAS", "MKL", "CHAINRULE"):
        os.environ[f"{name}_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    machine = (
        f"{_cpu()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at start, "
        f"{options.threads} threads, Python {platform.python_version()}"
    )
    workers = _start(options.libraries, options.threads)
    if not workers:
        return 1
    versions = {worker.library: worker.version for worker in workers}
    try:
        results, failures = _run(options, workers)
    finally:
        for worker in workers:
            worker.close()
    print(f"{machine}; " + ", ".join(f"{k} {v}" for k, v in versions.items()))
    print()
    print(markdown(results, list(versions)))
    print()
    if "chainrule" in versions:
        print(verdict(results))
    if options.json:
        figures = {"machine": machine, "versions": versions, "rows": [asdict(r) for r in results]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.plot:
        plot(results, options.plot)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
