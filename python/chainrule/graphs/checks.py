"""What the methods of a graph are given, checked: names, files, places in a graph."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from chainrule.graphs.nodes import Ref


def names_in(names: str | Iterable[str], op: str, what: str) -> list[str]:
    """Returns one name, or several with spaces between, or a list of them, as a list."""
    try:
        return names.split() if isinstance(names, str) else list(names)
    except TypeError:
        raise TypeError(
            f"{op}: {what} is a {type(names).__name__}; it must be a name or a list of names"
        ) from None


def file_name(path: str | os.PathLike[str], op: str) -> bytes:
    """Returns a path as the system wants it."""
    try:
        name = os.fsencode(path)
    except (TypeError, UnicodeEncodeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{op}: path is {path!a}; it must be the name of a file") from None
    if b"\0" in name:
        raise ValueError(f"{op}: path is {path!a}; the name of a file has no zero byte")
    return name


def as_ref(ref: Any, op: str) -> Ref:
    """Returns (node id, output number), if it is that."""
    if isinstance(ref, tuple) and len(ref) == 2:
        node, output = ref
        if all(isinstance(i, int) and abs(i) < 2**31 for i in ref):
            return node, output
    raise TypeError(f"{op}: {ref!r}; it must be the name of a node, or (node id, output number)")
