"""The class Graph: assembled before any value exists, run, differentiated, read."""

from __future__ import annotations

import sys
from operator import index

from chainrule import _C
from chainrule._C import Tensor
from chainrule.drawing.drawable import Drawable
from chainrule.graphs import reading
from chainrule.graphs.checks import as_ref, file_name, names_in
from chainrule.graphs.names import ModuleNamer, module_names, named_tensors
from chainrule.graphs.nodes import GraphNode
from chainrule.graphs.numbers import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, NoReturn

    from chainrule.graphs.nodes import Ref
    from chainrule.graphs.summary import Summary


class Graph(Drawable, _C.Graph):
    """A computation graph: nodes of (op, attributes, inputs), which can be run in both directions.

    Assembled inside a `with` block, from placeholders that ops and modules take like tensors:
    shapes and dtypes are inferred at each line, so a mismatch is an error there, before any number
    exists. Results are called by the variables that hold them where the block ends.
    `cr.graph(loss)` and `cr.trace(fn, ...)` give the same kind of graph.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w1, b1, w2, b2, y = g.inputs("x w1 b1 w2 b2 y")
        ...     y_hat = w2 * (w1 * x + b1) + b2
        ...     L = (y_hat - y) ** 2
        >>> g.outputs(L=L).forward(x=3, w1=5, b1=2, w2=2, b2=3, y=40)["L"]
        tensor(9.)
        >>> g.backward("L", wrt=["w1", "w2"])
        {'w1': tensor(-36.), 'w2': tensor(-102.)}

    Source: the lecture's slide "a model is a directed acyclic graph".
    """

    def __init__(self) -> None:
        super().__init__()
        self._placeholders: dict[str, Tensor] = {}
        self._variables: dict[str, object] = {}  # by name, where the block ended
        self._nodes_read: tuple[GraphNode, ...] | None = None
        self._lines_before = False

    # ---- assembling ----

    def __enter__(self) -> Graph:
        self._lines_before = _C._remember_lines(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _C._remember_lines(self._lines_before)
        self._learn_names(sys._getframe(1).f_locals)

    def _learn_names(self, variables: Mapping[str, object]) -> None:
        """Keeps what results and modules are called where the block ends."""
        for name, value in variables.items():
            is_result = isinstance(value, Tensor) and _C._is_placeholder(value)
            if is_result or hasattr(value, "named_parameters"):
                self._variables[name] = value

    def input(
        self, name: str, shape: Sequence[int | None] = (), dtype: _C.dtype = _C.float32
    ) -> Tensor:
        """Adds an input and returns its placeholder, a tensor that has no value yet.

        Args:
            name: What `forward` calls it.
            shape: Its sizes; None for the one size that is known only when the graph runs, such as
                that of a batch. All None of a graph stand for the same size.
            dtype: Its dtype.

        Raises:
            ValueError: The graph has an input of that name, or a size is negative.
            TypeError: The name is not a str, or the dtype not a dtype.

        Example:
            >>> with cr.Graph() as g:
            ...     g.input("X", shape=(None, 64)) @ g.input("w", shape=(64, 10))
            placeholder(shape=(N, 10), dtype=float32)
        """
        if not isinstance(name, str) or not name:
            raise TypeError(f"input: the name {name!r}; it must be a str that is not empty")
        if name in self._placeholders:
            raise ValueError(f"input: a second {name!r}; every input needs a name of its own")
        try:
            sizes = [
                _C.unknown_size if size is None else getattr(size, "_value", None) or index(size)
                for size in shape
            ]
        except TypeError:
            raise TypeError(
                f"input: {name} has the shape {shape!r}; it must be a sequence of ints and None"
            ) from None
        if sum(size >= _C.unknown_size // 2 for size in sizes) > 1:
            raise ValueError(
                f"input: {name} has the shape {tuple(shape)}; one size of a tensor may be left "
                "open, and all that are None stand for the same one"
            )
        if any(abs(size) > 2**62 for size in sizes):
            raise ValueError(f"input: {name} has the shape {tuple(shape)}; no tensor is so large")
        placeholder: Tensor = _C._placeholder(dtype, sizes)
        placeholder.name = name
        self._placeholders[name] = placeholder
        return placeholder

    def inputs(self, names: str | Iterable[str]) -> tuple[Tensor, ...]:
        """Adds scalar float32 inputs and returns their placeholders.

        Args:
            names: Names, as a list or in one string with spaces or commas between.
        """
        spaced = names.replace(",", " ") if isinstance(names, str) else names
        return tuple(self.input(name) for name in names_in(spaced, "inputs", "names"))

    def outputs(self, /, *unnamed: Tensor, **outputs: Tensor) -> Graph:
        """Says what the graph computes, by name, and returns the graph, which is then ready to run.

        Args:
            *unnamed: None: every output has a name.
            **outputs: Results of the block: placeholders, or tensors computed from none.

        Raises:
            ValueError: No output is named.
            TypeError: An output is not a Tensor, or has no name.
            RuntimeError: An output depends on a placeholder of another graph.
        """
        if unnamed:
            raise TypeError("outputs: one without a name; every output has one; write outputs(L=L)")
        for name, value in outputs.items():  # this name goes before that of a variable
            if isinstance(value, Tensor) and _C._is_placeholder(value) and value.name is None:
                value.name = name
        self._read_list(list(outputs.items()), self._variables)
        return self

    def _read_list(
        self, outputs: Sequence[tuple[str, object]], names: Mapping[str, object]
    ) -> None:
        """Takes the graph of the outputs off the tape; an output without a name gets one."""
        for name, value in outputs:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"outputs: {name} is a {type(value).__name__}; an output must be a Tensor"
                )
        self._read_tape(
            [(name, value, False) for name, value in outputs],
            [(name, value, False) for name, value in self._placeholders.items()],
            named_tensors(names),
            ModuleNamer(module_names(names)),
        )
        self._nodes_read = None

    # ---- reading ----

    @property
    def nodes(self) -> tuple[GraphNode, ...]:
        """All nodes, inputs before consumers."""
        if self._nodes_read is None:
            scopes = self._scopes()
            self._nodes_read = tuple(
                GraphNode(id, row, scopes) for id, row in enumerate(self._nodes())
            )
        return self._nodes_read

    @property
    def modules(self) -> dict[str, str]:
        """The class of every module call by its path, outer calls first."""
        return {path: kind for path, kind, _ in self._scopes()}

    @property
    def output_refs(self) -> dict[str, Ref]:
        """(node id, output number) of each output by name."""
        return self._outputs()

    def node(self, name: str) -> GraphNode:
        """The node of that label, or else the one that the output of that name comes from.

        Raises:
            KeyError: There is none.
        """
        for node in self.nodes:
            if node.label == name and node.kind != "constant":
                return node
        if name in self.output_refs:
            return self.nodes[self.output_refs[name][0]]
        raise KeyError(f"node: there is no {name!r}; the nodes are {[n.label for n in self.nodes]}")

    def value(self, ref: Ref | str) -> Tensor | None:
        """The value of an output of a node in the last forward; None before there was one.

        Args:
            ref: (node id, output number), or the name of a node or output.
        """
        if isinstance(ref, str):
            ref = self.output_refs.get(ref) or (self.node(ref).id, 0)
        return self._value(*as_ref(ref, "value"))

    def gradient(self, ref: Ref | str) -> Tensor | None:
        """The gradient of an output of a node in the last backward; None if there is none.

        Args:
            ref: (node id, output number), or the name of a node or output.
        """
        if isinstance(ref, str):
            ref = (self.node(ref).id, 0)
        return self._gradient(*as_ref(ref, "gradient"))

    # ---- the mathematics of it ----

    formula = reading.formula
    local_derivative = reading.local_derivative
    forward_steps = reading.forward_steps
    backward_steps = reading.backward_steps
    explain = reading.explain

    def _label(self, ref: Ref) -> str:
        """What to call an output of a node: outputs after the first as in Python, "max[1]"."""
        label = self.nodes[ref[0]].label
        return f"{label}[{ref[1]}]" if ref[1] else label

    def summary(self, N: int = 1, *, wrt: str | Iterable[str] | None = None) -> Summary:
        """Counts nodes, parameters, multiply-adds and the bytes kept for backward, by module.

        Nothing is run: all follows from the shapes. Multiply-adds are those of matrix products,
        convolutions and attention, as other tools count them. The bytes are those of the results
        that a recorded run keeps because a gradient rule reads them; what is there anyway (inputs,
        parameters) does not count, nor does what two rules read count twice.

        Args:
            N: What to take for the size that is not known yet, such as that of a batch.
            wrt: Names of the inputs and parameters that need gradients. By default the parameters
                that require them; in a graph without parameters, the inputs.

        Returns:
            An object that prints as a table; `rows` and `total` hold the numbers.

        Raises:
            RuntimeError: The graph has no outputs yet.
            ValueError: N is less than 1, or `wrt` names the result of an op.
            KeyError: A name in `wrt` is not that of a node.

        Example:
            >>> with cr.Graph() as g:
            ...     x, w = g.input("x", (None, 64)), g.input("w", (64, 10))
            >>> g.outputs(y=(x @ w).tanh()).summary(N=32)
            module              type  output  nodes  parameters  multiply-adds  bytes kept
            ------------------  ----  ------  -----  ----------  -------------  ----------
            outside of modules                    4           0         20,480       1,280
            ------------------  ----  ------  -----  ----------  -------------  ----------
            total                                 4           0         20,480       1,280
            multiply-adds and bytes kept for backward: with N = 32

        Source: torchinfo.summary; fvcore's FlopCountAnalysis for what counts as a multiply-add.
        """
        from chainrule.graphs.summary import summarize

        return summarize(self, N, wrt)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        if not self.output_refs:
            return f"<Graph with inputs {list(self._placeholders)}, not assembled yet>"
        inputs = [printable(node.label) for node in self.nodes if node.kind == "input"]
        outputs = map(printable, self.output_refs)
        return f"<Graph of {len(self)} nodes: {', '.join(inputs)} -> {', '.join(outputs)}>"

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes structure, attributes, names and parameters to one file, which holds no code.

        Args:
            path: Where to; by custom it ends in ".crg". It is a safetensors file, so that other
                tools can read the weights.

        Raises:
            OSError: The file cannot be written.
            RuntimeError: The graph has no outputs yet.

        Source: csrc/chainrule/graph/FORMAT.md.
        """
        if not self.output_refs:
            raise RuntimeError("save: a graph without outputs; say outputs(L=...) first")
        self._save(file_name(path, "save"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Graph:
        """Reads what `save` wrote.

        Args:
            path: The file.

        Returns:
            A graph that runs forward and backward with the same bits.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: The file cannot be read.
            ValueError: The file is no graph, is damaged, or is of a later version. Nothing large
                is allocated before that is known.

        Example:
            >>> import tempfile
            >>> with cr.Graph() as g:
            ...     x, w = g.inputs("x w")
            >>> with tempfile.NamedTemporaryFile(suffix=".crg") as file:
            ...     g.outputs(y=w * x).save(file.name)
            ...     cr.Graph.load(file.name).forward(x=2, w=3)
            {'y': tensor(6.)}
        """
        result = cls()
        result._load(file_name(path, "load"))
        return result

    def __copy__(self) -> Graph:
        """For copy.copy: a graph of its own on the same parameters, which has not run."""
        return self._copied([])

    def __deepcopy__(self, memo: dict[int, Any]) -> Graph:
        """For copy.deepcopy: with parameters of its own, too; nodes that share one share it."""
        import copy

        values: list[tuple[int, Tensor]] = []
        copies: dict[tuple[object, ...], Tensor] = {}
        for id, value in self._own_values():
            place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
            if place not in copies:
                copies[place] = copy.deepcopy(value, memo)
                values.append((id, copies[place]))
            elif copies[place].requires_grad == value.requires_grad:
                values.append((id, copies[place]))
            else:
                shared = copies[place].detach()
                values.append((id, shared.requires_grad_(value.requires_grad)))
        return self._copied(values)

    def _copied(self, values: list[tuple[int, Tensor]]) -> Graph:
        result = Graph()
        result._set_copy(self, values)
        result._placeholders = dict(self._placeholders)
        result._variables = dict(self._variables)
        return result

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "pickle: a Graph; it is saved as a file without code; use save() and load()"
        )

    # ---- differentiating ----

    def grad(self, of: str, wrt: str | Iterable[str]) -> Graph:
        """Returns the graph of the gradients of an output, which can be differentiated again.

        Args:
            of: The name of an output or node; the elements of one that is not scalar are summed up.
            wrt: Names of inputs, parameters or other nodes.

        Returns:
            A graph with the same inputs, whose outputs are the gradients, called as in `wrt`.

        Raises:
            RuntimeError: `of` does not depend on something in `wrt`.
            ValueError: A name is not that of a node, or stands twice in `wrt`, or `wrt` is empty.
            TypeError: A name is not a str.

        Example:
            >>> with cr.Graph() as g:
            ...     x, = g.inputs("x")
            >>> second = g.outputs(y=x * x * x).grad("y", "x").grad("x", "x")
            >>> second.forward(x=2)
            {'x': tensor(12.)}
        """
        result = Graph()
        result._set_gradients(self, of, names_in(wrt, "grad", "wrt"))
        return result
