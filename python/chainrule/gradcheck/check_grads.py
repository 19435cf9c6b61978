"""check_grads: gradients beside finite differences.

The public face only; gradient_check.py compares, finite_differences.py measures, and
likely_mistakes.py names what probably went wrong. They load numpy, so the call imports them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from chainrule._C import Tensor


def check_grads(
    fn: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Tensor | Sequence[Tensor],
    *,
    grad_fn: Callable[[Any, Any], Tensor | Sequence[Tensor | None] | None] | None = None,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
) -> bool:
    """Compares the gradients of a function with finite differences.

    The gradients are those of autograd, in the dtypes of the inputs, or those of `grad_fn`. Beside
    them stand central differences (f(x + h) - f(x - h)) / 2h, measured in float64 on float64 copies
    of the inputs; where fn does not take those (a layer has float32 parameters, say), in float32
    with larger steps. A difference that does not fit is measured again with other steps before
    it counts.

    Outputs of one element are differentiated as they are, those of up to 8 element by element, and
    all of them weighted by fixed random numbers. Of an input of up to 256 elements each is moved;
    of a larger one a fixed sample of 64, and all together in a fixed random direction.

    Args:
        fn: Takes the inputs as arguments and returns a Tensor or several. It must compute with its
            arguments, which are copies, and give the same result each time. Integer outputs do
            not count.
        inputs: One Tensor or several, any shapes and layouts; they are not changed. Those with
            requires_grad are checked (with `grad_fn`: all that are floating).
        grad_fn: A gradient to check in place of autograd's: called as grad_fn(inputs, gy), it
            returns one gradient for each input, None for zeros. `inputs` is a Tensor or tuple as
            above, and `gy` a Tensor or tuple as fn returns them.
        eps: The step h, times max(1, abs(x)). Default: 1e-6, in float32 1e-2.
        atol: Absolute error allowed. Default: rtol / 10 of the input's largest gradient, what
            rounding of the outputs makes of them over h, and 8 roundings of the outputs in the
            dtype of the inputs: float32 inputs say little about gradients below 1e-6.
        rtol: Relative error allowed. Default: 1e-4, with float32 inputs 2e-3, measured in float32
            2e-2.
        raise_exception: If false, False is returned instead of an error.

    Returns:
        True if all gradients agree.

    Raises:
        GradientError: One does not. The message says which input and element, both numbers,
            and the likely mistake where the numbers tell (a missing sum over a broadcast dim, a
            missing transpose, overwritten instead of added, a missing factor, a sign, a detached
            value). Or: fn gives two results, or one that is not finite, or it has a kink at
            the input, where no one gradient is right (measured in float32, the slope on
            either side will do: the steps are too large to tell where a kink is).
        TypeError: An input or an output is not a Tensor.
        ValueError: No input or output is to be checked, or fn does not use its arguments, or its
            outputs change their shape with the values.

    Example:
        >>> x = cr.tensor([[0.5, -1.0], [2.0, 3.0]], requires_grad=True)
        >>> cr.check_grads(lambda x: (x @ x).tanh(), x)
        True

        A gradient of one's own, with a mistake in it:

        >>> def add(x, b):
        ...     return x + b
        >>> def add_backward(inputs, gy):
        ...     return gy, gy.mean(0)
        >>> b = cr.tensor([1.0, 1.0])
        >>> try:
        ...     cr.check_grads(add, (x, b), grad_fn=add_backward)
        ... except cr.GradientError as error:
        ...     print(error.mistake)
        b was broadcast along dim 0: the gradient is the mean over it and must be the sum

    Source: torch.autograd.gradcheck.
    """
    from chainrule.gradcheck.gradient_check import GradientCheck

    error = GradientCheck(fn, inputs, grad_fn, eps, atol, rtol).first_failure()
    if error is not None and raise_exception:
        raise error
    return error is None
