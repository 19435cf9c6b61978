"""Embedding: rows of a trained table."""

from __future__ import annotations

from chainrule._C import Tensor, empty
from chainrule.grad_mode import no_grad
from chainrule.nn import functional, init
from chainrule.nn.functional.embedding import row_number
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chainrule import _C


class Embedding(Module):
    """A table of vectors: y = weight[input].

    Args:
        num_embeddings: How many vectors.
        embedding_dim: Their size.
        padding_idx: A row that starts at 0 and gets no gradient; counted from the end if negative.
        max_norm: None: rows are not rescaled when they are used.
        norm_type: Of no effect without max_norm.
        scale_grad_by_freq: False: gradients are not divided by how often a row was chosen.
        sparse: False: the gradient is a whole table.
        dtype: The floating dtype of the table; float32 if None.

    Attributes:
        weight: (num_embeddings, embedding_dim), standard normal at first.

    Call:
        input: Row numbers, int64 or int32, any shape. Returns (*input.shape, embedding_dim).

    Raises:
        IndexError: A row number, or padding_idx, is out of range.
        ValueError: max_norm, scale_grad_by_freq or sparse is not its default: they are known for
            PyTorch's sake only.

    Example:
        >>> nn.Embedding(10, 3)(cr.tensor([[1, 2], [4, 5]])).shape
        (2, 2, 3)

    Source: torch.nn.Embedding.
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value, default in (
            ("max_norm", max_norm, None),
            ("scale_grad_by_freq", scale_grad_by_freq, False),
            ("sparse", sparse, False),
        ):
            if value is not default:
                raise ValueError(
                    f"Embedding: {name} is {value!r}; it must be {default}, the only kind there is"
                )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None:
            padding_idx = row_number("Embedding", padding_idx, num_embeddings)
        self.padding_idx = padding_idx
        self.weight = Parameter(empty((num_embeddings, embedding_dim), dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].zero_()

    def forward(self, input: Tensor) -> Tensor:
        """Returns weight[input]."""
        return functional.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Returns the sizes and the padding row."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
