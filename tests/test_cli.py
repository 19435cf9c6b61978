"""`python -m chainrule`: the demo's numbers, its repeatability, and one line for a bad option."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chainrule", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def demo() -> subprocess.CompletedProcess[str]:
    """The main job, run once with its defaults."""
    return command("demo")


def rows(text: str) -> dict[str, list[str]]:
    """First column to the other columns, of every line that has at least two."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) > 1}


def test_demo_ends_well(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stderr
    assert "Traceback" not in demo.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("h", "17"), ("y_hat", "37"), ("r", "-3"), ("L", "9"), ("x", "3"), ("w1", "5"), ("y", "40")],
)
def test_demo_prints_the_forward_pass(
    demo: subprocess.CompletedProcess[str], name: str, value: str
) -> None:
    forward = demo.stdout.partition("Backward")[0]
    assert rows(forward)[name][-1] == value


@pytest.mark.parametrize(
    ("gradient", "value"),
    [
        ("dL/dw1", "-36"),
        ("dL/db1", "-12"),
        ("dL/dw2", "-102"),
        ("dL/db2", "-6"),
        ("dL/dx", "-60"),
        ("dL/dh", "-12"),
        ("dL/dy_hat", "-6"),
    ],
)
def test_demo_prints_the_backward_pass(
    demo: subprocess.CompletedProcess[str], gradient: str, value: str
) -> None:
    backward = demo.stdout.partition("Backward")[2]
    assert rows(backward)[gradient][-1] == value


def test_demo_prints_op_and_inputs_of_every_node(demo: subprocess.CompletedProcess[str]) -> None:
    table = rows(demo.stdout.partition("Backward")[0])
    assert table["h"][:-1] == ["add", "w1*x, b1"]
    assert table["r"][:-1] == ["sub", "y_hat, y"]


def accuracy(text: str) -> float:
    found = re.search(r"held-out accuracy (\d+\.\d+)\s?%", text)
    assert found, text
    return float(found[1])


def test_demo_reaches_97_percent(demo: subprocess.CompletedProcess[str]) -> None:
    assert accuracy(demo.stdout) >= 97.0


def test_demo_with_adam_reaches_97_percent() -> None:
    assert accuracy(command("demo", "--optimizer", "adam", "--quiet").stdout) >= 97.0


def test_demo_shows_its_progress_apart_from_its_output(
    demo: subprocess.CompletedProcess[str],
) -> None:
    assert "loss=" in demo.stderr
    assert "accuracy=" in demo.stderr
    assert "%|" not in demo.stdout


def test_quiet_prints_one_line() -> None:
    done = command("demo", "--epochs", "1", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_the_same_seed_gives_the_same_bits() -> None:
    runs = [command("demo", "--epochs", "2", "--quiet", "--seed", seed).stdout for seed in "334"]
    assert "checksum" in runs[0]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(
    "options",
    [
        ["--epochs", "0"],
        ["--epochs", "many"],
        ["--batch-size", "-1"],
        ["--batch-size", "1e9"],
        ["--lr", "0"],
        ["--lr", "nan"],
        ["--lr", "fast"],
        ["--optimizer", "magic"],
        ["--seed", "x"],
        ["--seed", "-1"],
        ["--no-such-option"],
        ["extra"],
    ],
    ids=" ".join,
)
def test_a_bad_option_is_one_line_and_status_2(options: list[str]) -> None:
    done = command("demo", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert options[-1] in done.stderr


def test_an_unknown_command_is_one_line_and_status_2() -> None:
    done = command("dance")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_a_diverging_run_is_one_line_and_status_1() -> None:
    done = command("demo", "--quiet", "--lr", "1e30", "--epochs", "2")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "learning rate" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help(arguments: list[str]) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "demo" in done.stdout
    if "demo" in arguments:
        for option in ("--epochs", "--batch-size", "--lr", "--optimizer", "--seed", "--quiet"):
            assert option in done.stdout


def test_version() -> None:
    import chainrule as cr

    assert command("--version").stdout.split()[-1] == cr.__version__
