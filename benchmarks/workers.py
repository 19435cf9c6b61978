"""One process for each library, so that thread pools, allocators and imports never meet.

The parent tells one worker at a time to work; the others wait on their pipes, their pools asleep.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

from rows import Array, Fresh, Row

# What the check compares: a few runs, so that for a training step the updates count too.
CHECKED_RUNS = 3


class WorkerError(Exception):
    """A library could not do a row, or could not be loaded; the text says why."""


class _Server:
    """The library's side: keeps the job of the current row. All are confined to as many CPUs."""

    def __init__(self, library: str, threads: int) -> None:
        # Before the import: XLA takes its thread count from the CPUs it may run on.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        self._work = importlib.import_module(f"work_{library}")
        self._work.set_threads(threads)
        self._job: Any = None

    def version(self) -> str:
        return str(self._work.VERSION)

    def prepare(self, row: Row) -> list[Array] | None:
        """Makes the row ready; returns what its first runs give, or None if it is not for us."""
        self._job = self._work.prepare(row)
        if self._job is None:
            return None
        return [a for _ in range(CHECKED_RUNS) for a in self._job.read(self._job.run())]

    def measure(self, budget: float) -> list[float]:
        from timing import measure

        return measure(self._job.run, budget)


def _serve(pipe: Connection, library: str, threads: int) -> None:
    server: _Server | None = None
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            name, arguments = pipe.recv()
            try:
                if server is None:
                    server = _Server(library, threads)
                pipe.send((True, getattr(server, name)(*arguments)))
            except Exception as error:
                pipe.send((False, f"{type(error).__name__}: {error}".splitlines()[0]))


class Worker:
    """A library in a process of its own."""

    def __init__(self, library: str, threads: int) -> None:
        """Starts the process and loads the library; `problem` says if that went wrong."""
        self.library = library
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(far_end, library, threads), daemon=True
        )
        self._process.start()
        far_end.close()
        self.version, self.problem = "", ""
        try:
            self.version = self._call("version")
        except WorkerError as error:
            self.problem = str(error)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((name, arguments))
            good, answer = self._pipe.recv()
        except (EOFError, BrokenPipeError):
            raise WorkerError("the process died") from None
        if not good:
            raise WorkerError(answer)
        return answer

    def prepare(self, row: Row) -> list[Array] | None:
        """Makes the row ready; returns the results of its first runs, or None if it has no such."""
        results: list[Array] | None = self._call("prepare", row)
        return results

    def measure(self, budget: float) -> list[float]:
        """Returns microseconds a call."""
        samples: list[float] = self._call("measure", budget)
        return samples

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.terminate()


def fresh_cost(row: Fresh, library: str) -> float:
    """Runs the row's script for a library in a fresh interpreter and returns what it prints."""
    finished = subprocess.run(
        [sys.executable, "-c", row.script.format(library=library)],
        capture_output=True,
        text=True,
    )
    if finished.returncode != 0:
        raise WorkerError((finished.stderr.strip().splitlines() or ["the script failed"])[-1])
    return float(finished.stdout.split()[-1])
