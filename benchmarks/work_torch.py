"""The rows in PyTorch."""

from __future__ import annotations

import torch

import work_eager
from job import Job
from rows import Row

VERSION: str = torch.__version__


def set_threads(count: int) -> None:
    """Sets how many threads one operation may use."""
    torch.set_num_threads(count)


def prepare(row: Row) -> Job | None:
    """Returns the row as a job, or None if this library has no such work."""
    return work_eager.prepare(torch, row)
