"""The embedded family: what each character measures, and the files that go into the PDF. Knows no page."""

from __future__ import annotations

import json
import struct
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

FaceName = Literal["regular", "bold"]
Size = Literal["latin", "full"]

REPLACEMENT = "\ufffd"
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_FONTS = Path(__file__).with_name("faces")
_ZLIB_LEVEL = 9  # once a process
_LATIN = {*map(chr, range(0x20, 0x7F)), *map(chr, range(0xA1, 0x100)), *"–—‘’“”•…€", REPLACEMENT} - {"\u00ad"}


@dataclass(frozen=True)
class Face:
    """
    One weight of the family; all lengths in thousandths of the font size.

    Args:
        widths: advance of each character that the face has.
        box: left, bottom, right, top of all glyphs.
        glyphs: the number of each character's glyph in the font file of a size, in the order of the characters.
    """

    name: str
    widths: Mapping[str, float]
    ascent: int
    descent: int
    cap_height: int
    box: tuple[int, int, int, int]
    glyphs: Mapping[Size, Sequence[int]]

    def width(self, text: str) -> float:
        """Return the advance of a text all of whose characters the face has."""
        widths = self.widths
        return sum([widths[character] for character in text])


@dataclass(frozen=True)
class Program:
    """
    What a PDF needs to show a face; characters are addressed by their Unicode number.

    Args:
        font: the TrueType file, deflated; `font_bytes` is its size before.
        glyphs: two bytes a character code, its glyph number; deflated.
        widths: the value of a CID font's `/W`.
    """

    face: Face
    font: bytes
    font_bytes: int
    glyphs: bytes
    widths: str


@cache
def face(name: FaceName) -> Face:
    """Return a face; read once a process."""
    facts: dict[str, dict[str, Any]] = json.loads((_FONTS / "facts.json").read_text(encoding="utf-8"))
    return Face(**facts[name])


@cache
def program(name: FaceName, size: Size) -> Program:
    """Return what is embedded of a face: `latin` for documents that need no more, `full` for all characters."""
    the_face = face(name)
    font = (_FONTS / f"{name}-{size}.ttf").read_bytes()
    characters = sorted(the_face.widths if size == "full" else filter(is_latin, the_face.widths))
    glyphs = bytearray(2 * (ord(characters[-1]) + 1))
    for character, number in zip(characters, the_face.glyphs[size], strict=True):
        struct.pack_into(">H", glyphs, 2 * ord(character), number)
    return Program(
        face=the_face,
        font=zlib.compress(font, _ZLIB_LEVEL),
        font_bytes=len(font),
        glyphs=zlib.compress(bytes(glyphs), _ZLIB_LEVEL),
        widths=_width_array({ord(character): the_face.widths[character] for character in characters}),
    )


def is_latin(text: str) -> bool:
    """Whether the small file of each face is enough for the text."""
    return text.isascii() or _LATIN.issuperset(text)


def printable(text: str) -> tuple[str, set[str]]:
    """
    Return the text with only characters that the family has, and those that it lacks.

    Blanks of every kind become one space; invisible marks go; a character without a glyph becomes its plain relative
    if Unicode names one (a full-width letter its letter), else U+FFFD.

    >>> printable("  caf\u0065\u0301 \\n\\t \U0001f600 ")
    ('café �', {'😀'})
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip(" "), set()
    text = " ".join(unicodedata.normalize("NFC", text.translate(_INVISIBLE)).split())
    known = face("regular").widths
    plain = {character: unicodedata.normalize("NFKC", character) for character in set(text).difference(known)}
    missing = {character for character, parts in plain.items() if not known.keys() >= set(parts)}
    replaced = {ord(character): REPLACEMENT if character in missing else parts for character, parts in plain.items()}
    return text.translate(replaced), missing


def _width_array(widths: Mapping[int, float]) -> str:
    """Return runs of neighbouring codes: `32 [229.5 246.1] 161 [240]`."""
    parts: list[str] = []
    before = None
    for code, width in widths.items():
        parts.append(f"{'' if before is None else '] '}{code} [" if code - 1 != before else " ")
        parts.append(f"{width:g}")
        before = code
    return f"[{''.join(parts)}]]"
