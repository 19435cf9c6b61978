"""`python -m chainrule step`: commands on stdin, JSON, graphs from files, and mistakes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FILE = """\
import sys
import chainrule as cr
print("a line of the script")
with cr.Graph() as g:
    x, w = g.inputs("x w")
    y = w * x
g.outputs(L=(y - 1) ** 2).forward(x=3, w=2)
v = cr.tensor([1., 2.], requires_grad=True)
loss = (v * v).sum()
plain = cr.tensor(1.)
number = 7
"""


def step(*arguments, stdin="", cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "chainrule", "step", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


def shown(stdin, *arguments):
    done = step(*arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()[1:]


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(FILE)
    return str(path)


# ---- commands ----


def test_next_and_back():
    lines = shown("n\n\nnext\nb\nback\nb\n")
    assert lines == [
        "[1 forward] x = 3",
        "[2 forward] w1 = 5",
        "[3 forward] b1 = 2",
        "[2 forward] w1 = 5",
        "[1 forward] x = 3",
        "this is the start",
    ]


def test_run_to_a_node():
    lines = shown("r h\nrun L\nr x\nr nowhere\n")
    assert lines[0] == "[8 forward] h = (w1*x) + b1 = 15 + 2 = 17"
    assert lines[1] == "[12 forward] L = r ** 2 = (-3) ** 2 = 9"
    assert lines[2] == "no step of x is ahead; the walk is at step 12"
    assert lines[3].startswith("r: no node 'nowhere'; there are x, w1, ")


def test_the_backward_pass_comes_after_the_last_forward_step():
    lines = shown("r L\nn\nr w2*h\n")
    assert lines[1] == "[13 backward] dL/dL = 1, L = r ** 2"
    assert "    to w2: dL/d(w2*h) * h = -6 * 17 = -102" in lines


def test_backward_runs_to_it():
    assert shown("g\nb\n")[0].startswith("[13 backward]")


def test_the_end_shows_the_gradients():
    lines = shown("g\n" + "n\n" * 6)
    assert lines[-7:] == [
        "the end",
        "    dL/dx = -60",
        "    dL/dw1 = -36",
        "    dL/db1 = -12",
        "    dL/dw2 = -102",
        "    dL/db2 = -6",
        "    dL/dy = 6",
    ]


def test_print_shows_what_is_known_at_this_place():
    before, after, *rest = shown("p h\nr h\np h\n")[::2]
    assert before == "h = (w1*x) + b1, op, shape (), float32"
    assert after == "h = (w1*x) + b1 = 17, op, shape (), float32"
    assert not rest
    assert "    dL/dh = -12" in shown("r L\nr w2*h\np h\n")


def test_list_marks_the_place():
    lines = shown("r h\nl\n")[1:]
    assert len(lines) == 12
    assert lines[7] == "-> h = (w1*x) + b1 = 17"
    assert lines[8] == "   w2*h = w2 * h"


def test_help_quit_and_unknown_commands():
    lines = shown("h\nfly\nq\nn\n")
    assert lines[0].startswith("n, next")
    assert lines[-1] == "fly: no such command; h lists them"


def test_no_input_is_a_clean_end():
    assert shown("") == []
    assert shown("n") == ["[1 forward] x = 3"]


# ---- JSON ----


def test_json_has_all_steps():
    done = step("--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["of"] == "L"
    assert [s["pass"] for s in found["steps"]] == ["forward"] * 12 + ["backward"] * 6
    assert found["steps"][11]["value"] == 9.0
    to = {c["name"]: c["value"] for s in found["steps"][12:] for c in s["contributions"]}
    assert to["w2"] == -102.0


def test_what_a_script_prints_is_not_in_the_json(script):
    done = step(script, "--json")
    assert done.stderr == "a line of the script\n"
    assert json.loads(done.stdout)["steps"][-1]["name"] == "y"


# ---- files ----


def test_the_only_graph_of_a_file(script):
    done = step(script, stdin="r L\nn\nn\nn\nn\n")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-3:] == ["the end", "    dL/dx = 20", "    dL/dw = 30"]


def test_a_tensor_of_a_file(script):
    done = step(f"{script}:loss", stdin="g\np v\n\nb\np mul\n")
    assert done.returncode == 0
    assert "dloss/dloss = 1, loss = sum(mul)" in done.stdout
    found = json.loads(step(f"{script}:loss", "--json").stdout)
    assert [c["sum"] for c in found["steps"][-1]["contributions"]] == [[1.0, 2.0], [2.0, 4.0]]


def test_the_lines_of_a_file_are_known(script):
    assert "made at model.py:6" in step(f"{script}:g", stdin="p y\n").stdout


def test_another_output(script):
    done = step(script, "--of", "y", stdin="g\n")
    assert "dy/dy = 1, y = w * x" in done.stdout


def test_a_script_finds_what_is_beside_it(tmp_path):
    (tmp_path / "beside.py").write_text(
        "import chainrule as cr\nw = cr.tensor(2., requires_grad=True)"
    )
    (tmp_path / "model.py").write_text("from beside import w\nloss = w * 3")
    assert step("model.py:loss", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("text", "name", "error"),
    [
        (FILE, "nothing", "no nothing; it must be a Graph"),
        (FILE, "number", "number is a int; it must be a Graph"),
        (FILE, "plain", "plain is a Tensor without history"),
        (FILE + "g2 = g.grad('L', 'w')", "", "2 Graphs; say which"),
        ("a = 1", "", "no Graph; say which"),
        ("import chainrule as cr\ng = cr.Graph()", "g", "has no outputs"),
        ("1 +", "", "line 1: SyntaxError"),
        ("\nx = 1 / 0", "", "line 2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "", "it ended the process, with status 3"),
        (FILE.replace(".forward(x=3, w=2)", ""), "g", "no value for x, w"),
    ],
)
def test_a_bad_file_is_one_line_and_status_1(tmp_path, text, name, error):
    path = tmp_path / "bad.py"
    path.write_text(text)
    done = step(f"{path}:{name}" if name else str(path))
    lines = [line for line in done.stderr.splitlines() if line != "a line of the script"]
    assert (done.returncode, len(lines)) == (1, 1)
    assert error in lines[0]


def test_a_missing_file_is_one_line_and_status_1():
    done = step("missing.py:g")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "python -m chainrule step: missing.py: there is no such file\n"


def test_a_bad_output_is_one_line_and_status_1():
    done = step("--of", "Q")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the outputs are L" in done.stderr


@pytest.mark.parametrize("options", [["--fast"], ["a.py", "b.py"], ["--js"]], ids=" ".join)
def test_a_bad_option_is_one_line_and_status_2(options):
    done = step(*options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_help_lists_the_commands():
    done = step("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (
        "next",
        "back",
        "run NODE",
        "print NODE",
        "list",
        "quit",
        "--json",
        "FILE.py[:name]",
    ):
        assert word in done.stdout


# ---- in a terminal ----


@pytest.fixture
def terminal():
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chainrule", "step"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    yield process, ours
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()
    os.close(ours)


def read_until(ours, text):
    found, end = "", time.monotonic() + 30
    while text not in found and time.monotonic() < end:
        found += os.read(ours, 4096).decode()
    return found


def test_the_end_of_input_in_a_terminal(terminal):
    process, ours = terminal
    read_until(ours, "(step) ")
    os.write(ours, b"n\n")
    assert "[1 forward] x = 3" in read_until(ours, "(step) ")
    os.write(ours, b"\x04")
    assert (process.wait(30), process.stderr.read()) == (0, "")


def test_an_interrupt(terminal):
    process, ours = terminal
    read_until(ours, "(step) ")
    for _ in range(30):  # one that comes just before readline waits is seen at the next key
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            break
    assert process.returncode == 130
    assert process.stderr.read() == "python -m chainrule step: interrupted\n"
