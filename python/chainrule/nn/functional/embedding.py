"""Rows of a table, chosen by numbers."""

from __future__ import annotations

from chainrule._C import Tensor, ops


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Returns the rows of weight that input counts, weight[input].

    Args:
        input: Row numbers, any shape; int64 or int32.
        weight: (num_embeddings, embedding_dim).
        padding_idx: A row that gets no gradient; counted from the end if negative.

    Returns:
        (*input.shape, embedding_dim). The gradients of a row chosen several times add up.

    Raises:
        IndexError: A row number, or padding_idx, is out of range.
        ValueError: The weight is not 2-d.
        TypeError: The input is not integral.

    Example:
        >>> nn.functional.embedding(cr.tensor([2, 0]), cr.tensor([[0.0], [1.0], [2.0]]))
        tensor([[2.],
                [0.]])

    Source: torch.nn.functional.embedding.
    """
    if weight.ndim != 2:
        raise ValueError(
            f"embedding: weight has shape {tuple(weight.shape)}; "
            "it must be (num_embeddings, embedding_dim); index other tensors as weight[input]"
        )
    if padding_idx is None:
        return ops.embedding(weight, input)
    return ops.embedding(
        weight, input, padding_idx=row_number("embedding", padding_idx, len(weight))
    )


def row_number(name: str, padding_idx: int, rows: int) -> int:
    """Returns padding_idx counted from the start."""
    if not -rows <= padding_idx < rows:
        raise IndexError(
            f"{name}: padding_idx is {padding_idx}, there are {rows} rows; "
            f"it must be in [{-rows}, {rows})"
        )
    return padding_idx % rows
