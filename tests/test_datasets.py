"""The digits that ship inside the package."""

from __future__ import annotations

import numpy as np

import chainrule as cr

EXAMPLES_OF_EACH_DIGIT = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as load_digits counts


def test_digits_are_the_published_ones() -> None:
    digits = cr.datasets.digits()
    assert (digits.images.shape, digits.images.dtype) == ((1797, 8, 8), cr.float32)
    assert (digits.target.shape, digits.target.dtype) == ((1797,), cr.int64)
    assert np.bincount(digits.target.numpy()).tolist() == EXAMPLES_OF_EACH_DIGIT
    assert digits.target[:10].tolist() == list(range(10))
    assert (digits.images.min().item(), digits.images.max().item()) == (0.0, 16.0)
    assert digits.images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert digits.images.sum().item() == 561718.0


def test_data_is_the_images_flattened() -> None:
    digits = cr.datasets.digits()
    assert digits.data.shape == (1797, 64)
    assert digits.data.data_ptr() == digits.images.data_ptr()
    data, target = cr.datasets.digits(return_X_y=True)
    assert (data.shape, target.shape) == ((1797, 64), (1797,))


def test_each_call_makes_new_tensors() -> None:
    cr.datasets.digits().images.zero_()
    assert cr.datasets.digits().images.max().item() == 16.0
