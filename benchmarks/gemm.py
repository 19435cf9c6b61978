"""Matrix products in chainrule, PyTorch and NumPy: GFLOP/s and percent of the machine's peak.

Layouts: N is a dense operand, T a transposed view of a dense one; x.T @ w is TN. The libraries take
turns, each in a process of its own, and must agree on a product before it is timed. The peak comes
from the C++ harness (cmake --preset release && cmake --build --preset release); without it there
are no percentages. Exit status: 0; 1 if a library is missing, failed, or disagreed with the others;
2 for a bad command line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from command_line import positive, seconds
from timing import measure, summarize

LIBRARIES = ("chainrule", "torch", "numpy")
LAYOUTS = ("NN", "NT", "TN")
DTYPES = ("float32", "float64")
SHAPES = (
    (16, 16, 16), (64, 64, 64), (256, 256, 256), (1024, 1024, 1024), (1, 128, 784),
    (32, 128, 784), (256, 1024, 784), (1024, 784, 256), (256, 10, 1024), (10, 1024, 256),
)  # fmt: skip
HARNESS = Path(__file__).parents[1] / "build/release/benchmarks/cpp/chainrule_benchmarks"


@dataclass(frozen=True)
class Product:
    """c (m, n) = a (m, k) @ b (k, n)."""

    m: int
    n: int
    k: int
    dtype: str
    layout: str

    @property
    def gigaflop(self) -> float:
        return 2e-9 * self.m * self.n * self.k

    def operands(self) -> list[np.ndarray[Any, Any]]:
        """Returns a and b as they lie in memory: a transposed one the other way round."""
        random = np.random.default_rng(0)
        sizes = ((self.m, self.k), (self.k, self.n))
        flipped = [
            size[::-1] if kind == "T" else size
            for size, kind in zip(sizes, self.layout, strict=True)
        ]
        return [random.standard_normal(size).astype(self.dtype) for size in flipped]


def _run_of(library: str, product: Product, threads: int) -> Callable[[], Any]:
    a, b = product.operands()
    x: Any = a
    y: Any = b
    if library == "numpy":
        pass  # its BLAS read OPENBLAS_NUM_THREADS when it was imported
    elif library == "torch":
        import torch

        torch.set_num_threads(threads)
        x, y = torch.from_numpy(a), torch.from_numpy(b)
    else:
        import chainrule as cr

        cr.set_num_threads(threads)
        x, y = cr.tensor(a), cr.tensor(b)
    left = x.T if product.layout[0] == "T" else x
    right = y.T if product.layout[1] == "T" else y
    return lambda: left @ right


def _serve(pipe: Connection, library: str, threads: int) -> None:
    """The library's process: prepares a product and returns it, or times the one it has."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    run: Callable[[], Any] = list  # replaced by the first task

    def answer(task: Product | float) -> Any:
        nonlocal run
        if not isinstance(task, Product):
            return measure(run, task)
        run = _run_of(library, task, threads)
        return np.asarray(run())

    while (task := pipe.recv()) is not None:
        try:
            pipe.send((True, answer(task)))
        except Exception as error:  # noqa: PERF203
            pipe.send((False, f"{library}: {type(error).__name__}: {error}"))


class Worker:
    """A library in a process of its own."""

    def __init__(self, library: str, threads: int) -> None:
        self.library = library
        for name in ("OMP", "OPENBLAS", "MKL"):
            os.environ[f"{name}_NUM_THREADS"] = str(threads)
        context = get_context("spawn")
        self._pipe, far_end = context.Pipe()
        arguments = (far_end, library, threads)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        far_end.close()

    def ask(self, task: Product | float) -> Any:
        """Returns the product, or samples in microseconds for a budget in seconds.

        Raises:
            RuntimeError: The library could not, or its process died.
        """
        try:
            self._pipe.send(task)
            good, answer = self._pipe.recv()
        except (EOFError, BrokenPipeError):
            raise RuntimeError(f"{self.library}: the process died") from None
        if not good:
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        try:
            self._pipe.send(None)
        except BrokenPipeError:
            return
        self._process.join(timeout=5)
        self._process.terminate()


def _check(product: Product, results: dict[str, np.ndarray[Any, Any]]) -> None:
    expected = results["numpy"] if "numpy" in results else next(iter(results.values()))
    allowed = 8 * product.k * float(np.finfo(product.dtype).eps)
    for library, values in results.items():
        error = float(np.abs(values - expected).max())
        if values.shape != expected.shape or not error <= allowed:
            raise RuntimeError(f"{library} differs from the others by {error:.3g} in {product}")


def _rates(product: Product, workers: list[Worker], repeat: int, budget: float) -> dict[str, float]:
    """Returns GFLOP/s from the median time of each library."""
    _check(product, {worker.library: worker.ask(product) for worker in workers})
    samples: dict[str, list[float]] = {worker.library: [] for worker in workers}
    for turn in range(repeat):
        for i in range(len(workers)):  # a different one goes first each time
            worker = workers[(turn + i) % len(workers)]
            samples[worker.library] += worker.ask(budget)
    return {k: product.gigaflop / summarize(v).median * 1e6 for k, v in samples.items()}


def _peak(harness: Path, dtype: str, threads: int) -> float | None:
    """Returns the measured peak in GFLOP/s, or None where there is no harness."""
    if not harness.is_file():
        return None
    name = f"gemm/{dtype}/NN/64x64x64"
    finished = subprocess.run(
        [harness, f"--benchmark_filter={name}/", "--benchmark_format=json"],
        env={**os.environ, "CHAINRULE_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
    )
    rows = json.loads(finished.stdout)["benchmarks"] if finished.returncode == 0 else []
    if not rows:
        raise RuntimeError(f"{harness}: {finished.stderr.strip() or f'it has no {name}'}")
    row = rows[0]
    return float(100 * row["GFLOP/s"] / row["%peak"])


def _cell(rate: float, peak: float | None) -> str:
    return f"{rate:.3g}" if peak is None else f"{rate:.3g} ({100 * rate / peak:.0f} %)"


def _table(options: argparse.Namespace, threads: int) -> list[str]:
    peaks = {dtype: _peak(options.harness, dtype, threads) for dtype in DTYPES}
    workers = [Worker(library, threads) for library in options.libraries]
    try:
        lines = []
        for dtype in DTYPES:
            peak = peaks[dtype]
            for layout in LAYOUTS:
                for m, n, k in SHAPES:
                    product = Product(m, n, k, dtype, layout)
                    print(f"{threads} threads {product}", file=sys.stderr, flush=True)
                    rates = _rates(product, workers, options.repeat, options.budget)
                    cells = " | ".join(_cell(rates[name], peak) for name in options.libraries)
                    lines.append(f"| {threads} | {dtype} | {layout} | {m} x {n} x {k} | {cells} |")
        return lines
    finally:
        for worker in workers:
            worker.close()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    def harness(text: str) -> Path:
        if not Path(text).is_file():
            raise argparse.ArgumentTypeError(f"{text!r} is no file")
        return Path(text)

    parser = argparse.ArgumentParser(prog="gemm.py", description=__doc__)
    parser.add_argument("--threads", type=positive, nargs="+", default=[1, 2], help="default 1 2")
    parser.add_argument("--repeat", type=positive, default=3, help="rounds (default 3)")
    parser.add_argument("--budget", type=seconds, default=0.03, help="seconds each (default 0.03)")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--harness", type=harness, default=HARNESS, help="chainrule_benchmarks")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Prints the table and returns the exit status."""
    options = _parse(arguments)
    try:
        lines = [line for threads in options.threads for line in _table(options, threads)]
    except RuntimeError as error:
        print(f"gemm.py: {error}", file=sys.stderr)
        return 1
    print("| threads | dtype | layout | m x n x k | " + " | ".join(options.libraries) + " |")
    print("| --- " * (4 + len(options.libraries)) + "|")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
