r"""Names and numbers in LaTeX: w1 is w_{1}, y_hat is \hat{y}, and markup in a name is escaped."""

from __future__ import annotations

import re

_GREEK = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|chi|"
    "psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega"
)
_ESCAPED = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{c: "\\" + c for c in "_%#&{}$"},
}


def latex_name(name: str) -> str:
    r"""Returns a name for math mode.

    Example:
        >>> from chainrule.graphs.latex_names import latex_name
        >>> print(latex_name("w1"), latex_name("y_hat"), latex_name("net.0.weight"))
        w_{1} \hat{y} \text{net.0.weight}
    """
    found = re.fullmatch(r"([A-Za-z]|[A-Za-z]{2,7})_?(\d*)", name, re.ASCII)
    if found and (len(found[1]) == 1 or _GREEK.fullmatch(found[1])):
        symbol = found[1] if len(found[1]) == 1 else "\\" + found[1]
        return f"{symbol}_{{{found[2]}}}" if found[2] else symbol
    if name.endswith("_hat") and len(name) > 4 and re.fullmatch(r"\w+", name[:-4], re.ASCII):
        return rf"\hat{{{latex_name(name[:-4])}}}"
    return rf"\text{{{latex_text(name)}}}"


def latex_text(text: str) -> str:
    """Returns text with what LaTeX would take for markup escaped; line ends become spaces."""
    return "".join(_ESCAPED.get(c, c if c.isprintable() else " ") for c in text)


def latex_number(digits: str) -> str:
    r"""Returns a number for math mode.

    Example:
        >>> from chainrule.graphs.latex_names import latex_number
        >>> print(latex_number("1e-05"), latex_number("-3"), latex_number("inf"))
        10^{-5} -3 \infty
    """
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    if digits in ("inf", "nan"):
        return sign + {"inf": r"\infty", "nan": r"\text{NaN}"}[digits]
    if size := re.fullmatch(r"(?:([\d.]+)\*)?([A-Za-z])", digits):  # of a batch, say
        return sign + (rf"{size[1]} \cdot {size[2]}" if size[1] else size[2])
    if not re.match(r"[\d.]", digits):
        return rf"{sign}\text{{{latex_text(digits)}}}"
    mantissa, has_power, power = digits.partition("e")
    if not has_power:
        return sign + digits
    front = "" if mantissa == "1" else rf"{mantissa} \cdot "
    return rf"{sign}{front}10^{{{int(power)}}}"
