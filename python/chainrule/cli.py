"""The command line: options, exit status and the one line of an error.

Exit status: 0 done, 1 failed, 2 a bad option, 130 interrupted. Tracebacks are for programmers, who
can call the same functions from Python.
"""

from __future__ import annotations

import argparse
import math
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn, TypeAlias

    from chainrule.graphs.graph import Graph

    Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"

_PROG = "python -m chainrule"


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_one_line(message)}\n")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} arrived; it must be an integer from {low} to {high}"
            )
        return value

    return parse


def _learning_rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} arrived; it must be a finite number above 0")
    return value


def _parser() -> _Parser:
    from chainrule import __version__

    parser = _Parser(
        prog=_PROG,
        description="Automatic differentiation, and models trained with it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chainrule {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_Parser)
    for add, run in _COMMANDS:
        add(commands).set_defaults(run=run)
    return parser


# ---- demo ----


def _add_demo(commands: Commands) -> argparse.ArgumentParser:
    from chainrule import demo

    parser = commands.add_parser(
        "demo",
        allow_abbrev=False,
        help="differentiate the lecture's graph, then train a model on handwritten digits",
        description="Differentiates the lecture's regression graph and prints every node of it, "
        "then trains a model of two linear layers on the UCI handwritten digits. "
        "The same seed gives the same bits.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--epochs", type=_integer(1, 100_000), default=30, help="passes over the training images"
    )
    parser.add_argument(
        "--batch-size",
        type=_integer(1, demo.TRAINING_IMAGES),
        default=32,
        help="images in each step",
    )
    rates = ", ".join(f"{rate} for {name}" for name, rate in demo.LEARNING_RATES.items())
    parser.add_argument(
        "--lr",
        type=_learning_rate,
        default=argparse.SUPPRESS,
        help=f"learning rate (default: {rates})",
    )
    parser.add_argument(
        "--optimizer", choices=list(demo.LEARNING_RATES), default="sgd", help="how to step"
    )
    parser.add_argument(
        "--seed",
        type=_integer(0, 2**63 - 1),
        default=0,
        help="of the initial weights and the order of the images; the held-out images never change",
    )
    parser.add_argument(
        "--page",
        metavar="FILE.html",
        default="lecture.html",
        help="where to draw the lecture's graph, as a page to walk through",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print the result only, and draw nothing"
    )
    return parser


def _run_demo(options: argparse.Namespace) -> None:
    from chainrule import demo

    demo.run(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=getattr(options, "lr", None),
        optimizer=options.optimizer,
        seed=options.seed,
        page=options.page,
        quiet=options.quiet,
    )


# ---- what step and draw share ----


def _add_graph_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "graph",
        nargs="?",
        metavar="FILE.py[:name]",
        help="a Python file, which is run, and the name of a Graph in it or of a Tensor with a "
        "history (default: its only Graph); the lecture's graph if left out",
    )


def _graph_of(options: argparse.Namespace) -> Graph:
    from chainrule.graphs.from_file import load_graph
    from chainrule.lecture import lecture_graph

    if options.graph is not None:
        return load_graph(options.graph)
    graph = lecture_graph()
    graph.backward("L")
    return graph


# ---- step ----


def _add_step(commands: Commands) -> argparse.ArgumentParser:
    from chainrule import stepper

    parser = commands.add_parser(
        "step",
        allow_abbrev=False,
        help="step through a graph, one node at a time",
        description="Steps through a graph, forward and then backward, one node at a time.",
        epilog=f"commands, read from stdin:\n{stepper.HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_graph_argument(parser)
    parser.add_argument(
        "--of", metavar="NAME", help="the output to differentiate (default: the first)"
    )
    parser.add_argument("--json", action="store_true", help="print all steps as JSON")
    return parser


def _run_step(options: argparse.Namespace) -> None:
    from chainrule import stepper

    stepper.run(_graph_of(options), of=options.of, as_json=options.json)


# ---- draw ----


def _add_draw(commands: Commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "draw",
        allow_abbrev=False,
        help="draw a graph into a file",
        description="Draws a graph: as a page to walk through (.html), a picture (.svg), for "
        "Graphviz (.dot) and Mermaid (.mmd), or for the terminal (.txt).",
    )
    _add_graph_argument(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="where to; its suffix, .html .svg .dot .mmd or .txt, says what",
    )
    return parser


def _run_draw(options: argparse.Namespace) -> None:
    graph = _graph_of(options)
    graph.draw(options.output)
    print(f"{len(graph)} nodes drawn in {options.output}")


_COMMANDS = ((_add_demo, _run_demo), (_add_step, _run_step), (_add_draw, _run_draw))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The arguments; those of the process if None.

    Returns:
        The exit status.

    Raises:
        SystemExit: An option is bad (status 2), or help or the version was printed (status 0).
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"{_PROG} {options.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has gone. Python flushes stdout once more at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        text = _one_line(str(error)) or type(error).__name__
        print(f"{_PROG} {options.command}: {text}", file=sys.stderr)
        return 1
    return 0
