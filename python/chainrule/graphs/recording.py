"""Graphs of what ran: from a result, from a function; and the lines of code beside the nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from chainrule import _C
from chainrule._C import Tensor
from chainrule.graphs.checks import names_in
from chainrule.graphs.graph import Graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any


def graph(*results: Tensor, names: Mapping[str, object] | None = None) -> Graph:
    """Returns the graph that results were computed by, read off the tape.

    Leaves that require gradients become parameters, which the graph shares with their owner; other
    tensors become inputs that keep their value, numbers constants. The graph has run: values can be
    read at once, unless backward() has freed the tape; then only inputs that are still alive have
    values, and the others must be given to forward().

    The tape holds what gradients flow through. The result of a comparison, of argmax or detach() of
    what requires gradients is an input that keeps its value, too; when the graph runs with other
    values, it warns of that. What was computed from inputs alone keeps its value without a warning.
    `trace` has nodes for all of these.

    Args:
        *results: What to compute. Their names, or "output", name the outputs.
        names: What tensors and modules are called besides the names they have, such as locals().

    Raises:
        RuntimeError: A result was computed without recording: no input requires gradients.
        TypeError: A result is not a Tensor.
        ValueError: There is no result.

    Example:
        >>> x, w = cr.tensor(3., name="x"), cr.tensor(2., requires_grad=True, name="w")
        >>> g = cr.graph(w * x)
        >>> g, g.value("output")
        (<Graph of 3 nodes: x -> output>, tensor(6.))
    """
    if not results:
        raise ValueError("graph: no results; a graph computes at least one")
    for result in results:
        _check_result(result)
    if names is not None and not _are_names(names):
        raise TypeError(
            f"graph: names is a {type(names).__name__}; it must be a dict of tensors and modules "
            "by name, such as locals()"
        )
    found = Graph()
    found._read_list([("", result) for result in results], names or {})
    with contextlib.suppress(ValueError):  # the tape was freed
        found.forward()
    return found


def _are_names(names: object) -> bool:
    return isinstance(names, Mapping) and all(isinstance(name, str) for name in names)


def _check_result(result: object) -> None:
    """Refuses what no graph can be read from."""
    if not isinstance(result, Tensor):
        raise TypeError(f"graph: a {type(result).__name__}; it must be a Tensor")
    if result.grad_fn is not None:
        return
    if _C._is_placeholder(result):
        raise RuntimeError(
            f"graph: the placeholder {result.name}; nothing has been computed from it; compute a "
            "result, and say g.outputs(L=...) of the graph whose input it is"
        )
    if result.requires_grad:
        raise RuntimeError(
            f"graph: a leaf{f' ({result.name})' if result.name else ''}, which nothing was "
            "computed for; a graph is that of a result; compute something from it"
        )
    raise RuntimeError(
        "graph: a tensor that was computed without recording; a graph is read off the tape; "
        "compute it from tensors with requires_grad=True, outside of no_grad()"
    )


def trace(fn: Callable[..., Any], *example_inputs: object, names: list[str] | None = None) -> Graph:
    """Runs a function or module once on placeholders and returns its graph.

    No values are computed. The graph has the shapes of the examples; to leave the size of a batch
    open, assemble it with `Graph.input(..., shape=(None, 64))`.

    Args:
        fn: A function of tensors, or a module. It returns a Tensor, a tuple or list of them, or a
            dict of them by name.
        *example_inputs: Tensors, arrays or numbers; only their shapes and dtypes are used.
        names: What the inputs are called; the parameters' names of `fn` if left out.

    Raises:
        TypeError: `fn` is no function, or returns something else.
        ValueError: There are not as many names as inputs.
        RuntimeError: `fn` reads a value, as in `if x > 0`.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
        >>> cr.trace(net, cr.zeros(5, 2)).forward(input=cr.zeros(5, 2))["output"].shape
        (5, 3)
    """
    if not callable(fn):
        raise TypeError(f"trace: fn is a {type(fn).__name__}; it must be a function or a module")
    examples = [_C.as_tensor(example) for example in example_inputs]
    return traced(fn, [e.shape for e in examples], [e.dtype for e in examples], names)


def traced(
    fn: Callable[..., Any],
    shapes: Sequence[Sequence[int | None]],
    dtypes: Sequence[_C.dtype],
    names: list[str] | None = None,
) -> Graph:
    """Runs a function or module once on placeholders; see `trace`. One size may be None."""
    from chainrule.nn.module import Module

    found = Graph()
    names = _names_of(fn, len(shapes)) if names is None else names_in(names, "trace", "names")
    if len(names) != len(shapes):
        raise ValueError(
            f"trace: {len(names)} names for {len(shapes)} inputs; every input has one; leave names "
            "out, and the inputs are called as the parameters of fn"
        )
    with source_lines():
        inputs = [
            found.input(name, shape, dtype)
            for name, shape, dtype in zip(names, shapes, dtypes, strict=True)
        ]
        result = fn(*inputs)
    if isinstance(result, Tensor):
        outputs = [("", result)]
    elif isinstance(result, (tuple, list)):
        outputs = [(f"output_{i}", value) for i, value in enumerate(result)]
    elif isinstance(result, dict):
        outputs = list(result.items())
    else:
        raise TypeError(
            f"trace: fn returned a {type(result).__name__}; it must be a Tensor, or a tuple, list "
            "or dict of them"
        )
    module = {type(fn).__name__.lower(): fn} if isinstance(fn, Module) else _closure_of(fn)
    found._read_list(outputs, module)
    return found


@contextlib.contextmanager
def source_lines() -> Iterator[None]:
    """Remembers, inside the block, which line of code made each node; graphs then show it.

    Example:
        >>> with cr.source_lines():
        ...     y = cr.tensor(2., requires_grad=True) * 3
        >>> len(cr.graph(y).node("output").source) > 0
        True
    """
    before = _C._remember_lines(True)
    try:
        yield
    finally:
        _C._remember_lines(before)


def _names_of(fn: Callable[..., Any], count: int) -> list[str]:
    """The names of the first parameters of a function; those of *args are numbered."""
    import inspect

    from chainrule.nn.module import Module

    function = fn.forward if isinstance(fn, Module) else fn
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (names + [f"input_{i}" for i in range(len(names), count)])[:count]


def _closure_of(fn: Callable[..., Any]) -> dict[str, object]:
    """The variables around a function that it uses: modules and tensors are called by them."""
    import inspect

    if not inspect.isfunction(fn):
        return {}
    used = inspect.getclosurevars(fn)
    return {**used.globals, **used.nonlocals}
