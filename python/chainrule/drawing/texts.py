"""Texts of a drawing: numbers, sizes and shortened names, and how wide a text is without a font.

A drawing is measured where no font can be asked, so widths are those of DejaVu Sans, which is
wider than the fonts that system-ui and sans-serif usually stand for: a text may have room to spare,
but is never cut off.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

MINUS = "\N{MINUS SIGN}"
ELLIPSIS = "…"
# Thousandths of the font size for the characters 32..126.
_ASCII = [
    *(318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337),
    *(636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531),
    *(1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787),
    *(603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500),
    *(500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612),
    *(635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838),
]
_ASCII_BOLD = [
    *(348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365),
    *(696, 696, 696, 696, 696, 696, 696, 696, 696, 696, 400, 400, 838, 838, 838, 580),
    *(1000, 774, 762, 734, 830, 683, 683, 821, 837, 372, 372, 775, 637, 995, 837, 850),
    *(733, 850, 770, 720, 682, 812, 774, 1103, 771, 724, 725, 457, 365, 457, 838, 500),
    *(500, 675, 716, 593, 716, 678, 435, 716, 712, 343, 343, 665, 343, 1042, 712, 687),
    *(716, 716, 493, 595, 478, 712, 652, 924, 645, 652, 582, 712, 365, 712, 838),
]
_BOLD = 1.14  # of other letters
_OTHER = 838  # signs, Greek, Cyrillic
_WIDE = 1250  # Chinese, emoji


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Gives a width, in pixels, that the text does not exceed."""
    units = 0.0
    ascii_widths, other = (_ASCII_BOLD, _BOLD) if bold else (_ASCII, 1.0)
    for character in text:
        code = ord(character)
        if 32 <= code < 127:
            units += ascii_widths[code - 32]
        elif unicodedata.combining(character) or code in (0x200D, 0xFE0F):
            continue
        else:
            wide = code >= 0x1F000 or unicodedata.east_asian_width(character) in "WF"
            units += (_WIDE if wide else _OTHER) * other
    return units * size / 1000


def one_line(text: str) -> str:
    """Shows line breaks and other control characters as signs, so that a text stays on its line."""
    if text.isprintable():
        return text
    signs = {"\n": "⏎", "\r": "", "\t": " "}
    # Marks of direction would turn what stands behind the name as well; joiners keep emoji whole.
    return "".join(c if c.isprintable() or c == "\u200d" else signs.get(c, "") for c in text)


def shorten(text: str, size: float, limit: float, *, bold: bool = False) -> str:
    """Cuts a name in its middle until it is at most `limit` pixels wide; both ends stay."""
    text = one_line(text)
    if text_width(text, size, bold=bold) <= limit:
        return text
    room = (limit - text_width(ELLIPSIS, size, bold=bold)) / 2
    head = _fitting(text, size, room, bold)
    tail = _fitting(text[::-1], size, room, bold)[::-1]
    while tail and (unicodedata.combining(tail[0]) or tail[0] in "\u200d\ufe0f"):
        tail = tail[1:]
    return head.rstrip("\u200d") + ELLIPSIS + tail


def _fitting(text: str, size: float, room: float, bold: bool) -> str:
    used = 0.0
    for end, character in enumerate(text):
        used += text_width(character, size, bold=bold)
        if used > room:
            return text[:end]
    return text


def number(value: float | bool) -> str:
    """Writes a number with at most four digits, as a person would: 9, −36, 0.1235, 1.2e−7."""
    if isinstance(value, (bool, int)):
        return str(value).replace("-", MINUS)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    if value == 0:
        return "0"
    text = f"{value:.4g}"
    if "e" in text:
        digits, power = text.split("e")
        text = f"{digits}e{int(power)}"
    return text.replace("-", MINUS)


def shape_text(sizes: tuple[Any, ...]) -> str:
    """Writes a shape as 64×10; a scalar's is empty. Sizes may be unknown: their text is "N"."""
    return "×".join(str(size).replace("*", "·") for size in sizes)


def summary(tensor: Any) -> str:
    """Says what a tensor holds in short: its number, its few numbers, or mean ± deviation."""
    if tensor is None:
        return ""
    count = tensor.numel()
    if count == 0:
        return "empty"
    if count == 1:
        return number(tensor.item())
    if len(tensor.shape) == 1 and count <= 4:
        text = "[" + ", ".join(number(v) for v in tensor.tolist()) + "]"
        if len(text) <= 20:
            return text
    values = tensor.detach()
    if not values.dtype.is_floating_point:
        return f"{number(values.amin().item())} … {number(values.amax().item())}"
    values = values.double()
    mean = values.mean()
    deviation = ((values - mean) ** 2).mean().item() ** 0.5
    return f"{short(mean.item())} ± {short(deviation)}"


def short(value: float) -> str:
    """Writes a number of a summary with two digits."""
    return number(float(f"{value:.2g}")) if math.isfinite(value) else number(value)
