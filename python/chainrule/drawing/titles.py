"""What stands inside an operation's circle: its sign, with the constant that belongs to it."""

from __future__ import annotations

from typing import Any

from chainrule.drawing.texts import MINUS, number

_SIGNS = {
    "add": "+", "sub": MINUS, "mul": "×", "div": "÷", "neg": MINUS, "matmul": "@", "pow": "^",
    "square": "x²", "sqrt": "√", "sum": "Σ", "abs": "|x|", "reciprocal": "1/x", "permute": "T",
    "gt": ">", "ge": "≥", "lt": "<", "le": "≤", "eq": "=", "ne": "≠", "sigmoid": "σ",
}  # fmt: skip
_WITH_CONSTANT = {
    "add", "sub", "mul", "div", "pow", "maximum", "minimum", "gt", "ge", "lt", "le", "eq", "ne",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans(f"0123456789{MINUS}", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_WORDS = {
    "scaled_dot_product_attention": "attention", "cross_entropy": "cross entropy",
    "log_softmax": "log softmax", "layer_norm": "layer norm", "mse_loss": "mse",
    "max_pool2d": "max pool", "log_sum_exp": "logsumexp",
}  # fmt: skip


def inlined_constants(nodes: tuple[Any, ...], outputs: set[int]) -> dict[int, str]:
    """Finds the constants that are drawn inside their consumer: small numbers of a binary op."""
    texts = {
        node.id: _constant_text(node)
        for node in nodes
        if node.kind == "constant"
        and len(node.shape()) == 0
        and not node.name
        and node.id not in outputs
    }
    texts = {i: text for i, text in texts.items() if text and len(text) <= 8}
    used: set[int] = set()
    for node in nodes:
        ids = [i for i, _ in node.inputs]
        inside = [i for i in ids if i in texts]
        used.update(inside)
        if inside and (node.op not in _WITH_CONSTANT or len(ids) != 2 or len(inside) != 1):
            for i in inside:
                texts.pop(i, None)
    return {i: text for i, text in texts.items() if i in used}


def _constant_text(node: Any) -> str:
    try:
        value = float(node.label)
    except ValueError:
        return ""
    return number(value)


def op_title(node: Any, constants: dict[int, str]) -> str:
    """Writes an op as a sign ("×", "relu"), with an inlined constant as "2 ×", "− 1" or "x³"."""
    sign = _SIGNS.get(node.op) or _WORDS.get(node.op) or str(node.op).replace("_", " ")
    if not constants:
        if node.op == "pow" and len(node.inputs) == 1:
            return _power(number(_exponent(node)))
        return sign
    ((slot, text),) = constants.items()
    if node.op == "pow":
        return _power(text) if slot == 1 else f"{text}^x"
    sign = {"maximum": "max", "minimum": "min"}.get(node.op, sign)
    return f"{sign} {text}" if slot == 1 or sign in ("max", "min") else f"{text} {sign}"


def _exponent(node: Any) -> float:
    return next((float(v) for v in node.attributes.values() if isinstance(v, (int, float))), 0.0)


def _power(text: str) -> str:
    plain = all(c in f"0123456789{MINUS}" for c in text)
    return "x" + text.translate(_SUPERSCRIPTS) if plain else f"x^{text}"
