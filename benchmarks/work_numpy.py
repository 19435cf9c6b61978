"""The rows by hand in NumPy: gradients derived on paper, as a careful user would write them."""

from __future__ import annotations

from typing import Any

import numpy as np

import rows
from job import Job


def _version() -> str:
    """NumPy's version and, where threadpoolctl can tell, which kernels its BLAS has chosen."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return np.__version__
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    kernels = [f"{b['internal_api']} {b['version']} {b.get('architecture', '')}" for b in blas]
    return f"{np.__version__} ({', '.join(kernels).strip()})" if kernels else np.__version__


VERSION: str = _version()


def set_threads(count: int) -> None:
    """Does nothing: its BLAS read OPENBLAS_NUM_THREADS, which compare.py sets, when imported."""


def _read(results: Any) -> list[rows.Array]:
    return [np.asarray(result) for result in results]


def _add(row: rows.Add) -> Job | None:
    if row.recording:
        return None
    a, b = row.array(4), row.array(4)
    return Job(lambda: a + b, lambda result: _read([result]))


def _lecture(row: rows.Lecture) -> Job:
    w1, b1, w2, b2, x, y = map(np.float32, (*row.parameters, row.x, row.y))

    def run() -> Any:
        hidden = w1 * x + b1
        residual = w2 * hidden + b2 - y
        d_output = residual + residual
        d_hidden = d_output * w2
        return residual * residual, d_hidden * x, d_hidden, d_output * hidden, d_output

    return Job(run, _read)


def _loss_and_gradient(row: rows.Train, output: rows.Array, y: rows.Array) -> tuple[Any, Any]:
    if row.regression:
        difference = output - y
        return np.mean(difference * difference), difference * np.float32(2 / difference.size)
    shifted = output - output.max(1, keepdims=True)
    powers = np.exp(shifted)
    totals = powers.sum(1, keepdims=True)
    at = np.arange(len(y))
    loss = np.mean(np.log(totals[:, 0]) - shifted[at, y])
    gradient = powers / totals
    gradient[at, y] -= 1
    gradient /= np.float32(len(y))
    return loss, gradient


class _Net:
    """The layers of a Train row with their gradients and Adam's moments."""

    def __init__(self, row: rows.Train) -> None:
        self.row = row
        self.layers = row.parameters()
        flat = [parameter for layer in self.layers for parameter in layer]
        self.moments = [(p, np.zeros_like(p), np.zeros_like(p)) for p in flat]
        self.steps = 0
        self.x, self.y = row.data()

    def run(self) -> Any:
        """One training step; returns its loss."""
        inputs = [self.x]
        for i, (weight, bias) in enumerate(self.layers):
            output = inputs[-1] @ weight.T
            output += bias
            if i + 1 < len(self.layers):
                np.maximum(output, 0, out=output)
            inputs.append(output)
        loss, gradient = _loss_and_gradient(self.row, inputs.pop(), self.y)
        gradients: list[rows.Array] = []
        for i in reversed(range(len(self.layers))):
            gradients[:0] = [gradient.T @ inputs[i], gradient.sum(0)]
            if i > 0:
                gradient = gradient @ self.layers[i][0]
                gradient *= inputs[i] > 0
        self._update(gradients)
        return loss

    def _update(self, gradients: list[rows.Array]) -> None:
        lr = np.float32(self.row.lr)
        if self.row.optimizer == "sgd":
            for (parameter, _, _), gradient in zip(self.moments, gradients, strict=True):
                gradient *= lr
                parameter -= gradient
            return
        self.steps += 1
        beta1, beta2 = self.row.betas
        step_size = np.float32(self.row.lr / (1 - beta1**self.steps))
        root_scale = np.float32((1 - beta2**self.steps) ** -0.5)
        for (parameter, first, second), gradient in zip(self.moments, gradients, strict=True):
            first *= np.float32(beta1)
            first += np.float32(1 - beta1) * gradient
            second *= np.float32(beta2)
            gradient *= gradient
            second += np.float32(1 - beta2) * gradient
            root = np.sqrt(second)
            root *= root_scale
            root += np.float32(self.row.eps)
            parameter -= step_size * (first / root)


def _train(row: rows.Train) -> Job:
    net = _Net(row)
    return Job(net.run, lambda loss: _read([loss]))


def _tanh(row: rows.Tanh) -> Job:
    x, gradient = row.array(row.count), row.array(row.count, scale=0.5)

    def run() -> Any:
        y = np.tanh(x)
        gx = y * y
        np.subtract(1, gx, out=gx)
        gx *= gradient
        return y, gx

    return Job(run, _read)


def _softmax(row: rows.Softmax) -> Job:
    x = row.array(row.size, row.size)

    def run() -> Any:
        y = x - x.max(1, keepdims=True)
        np.exp(y, out=y)
        y /= y.sum(1, keepdims=True)
        return y

    return Job(run, lambda result: _read([result]))


def _sum(row: rows.Sum) -> Job:
    x = row.array(row.size, row.size)
    return Job(lambda: x.sum(row.dim), lambda result: _read([result]))


def _matmul(row: rows.Matmul) -> Job:
    a, b = row.array(row.size, row.size), row.array(row.size, row.size)
    return Job(lambda: a @ b, lambda result: _read([result]))


_BUILDERS: dict[type[rows.Row], Any] = {
    rows.Add: _add,
    rows.Lecture: _lecture,
    rows.Train: _train,
    rows.Tanh: _tanh,
    rows.Softmax: _softmax,
    rows.Sum: _sum,
    rows.Matmul: _matmul,
}


def prepare(row: rows.Row) -> Job | None:
    """Returns the row as a job, or None: a chain of scalars is no work for NumPy."""
    builder = _BUILDERS.get(type(row))
    return builder(row) if builder else None
