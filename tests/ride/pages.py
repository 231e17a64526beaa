"""What independent programs see in a PDF: text with its place, boxes, barcodes; nothing of the engine that made it."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_double, c_float
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import pairwise

import pdfplumber
import pypdfium2
import zxingcpp
from pdfplumber.page import Page
from pypdfium2 import raw

PAGE = (595.28, 841.89)
GAP_PT = 1.2  # between words
DESCENT = 0.244  # of a letter's box, below the baseline, by the font's size
SEGMENTS_OF_A_RECTANGLE = 5
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
    """Return the pages with all that is on them; takes ten times as long as to ask for letters."""
    return pdfplumber.open(BytesIO(data)).pages


@lru_cache(maxsize=8)
def letters(data: bytes) -> list[Word]:
    """Return every letter and blank, in the order in which they were drawn; a box is what the font gives it."""
    found = []
    x, y, width = c_double(), c_double(), c_float()
    for index, page in enumerate(pypdfium2.PdfDocument(data)):
        height, seen = page.get_height(), page.get_textpage()
        for place in range(seen.count_chars()):
            if raw.FPDFText_IsGenerated(seen, place):
                continue
            raw.FPDFText_GetCharOrigin(seen, place, x, y)
            size, sign = raw.FPDFText_GetFontSize(seen, place), raw.FPDFText_GetUnicode(seen, place)
            font = raw.FPDFTextObj_GetFont(raw.FPDFText_GetTextObject(seen, place))
            assert raw.FPDFFont_GetGlyphWidth(font, sign, size, width)
            bottom = height - y.value + DESCENT * size
            found.append(Word(index, chr(sign), x.value, bottom - size, x.value + width.value, bottom))
    return found


def lines(data: bytes, *, near_pt: float) -> list[list[Word]]:
    """Return the letters of each line, from left to right; what is not farther apart stands on one line."""
    found: list[list[Word]] = []
    for letter in sorted(letters(data), key=lambda letter: (letter.page, letter.top)):
        last = found[-1][-1] if found else None
        if last is None or last.page != letter.page or letter.top - last.top > near_pt:
            found.append([])
        found[-1].append(letter)
    return [sorted(line, key=lambda letter: letter.left) for line in found]


def words_of(line: Sequence[Word]) -> list[Word]:
    """Return the words on a line: blanks are between them, or a gap."""
    parts: list[list[Word]] = [[]]
    for letter in line:
        if letter.text.isspace() or (parts[-1] and letter.left - parts[-1][-1].right > GAP_PT):
            parts.append([])
        if not letter.text.isspace():
            parts[-1].append(letter)
    return [
        Word(
            part[0].page,
            "".join(letter.text for letter in part),
            part[0].left,
            min(letter.top for letter in part),
            max(letter.right for letter in part),
            max(letter.bottom for letter in part),
        )
        for part in parts
        if part
    ]


@lru_cache(maxsize=8)
def words(data: bytes) -> list[Word]:
    """Return every word of every page."""
    return [word for line in lines(data, near_pt=1.0) for word in words_of(line)]


def text(data: bytes) -> str:
    """Return all text, lines as they stand on the page, blanks single."""
    return "\n".join(" ".join(word.text for word in words_of(line)) for line in lines(data, near_pt=1.5))


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
    rows: dict[tuple[int, int], list[Word]] = {}
    for letter in letters(data):
        if not letter.text.isspace():
            middle = int((letter.top + letter.bottom) / 2 // 4)
            for row in (middle, middle + 1):
                rows.setdefault((letter.page, row), []).append(letter)
    for near in rows.values():
        for one, other in pairwise(sorted(near, key=lambda letter: letter.left)):
            tall = min(one.bottom, other.bottom) - max(one.top, other.top)
            wide = min(one.right, other.right) - max(one.left, other.left)
            # boxes are taller than letters: a third of a line may be shared by neighbours
            if wide > TOUCH_PT and tall > 0.45 * (one.bottom - one.top):
                found.append((one.text, other.text))
    return found


def crossed_rules(data: bytes) -> list[str]:
    """Return the words that a vertical edge of a box runs through."""
    found = []
    boxes = round_boxes(data)
    for word in words(data):
        found += [
            word.text
            for page, left, top, right, bottom in boxes
            if page == word.page and top < word.top and word.bottom < bottom
            for edge in (left, right)
            if word.left < edge - 0.5 and word.right > edge + 0.5
        ]
    return found


def round_boxes(data: bytes) -> list[tuple[int, float, float, float, float]]:
    """Return page, left, top, right and bottom of each box with round corners."""
    found = []
    for index, page in enumerate(pypdfium2.PdfDocument(data)):
        for path in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH]):
            if raw.FPDFPath_CountSegments(path) > SEGMENTS_OF_A_RECTANGLE:
                left, bottom, right, top = path.get_bounds()
                found.append((index, left, page.get_height() - top, right, page.get_height() - bottom))
    return found
