"""What the options of compare.py and gemm.py may be."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """Returns a count, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def seconds(text: str) -> float:
    """Returns a time in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no time between 0 and an hour")
    return value


def file(text: str) -> Path:
    """Returns where a file can be written."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no file in an existing folder")
    return path
