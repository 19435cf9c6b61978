"""The work in PyTorch's API, for the two libraries that have it: chainrule and PyTorch itself.

The same lines run in both, with the library handed in as a module.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import rows
import work_gpt
from job import Job


def _read(results: Any) -> list[rows.Array]:
    return [np.asarray(result.detach().numpy()) for result in results]


def _parameter(lib: Any, array: rows.Array) -> Any:
    return lib.from_numpy(array.copy()).requires_grad_()


def _add(lib: Any, row: rows.Add) -> Job:
    a, b = lib.from_numpy(row.array(4)), lib.from_numpy(row.array(4))
    if row.recording:
        a.requires_grad_()
    return Job(lambda: a + b, lambda result: _read([result]))


def _lecture(lib: Any, row: rows.Lecture) -> Job:
    parameters = [lib.tensor(value, requires_grad=True) for value in row.parameters]
    w1, b1, w2, b2 = parameters
    x, y = lib.tensor(row.x), lib.tensor(row.y)

    def run() -> Any:
        for parameter in parameters:
            parameter.grad = None
        loss = (w2 * (w1 * x + b1) + b2 - y) ** 2
        loss.backward()
        return loss

    return Job(run, lambda loss: _read([loss, *(p.grad for p in parameters)]))


def _model(lib: Any, row: rows.Net) -> Any:
    layers: list[Any] = []
    for weight, bias in row.parameters():
        if layers:
            layers.append(lib.nn.ReLU())
        linear = lib.nn.Linear(weight.shape[1], weight.shape[0])
        with lib.no_grad():
            linear.weight.copy_(lib.from_numpy(weight))
            linear.bias.copy_(lib.from_numpy(bias))
        layers.append(linear)
    return lib.nn.Sequential(*layers)


def net(lib: Any, row: rows.Net) -> tuple[Any, Any, Any, Any]:
    """Returns the model, its loss function, inputs and targets."""
    criterion = lib.nn.MSELoss() if row.regression else lib.nn.CrossEntropyLoss()
    return _model(lib, row), criterion, *map(lib.from_numpy, row.data())


def _gradients(lib: Any, row: rows.Gradients) -> Job:
    model, criterion, x, y = net(lib, row)

    def run() -> Any:
        model.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        return loss

    return Job(run, lambda loss: _read([loss, *(p.grad for p in model.parameters())]))


def _train(lib: Any, row: rows.Train) -> Job:
    model, criterion, x, y = net(lib, row)
    if row.optimizer == "sgd":
        optimizer = lib.optim.SGD(model.parameters(), lr=row.lr)
    else:
        optimizer = lib.optim.Adam(model.parameters(), lr=row.lr, betas=row.betas, eps=row.eps)

    def run() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Job(run, lambda loss: _read([loss]))


def _lenet(lib: Any, row: rows.LeNet) -> Job:
    nn = lib.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=row.padding[0]), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=row.padding[1]), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    parameters = iter(model.parameters())
    with lib.no_grad():
        for layer in row.parameters():
            for array in layer:
                next(parameters).copy_(lib.from_numpy(array))
    x, y = map(lib.from_numpy, row.data())
    criterion = nn.CrossEntropyLoss()
    optimizer = lib.optim.SGD(model.parameters(), lr=row.lr)

    def run() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Job(run, lambda loss: _read([loss]))


def _chain(lib: Any, row: rows.Chain) -> Job:
    weight = lib.tensor(row.weight, requires_grad=True)

    def run() -> Any:
        weight.grad = None
        y = weight
        for _ in range(row.length):
            y = y * weight
        y.backward()
        return y

    return Job(run, lambda y: _read([y, weight.grad]))


def _curve(lib: Any, row: rows.Tanh, function: Any) -> Job:
    x = _parameter(lib, row.array(row.count))
    gradient = lib.from_numpy(row.array(row.count, scale=0.5))

    def run() -> Any:
        x.grad = None
        y = function(x)
        y.backward(gradient)
        return y

    return Job(run, lambda y: _read([y, x.grad]))


def _tanh(lib: Any, row: rows.Tanh) -> Job:
    return _curve(lib, row, lib.tanh)


def _gelu(lib: Any, row: rows.Gelu) -> Job:
    return _curve(lib, row, lib.nn.functional.gelu)


def _softmax(lib: Any, row: rows.Softmax) -> Job:
    x = lib.from_numpy(row.array(row.size, row.size))
    return Job(lambda: lib.softmax(x, -1), lambda result: _read([result]))


def _sum(lib: Any, row: rows.Sum) -> Job:
    x = lib.from_numpy(row.array(row.size, row.size))
    return Job(lambda: x.sum(row.dim), lambda result: _read([result]))


def _matmul(lib: Any, row: rows.Matmul) -> Job:
    a = lib.from_numpy(row.array(row.size, row.size))
    b = lib.from_numpy(row.array(row.size, row.size))
    return Job(lambda: a @ b, lambda result: _read([result]))


def _module_call(lib: Any, row: rows.ModuleCall) -> Job:
    class Same(lib.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x

    module, x = Same(), lib.from_numpy(row.array(4))
    return Job(lambda: module(x), lambda result: _read([result]))


def _parameters(lib: Any, row: rows.Parameters) -> Job:
    net = lib.nn.Sequential(*(lib.nn.Linear(4, 4) for _ in range(row.layers)))
    return Job(
        lambda: list(net.parameters()),
        lambda result: [np.array([parameter.numel() for parameter in result])],
    )


_BUILDERS: dict[type[rows.Row], Any] = {
    rows.Add: _add,
    rows.Lecture: _lecture,
    rows.Train: _train,
    rows.Gradients: _gradients,
    rows.LeNet: _lenet,
    rows.Chain: _chain,
    rows.Tanh: _tanh,
    rows.Gelu: _gelu,
    rows.Gpt: work_gpt.job,
    rows.Softmax: _softmax,
    rows.Sum: _sum,
    rows.Matmul: _matmul,
    rows.ModuleCall: _module_call,
    rows.Parameters: _parameters,
}


def prepare(lib: Any, row: rows.Row) -> Job | None:
    """Returns the row as a job of the library."""
    builder = _BUILDERS.get(type(row))
    return builder(lib, row) if builder else None
