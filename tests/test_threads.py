"""Threads: of Python beside ours, of forked children, and how many there may be."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import chainrule as cr
from chainrule import _C, nn
from helpers import run_python

LARGE = 1024


@pytest.fixture
def no_forced_switch() -> Iterator[None]:
    """Python takes the GIL from no thread: another one runs only where it was let go."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


def progress_during(work: Callable[[], object]) -> int:
    """How often this thread gets a turn between the start and the end of work in another one."""
    state = "waiting"

    def run() -> None:
        nonlocal state
        state = "working"
        work()
        state = "done"

    thread = threading.Thread(target=run)
    thread.start()
    turns = 0
    while state != "done":
        turns += state == "working"
        time.sleep(1e-4)  # hands over the GIL
    thread.join()
    return turns


@pytest.mark.usefixtures("no_forced_switch")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["matmul", "exp", "sum", "linear"])
def test_other_python_threads_run_during_a_long_loop(name: str, threads: int) -> None:
    _C.set_num_threads(threads)
    x = cr.randn(LARGE, LARGE)
    big = cr.zeros(4 * LARGE, LARGE)
    work = {
        "matmul": lambda: x @ x,
        "exp": lambda: big.exp(),
        "sum": lambda: big.sum(0),
        "linear": lambda: nn.functional.linear(x, x),
    }[name]
    work()
    assert max(progress_during(lambda: [work() for _ in range(20)]) for _ in range(3)) > 1


@pytest.mark.usefixtures("no_forced_switch")
def test_short_loops_and_backward_keep_the_lock() -> None:
    x = cr.randn(LARGE, LARGE, requires_grad=True)
    loss = (x @ x).sum()
    a, b = cr.randn(64, 64), cr.randn(64, 64)
    assert progress_during(lambda: [a + b for _ in range(10)]) <= 1
    assert progress_during(loss.backward) <= 1
    assert x.grad is not None


def in_threads(count: int, run: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(i: int) -> None:
        try:
            run(i)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_that_share_parameters_find_the_right_gradients() -> None:
    """Passes of several threads meet in the same leaves; each finds what it finds alone."""
    _C.set_num_threads(2)
    weight = cr.randn(256, 256, requires_grad=True)
    inputs = [cr.randn(256, 256) for _ in range(3)]

    def gradient(i: int) -> bytes:
        (found,) = cr.grad(((inputs[i] @ weight).tanh() ** 2).sum(), weight)
        return bytes(found.numpy().tobytes())

    expected = [gradient(i) for i in range(3)]

    def run(i: int) -> None:
        for _ in range(30):
            assert gradient(i) == expected[i]

    in_threads(3, run)


def test_backward_of_one_graph_on_several_threads_adds_up() -> None:
    x = cr.ones(300, 300, requires_grad=True)
    y = (x @ x.detach()).sum()
    in_threads(4, lambda _: [y.backward(retain_graph=True) for _ in range(10)])
    assert x.grad is not None
    assert x.grad.numpy().min() == x.grad.numpy().max() == 40 * 300


def test_data_that_is_replaced_during_a_loop_stays_until_its_end() -> None:
    """Thread 0 multiplies; thread 1 gives the operands other memory all the while."""
    x = cr.ones(700, 700)
    x.data = cr.ones(700, 700)
    done = threading.Event()

    def run(i: int) -> None:
        if i == 0:
            try:
                for _ in range(60):
                    assert (x @ x).sum().item() == 700**3
            finally:
                done.set()
        while not done.is_set():
            x.data = cr.ones(700, 700)
            time.sleep(1e-4)

    before = _C.live_tensors()
    in_threads(2, run)
    assert _C.live_tensors() == before


def test_settings_may_change_during_a_loop() -> None:
    x = cr.randn(500, 500)
    expected = (x @ x).numpy().tobytes()
    done = threading.Event()

    def run(i: int) -> None:
        if i == 0:
            try:
                for _ in range(60):
                    assert (x @ x).numpy().tobytes() == expected
            finally:
                done.set()
        n = 0
        while not done.is_set():
            n += 1
            cr.set_num_threads(1 + n % 4)
            time.sleep(1e-4)

    in_threads(2, run)


def test_daemon_threads_in_a_loop_do_not_disturb_the_exit() -> None:
    code = """
import threading, time
import chainrule as cr
x = cr.randn(900, 900)
def work():
    while True:
        x @ x
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
print("end")
"""
    for _ in range(5):
        assert run_python(code).strip() == "end"


# ---- fork ----


def train_a_little() -> float:
    x = cr.ones(512, 512, requires_grad=True)
    (x @ x).tanh().sum().backward()
    assert x.grad is not None
    return float(x.grad.sum().item())


def test_a_forked_child_computes_in_parallel() -> None:
    _C.set_num_threads(2)
    expected = train_a_little()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        status = 1
        try:
            status = 0 if _C.get_num_threads() == 2 and train_a_little() == expected else 2
            tasks = len(os.listdir("/proc/self/task"))
            status = status or (0 if tasks == 2 else 3)  # itself and one worker of its own
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert train_a_little() == expected


def doubled(n: int) -> float:
    return float((cr.full((n, n), 2.0) @ cr.ones(n, n)).sum().item())


def test_a_pool_of_forked_processes() -> None:
    _C.set_num_threads(2)
    doubled(300)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.map(doubled, [300] * 12)
    assert found == [2.0 * 300**3] * 12


# ---- how many ----


@pytest.mark.parametrize("n", [0, -1, 1025, 10_000, 10**30, -(10**30)])
def test_a_number_of_threads_out_of_range(n: int) -> None:
    before = cr.get_num_threads()
    with pytest.raises(ValueError, match=r"set_num_threads: .*"):
        cr.set_num_threads(n)
    assert cr.get_num_threads() == before


@pytest.mark.parametrize("n", [2.0, "2", None, [2]])
def test_a_number_of_threads_of_another_type(n: object) -> None:
    with pytest.raises(TypeError, match="set_num_threads"):
        cr.set_num_threads(n)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["0", "10000", "-2", "two", "2.0", " 2"])
def test_a_bad_variable_is_refused(value: str) -> None:
    code = (
        "import chainrule as cr\n"
        "for call in (cr.get_num_threads, lambda: cr.ones(300, 300) @ cr.ones(300, 300)):\n"
        "    try:\n"
        "        call()\n"
        "    except ValueError as error:\n"
        "        print(error)"
    )
    out = run_python(code, CHAINRULE_NUM_THREADS=value)
    line = f'CHAINRULE_NUM_THREADS: got "{value}"; it must be an integer from 1 to 1024'
    assert out.count(line) == 2


def test_the_variable_sets_the_number() -> None:
    code = "import chainrule as cr; print(cr.get_num_threads())"
    assert run_python(code, CHAINRULE_NUM_THREADS="3").strip() == "3"
    available = len(os.sched_getaffinity(0))
    assert run_python(code, CHAINRULE_NUM_THREADS="").strip() == str(available)


def test_many_more_threads_than_cpus() -> None:
    x = cr.randn(400, 400)
    expected = (x @ x).numpy().tobytes()
    cr.set_num_threads(64)
    assert (x @ x).numpy().tobytes() == expected
