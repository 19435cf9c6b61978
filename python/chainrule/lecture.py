"""The lecture's regression graph: y_hat = w2*(w1*x + b1) + b2, L = (y_hat - y)**2."""

from __future__ import annotations

from chainrule.graphs.graph import Graph

TEXT = "y_hat = w2*(w1*x + b1) + b2, L = (y_hat - y)**2"
VALUES = {"x": 3.0, "w1": 5.0, "b1": 2.0, "w2": 2.0, "b2": 3.0, "y": 40.0}


def lecture_graph() -> Graph:
    """Returns the lecture's graph, every node of it named, after a forward pass with its numbers.

    Example:
        >>> from chainrule.lecture import lecture_graph
        >>> g = lecture_graph()
        >>> g.value("L"), g.backward("L", "w2")
        (tensor(9.), {'w2': tensor(-102.)})
    """
    graph = Graph()  # not in a block, which would remember the line of whoever calls this
    x, w1, b1, w2, b2, y = graph.inputs("x w1 b1 w2 b2 y")
    product1 = w1 * x
    h = product1 + b1
    product2 = w2 * h
    y_hat = product2 + b2
    r = y_hat - y
    L = r**2
    product1.name, product2.name = "w1*x", "w2*h"
    h.name, y_hat.name, r.name, L.name = "h", "y_hat", "r", "L"
    graph.outputs(L=L)
    graph.forward(**VALUES)
    return graph
