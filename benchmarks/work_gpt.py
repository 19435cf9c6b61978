"""The GPT row in PyTorch's API: written as people write it, for chainrule and PyTorch alike."""

from __future__ import annotations

from typing import Any

import numpy as np

import rows
from job import Job


def _model(lib: Any, row: rows.Gpt) -> Any:
    nn = lib.nn
    functional = nn.functional

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(row.width)
            self.qkv = nn.Linear(row.width, 3 * row.width)
            self.proj = nn.Linear(row.width, row.width)
            self.norm2 = nn.LayerNorm(row.width)
            self.up = nn.Linear(row.width, 4 * row.width)
            self.gelu = nn.GELU()
            self.down = nn.Linear(4 * row.width, row.width)

        def forward(self, x: Any) -> Any:
            batch, length, width = x.shape
            q, k, v = (
                part.view(batch, length, row.heads, width // row.heads).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).chunk(3, dim=2)
            )
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(self.gelu(self.up(self.norm2(x))))

    class Gpt(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(row.vocabulary, row.width)
            self.position = nn.Embedding(row.length, row.width)
            self.blocks = nn.ModuleList([Block() for _ in range(row.layers)])
            self.norm = nn.LayerNorm(row.width)
            self.head = nn.Linear(row.width, row.vocabulary)

        def forward(self, tokens: Any, places: Any) -> Any:
            x = self.token(tokens) + self.position(places)
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return Gpt()


def job(lib: Any, row: rows.Gpt) -> Job:
    """Returns the row as a job of the library."""
    model = _model(lib, row)
    arrays = row.parameters()
    with lib.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(lib.from_numpy(arrays[name]))
    tokens, targets = map(lib.from_numpy, row.data())
    places = lib.arange(row.length)
    optimizer = lib.optim.AdamW(
        model.parameters(), lr=row.lr, betas=row.betas, eps=row.eps, weight_decay=row.weight_decay
    )

    def run() -> Any:
        optimizer.zero_grad()
        logits = model(tokens, places)
        loss = lib.nn.functional.cross_entropy(logits.view(-1, row.vocabulary), targets.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    return Job(run, lambda loss: [np.asarray(loss.detach().numpy())])
