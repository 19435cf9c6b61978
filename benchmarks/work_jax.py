"""The rows in JAX: every job is one jitted function, and waits for its results."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import rows
import work_gpt_jax
from job import Job

VERSION: str = jax.__version__

_wait: Any = jax.block_until_ready


def set_threads(count: int) -> None:
    """Does nothing: XLA counted the CPUs that the worker process was confined to."""


def _job(function: Any, *arguments: Any) -> Job:
    """A job that calls a jitted function and returns all its results as one flat list."""
    jitted = jax.jit(function)
    arrays = [jnp.asarray(argument) for argument in arguments]
    return Job(lambda: _wait(jitted(*arrays)), _read)


def _read(results: Any) -> list[rows.Array]:
    return [jax.device_get(leaf) for leaf in jax.tree_util.tree_leaves(results)]


def _add(row: rows.Add) -> Job | None:
    if row.recording:
        return None  # JAX records nothing when it runs
    return _job(jnp.add, row.array(4), row.array(4))


def _lecture(row: rows.Lecture) -> Job:
    def loss(p: tuple[Any, ...]) -> Any:
        w1, b1, w2, b2 = p
        return (w2 * (w1 * row.x + b1) + b2 - row.y) ** 2

    step = jax.jit(jax.value_and_grad(loss))
    parameters = tuple(jnp.float32(value) for value in row.parameters)
    return Job(lambda: _wait(step(parameters)), _read)


def _loss(row: rows.Train, layers: Any, x: Any, y: Any) -> Any:
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        if i + 1 < len(layers):
            x = jax.nn.relu(x)
    if row.regression:
        return jnp.mean((x - y) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1))


def _adam(row: rows.Train, layers: Any, gradients: Any, state: Any) -> tuple[Any, Any]:
    step, first, second = state
    step = step + 1
    beta1, beta2 = row.betas
    each = jax.tree_util.tree_map
    first = each(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradients)
    second = each(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradients)
    scale1, scale2 = 1 - beta1**step, 1 - beta2**step
    layers = each(
        lambda p, m, v: p - row.lr * (m / scale1) / (jnp.sqrt(v / scale2) + row.eps),
        layers,
        first,
        second,
    )
    return layers, (step, first, second)


def _train(row: rows.Train) -> Job:
    each = jax.tree_util.tree_map
    layers = each(jnp.asarray, row.parameters())
    x, y = map(jnp.asarray, row.data())
    zeros = each(jnp.zeros_like, layers)
    held = [layers, (jnp.float32(0), zeros, each(jnp.copy, zeros))]

    def step(layers: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(lambda p: _loss(row, p, x, y))(layers)
        if row.optimizer == "adam":
            return (*_adam(row, layers, gradients, state), loss)
        return each(lambda p, g: p - row.lr * g, layers, gradients), state, loss

    jitted = jax.jit(step, donate_argnums=(0, 1))

    def run() -> Any:
        held[0], held[1], loss = _wait(jitted(held[0], held[1], x, y))
        return loss

    return Job(run, _read)


def _lenet_loss(row: rows.LeNet, layers: Any, x: Any, y: Any) -> Any:
    for (weight, bias), padding in zip(layers, row.padding, strict=False):
        border = [(padding, padding)] * 2
        x = jax.lax.conv_general_dilated(x, weight, (1, 1), border) + bias[:, None, None]
        window = (1, 1, 2, 2)
        x = jax.lax.reduce_window(jax.nn.relu(x), -jnp.inf, jax.lax.max, window, window, "VALID")
    x = x.reshape(row.batch, -1)
    for i, (weight, bias) in enumerate(layers[2:]):
        x = x @ weight.T + bias
        if i < 2:
            x = jax.nn.relu(x)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1))


def _lenet(row: rows.LeNet) -> Job:
    each = jax.tree_util.tree_map
    held = [each(jnp.asarray, row.parameters())]
    x, y = map(jnp.asarray, row.data())

    def step(layers: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(lambda p: _lenet_loss(row, p, x, y))(layers)
        return each(lambda p, g: p - row.lr * g, layers, gradients), loss

    jitted = jax.jit(step, donate_argnums=0)

    def run() -> Any:
        held[0], loss = _wait(jitted(held[0], x, y))
        return loss

    return Job(run, _read)


def _chain(row: rows.Chain) -> Job:
    def product(weight: Any) -> Any:
        # A loop of the compiler: unrolled, it would be compiled for minutes.
        return jax.lax.scan(lambda y, _: (y * weight, None), weight, length=row.length)[0]

    return _job(jax.value_and_grad(product), jnp.float32(row.weight))


def _tanh(row: rows.Tanh) -> Job:
    def both(x: Any, gradient: Any) -> Any:
        y, vjp = jax.vjp(jnp.tanh, x)
        return y, vjp(gradient)[0]

    return _job(both, row.array(row.count), row.array(row.count, scale=0.5))


def _gelu(row: rows.Gelu) -> Job:
    def both(x: Any, gradient: Any) -> Any:
        y, vjp = jax.vjp(lambda x: jax.nn.gelu(x, approximate=False), x)
        return y, vjp(gradient)[0]

    return _job(both, row.array(row.count), row.array(row.count, scale=0.5))


def _softmax(row: rows.Softmax) -> Job:
    return _job(jax.nn.softmax, row.array(row.size, row.size))


def _sum(row: rows.Sum) -> Job:
    return _job(lambda x: x.sum(row.dim), row.array(row.size, row.size))


def _matmul(row: rows.Matmul) -> Job:
    return _job(jnp.matmul, row.array(row.size, row.size), row.array(row.size, row.size))


_BUILDERS: dict[type[rows.Row], Any] = {
    rows.Add: _add,
    rows.Lecture: _lecture,
    rows.Train: _train,
    rows.LeNet: _lenet,
    rows.Chain: _chain,
    rows.Tanh: _tanh,
    rows.Gelu: _gelu,
    rows.Gpt: work_gpt_jax.job,
    rows.Softmax: _softmax,
    rows.Sum: _sum,
    rows.Matmul: _matmul,
}


def prepare(row: rows.Row) -> Job | None:
    """Returns the row as a job, or None if this library has no such work."""
    builder = _BUILDERS.get(type(row))
    return builder(row) if builder else None
