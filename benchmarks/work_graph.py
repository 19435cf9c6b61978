"""The rows of assembled graphs, which chainrule alone has."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule
import rows
import work_eager
from job import Job


def _read(results: tuple[dict[str, Any], dict[str, Any]]) -> list[rows.Array]:
    return [np.asarray(value.numpy()) for named in results for value in named.values()]


def _lecture(row: rows.GraphLecture) -> Job:
    with chainrule.Graph() as g:
        x, w1, b1, w2, b2, y = g.inputs("x w1 b1 w2 b2 y")
        loss = (w2 * (w1 * x + b1) + b2 - y) ** 2
    g.outputs(L=loss)
    fw1, fb1, fw2, fb2 = row.parameters
    fx, fy = row.x, row.y

    def run() -> Any:
        return g.forward(x=fx, w1=fw1, b1=fb1, w2=fw2, b2=fb2, y=fy), g.backward("L")

    return Job(run, _read)


def _gradients(row: rows.GraphGradients) -> Job:
    model, criterion, x, y = work_eager.net(chainrule, row)
    with chainrule.Graph() as g:
        loss = criterion(model(g.input("X", (None, *x.shape[1:]))), g.input("y", (None, 1)))
    g.outputs(loss=loss)
    parameters = [node.label for node in g.nodes if node.kind == "parameter"]

    def run() -> Any:
        return g.forward(X=x, y=y), g.backward("loss", wrt=parameters)

    return Job(run, _read)


def prepare(row: rows.Row) -> Job | None:
    """Returns the row as a job, or None if it is not about a graph."""
    if isinstance(row, rows.GraphLecture):
        return _lecture(row)
    return _gradients(row) if isinstance(row, rows.GraphGradients) else None
