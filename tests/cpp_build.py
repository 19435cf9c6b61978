"""The C++ core as a CMake build of its own, without Python: configured and built once a session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOL_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def lacking(reason: str) -> None:
    """Skips on a user's machine; in continuous integration, what is lacking is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; with CI=true nothing may be skipped")
    pytest.skip(reason)


def tool(name: str, hint: str) -> str:
    found = shutil.which(name, path=TOOL_PATH)
    if found is None:
        lacking(f"{name} is not installed ({hint})")
    return str(found)


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PATH": TOOL_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def must(*command: str | Path, cwd: Path | None = None) -> str:
    done = run(*command, cwd=cwd)
    if done.returncode:
        words = " ".join(map(str, command))
        pytest.fail(f"{words}\nexit status {done.returncode}\n{done.stdout[-8000:]}")
    return done.stdout


def generator() -> list[str]:
    return ["-G", "Ninja"] if shutil.which("ninja", path=TOOL_PATH) else []


def configured(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    cmake = tool("cmake", "pip install cmake")
    if not any(
        shutil.which(name, path=TOOL_PATH) for name in (os.environ.get("CXX"), "c++") if name
    ):
        lacking("there is no C++ compiler (apt-get install g++)")
    command = [cmake, "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", *options]
    done = run(*command, *generator())
    if done.returncode:  # the folder may remember tools that are gone
        done = run(*command, *generator(), "--fresh")
    return done


def built(folder: Path, target: str) -> Path:
    """Builds one target in a configured folder; what is up to date is not built again."""
    jobs = str(len(os.sched_getaffinity(0)))
    must(
        tool("cmake", "pip install cmake"),
        "--build",
        folder,
        "--target",
        target,
        "--parallel",
        jobs,
    )
    return folder


def library(folder: Path) -> Path:
    """The folder with libchainrule.a in it, built."""
    done = configured(folder, "-DCHAINRULE_TESTS=OFF")
    if done.returncode:
        pytest.fail(done.stdout[-8000:])
    return built(folder, "chainrule")
