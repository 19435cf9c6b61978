"""Layers of transformers: Embedding, LayerNorm, Dropout; each calls its function."""

from __future__ import annotations

from chainrule._C import Tensor, empty
from chainrule.grad_mode import no_grad
from chainrule.nn import functional_transformer as functional
from chainrule.nn import init
from chainrule.nn.module import Module
from chainrule.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from chainrule import _C


class Embedding(Module):
    """A table of vectors: y = weight[input].

    Args:
        num_embeddings: How many vectors.
        embedding_dim: Their size.
        padding_idx: A row that starts at 0 and gets no gradient; counted from the end if negative.
        dtype: The floating dtype of the table; float32 if None.

    Attributes:
        weight: (num_embeddings, embedding_dim), standard normal at first.

    Call:
        input: Row numbers, int64 or int32, any shape. Returns (*input.shape, embedding_dim).

    Raises:
        IndexError: A row number, or padding_idx, is out of range.

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
        *,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None:
            padding_idx = functional.row_number("Embedding", padding_idx, num_embeddings)
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


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, over the last dims of each sample.

    Args:
        normalized_shape: The sizes of the last dims of x, over which mean and variance are taken.
        eps: Added to the variance.
        elementwise_affine: Whether there are a weight and a bias.
        bias: Whether there is a bias.
        dtype: The floating dtype of the parameters; float32 if None.

    Attributes:
        weight: (*normalized_shape), ones at first, or None.
        bias: (*normalized_shape), zeros at first, or None.

    Call:
        input: (..., *normalized_shape). Returns the same shape.

    Raises:
        ValueError: The input does not end in normalized_shape.

    Example:
        >>> nn.LayerNorm(2)(cr.tensor([[1.0, 3.0]])).detach()
        tensor([[-1.0000,  1.0000]])

    Source: torch.nn.LayerNorm.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        one_dim = isinstance(normalized_shape, int)
        shape = (normalized_shape,) if one_dim else tuple(normalized_shape)  # type: ignore[arg-type]
        self.normalized_shape: tuple[int, ...] = shape  # type: ignore[assignment]
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            parameter = Parameter(empty(self.normalized_shape, dtype=dtype)) if wanted else None
            self.register_parameter(name, parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Returns layer_norm(input)."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Returns the shape and the options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class Dropout(Module):
    """In training, zeroes each element with probability p and divides the others by 1 - p.

    Args:
        p: The probability, in [0, 1].

    Call:
        input: Any shape, a floating dtype. Returns the same shape; in evaluation, the input.

    Raises:
        ValueError: p is outside [0, 1].

    Example:
        >>> nn.Dropout(0.5).eval()(cr.ones(2))
        tensor([1., 1.])

    Source: torch.nn.Dropout.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        functional.check_probability("Dropout", "p", p)
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        """Returns dropout(input) in training, else the input."""
        return functional.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """Returns the probability."""
        return f"p={self.p}"
