"""Memory seen from Python: counters, the cache and its bound, alignment, what cannot be had."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

import chainrule as cr
from chainrule import _C
from helpers import run_python

MIB = 1 << 20
KEYS = {
    "bytes_in_use", "peak_bytes_in_use", "bytes_cached", "cache_limit_bytes", "bytes_small",
    "allocations", "cache_hits", "live_tensors",
}  # fmt: skip


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    cr.empty_cache()
    yield
    cr.empty_cache()


def change(before: dict[str, int], name: str) -> int:
    return cr.memory_stats()[name] - before[name]


def test_keys() -> None:
    stats = cr.memory_stats()
    assert set(stats) == KEYS
    assert all(type(value) is int and value >= 0 for value in stats.values())
    assert stats["live_tensors"] == _C.live_tensors()


@pytest.mark.parametrize("shape", [(1000,), (300, 700), (1024, 1024), (3, 1024, 1024)])
def test_a_tensor_is_counted_while_it_lives(shape: tuple[int, ...]) -> None:
    before = cr.memory_stats()
    x = cr.zeros(shape)
    held = change(before, "bytes_in_use")
    assert x.numel() * 4 <= held <= x.numel() * 4 * 9 // 8
    assert change(before, "allocations") == 1
    assert change(before, "cache_hits") == 0
    del x
    assert change(before, "bytes_in_use") == 0
    assert change(before, "bytes_cached") == held
    y = cr.zeros(shape)
    assert change(before, "cache_hits") == 1
    assert change(before, "bytes_cached") == 0
    del y
    assert cr.empty_cache() == held
    assert cr.empty_cache() == 0
    assert change(before, "bytes_cached") == 0


def test_small_tensors_and_foreign_memory_have_no_buffer() -> None:
    before = cr.memory_stats()
    kept = [cr.zeros(4), cr.from_numpy(np.zeros(100_000)), cr.tensor(1.0)]
    assert change(before, "allocations") == 0
    assert change(before, "live_tensors") == len(kept)


def test_peak() -> None:
    cr.reset_peak_memory_stats()
    start = cr.memory_stats()
    assert start["peak_bytes_in_use"] == start["bytes_in_use"]
    x, y = cr.zeros(MIB), cr.zeros(MIB)
    del x, y
    z = cr.zeros(MIB // 4)
    assert change(start, "peak_bytes_in_use") == 8 * MIB
    cr.reset_peak_memory_stats()
    assert change(start, "peak_bytes_in_use") == MIB
    del z


def test_buffers_that_change_threads_are_counted_once() -> None:
    before = cr.memory_stats()
    made: list[cr.Tensor] = []
    thread = threading.Thread(target=lambda: made.extend(cr.zeros(5000) for _ in range(10)))
    thread.start()
    thread.join()
    assert change(before, "bytes_in_use") == 10 * 20480
    assert change(before, "allocations") == 10
    made.clear()
    assert change(before, "bytes_in_use") == 0


@pytest.mark.parametrize("dtype", [cr.float32, cr.float64, cr.int64])
@pytest.mark.parametrize("numel", [65, 1000, 4097, 100_000, 600_000, MIB + 1])
def test_buffers_are_aligned(numel: int, dtype: cr.dtype) -> None:
    kept = [cr.zeros(numel, dtype=dtype) for _ in range(3)]
    size = numel * dtype.itemsize
    for x in kept:
        address = x.numpy().__array_interface__["data"][0]
        if size > 256:
            assert address % 64 == 0
        if size >= 2 * MIB:
            assert address % (2 * MIB) == 0


def test_the_cache_is_bounded_and_follows_the_sizes_in_use() -> None:
    out = run_python(
        """
import chainrule as cr
limit = cr.memory_stats()["cache_limit_bytes"]
most = 0
for size in range(200_000, 300_000, 5_000):  # each size twice, then never again
    for _ in range(2):
        tensors = [cr.zeros(size) for _ in range(12)]
        del tensors
        most = max(most, cr.memory_stats()["bytes_cached"])
before = cr.memory_stats()["cache_hits"]
tensors = [cr.zeros(295_000) for _ in range(12)]
print(limit, most, cr.memory_stats()["cache_hits"] - before)
""",
        CHAINRULE_CACHE_BYTES=str(16 * MIB),
    )
    limit, most, hits = map(int, out.split())
    assert limit == 16 * MIB
    assert 8 * MIB < most <= limit
    assert hits >= 10


def test_no_cache() -> None:
    code = (
        "import chainrule as cr\n"
        "for n in (100, 5000, 10**6):\n"
        "    x = cr.zeros(n)\n"
        "    del x\n"
        "stats = cr.memory_stats()\n"
        "print(stats['bytes_cached'], stats['bytes_in_use'], cr.empty_cache())"
    )
    assert run_python(code, CHAINRULE_CACHE_BYTES="0").split() == ["0", "0", "0"]


@pytest.mark.parametrize("value", ["-1", "many", "1e9", "256M", "99999999999999999999"])
def test_a_bad_bound_is_refused(value: str) -> None:
    code = (
        "import chainrule as cr\n"
        "try:\n"
        "    cr.zeros(1000)\n"
        "except ValueError as error:\n"
        "    print(error)"
    )
    out = run_python(code, CHAINRULE_CACHE_BYTES=value)
    assert f'CHAINRULE_CACHE_BYTES: got "{value}"; it must be a number of bytes' in out


RESIDENT = """
def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
"""


@pytest.mark.parametrize("each", [40_000, 4_000_000])
def test_empty_cache_gives_memory_back_to_the_system(each: int) -> None:
    out = run_python(
        RESIDENT
        + f"""
import chainrule as cr
tensors = [cr.zeros({each} // 4) for _ in range({100_000_000 // each})]
full = resident()
del tensors
given = cr.empty_cache()
print(full - resident(), given)
""",
        CHAINRULE_CACHE_BYTES="200000000",
    )
    fallen, given = map(int, out.split())
    assert given >= 100_000_000
    assert fallen >= 90_000_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: cr.zeros(10**12),
        lambda: cr.zeros(10**6, 10**6),
        lambda: cr.tensor(1.0).expand(10**12).contiguous(),
        lambda: cr.zeros(10**6, 1) + cr.zeros(1, 10**6),
        lambda: cr.zeros(10**6, 0) @ cr.zeros(0, 10**6),
        lambda: cr.arange(10**12),
        lambda: cr.randn(10**12),
        lambda: cr.zeros(10**6, 1).expand(10**6, 10**6).exp(),
    ],
    ids=["zeros", "matrix", "expand", "broadcast", "matmul", "arange", "randn", "exp"],
)
def test_more_memory_than_there_is(make: object) -> None:
    before = cr.memory_stats()
    kept = cr.ones(100_000)
    with pytest.raises(MemoryError, match=r"\d{13} bytes for shape \((1000000000000,|1000000, 10)"):
        make()  # type: ignore[operator]
    assert kept.sum().item() == 100_000
    del kept
    for name in ("bytes_in_use", "live_tensors"):
        assert change(before, name) == 0


def test_a_tensor_that_finds_no_memory_empties_the_cache() -> None:
    """Under a limit of the address space that holds the cached block or the new one, not both."""
    out = run_python(
        """
import resource
import chainrule as cr
x = cr.zeros(40_000_000 // 4)
del x
with open("/proc/self/statm") as file:
    mapped = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 30_000_000, resource.RLIM_INFINITY))
y = cr.ones(50_000_000 // 4)
print(int(y[-1].item()), cr.memory_stats()["bytes_cached"])
try:
    cr.zeros(10**8)
except MemoryError as error:
    print(error)
print(int(y.sum().item()))
"""
    )
    first, message, total = out.splitlines()
    assert first == "1 0"
    assert "400000000 bytes for shape (100000000,) of float32" in message
    assert total == "12500000"
