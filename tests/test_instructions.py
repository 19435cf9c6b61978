"""How many instructions a few paths of the engine take: what a timed test would want to know."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from cpp_build import built, configured, lacking, tool

# Instructions once around, measured with g++ 12 at -O2. A path fails at SLACK times its number: put
# a new one here when a change is worth it, or when a path has become that much shorter.
MEASURED = {
    "buffer": 354,
    "add": 515,
    "add, recording": 842,
    "node, forward and backward": 1613,
    "small step": 17_982,
}
SLACK = 1.5
# In one measurement: the start of the program takes 1.5 million more in some runs than in others.
INSTRUCTIONS = 20_000_000


@pytest.fixture(scope="module")
def program(cpp_folder: Path) -> Path:
    done = configured(cpp_folder, "-DCHAINRULE_TESTS=ON")
    if done.returncode:
        lacking("the C++ tests cannot be configured (apt-get install doctest-dev)")
    return built(cpp_folder, "chainrule_instructions") / "tests" / "cpp" / "chainrule_instructions"


def instructions(program: Path, path: str, times: int) -> int:
    valgrind = tool("valgrind", "apt-get install valgrind")
    done = subprocess.run(
        [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", program, path, str(times)],
        # Valgrind does not know AVX-512, and with workers it would count how long they wait.
        env={**os.environ, "CHAINRULE_ISA": "x86-64-v2", "CHAINRULE_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"Collected *: *(\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1])


@pytest.mark.parametrize("path", MEASURED)
def test_instructions_of_a_path(path: str, program: Path) -> None:
    """The difference of two runs, so that the start of the program does not count."""
    times = INSTRUCTIONS // MEASURED[path]
    once = (instructions(program, path, 2 * times) - instructions(program, path, times)) / times
    assert 1 <= once <= SLACK * MEASURED[path], f"{path}: {once:.0f} instructions"
