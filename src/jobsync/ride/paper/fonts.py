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
from typing import Literal, NamedTuple

FaceName = Literal["regular", "bold"]
Size = Literal["latin", "full"]

REPLACEMENT = "\ufffd"
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_FONTS = Path(__file__).with_name("faces")
_ZLIB_LEVEL = 9  # once a process
_LATIN = {*map(chr, range(0x20, 0x7F)), *map(chr, range(0xA1, 0x100)), *"–—‘’“”•…€", REPLACEMENT} - {"\u00ad"}


@dataclass(frozen=True)
class Face:
    """One weight of the family; all lengths in thousandths of the font size."""

    name: str
    widths: Mapping[str, float]  # advance of each character that the face has
    ascent: int
    descent: int
    cap_height: int
    box: tuple[int, int, int, int]  # left, bottom, right, top of all glyphs
    glyphs: Mapping[Size, Sequence[int]]  # numbers in the font file of a size, in the order of the characters

    def width(self, text: str) -> float:
        """Return the advance of a text all of whose characters the face has."""
        widths = self.widths
        return sum([widths[character] for character in text])


class Program(NamedTuple):
    """What a PDF needs to show a face; characters are addressed by their Unicode number."""

    font: bytes  # the TrueType file, deflated
    font_bytes: int  # its size before
    glyphs: bytes  # two bytes a character code, its glyph's number; deflated
    widths: str  # the value of a CID font's `/W`


@cache
def face(name: FaceName) -> Face:
    """Return a face; read once a process."""
    return Face(**json.loads((_FONTS / "facts.json").read_text(encoding="utf-8"))[name])


@cache
def program(name: FaceName, size: Size) -> Program:
    """Return what is embedded of a face: `latin` for documents that need no more, `full` for all characters."""
    widths, numbers = face(name).widths, face(name).glyphs[size]
    font = (_FONTS / f"{name}-{size}.ttf").read_bytes()
    characters = sorted(widths if size == "full" else filter(is_latin, widths))
    glyphs = bytearray(2 * (ord(characters[-1]) + 1))
    for character, number in zip(characters, numbers, strict=True):
        struct.pack_into(">H", glyphs, 2 * ord(character), number)
    return Program(
        font=zlib.compress(font, _ZLIB_LEVEL),
        font_bytes=len(font),
        glyphs=zlib.compress(bytes(glyphs), _ZLIB_LEVEL),
        widths=_width_array({ord(character): widths[character] for character in characters}),
    )


def is_latin(text: str) -> bool:
    """Whether the small file of each face is enough for the text."""
    return text.isascii() or _LATIN.issuperset(text)


def printable(text: str) -> tuple[str, set[str]]:
    """
    Return the text with only characters that the family has, and those that it lacks.

    Blanks of every kind become one space; invisible marks go; a character without a glyph becomes its plain relative
    if Unicode names one (a full-width letter its letter), else U+FFFD.
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
    """Return runs of neighbouring codes: `[32 [229.5 246.1] 161 [240]]`."""
    parts = [f"{'' if code - 1 in widths else f'] {code} ['} {width:g}" for code, width in widths.items()]
    return f"[{''.join(parts).removeprefix('] ').replace('[ ', '[')}]]"
