"""What check_grads raises."""

from __future__ import annotations


class GradientError(AssertionError):
    """A gradient that finite differences do not confirm.

    Attributes:
        input: The index of the input, or None if the function itself cannot be checked.
        element: The index of the element, a tuple.
        gradient: The gradient there.
        difference: What finite differences give there.
        mistake: The likely mistake, a sentence; "" if none fits.

    Example:
        >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
        >>> try:
        ...     cr.check_grads(lambda x: x * x.detach(), x)
        ... except cr.GradientError as error:
        ...     error.input, error.element, error.mistake.split(":")[0]
        (0, (0,), 'a factor of 2 is missing')
    """

    def __init__(
        self,
        message: str,
        *,
        input: int | None = None,
        element: tuple[int, ...] | None = None,
        gradient: float | None = None,
        difference: float | None = None,
        mistake: str = "",
    ) -> None:
        super().__init__(message)
        self.input = input
        self.element = element
        self.gradient = gradient
        self.difference = difference
        self.mistake = mistake
