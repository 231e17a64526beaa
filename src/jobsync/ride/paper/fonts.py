"""The embedded family: what each character measures, and the files that go into the PDF. Knows no page."""

from __future__ import annotations

import json
import struct
import unicodedata
import zlib
from collections.abc import Mapping
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


@dataclass(frozen=True)
class Face:
    """
    One weight of the family; all lengths in thousandths of the font size.

    Args:
        widths: advance of each character that the face has.
        box: left, bottom, right, top of all glyphs.
    """

    name: str
    widths: Mapping[str, float]
    ascent: int
    descent: int
    cap_height: int
    box: tuple[int, int, int, int]

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
    facts = _facts()[name]
    return Face(
        name=facts["name"],
        widths=facts["widths"],
        ascent=facts["ascent"],
        descent=facts["descent"],
        cap_height=facts["cap_height"],
        box=tuple(facts["box"]),
    )


@cache
def program(name: FaceName, size: Size) -> Program:
    """Return what is embedded of a face: `latin` for documents that need no more, `full` for all characters."""
    the_face = face(name)
    font = (_FONTS / f"{name}-{size}.ttf").read_bytes()
    characters = sorted(the_face.widths if size == "full" else filter(is_latin, the_face.widths))
    numbers = dict(zip(characters, _facts()[name]["glyphs"][size], strict=True))
    glyphs = bytearray(2 * (ord(characters[-1]) + 1))
    for character, number in numbers.items():
        struct.pack_into(">H", glyphs, 2 * ord(character), number)
    return Program(
        face=the_face,
        font=zlib.compress(font, _ZLIB_LEVEL),
        font_bytes=len(font),
        glyphs=zlib.compress(bytes(glyphs), _ZLIB_LEVEL),
        widths=_width_array({ord(character): the_face.widths[character] for character in characters}),
    )


@cache
def _latin() -> frozenset[str]:
    return frozenset(chr(code) for code in (*range(0x20, 0x7F), *range(0xA1, 0x100)) if code != 0xAD) | set(
        "–—‘’“”•…€" + REPLACEMENT
    )


def is_latin(text: str) -> bool:
    """Whether the small file of each face is enough for the text."""
    return text.isascii() or _latin().issuperset(text)


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
    missing = {character for character in text if character not in known}
    if not missing:
        return text, missing
    replaced = {}
    for character in sorted(missing):
        plain = unicodedata.normalize("NFKC", character)
        if all(part in known for part in plain):
            missing.discard(character)
        else:
            plain = REPLACEMENT
        replaced[ord(character)] = plain
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


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((_FONTS / "facts.json").read_text(encoding="utf-8"))
    return facts
