"""Timing of one callable, and the statistics of what was measured."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Short calls are timed in batches at least this long, so that reading the clock does not count.
_BATCH_NS = 20_000

# The threads of OpenBLAS spin for some 30 ms after their last product: on CPUs that belong to the
# library whose turn is next.
_SETTLE = 0.05


@dataclass(frozen=True)
class Stats:
    """Of all samples of one row and library, in the row's unit."""

    median: float
    minimum: float
    spread: float  # between the quartiles
    samples: int


def summarize(samples: list[float]) -> Stats:
    """Returns the statistics of at least one sample."""
    spread = 0.0
    if len(samples) > 1:
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
        spread = high - low
    return Stats(statistics.median(samples), min(samples), spread, len(samples))


def _timed(run: Callable[[], Any], calls: int) -> int:
    start = time.perf_counter_ns()
    for _ in range(calls):
        run()
    return time.perf_counter_ns() - start


def measure(run: Callable[[], Any], budget: float) -> list[float]:
    """Calls `run` for about `budget` seconds, the first third unrecorded as a warm-up.

    Returns:
        Microseconds a call, one sample a batch; at least three samples.
    """
    time.sleep(_SETTLE)
    deadline = time.perf_counter_ns() + int(budget * 1e9 / 3)
    fastest = _timed(run, 1)
    while time.perf_counter_ns() < deadline:
        fastest = min(fastest, _timed(run, 1))
    calls = max(1, math.ceil(_BATCH_NS / max(fastest, 1)))
    samples: list[float] = []
    deadline = time.perf_counter_ns() + int(budget * 1e9 * 2 / 3)
    while len(samples) < 3 or time.perf_counter_ns() < deadline:
        samples.append(_timed(run, calls) / calls / 1000)
    return samples
