"""A graph from a Python file, as the command line names it: FILE.py or FILE.py:name."""

from __future__ import annotations

import contextlib
import os
import sys
import types

from chainrule._C import Tensor
from chainrule.graphs.graph import Graph
from chainrule.graphs.recording import graph, source_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load_graph(spec: str) -> Graph:
    """Runs a Python file and returns a graph of it.

    The file runs as a script would; what it prints goes to stderr. The nodes remember their lines.

    Args:
        spec: "FILE.py:name", where the name is that of a Graph, or of a Tensor with a history; or
            "FILE.py", whose only Graph is meant.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: The file fails, or ends the process.
        ValueError: The name is not that of a graph; or there is none, and not just one Graph.

    Example:
        >>> import tempfile
        >>> from chainrule.graphs.from_file import load_graph
        >>> with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        ...     print("import chainrule as cr", file=file)
        ...     print("w = cr.tensor(2., requires_grad=True)", file=file)
        ...     print("loss = (w * 3) ** 2", file=file, flush=True)
        ...     load_graph(f"{file.name}:loss").explain("loss", "w")
        'dloss/dw = 2·w·3 · 3 = 2·6·3 = 36'
    """
    path, name = spec, ""
    if ":" in spec and not os.path.exists(spec):
        path, _, name = spec.rpartition(":")
    found = _run(path)
    if name:
        return _graph_of(found, name, path)
    graphs = {id(value): key for key, value in found.items() if isinstance(value, Graph)}
    if len(graphs) == 1:
        return _graph_of(found, next(iter(graphs.values())), path)
    count = f"{len(graphs)} Graphs" if graphs else "no Graph"
    raise ValueError(f"{path}: {count}; say which: {path}:name; {_known(found)}")


def _run(path: str) -> dict[str, Any]:
    """The variables of a script after it ran."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    module = types.ModuleType("__main__")
    module.__file__ = path
    folder, arguments = os.path.dirname(os.path.abspath(path)), sys.argv
    sys.path.insert(0, folder)
    sys.argv = [path]
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
        with contextlib.redirect_stdout(sys.stderr), source_lines():
            exec(code, module.__dict__)
    except SystemExit as error:
        raise RuntimeError(f"{path}: it ended the process, with status {error.code}") from error
    except Exception as error:
        raise RuntimeError(f"{path}{_line_of(error, path)}: {_one(error)}") from error
    finally:
        sys.argv = arguments
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
    return module.__dict__


def _line_of(error: BaseException, path: str) -> str:
    """The last line of the file on the way to an error, as ", line 3"."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines, at = [], error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == path:
            lines.append(at.tb_lineno)
        at = at.tb_next
    return f", line {lines[-1]}" if lines else ""


def _one(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}"


def _graph_of(found: dict[str, Any], name: str, path: str) -> Graph:
    value = found.get(name)
    if isinstance(value, Graph):
        if not value.output_refs:
            raise ValueError(f"{path}: the Graph {name} has no outputs; say {name}.outputs(L=L)")
        return value
    if isinstance(value, Tensor) and value.grad_fn is not None:
        return graph(value, names=found)
    what = f"{name} is a {type(value).__name__} without history" if name in found else f"no {name}"
    if name in found and not isinstance(value, Tensor):
        what = f"{name} is a {type(value).__name__}"
    raise ValueError(
        f"{path}: {what}; it must be a Graph, or a Tensor that was computed from others with "
        f"requires_grad=True; {_known(found)}"
    )


def _known(found: dict[str, Any]) -> str:
    """What could have been named."""
    names = [
        key
        for key, value in found.items()
        if isinstance(value, Graph) or (isinstance(value, Tensor) and value.grad_fn is not None)
    ]
    return f"there are {', '.join(names)}" if names else "there is none"
