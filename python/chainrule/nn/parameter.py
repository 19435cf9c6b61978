"""Parameter: the tensor that a Module registers and an optimizer changes."""

from __future__ import annotations

from chainrule._C import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Parameter(Tensor):
    """A leaf tensor that becomes part of a module when it is assigned to an attribute.

    Args:
        data: The values, of any shape; a floating dtype if `requires_grad`. The parameter shares
            their memory.
        requires_grad: Whether gradients are wanted.

    Raises:
        TypeError: `data` is not a Tensor, or an integer tensor is asked for gradients.

    Example:
        >>> weight = nn.Parameter(cr.ones(2))
        >>> weight
        Parameter containing:
        tensor([1., 1.], requires_grad=True)
        >>> (weight * 3).sum().backward()
        >>> weight.grad
        tensor([3., 3.])

    Source: torch.nn.Parameter.
    """

    def __new__(cls, data: Tensor, requires_grad: bool = True) -> Parameter:
        """Wraps a tensor; the memory is shared."""
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: data is a {type(data).__name__}; it must be a Tensor")
        parameter: Parameter = Tensor.__new__(cls, data)
        parameter.requires_grad_(requires_grad)
        return parameter

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copy: Parameter | None = memo.get(id(self))
        if copy is None:
            copy = memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return copy

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # A plain Tensor knows how to pickle itself.
        return type(self), (Tensor.detach(self), self.requires_grad)
