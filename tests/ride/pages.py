"""What independent programs see in a PDF: text with its place, boxes, barcodes; nothing of the engine that made it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from typing import Any

import pdfplumber
import pypdfium2
import zxingcpp
from pdfplumber.page import Page

PAGE = (595.28, 841.89)
TOUCH_PT = 0.35  # how far letters' boxes may reach into each other before it counts


@dataclass(frozen=True)
class Word:
    """A run of letters on one line, as placed; in points from the upper left corner."""

    page: int
    text: str
    left: float
    top: float
    right: float
    bottom: float


@lru_cache(maxsize=8)
def pages(data: bytes) -> list[Page]:
    """Return the pages; a file is read once, which takes longer than the several things that a test asks of it."""
    return pdfplumber.open(BytesIO(data)).pages


@lru_cache(maxsize=8)
def words(data: bytes) -> list[Word]:
    """Return every word of every page."""
    return [
        Word(index, word["text"], word["x0"], word["top"], word["x1"], word["bottom"])
        for index, page in enumerate(pages(data))
        for word in page.extract_words(keep_blank_chars=False, x_tolerance=1.2, y_tolerance=1)
    ]


def text(data: bytes) -> str:
    """Return all text, lines as they stand on the page, blanks single."""
    return "\n".join(page.extract_text(x_tolerance=1.2, y_tolerance=1.5) or "" for page in pages(data))


def text_as_drawn(data: bytes) -> str:
    """Return all text in the order in which it was drawn, without any blanks; quick."""
    pdf = pypdfium2.PdfDocument(data)
    return "".join("".join(page.get_textpage().get_text_range().split()) for page in pdf)


def page_count(data: bytes) -> int:
    """Return how many pages there are."""
    return len(pypdfium2.PdfDocument(data))


def barcodes(data: bytes, *, dpi: int = 200, page: int = 0) -> list[tuple[str, str]]:
    """Return format and text of each barcode of whatever kind that a reader finds on the printed page."""
    image = pypdfium2.PdfDocument(data)[page].render(scale=dpi / 72, grayscale=True).to_pil()
    return [(str(found.format), found.text) for found in zxingcpp.read_barcodes(image)]


def code_128(data: bytes, *, dpi: int = 200) -> list[str]:
    """Return the text of each barcode of ours on the first page; four times as quick as to look for every kind."""
    image = pypdfium2.PdfDocument(data)[0].render(scale=dpi / 72, grayscale=True).to_pil()
    return [
        found.text
        for found in zxingcpp.read_barcodes(image, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.Code128))
    ]


def outside(data: bytes, *, margin_pt: float = 14.0) -> list[str]:
    """Return the words that leave the page's printable room."""
    return [
        word.text
        for word in words(data)
        if word.left < margin_pt
        or word.right > PAGE[0] - margin_pt
        or word.top < margin_pt
        or word.bottom > PAGE[1] - margin_pt
    ]


def overlaps(data: bytes) -> list[tuple[str, str]]:
    """Return pairs of letters that are printed over each other."""
    found = []
    for page in pages(data):
        letters = [letter for letter in page.chars if letter["text"].strip()]
        rows: dict[int, list[dict[str, Any]]] = {}
        for letter in letters:
            middle = (letter["top"] + letter["bottom"]) / 2
            for row in (int(middle // 4), int(middle // 4) + 1):
                rows.setdefault(row, []).append(letter)
        for near in rows.values():
            for one, other in pairwise(sorted(near, key=lambda letter: float(letter["x0"]))):
                tall = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
                wide = min(one["x1"], other["x1"]) - max(one["x0"], other["x0"])
                # glyph boxes are taller than letters: a third of a line may be shared by neighbours
                if wide > TOUCH_PT and tall > 0.45 * (one["bottom"] - one["top"]):
                    found.append((str(one["text"]), str(other["text"])))
    return found


def crossed_rules(data: bytes) -> list[str]:
    """Return the words that a vertical edge of a box runs through."""
    found = []
    for word in words(data):
        edges = [(edge["x0"], edge["x1"], edge["top"], edge["bottom"]) for edge in pages(data)[word.page].curves]
        found += [
            word.text
            for left, right, top, bottom in edges
            if top < word.top and word.bottom < bottom
            for edge in (left, right)
            if word.left < edge - 0.5 and word.right > edge + 0.5
        ]
    return found
