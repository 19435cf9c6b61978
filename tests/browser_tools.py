"""What tests in a browser share: whether there is one, and what is wrong with a drawing in it."""

from __future__ import annotations

import os
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def missing(what: str, hint: str) -> Any:
    """Skips where a developer has no browser, and fails where every test must run."""
    message = f"{what} is not installed; {hint}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def numbers(d: str) -> list[float]:
    for letter in "MHLC":
        d = d.replace(letter, " ")
    return [float(v) for v in d.split()]


# Texts that overlap another, leave their box, or leave the drawing, in any state that is shown.
FAULTS = """() => {
  const svg = document.querySelector("svg.chainrule"), faults = [];
  const rect = (el) => el.getBoundingClientRect();
  const shown = (el) => el.getClientRects().length && getComputedStyle(el).visibility !== "hidden";
  const k = svg.querySelector("[transform]").getScreenCTM().a, room = 0.6 * Math.max(1, k);
  const inside = (a, b) => a.left >= b.left - room && a.right <= b.right + room
    && a.top >= b.top - room && a.bottom <= b.bottom + room;
  const texts = [...svg.querySelectorAll("text")].filter(shown).map((el) => [el, rect(el)]);
  texts.sort((a, b) => a[1].left - b[1].left);
  // A line of text is as high as its font's tallest signs; letters fill about three quarters of it.
  const tight = ({ left, right, top, bottom, height: h }) =>
    ({ left, right, top: top + 0.18 * h, bottom: bottom - 0.15 * h });
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const a = tight(texts[i][1]), b = tight(texts[j][1]);
    if (b.left >= a.right) break;
    if (Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.1 * k)
      faults.push(`"${texts[i][0].textContent}" overlaps "${texts[j][0].textContent}"`);
  }
  for (const [el, r] of texts) {
    const box = el.closest(".box"), form = box?.querySelector(".form");
    if (box && el.matches(".title, .subtitle") && !inside(tight(r), rect(form)))
      faults.push(`"${el.textContent}" leaves its form`);
    const hit = box?.querySelector(".hit");
    if (hit && !inside(tight(r), rect(hit))) faults.push(`${el.textContent} leaves its box`);
    const frame = el.closest(".frame");
    if (frame && !inside(r, rect(frame.querySelector(".form"))))
      faults.push(`"${el.textContent}" leaves its frame`);
    const view = svg.viewBox.baseVal;
    if (view.width && !inside(r, rect(svg)))
      faults.push(`"${el.textContent}" leaves the drawing`);
  }
  const boxes = [...svg.querySelectorAll(".box")].filter(shown);
  const forms = boxes.map((el) => rect(el.querySelector(".form")));
  for (const [i, a] of forms.entries()) for (const b of forms.slice(i + 1))
    if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
      faults.push("boxes overlap");
  if (!texts.length) faults.push("there is no text");
  return faults;
}"""
