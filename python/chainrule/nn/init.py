"""Initialisations: each fills a tensor in place, without recording, and returns it.

Random numbers come from the generator that chainrule.manual_seed seeds.
"""

from __future__ import annotations

import math

from chainrule import _C
from chainrule._C import Tensor
from chainrule.grad_mode import no_grad


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Fills with values uniform in [a, b).

    Args:
        tensor: Any shape, a floating dtype.
        a: The lower bound.
        b: The upper bound.

    Returns:
        The tensor.

    Example:
        >>> w = nn.init.uniform_(cr.empty(100), -1, 1)
        >>> bool((w.abs() <= 1).sum() == 100)
        True

    Source: torch.nn.init.uniform_.
    """
    return _fill(tensor, a + (b - a) * _C.rand(tensor.shape, dtype=tensor.dtype))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fills with values of the normal distribution.

    Args:
        tensor: Any shape, a floating dtype.
        mean: The mean.
        std: The standard deviation.

    Returns:
        The tensor.

    Example:
        >>> nn.init.normal_(cr.empty(2), mean=3.0, std=0.0)
        tensor([3., 3.])

    Source: torch.nn.init.normal_.
    """
    return _fill(tensor, mean + std * _C.randn(tensor.shape, dtype=tensor.dtype))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fills with one value.

    Args:
        tensor: Any shape and dtype.
        val: The value.

    Returns:
        The tensor.

    Example:
        >>> nn.init.constant_(cr.empty(2), 0.5)
        tensor([0.5000, 0.5000])

    Source: torch.nn.init.constant_.
    """
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fills with zeros.

    Args:
        tensor: Any shape and dtype.

    Returns:
        The tensor.

    Example:
        >>> nn.init.zeros_(cr.empty(2))
        tensor([0., 0.])

    Source: torch.nn.init.zeros_.
    """
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fills with ones.

    Args:
        tensor: Any shape and dtype.

    Returns:
        The tensor.

    Example:
        >>> nn.init.ones_(cr.empty(2))
        tensor([1., 1.])

    Source: torch.nn.init.ones_.
    """
    return constant_(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """Fills with the identity matrix.

    Args:
        tensor: (m, n), any dtype.

    Returns:
        The tensor.

    Raises:
        ValueError: The tensor has not two dims.

    Example:
        >>> nn.init.eye_(cr.empty(2, 2))
        tensor([[1., 0.],
                [0., 1.]])

    Source: torch.nn.init.eye_.
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: tensor has shape {tuple(tensor.shape)}; it must have two dims")
    return _fill(tensor, _C.eye(tensor.shape[0], tensor.shape[1], dtype=tensor.dtype))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fills with values uniform in ±gain * sqrt(6 / (fan_in + fan_out)).

    Args:
        tensor: (fan_out, fan_in, ...), a floating dtype; further dims multiply both fans.
        gain: See `calculate_gain`.

    Returns:
        The tensor.

    Raises:
        ValueError: The tensor has fewer than two dims.

    Example:
        >>> w = nn.init.xavier_uniform_(cr.empty(3, 3))
        >>> bool((w.abs() <= 1).sum() == 9)
        True

    Source: Glorot and Bengio 2010, equation 16; torch.nn.init.xavier_uniform_.
    """
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6.0 / max(1, fan_in + fan_out))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fills with normal values of standard deviation gain * sqrt(2 / (fan_in + fan_out)).

    Args:
        tensor: (fan_out, fan_in, ...), a floating dtype; further dims multiply both fans.
        gain: See `calculate_gain`.

    Returns:
        The tensor.

    Raises:
        ValueError: The tensor has fewer than two dims.

    Example:
        >>> nn.init.xavier_normal_(cr.empty(3, 2)).shape
        (3, 2)

    Source: Glorot and Bengio 2010; torch.nn.init.xavier_normal_.
    """
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(1, fan_in + fan_out)))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fills with values uniform in ±calculate_gain(nonlinearity, a) * sqrt(3 / fan).

    Args:
        tensor: (fan_out, fan_in, ...), a floating dtype; further dims multiply both fans.
        a: The slope of a leaky ReLU for negative values.
        mode: "fan_in" keeps the size of values on the way forward, "fan_out" on the way back.
        nonlinearity: The function that follows.

    Returns:
        The tensor.

    Raises:
        ValueError: The tensor has fewer than two dims, or `mode` or `nonlinearity` is unknown.

    Example:
        >>> w = nn.init.kaiming_uniform_(cr.empty(2, 6), nonlinearity="relu")
        >>> bool((w.abs() <= 1).sum() == 12)
        True

    Source: He et al. 2015, equation 10; torch.nn.init.kaiming_uniform_.
    """
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fills with normal values of standard deviation gain / sqrt(fan).

    Args:
        tensor: (fan_out, fan_in, ...), a floating dtype; further dims multiply both fans.
        a: The slope of a leaky ReLU for negative values.
        mode: "fan_in" keeps the size of values on the way forward, "fan_out" on the way back.
        nonlinearity: The function that follows.

    Returns:
        The tensor.

    Raises:
        ValueError: The tensor has fewer than two dims, or `mode` or `nonlinearity` is unknown.

    Example:
        >>> nn.init.kaiming_normal_(cr.empty(3, 2), mode="fan_out").shape
        (3, 2)

    Source: He et al. 2015, equation 10; torch.nn.init.kaiming_normal_.
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Returns the factor by which weights make up for what a function does to the size of values.

    Args:
        nonlinearity: "linear", "sigmoid" (1), "tanh" (5/3), "relu" (sqrt(2)), "leaky_relu"
            (sqrt(2 / (1 + param**2))) or "selu" (3/4).
        param: The slope of a leaky ReLU; 0.01 if None.

    Returns:
        The factor.

    Raises:
        ValueError: The function is unknown.

    Example:
        >>> nn.init.calculate_gain("leaky_relu", 1.0)
        1.0

    Source: torch.nn.init.calculate_gain.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope**2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: nonlinearity is {nonlinearity!r}; it must be one of "
            f"{', '.join([*gains, 'leaky_relu'])}"
        )
    return gains[nonlinearity]


def _fill(tensor: Tensor, values: Tensor) -> Tensor:
    with no_grad():
        return tensor.copy_(values)


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(
            f"{name}: tensor has shape {tuple(tensor.shape)}; it must have at least two dims, "
            "(fan_out, fan_in); use uniform_ or normal_ for vectors"
        )
    fan_out, fan_in, *rest = tensor.shape
    field = math.prod(rest)
    return fan_in * field, fan_out * field


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _fans(name, tensor), strict=True))
    if mode not in fans:
        raise ValueError(f"{name}: mode is {mode!r}; it must be 'fan_in' or 'fan_out'")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fans[mode]))
