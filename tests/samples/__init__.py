"""The table of samples: every op of the library, and the public functions composed of them.

Each file holds one family; test_ops.py walks OPS and COMPOSITES alike. The second table, AWKWARD,
holds the values at which a formula is easily wrong, with outputs and gradients written out.
"""

from . import (
    composites,
    convolution,
    elementwise,
    indexing,
    linear_algebra,
    losses,
    reductions,
    transformer,
    views,
)
from .awkward import AWKWARD
from .base import BadCall, Call, Op

OPS: list[Op] = [
    *elementwise.OPS,
    *reductions.OPS,
    *views.OPS,
    *linear_algebra.OPS,
    *indexing.OPS,
    *convolution.OPS,
    *losses.OPS,
    *transformer.OPS,
]
COMPOSITES: list[Op] = [*composites.OPS, *transformer.COMPOSITES]

__all__ = ["AWKWARD", "COMPOSITES", "OPS", "BadCall", "Call", "Op"]
