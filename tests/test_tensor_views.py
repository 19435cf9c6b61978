"""Views: what shares memory and what copies; slicing and assignment through slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

VIEWS: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda x: x.reshape(3, 8),
    "view": lambda x: x.view(-1),
    "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(1, 2, 0),
    "T": lambda x: x[0].T,
    "expand": lambda x: x.unsqueeze(0).expand(5, 2, 3, 4),
    "squeeze": lambda x: x[:1].squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "flatten": lambda x: x.flatten(1),
    "detach": lambda x: x.detach(),
    "integer": lambda x: x[1],
    "negative": lambda x: x[-1, -1],
    "slice": lambda x: x[:, 1:3],
    "step": lambda x: x[..., ::3],
    "newaxis": lambda x: x[:, None],
    "mixed": lambda x: x[1:, None, ..., 2],
    "everything": lambda x: x[...],
    "empty": lambda x: x[2:],
}


def numbers() -> Any:
    return cr.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_storage(name: str) -> None:
    x = numbers()
    y = VIEWS[name](x)
    before = y.tolist()
    x.add_(100.0)
    np.testing.assert_array_equal(y.numpy(), np.array(before, np.float32).reshape(y.shape) + 100)


@pytest.mark.parametrize("name", VIEWS)
def test_views_report_their_memory(name: str) -> None:
    """shape, strides and offset must address exactly the elements NumPy's view does."""
    x = numbers()
    y = VIEWS[name](x)
    address = np.lib.stride_tricks.as_strided(
        x.numpy().reshape(-1)[y.storage_offset() :],
        y.shape,
        [4 * stride for stride in y.stride()],
    )
    np.testing.assert_array_equal(address, y.numpy())
    if y.numel():
        assert y.data_ptr() == x.data_ptr() + 4 * y.storage_offset()


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: x.clone(),
        lambda x: x.transpose(0, 1).reshape(-1),
        lambda x: x[[0, 1]],
        lambda x: x * 1,
    ],
    ids=["clone", "reshape of a transpose", "integer array", "mul"],
)
def test_copies_do_not_share(copy: Any) -> None:
    x = numbers()
    y = copy(x)
    before = y.tolist()
    x.zero_()
    assert y.tolist() == before


def test_contiguous_copies_only_when_needed() -> None:
    x = numbers()
    assert x.contiguous() is x or x.contiguous().data_ptr() == x.data_ptr()
    turned = x.transpose(0, 2)
    assert not turned.is_contiguous()
    straight = turned.contiguous()
    assert straight.is_contiguous()
    assert straight.data_ptr() != x.data_ptr()
    assert straight.tolist() == turned.tolist()


def test_view_of_strides_that_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match=r"^view: .*; .*reshape"):
        numbers().transpose(0, 1).view(-1)
    assert numbers().transpose(0, 1).view(3, 2, 2, 2).shape == (3, 2, 2, 2)


INDICES: list[Any] = [
    0, -1, slice(None), slice(1, None), slice(None, None, 2), slice(-1, None), slice(5, 9), ...,
    None, (0, 1), (0, 1, 2), (slice(None), -1), (..., 0), (0, ...),
    (slice(None), slice(1), slice(1, 3)), (None, 0, None), (..., None), (slice(0, 0),),
    (1, ..., slice(None, None, 3)), (),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_basic_index_follows_numpy(index: Any) -> None:
    x = numbers()
    y = x[index]
    expected = x.numpy()[index]
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y.numpy(), expected)


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_assignment_follows_numpy(index: Any) -> None:
    x, expected = numbers(), numbers().numpy().copy()
    expected[index] = -1.0
    x[index] = -1.0
    np.testing.assert_array_equal(x.numpy(), expected)


def test_assignment_broadcasts_and_casts() -> None:
    x = cr.zeros(2, 3)
    x[:, 1:] = cr.tensor([[1], [2]])
    assert x.tolist() == [[0, 1, 1], [0, 2, 2]]
    x[0] = cr.tensor([7.0, 8.0, 9.0])
    assert x.tolist() == [[7, 8, 9], [0, 2, 2]]
    x[1, 0] = True
    assert x[1].tolist() == [1, 2, 2]


def test_assignment_between_overlapping_views() -> None:
    x = cr.arange(6.0)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        (2, IndexError, r"\b2\b.*; "),
        (-3, IndexError, r"-3.*; "),
        ((0, 3), IndexError, r"\b3\b.*; "),
        ((0, 0, 0, 0), IndexError, r"; "),
        ((..., ...), IndexError, r"; "),
        (slice(None, None, -1), ValueError, r"-1.*; "),
        (slice(None, None, 0), ValueError, r"\b0\b.*; "),
        (1.0, TypeError, r"float"),
        ("name", TypeError, r"str"),
    ],
    ids=str,
)
def test_bad_index(index: Any, error: type[Exception], text: str) -> None:
    x = numbers()
    with pytest.raises(error, match=text):
        x[index]
    with pytest.raises(error, match=text):
        x[index] = 5.0
    np.testing.assert_array_equal(x.numpy(), numbers().numpy())


def test_bad_assignment_changes_nothing() -> None:
    x = cr.zeros(2, 3)
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\).*; "):
        x[0] = cr.ones(2)
    with pytest.raises(TypeError):
        x[0] = "text"
    assert x.tolist() == [[0] * 3] * 2
    assert x._version == 0


def test_gradient_flows_through_views_to_the_base() -> None:
    x = numbers().requires_grad_()
    (x[1].T[::2] * cr.arange(6.0).reshape(2, 3)).sum().backward()
    expected = np.zeros((2, 3, 4))
    expected[1].T[::2] = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_at_most_eight_dims() -> None:
    assert cr.ones((1,) * 8).ndim == 8
    for make in (lambda: cr.ones((1,) * 9), lambda: cr.ones((1,) * 8).unsqueeze(0)):
        with pytest.raises(ValueError, match=r"9.*; .*8"):
            make()


def test_split_and_chunk_take_any_number_of_pieces() -> None:
    x = cr.arange(12.0)
    assert [piece.item() for piece in x.split([1] * 12)] == list(range(12))
    assert [piece.item() for piece in x.chunk(2**63 - 1)] == list(range(12))
    with pytest.raises(MemoryError, match="longer than memory"):
        cr.zeros(0).chunk(2**62)
