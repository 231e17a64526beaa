"""
Paper: pages, text that stays in its room, lines and bars. Millimetres from the upper left corner; no fiscal word.

Texts are measured with the face's own widths before they are drawn, and written as operators of the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from jobsync.ride.paper import fonts

HEIGHT_MM = 297.0  # A4
POINTS = 72 / 25.4  # in a millimetre
_HEIGHT_PT = HEIGHT_MM * POINTS
_LEADING = 1.19  # line height by font size
_LEAST_PT = 7.0
_BASELINE = 0.90  # from the top of a line to its baseline, by font size
_CURVE = 0.5523  # where a quarter circle's control points are
_BREAK_AFTER = "-/\\,;:._@&=+)]}?|"
_BREAK_LOOK_BACK = 0.35  # of a line: how far back a nicer place to break a long word is looked for
_SPECIAL = re.compile(r"[()\\\r]")

Align = Literal["left", "right", "center"]


@dataclass(frozen=True, slots=True)
class Ink:
    """How a text looks; `grey` runs from 0, black, to 1, white."""

    size_pt: float
    bold: bool = False
    grey: float = 0.0

    @property
    def line_mm(self) -> float:
        return self.size_pt * _LEADING / POINTS

    @property
    def face(self) -> fonts.FaceName:
        return "bold" if self.bold else "regular"


# what a page draws with, by operator: font and size, grey of areas and texts, grey of lines, width of lines
_SET = {"Tf": "/{} {:g} Tf", "g": "{:g} g", "G": "{:g} G", "w": "{:.2f} w"}


@dataclass(slots=True)
class _Page:
    operators: list[str] = field(default_factory=list)
    state: dict[str, tuple[object, ...]] = field(default_factory=lambda: {"g": (0.0,), "G": (0.0,)})


class Sheet:
    """Pages under the pen; what is drawn goes onto the current one, and any page can be made current again."""

    def __init__(self) -> None:
        self._pages: list[_Page] = []
        self.page = -1  # index of the current one
        self.replaced: dict[str, None] = {}  # characters that no glyph exists for, each once, in the order they came
        self.latin = True  # whether all text so far needs only the small font files
        self.shortened = False  # whether somebody had to cut a text
        self._cleaned: dict[str, str] = {}

    @property
    def page_count(self) -> int:
        return len(self._pages)

    def turn_to(self, index: int) -> None:
        """Make a page the current one; the one after the last is added."""
        if index == len(self._pages):
            self._pages.append(_Page())
        self.page = index

    def contents(self) -> list[str]:
        return ["\n".join(page.operators) for page in self._pages]

    def clean(self, text: str | None) -> str:
        """Return the text as it will be printed: single blanks, and a visible mark for what has no glyph."""
        if not text:
            return ""
        known = self._cleaned.get(text)
        if known is not None:
            return known
        clean, missing = fonts.printable(text)
        self.replaced.update(dict.fromkeys(sorted(missing)))
        self.latin = self.latin and fonts.is_latin(clean)
        self._cleaned[text] = self._cleaned[clean] = clean
        return clean

    @staticmethod
    def measure(text: str, ink: Ink) -> float:
        """Return the width of a clean text in mm."""
        return fonts.face(ink.face).width(text) * ink.size_pt / 1000 / POINTS

    def wrap(self, text: str | None, width_mm: float, ink: Ink) -> list[str]:
        """Return the lines of a text, none wider than the room; a word too long for a line is broken."""
        text = self.clean(text)
        if not text:
            return []
        face = fonts.face(ink.face)
        room = width_mm * POINTS * 1000 / ink.size_pt + 0.01
        if face.width(text) <= room:
            return [text]
        blank = face.widths[" "]
        lines: list[str] = []
        line, used = "", 0.0
        for word in text.split(" "):
            width = face.width(word)
            if line and used + blank + width <= room:
                line, used = f"{line} {word}", used + blank + width
                continue
            if line:
                lines.append(line)
            *whole, line = [word] if width <= room else _break_word(word, room, face)
            lines += whole
            used = face.width(line)
        return [*lines, line]

    def shrink(self, text: str, width_mm: float, ink: Ink) -> Ink:
        """Return the ink, made smaller as far as allowed so that the text takes one line."""
        width = self.measure(self.clean(text), ink)
        if width <= width_mm:
            return ink
        return replace(ink, size_pt=max(_LEAST_PT, int(ink.size_pt * width_mm / width * 20) / 20))

    def write(self, x: float, y: float, text: str, ink: Ink, *, align: Align = "left") -> None:
        """Write one clean line; y is the top of the line, x its left end, right end or middle."""
        if not text:
            return
        if align != "left":
            width = self.measure(text, ink)
            x -= width if align == "right" else width / 2
        self._set("Tf", "F2" if ink.bold else "F1", ink.size_pt)
        self._set("g", ink.grey)
        down = y * POINTS + ink.size_pt * _BASELINE
        self._draw(f"BT {x * POINTS:.2f} {_HEIGHT_PT - down:.2f} Td ({_string(text)})Tj ET")

    def write_lines(self, x: float, y: float, lines: Sequence[str], ink: Ink, *, align: Align = "left") -> None:
        for place, line in enumerate(lines):
            self.write(x, y + place * ink.line_mm, line, ink, align=align)

    def rule(self, x: float, y: float, width: float, *, weight_mm: float = 0.1, grey: float = 0.0) -> None:
        height = _HEIGHT_PT - y * POINTS
        self._set("w", weight_mm * POINTS)
        self._set("G", grey)
        self._draw(f"{x * POINTS:.2f} {height:.2f} m {(x + width) * POINTS:.2f} {height:.2f} l S")

    def frame(self, x: float, y: float, width: float, height: float, *, weight_mm: float = 0.2, radius: float) -> None:
        self._set("w", weight_mm * POINTS)
        self._set("G", 0.25)
        self._draw(f"{_box(x, y, width, height, radius)} S")

    def tint(self, x: float, y: float, width: float, height: float, *, grey: float, radius: float = 0.0) -> None:
        self._set("g", grey)
        self._draw(f"{_box(x, y, width, height, radius)} f")

    def bars(self, x: float, y: float, height: float, module_mm: float, widths: Sequence[int]) -> None:
        """Draw bars and spaces in turn, beginning with a bar; widths in modules."""
        self._set("g", 0.0)
        bottom, tall = _HEIGHT_PT - (y + height) * POINTS, height * POINTS
        module, left = module_mm * POINTS, x * POINTS
        parts = []
        for place, width in enumerate(widths):
            if place % 2 == 0:
                parts.append(f"{left:.3f} {bottom:.2f} {width * module:.3f} {tall:.2f} re")
            left += width * module
        self._draw(" ".join(parts) + " f")

    def picture(self, x: float, y: float, width: float, height: float) -> None:
        left, bottom = x * POINTS, _HEIGHT_PT - (y + height) * POINTS
        self._draw(f"q {width * POINTS:.2f} 0 0 {height * POINTS:.2f} {left:.2f} {bottom:.2f} cm /I1 Do Q")

    def _set(self, operator: str, *operands: object) -> None:
        page = self._pages[self.page]
        if page.state.get(operator) != operands:
            page.state[operator] = operands
            page.operators.append(_SET[operator].format(*operands))

    def _draw(self, operators: str) -> None:
        self._pages[self.page].operators.append(operators)


def _string(text: str) -> str:
    """Return the text as two bytes a character, safe inside a literal string."""
    raw = text.encode("utf-16-be").decode("latin-1")
    return _SPECIAL.sub(lambda found: "\\r" if found[0] == "\r" else f"\\{found[0]}", raw)


def _break_word(word: str, room: float, face: fonts.Face) -> list[str]:
    """Return the pieces of a word that is wider than its room, broken behind punctuation where that is near."""
    pieces = []
    start = place = 0
    used = 0.0
    while place < len(word):
        width = face.widths[word[place]]
        if used + width <= room or place == start:
            used += width
            place += 1
            continue
        backwards = range(place - 1, start + int((place - start) * (1 - _BREAK_LOOK_BACK)), -1)
        place = next((nicer + 1 for nicer in backwards if word[nicer] in _BREAK_AFTER), place)
        pieces.append(word[start:place])
        start, used = place, 0.0
    return [*pieces, word[start:]]


def _box(x: float, y: float, width: float, height: float, radius: float) -> str:
    left, right = x * POINTS, (x + width) * POINTS
    top, bottom = _HEIGHT_PT - y * POINTS, _HEIGHT_PT - (y + height) * POINTS
    if not radius:
        return f"{left:.2f} {bottom:.2f} {right - left:.2f} {top - bottom:.2f} re"
    r = radius * POINTS
    c = r * (1 - _CURVE)
    return (
        f"{left + r:.2f} {bottom:.2f} m {right - r:.2f} {bottom:.2f} l "
        f"{right - c:.2f} {bottom:.2f} {right:.2f} {bottom + c:.2f} {right:.2f} {bottom + r:.2f} c "
        f"{right:.2f} {top - r:.2f} l "
        f"{right:.2f} {top - c:.2f} {right - c:.2f} {top:.2f} {right - r:.2f} {top:.2f} c "
        f"{left + r:.2f} {top:.2f} l "
        f"{left + c:.2f} {top:.2f} {left:.2f} {top - c:.2f} {left:.2f} {top - r:.2f} c "
        f"{left:.2f} {bottom + r:.2f} l "
        f"{left:.2f} {bottom + c:.2f} {left + c:.2f} {bottom:.2f} {left + r:.2f} {bottom:.2f} c h"
    )
