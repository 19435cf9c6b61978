"""NumPy, the buffer protocol, and DLPack: in both directions, without copies where promised."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import chainrule as cr

DTYPES = ["float32", "float64", "int64", "int32", "bool"]


def sample(name: str) -> np.ndarray:
    return np.array([[1, 0, 2], [0, 1, 1]]).astype(name)


@pytest.mark.parametrize("name", DTYPES)
def test_from_numpy_shares(name: str) -> None:
    array = sample(name)
    x = cr.from_numpy(array)
    assert x.dtype == getattr(cr, name)
    assert x.data_ptr() == array.ctypes.data
    array[0, 0] = 0
    assert x.tolist() == array.tolist()
    x.fill_(1)
    assert array.tolist() == np.ones((2, 3), name).tolist()


@pytest.mark.parametrize("name", DTYPES)
def test_numpy_shares(name: str) -> None:
    x = cr.tensor(sample(name))
    array = x.numpy()
    assert (array.dtype.name, array.ctypes.data) == (name, x.data_ptr())
    array[0, 0] = 0
    assert x.tolist() == array.tolist()


@pytest.mark.parametrize(
    "part", [lambda a: a.T, lambda a: a[:, ::2], lambda a: a[1], lambda a: a[1, 2], lambda a: a[2:]]
)
def test_strides_travel_both_ways(part: Any) -> None:
    array = sample("float64")
    from_array = cr.from_numpy(np.asarray(part(array)))
    np.testing.assert_array_equal(from_array.numpy(), part(array))
    np.testing.assert_array_equal(part(cr.tensor(array)).numpy(), part(array))


def test_memory_lives_as_long_as_anyone_looks() -> None:
    array = cr.arange(1000.0).numpy()
    gc.collect()
    cr.zeros(1000).fill_(-1)
    np.testing.assert_array_equal(array, np.arange(1000, dtype=np.float32))
    owner = np.arange(1000.0)
    alive = weakref.ref(owner)
    x = cr.from_numpy(owner)
    del owner
    gc.collect()
    assert alive() is not None
    assert x[-1].item() == 999
    del x
    gc.collect()
    assert alive() is None


def test_array_protocol() -> None:
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.asarray(x).dtype == np.float32
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.sin(x.numpy()).shape == (2, 2)
    np.testing.assert_array_equal(x, [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="cop"):
        np.asarray(x, dtype=np.float64, copy=False)


def test_buffer_protocol() -> None:
    x = cr.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=cr.float64)
    view = memoryview(x)
    assert (view.shape, view.format, view.itemsize) == ((2, 3), "d", 8)
    assert view.tolist() == x.tolist()
    assert memoryview(x.T).strides == (8, 24)
    view[0, 0] = 9.0
    assert x[0, 0].item() == 9.0


@pytest.mark.parametrize("name", DTYPES)
def test_dlpack_to_numpy(name: str) -> None:
    x = cr.tensor(sample(name)).T
    assert x.__dlpack_device__() == (1, 0)
    array = np.from_dlpack(x)
    np.testing.assert_array_equal(array, sample(name).T)
    assert array.ctypes.data == x.data_ptr()


@pytest.mark.parametrize("name", DTYPES)
def test_dlpack_from_numpy(name: str) -> None:
    array = sample(name)
    x = cr.from_dlpack(array[:, 1:])
    assert (x.dtype, x.tolist()) == (getattr(cr, name), array[:, 1:].tolist())
    array[0, 1] = 1
    assert x.tolist() == array[:, 1:].tolist()


def test_dlpack_releases_the_producer() -> None:
    array = np.arange(10.0)
    alive = weakref.ref(array)
    x = cr.from_dlpack(array)
    del array
    gc.collect()
    assert alive() is not None
    del x
    gc.collect()
    assert alive() is None


def test_a_dlpack_capsule_is_taken_once() -> None:
    capsule = cr.ones(2).__dlpack__()
    assert "dltensor" in repr(capsule)
    del capsule  # never consumed: its deleter frees the tensor


@pytest.mark.parametrize(
    "export",
    [lambda x: x.numpy(), np.asarray, memoryview, np.from_dlpack, lambda x: x.__dlpack__()],
)
def test_export_of_recorded_values_asks_for_detach(export: Any) -> None:
    x = cr.ones(2, requires_grad=True)
    with pytest.raises((RuntimeError, BufferError), match="detach"):
        export(x)
    assert export(x.detach()) is not None


@pytest.mark.parametrize(
    "array",
    [
        np.ones(2, np.float16),
        np.ones(2, np.complex64),
        np.ones(2, np.uint16),
        np.array(["a"]),
        np.array([object()]),
        np.array(["2024-01-01"], "datetime64[D]"),
        np.zeros(2, [("a", "f4")]),
        np.ones(2, ">f4"),
    ],
    ids=lambda array: str(array.dtype),
)
@pytest.mark.parametrize("take", [cr.from_numpy, cr.tensor])
def test_unsupported_dtype(take: Any, array: np.ndarray) -> None:
    with pytest.raises(TypeError, match=rf"^{take.__name__}: .*; .*float32"):
        take(array)


def test_from_numpy_wants_an_array() -> None:
    with pytest.raises(TypeError, match=r"^from_numpy: .*list.*; "):
        cr.from_numpy([1.0, 2.0])


def test_memory_that_cannot_be_shared() -> None:
    readonly = np.ones(3)
    readonly.flags.writeable = False
    with pytest.raises(ValueError, match=r"^from_numpy: .*read-only.*; "):
        cr.from_numpy(readonly)
    assert cr.tensor(readonly).tolist() == [1, 1, 1]
    backwards = np.arange(3.0)[::-1]
    with pytest.raises(ValueError, match=r"^from_numpy: .*negative.*; .*copy"):
        cr.from_numpy(backwards)
    assert cr.tensor(backwards).tolist() == [2, 1, 0]


def test_numpy_scalars_and_arrays_as_operands() -> None:
    x = cr.ones(2)
    for y in (x * np.float64(2), np.float64(2) * x, x + np.int64(1), np.float32(2) * x):
        assert type(y) is cr.Tensor
        assert y.dtype == cr.float32
        assert y.tolist() == [2.0, 2.0]
