"""What a work module gives to the runner: something to call, and how to read what it returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rows import Array


@dataclass(frozen=True)
class Job:
    """One row made ready in one library.

    Attributes:
        run: Does the work once and returns its results in the library's own types. A training step
            carries on from where the last one ended.
        read: Turns those results into arrays, for comparing libraries.
    """

    run: Callable[[], Any]
    read: Callable[[Any], list[Array]]
