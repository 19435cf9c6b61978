"""Which weighted sums of the outputs are differentiated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chainrule.gradcheck.finite_differences import Array

ONE_BY_ONE_UP_TO = 8  # elements of an output that are differentiated one by one


@dataclass
class Draw:
    """One gradient of the weighted outputs: the weights of each, and how a message says it."""

    upstream: list[Array]
    words: str
    is_partial: bool = False  # one of several elements of an output


def draws_of(shapes: list[tuple[int, ...]]) -> list[Draw]:
    """Returns which weighted sums of the outputs are differentiated."""
    random = np.random.default_rng(20)
    fixed = [random.choice([-1.0, 1.0], s) * random.uniform(0.5, 1.5, s) for s in shapes]
    nothing = [np.zeros(s) for s in shapes]
    draws = []
    for k, shape in enumerate(shapes):
        count = int(np.prod(shape))
        which = f" of output {k}" if len(shapes) > 1 else ""
        for j in range(count if count <= ONE_BY_ONE_UP_TO else 0):
            one = np.zeros(count)
            one[j] = 1.0
            at = tuple(int(i) for i in np.unravel_index(j, shape))
            words = f" of output {k}" if len(shapes) > 1 else " of the output" if count > 1 else ""
            words += f"'s element {at}" if count > 1 else ""
            gys = [*nothing[:k], one.reshape(shape), *nothing[k + 1 :]]
            draws.append(Draw(gys, words, is_partial=count > 1))
        words = f"{which or ' of the outputs'}, weighted by fixed random numbers,"
        draws.append(Draw([*nothing[:k], fixed[k], *nothing[k + 1 :]], words))
    if len(shapes) > 1:
        draws.append(Draw(fixed, " of all outputs, weighted by fixed random numbers,"))
    return draws
