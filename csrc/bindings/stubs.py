"""Writes the type stubs of chainrule._C from the built module: python stubs.py _C.pyi

Every function and method says its typed signature on the first line of its docstring; those lines
are the stubs. Only what has no docstring line of that kind (operators, properties, small classes)
stands in _C.pyi.in beside this file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIGNATURE = re.compile(r"\w+\(.*\) -> .+")
# In the module, and in Tensor, these names are a dtype or a method: their types have other names.
TYPE = re.compile(r"(?<![\w.])(bool|float|int|dtype)(?=[] |,()=]|$)")


def signature(function: Any) -> str | None:
    """The first line of the docstring of a callable, if it is a typed signature."""
    if not callable(function):
        return None
    line = str(getattr(function, "__doc__", None) or "").partition("\n")[0]
    return line if SIGNATURE.fullmatch(line) else None


def signatures(names: dict[str, Any], skip: set[str]) -> Iterator[str]:
    """The typed signatures in a namespace, by name."""
    for name in sorted(names):
        value = names[name]
        line = signature(value.__func__ if isinstance(value, staticmethod) else value)
        if line and name not in skip and not isinstance(value, type):
            yield line


def definitions(lines: Iterator[str], indent: str = "", decorator: str = "") -> str:
    """Stub definitions of the signatures."""
    before = f"{indent}{decorator}\n" if decorator else ""
    parts = (line.partition("(") for line in lines)
    named = (name + TYPE.sub(r"_\1", paren + rest) for name, paren, rest in parts)
    return "\n".join(f"{before}{indent}def {line}: ..." for line in named)


def write_stubs(module: Any, template: str) -> str:
    """Fills the template's markers; what the template defines by hand is not repeated."""
    tensor = template[template.index("class Tensor") : template.index("# {methods}")]
    by_hand = set(re.findall(r"^ +def (\w+)", tensor, re.MULTILINE))
    by_hand_functions = set(re.findall(r"^def (\w+)", template, re.MULTILINE))
    fill: dict[str, Callable[[], str]] = {
        "    # {methods}": lambda: definitions(signatures(vars(module.Tensor), by_hand), "    "),
        "    # {ops}": lambda: definitions(
            signatures(vars(module.ops), set()), "    ", "@staticmethod"
        ),
        "# {functions}": lambda: definitions(signatures(vars(module), by_hand_functions)),
        "# {all}": lambda: f"__all__ = {sorted(module.__all__)!r}",
    }
    for marker, text in fill.items():
        template = template.replace(marker + "\n", text() + "\n")
    return template


def main() -> int:
    """Entry point of the build."""
    if len(sys.argv) != 2:
        print("usage: python stubs.py OUTPUT", file=sys.stderr)
        return 2
    import _C

    template = Path(__file__).with_name("_C.pyi.in").read_text()
    Path(sys.argv[1]).write_text(write_stubs(_C, template))
    return 0


if __name__ == "__main__":
    sys.exit(main())
