"""The GPT row in JAX: the whole step is one jitted function with donated state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import rows
from job import Job

_wait: Any = jax.block_until_ready


def _norm(p: dict[str, Any], name: str, x: Any) -> Any:
    centered = x - x.mean(-1, keepdims=True)
    variance = (centered * centered).mean(-1, keepdims=True)
    return centered * jax.lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def _linear(p: dict[str, Any], name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _loss(row: rows.Gpt, p: dict[str, Any], tokens: Any, targets: Any) -> Any:
    x = p["token.weight"][tokens] + p["position.weight"]
    seen = jnp.tril(jnp.ones((row.length, row.length), bool))
    features = row.width // row.heads
    for i in range(row.layers):
        at = f"blocks.{i}."
        qkv = _linear(p, at + "qkv", _norm(p, at + "norm1", x))
        q, k, v = (
            part.reshape(row.batch, row.length, row.heads, features).transpose(0, 2, 1, 3)
            for part in jnp.split(qkv, 3, axis=2)
        )
        scores = jnp.where(seen, q @ k.swapaxes(-1, -2) / features**0.5, -jnp.inf)
        y = (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3)
        x = x + _linear(p, at + "proj", y.reshape(row.batch, row.length, row.width))
        hidden = jax.nn.gelu(_linear(p, at + "up", _norm(p, at + "norm2", x)), approximate=False)
        x = x + _linear(p, at + "down", hidden)
    logits = jax.nn.log_softmax(_linear(p, "head", _norm(p, "norm", x)))
    return -jnp.mean(jnp.take_along_axis(logits, targets[..., None], -1))


def job(row: rows.Gpt) -> Job:
    """Returns the row as a job."""
    each = jax.tree_util.tree_map
    p = each(jnp.asarray, row.parameters())
    tokens, targets = map(jnp.asarray, row.data())
    held: list[Any] = [p, each(jnp.zeros_like, p), each(jnp.zeros_like, p), jnp.float32(0)]
    beta1, beta2 = row.betas

    def step(p: Any, first: Any, second: Any, count: Any) -> Any:
        loss, gradients = jax.value_and_grad(lambda q: _loss(row, q, tokens, targets))(p)
        count = count + 1
        first = each(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradients)
        second = each(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradients)
        scale1, scale2 = 1 - beta1**count, 1 - beta2**count

        def update(w: Any, m: Any, v: Any) -> Any:
            w = w * (1 - row.lr * row.weight_decay)
            return w - row.lr * (m / scale1) / (jnp.sqrt(v / scale2) + row.eps)

        return each(update, p, first, second), first, second, count, loss

    jitted = jax.jit(step, donate_argnums=(0, 1, 2, 3))

    def run() -> Any:
        *held[:], loss = _wait(jitted(*held))
        return loss

    return Job(run, lambda loss: [jax.device_get(loss)])
