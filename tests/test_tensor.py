"""Tensor: creation, the attributes it reports, conversion to Python numbers, copying, identity."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import chainrule as cr

DTYPES = [cr.float32, cr.float64, cr.int64, cr.int32, cr.bool]


def same(tensor: Any, values: Any, dtype: Any) -> None:
    assert tensor.dtype == dtype
    assert tensor.tolist() == values


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, cr.float32),
        (3, cr.int64),
        (True, cr.bool),
        ([1.0, 2.0], cr.float32),
        ([1, 2], cr.int64),
        ([True, False], cr.bool),
        ([1, 2.5], cr.float32),
        ([True, 2], cr.int64),
        ([True, 2.0], cr.float32),
        ([], cr.float32),
        ([[], []], cr.float32),
        ([[[1]], [[2]]], cr.int64),
        ((1, 2), cr.int64),
        ([2**62], cr.int64),
    ],
)
def test_tensor_infers_dtype(data: Any, dtype: Any) -> None:
    made = cr.tensor(data)
    assert made.dtype == dtype
    assert made.shape == np.array(data).shape
    np.testing.assert_array_equal(made.numpy(), np.array(data))


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_takes_a_dtype(dtype: Any) -> None:
    assert cr.tensor([0, 1], dtype=dtype).dtype == dtype
    assert cr.tensor([0, 1], dtype=dtype).tolist() == [0, 1]


def test_tensor_copies() -> None:
    array = np.ones(3, np.float32)
    made = cr.tensor(array)
    array[0] = 5
    assert made.tolist() == [1, 1, 1]


def test_tensor_of_numpy_scalars_and_mixed_rows() -> None:
    same(cr.tensor([np.float64(1.5), np.float64(2)]), [1.5, 2.0], cr.float64)
    same(cr.tensor(np.int32(7)), 7, cr.int32)
    same(cr.tensor([cr.tensor(1.0), cr.tensor(2.0)]), [1.0, 2.0], cr.float32)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: cr.zeros(2, 3), (2, 3)),
        (lambda: cr.zeros((2, 3)), (2, 3)),
        (lambda: cr.zeros([2, 3]), (2, 3)),
        (lambda: cr.zeros(()), ()),
        (lambda: cr.zeros(0), (0,)),
        (lambda: cr.ones(2), (2,)),
        (lambda: cr.empty(2, 0), (2, 0)),
        (lambda: cr.full((2,), 1.0), (2,)),
        (lambda: cr.eye(2, 3), (2, 3)),
        (lambda: cr.rand(2, 3), (2, 3)),
        (lambda: cr.randn((2, 3)), (2, 3)),
        (lambda: cr.randint(0, 9, (2, 3)), (2, 3)),
    ],
)
def test_creation_takes_sizes_in_every_form(make: Any, shape: tuple[int, ...]) -> None:
    made = make()
    assert made.shape == shape
    assert made.size() == shape


def test_filled_tensors() -> None:
    same(cr.zeros(2), [0.0, 0.0], cr.float32)
    same(cr.ones(2, dtype=cr.int32), [1, 1], cr.int32)
    same(cr.full((2,), 7), [7, 7], cr.int64)
    same(cr.full((2,), 1.5), [1.5, 1.5], cr.float32)
    same(cr.full((2,), True), [True, True], cr.bool)
    same(cr.full((), 2, dtype=cr.float64), 2.0, cr.float64)
    same(cr.eye(2), [[1.0, 0.0], [0.0, 1.0]], cr.float32)
    same(cr.eye(1, 3, dtype=cr.int64), [[1, 0, 0]], cr.int64)
    assert cr.zeros(2, requires_grad=True).requires_grad


def test_ranges() -> None:
    same(cr.arange(4), [0, 1, 2, 3], cr.int64)
    same(cr.arange(1, 4), [1, 2, 3], cr.int64)
    same(cr.arange(5, 0, -2), [5, 3, 1], cr.int64)
    same(cr.arange(0.0, 1.0, 0.25), [0.0, 0.25, 0.5, 0.75], cr.float32)
    same(cr.arange(3, dtype=cr.float64), [0.0, 1.0, 2.0], cr.float64)
    same(cr.arange(0), [], cr.int64)
    same(cr.arange(1.0, 3.0), [1.0, 2.0], cr.float32)
    same(cr.linspace(0, 1, 5), [0.0, 0.25, 0.5, 0.75, 1.0], cr.float32)
    same(cr.linspace(2, 2, 1), [2.0], cr.float32)
    same(cr.linspace(0, 1, 0), [], cr.float32)


def test_linspace_ends_exactly() -> None:
    points = cr.linspace(-1, 1, 101, dtype=cr.float64).numpy()
    assert (points[0], points[-1]) == (-1.0, 1.0)
    np.testing.assert_allclose(points, np.linspace(-1, 1, 101), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_like(dtype: Any) -> None:
    model = cr.ones(2, 3, dtype=dtype)
    for make in (cr.zeros_like, cr.ones_like, cr.empty_like):
        assert (make(model).shape, make(model).dtype) == ((2, 3), dtype)
    assert cr.full_like(model, 1).tolist() == [[1] * 3] * 2
    assert cr.zeros_like(model, dtype=cr.float64).dtype == cr.float64


def test_random_like() -> None:
    model = cr.zeros(4, 2, dtype=cr.float64)
    for made in (cr.rand_like(model), cr.randn_like(model)):
        assert (made.shape, made.dtype) == ((4, 2), cr.float64)
    assert cr.randint_like(model, 0, 5).shape == (4, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_attributes(dtype: Any) -> None:
    x = cr.zeros(2, 3, 4, dtype=dtype)
    sizes = {cr.float32: 4, cr.float64: 8, cr.int64: 8, cr.int32: 4, cr.bool: 1}
    assert (x.shape, x.ndim, x.dim(), x.numel(), len(x)) == ((2, 3, 4), 3, 3, 24, 2)
    assert (x.size(), x.size(1), x.size(-1)) == ((2, 3, 4), 3, 4)
    assert (x.stride(), x.stride(0), x.storage_offset()) == ((12, 4, 1), 12, 0)
    assert x.is_contiguous()
    assert x.element_size() == sizes[dtype]
    assert (x.is_leaf, x.requires_grad, x.grad, x.grad_fn) == (True, False, None, None)


def test_shape_is_a_tuple() -> None:
    assert isinstance(cr.zeros(2, 3).shape, tuple)
    rows, columns = cr.zeros(2, 3).shape
    assert (rows, columns) == (2, 3)


def test_conversions_between_dtypes() -> None:
    x = cr.tensor([0.0, 1.75, -2.5])
    same(x.to(cr.int64), [0, 1, -2], cr.int64)
    same(x.int(), [0, 1, -2], cr.int32)
    same(x.long(), [0, 1, -2], cr.int64)
    same(x.bool(), [False, True, True], cr.bool)
    same(x.double(), [0.0, 1.75, -2.5], cr.float64)
    same(x.long().float(), [0.0, 1.0, -2.0], cr.float32)
    same(x.type_as(cr.tensor([1])), [0, 1, -2], cr.int64)
    assert x.to(cr.float32) is x
    assert x.float() is x


def test_item_and_tolist() -> None:
    assert cr.tensor(1.5).item() == 1.5
    assert cr.tensor([[7]]).item() == 7
    assert type(cr.tensor(True).item()) is bool
    assert type(cr.tensor(3).item()) is int
    assert type(cr.tensor(3.0).item()) is float
    assert cr.tensor([[1, 2], [3, 4]]).T.tolist() == [[1, 3], [2, 4]]
    assert cr.zeros(2, 0).tolist() == [[], []]
    assert cr.tensor(0.1).item() == float(np.float32(0.1))
    assert cr.tensor(0.1, dtype=cr.float64).item() == 0.1


def test_python_numbers() -> None:
    assert float(cr.tensor(2.5)) == 2.5
    assert int(cr.tensor(2.9)) == 2
    assert int(cr.tensor([-2.9])) == -2
    assert [10, 20, 30][cr.tensor(1)] == 20
    assert not bool(cr.tensor(0.0))
    assert bool(cr.tensor([float("nan")]))
    assert float(cr.tensor(2.0, requires_grad=True)) == 2.0


@pytest.mark.parametrize("convert", [float, int, bool, lambda x: x.item()])
@pytest.mark.parametrize("shape", [(2,), (0,)])
def test_only_one_element_is_a_number(convert: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"\({shape[0]},\).*; "):
        convert(cr.ones(shape))


def test_a_float_is_no_index() -> None:
    with pytest.raises(TypeError, match=r"float32"):
        [10, 20][cr.tensor(1.0)]


def test_iteration_yields_rows_and_stops() -> None:
    rows = list(cr.tensor([[1, 2], [3, 4]]))
    assert [row.tolist() for row in rows] == [[1, 2], [3, 4]]
    assert list(cr.zeros(0, 3)) == []
    a, b = cr.tensor([1.0, 2.0])
    assert (a.item(), b.item()) == (1.0, 2.0)


def test_a_scalar_has_no_length() -> None:
    with pytest.raises(TypeError, match="0-d"):
        len(cr.tensor(1.0))
    with pytest.raises(TypeError, match="0-d"):
        iter(cr.tensor(1.0))


def test_identity_is_the_hash() -> None:
    x, y = cr.ones(2), cr.ones(2)
    assert len({x, y, x}) == 2
    assert {x: "x"}[x] == "x"
    assert hash(x) == hash(x)


def test_comparison_is_elementwise() -> None:
    assert (cr.tensor([1, 2]) == cr.tensor([1, 3])).tolist() == [True, False]
    assert (cr.tensor([1, 2]) != 2).tolist() == [True, False]
    assert (cr.tensor([1.0, 5.0]) < 3).tolist() == [True, False]


def test_comparison_with_a_stranger() -> None:
    assert (cr.tensor([1]) == "text") is False
    assert (cr.tensor([1]) != None) is True  # noqa: E711
    with pytest.raises(TypeError):
        _ = cr.tensor([1]) < "text"


def test_unknown_operand_gets_its_turn() -> None:
    class Stranger:
        def __radd__(self, other: Any) -> str:
            return "stranger"

    assert cr.ones(2) + Stranger() == "stranger"
    with pytest.raises(TypeError, match="unsupported operand"):
        cr.ones(2) + object()


def test_weak_reference_dies_with_the_tensor() -> None:
    x = cr.ones(2)
    reference = weakref.ref(x)
    assert reference() is x
    del x
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_are_equal_and_apart(clone: Any, dtype: Any) -> None:
    x = cr.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype).T
    y = clone(x)
    assert (y.dtype, y.shape, y.tolist()) == (x.dtype, x.shape, x.tolist())
    y.zero_()
    assert x.tolist() == [[0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_keep_requires_grad(clone: Any) -> None:
    x = cr.ones(2, requires_grad=True)
    assert clone(x).requires_grad
    assert clone(x).is_leaf
    assert not clone(x.detach()).requires_grad


def test_deepcopy_keeps_aliases_and_the_gradient() -> None:
    x = cr.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    left, right = copy.deepcopy([x, x])
    assert left is right
    assert left.grad.tolist() == [3.0, 3.0]


def test_recorded_values_are_not_copied_silently() -> None:
    y = cr.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(y)


def test_detach_and_data_share_memory() -> None:
    x = cr.ones(2)
    x.detach().fill_(4)
    assert x.tolist() == [4.0, 4.0]
    x.data.fill_(5)
    assert x.tolist() == [5.0, 5.0]


def test_dtype_objects() -> None:
    assert str(cr.float32) == repr(cr.float32) == "chainrule.float32"
    assert isinstance(cr.float32, type(cr.int64))
    assert len(set(DTYPES)) == 5
    assert copy.deepcopy(cr.float64) is cr.float64
    assert pickle.loads(pickle.dumps(cr.bool)) is cr.bool
