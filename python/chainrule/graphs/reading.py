"""The methods of Graph that read it as mathematics: formulas, steps, derivations."""

from __future__ import annotations

from chainrule.graphs import steps
from chainrule.graphs.expressions import as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from chainrule.graphs.graph import Graph
    from chainrule.graphs.nodes import GraphNode


def formula(self: Graph, node: GraphNode | str) -> str:
    """The op of a node written with the labels of its inputs; "" of a node without op.

    Args:
        node: A node, or the name of one.

    Raises:
        KeyError: There is none of that name.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w, b = g.inputs("x w b")
        >>> g.outputs(y=w * x + b).formula("y")
        'mul + b'
    """
    return as_text(self._expression(_node_of(self, node).id))


def local_derivative(self: Graph, node: GraphNode | str, k: int = 0) -> str:
    """How the result of a node changes with its input k, written with the labels of the graph.

    Args:
        node: A node, or the name of one.
        k: The place of the input.

    Returns:
        The partial derivative, of an elementwise op; of another the rule that takes the gradient
        gy of the result to that of the input, "gy @ b.mT", as one writes it on a blackboard, with
        the meaning of names that are new: "gy / n * (softmax(z, dim=1) - onehot(t)), where n is
        the number of rows". "" where no gradient passes.

    Raises:
        KeyError: There is no node of that name.

    Example:
        >>> with cr.Graph() as g:
        ...     r, = g.inputs("r")
        >>> g.outputs(L=r ** 2).local_derivative("L")
        '2 * r'
    """
    from chainrule.graphs.textbook import gradient_of_input

    found = gradient_of_input(self, _node_of(self, node), k)
    return "" if found is None else str(found)


def forward_steps(self: Graph, /, **feeds: Any) -> Iterator[steps.ForwardStep]:
    """Runs forward one node at a time.

    Args:
        **feeds: A value for each input by name, as for `forward`.

    Yields:
        A step for each input, parameter and op, after those it is computed from: its name, op,
        formula, inputs and value. After the last one the graph has run.

    Raises:
        ValueError: As `forward`, when the first step is asked for.
        TypeError: As `forward`.
        RuntimeError: Another pass of steps was begun before this one ended.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w, b = g.inputs("x w b")
        >>> for step in g.outputs(y=w * x + b).forward_steps(x=3, w=5, b=2):
        ...     print(step)
        x = 3
        w = 5
        b = 2
        mul = w * x = 5 * 3 = 15
        y = mul + b = 15 + 2 = 17
    """
    from chainrule.graphs.steps import forward_steps

    return forward_steps(self, feeds)


def backward_steps(
    self: Graph, of: str | None = None, gradient: Any = None
) -> Iterator[steps.BackwardStep]:
    """Runs backward one node at a time, at the values of the last forward.

    Args:
        of: The name of an output or node; may be left out when there is one output.
        gradient: What to weight the elements of `of` by; 1 if left out, for one element only.

    Yields:
        A step for each op, after those that use it: its upstream gradient, and for each input
        the local derivative, the contribution, and the running sum if the input is used more
        than once. After the last one, `gradient` reads the gradients of all nodes.

    Raises:
        RuntimeError: forward has not run, or another pass of steps was begun before this ended.
        ValueError: There is no such output or node.

    Example:
        >>> with cr.Graph() as g:
        ...     x, w = g.inputs("x w")
        >>> y = g.outputs(y=(w * x) ** 2).forward(x=3, w=5)
        >>> for step in g.backward_steps("y"):
        ...     print(step)
        dy/dy = 1, y = mul ** 2
            to mul: dy/dy * (2 * mul) = 1 * 30 = 30
        dy/dmul = 30, mul = w * x
            to w: dy/dmul * x = 30 * 3 = 90
            to x: dy/dmul * w = 30 * 5 = 150
    """
    from chainrule.graphs.steps import backward_steps

    return backward_steps(self, of, gradient)


def explain(self: Graph, of: str, wrt: str, format: str = "text") -> str:
    """Writes the derivation of a gradient as one does by hand, from the ops' own formulas.

    Args:
        of: The name of an output or node.
        wrt: The name of an input, parameter or other node.
        format: "text", "markdown" or "latex" (in math mode, with amsmath).

    Returns:
        Of scalars the chain of partial derivatives along every path from `wrt` to `of`, with the
        numbers if the graph has run, and their sum; node by node where there are very many paths.
        Of several paths the factors are partial derivatives, written with ∂. Of tensors the matrix
        form, from the output inwards, with shapes; a vector is a column, ⊙ multiplies element by
        element; a gradient of a single number that has few elements is followed by them. A node
        that nobody named and that is used once is written out inside the node that uses it.

    Raises:
        RuntimeError: The graph has no outputs yet.
        ValueError: There is no such output or node, or no such format.

    Example:
        >>> with cr.Graph() as g:
        ...     w, h, y = g.inputs("w h y")
        >>> values = g.outputs(L=(w * h - y) ** 2).forward(w=2, h=17, y=37)
        >>> print(g.explain("L", "w"))
        dL/dw = 2(w·h - y) · h = 2·(-3)·17 = -102
    """
    from chainrule.graphs.explain import explain

    return explain(self, of, wrt, format)


def _node_of(graph: Graph, node: GraphNode | str) -> GraphNode:
    return graph.node(node) if isinstance(node, str) else node
