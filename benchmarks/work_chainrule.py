"""The rows in chainrule."""

from __future__ import annotations

import chainrule
import work_eager
import work_graph
from job import Job
from rows import Row

VERSION: str = chainrule.__version__


def set_threads(count: int) -> None:
    """Sets how many threads one operation may use."""
    chainrule.set_num_threads(count)


def prepare(row: Row) -> Job | None:
    """Returns the row as a job, or None if this library has no such work."""
    return work_graph.prepare(row) or work_eager.prepare(chainrule, row)
