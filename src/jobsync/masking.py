"""Known secrets, and how they are taken out of text, in whatever form somebody quotes them back."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import partial
from html import unescape
from urllib.parse import unquote

MASK = "•••"
# Control characters (C0, DEL, C1), line and paragraph separators, direction marks and overrides, lone surrogates:
# each could forge a line, colour a terminal or break an encoder.
UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"

_WORD_MOST = 5  # characters; a secret so short is masked only where it stands as a word of its own
_WORD_LEAST = 3  # what is shorter hides nothing, and would cost many a sentence its words
_SEED = _WORD_MOST + 1
_PARTIAL = 12  # characters of a longer secret's beginning that are masked too
_LAYERS = 3  # escapes within escapes that are undone
_LAYERS_MOST = 16  # readings of one text that are looked through

_BLANK = re.compile(rf"[\s{UNPRINTABLE}]+")
# What each kind of escape begins with, and all of its escapes. One kind is undone at a time: a secret may itself hold
# what looks like another's.
_ESCAPES = {
    sign: re.compile(escapes, re.IGNORECASE)
    for sign, escapes in {
        "%": "%[0-7]X|%[cd]X%[89ab]X|%eX(?:%[89ab]X){2}|%f[0-7](?:%[89ab]X){3}".replace("X", "[0-9a-f]"),
        "&": r"&(?:\#[0-9]{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});",
        "\\": r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[^ux]",
        "=": r"=\r?\n",
    }.items()
}
_BACKSLASHED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

# Only ever added to, so that threads may look while others add.
_seeds: dict[str, tuple[tuple[str, int], ...]] = {}  # a form's first characters: the form, how many of it are too many
_words: set[str] = set()
_word_lengths: frozenset[int] = frozenset()
_adding = threading.Lock()

_Form = Callable[[str], str]
_Spans = list[tuple[int, int]]


def register_secret(text: str, *, whole: bool = False) -> None:
    """
    From now on `mask_secrets` masks `text`: in any case, escaped for a URL, HTML or JSON, as hex or base64 (also within
    a longer one), and across line breaks.

    Of more than 12 characters the first 12 are masked too, since who quotes a part quotes the beginning, unless that is
    no secret (`whole`); a URL's never is. Of 3 to 5 it is masked only as a word of its own, or it would mask parts of
    ordinary words; of fewer never.
    """
    global _word_lengths
    plain = _squeezed(text)
    if len(plain) < _WORD_LEAST:
        return
    with _adding:
        if len(plain) <= _WORD_MOST:
            # blanks around it are no part of a word, but of what is encoded as a whole
            words = {form(each).casefold() for form in (*_PLAIN, _base64, _hex) for each in {text, text.strip()}}
            _words.update(words)
            _word_lengths |= {len(word) for word in words}
            return
        least_of = text if whole or "://" in text else text[:_PARTIAL]
        for form in (*_PLAIN, _hex, *_WITHIN_BASE64):
            found, least = _squeezed(form(text)), len(_squeezed(form(least_of)))
            others = _seeds.get(found[:_SEED], ())
            if len(found) >= _SEED and (found, least) not in others:
                _seeds[found[:_SEED]] = (*others, (found, max(least, _SEED)))


def mask_secrets(text: str) -> str:
    """Return the text with a mask in place of each known secret."""
    if not _seeds and not _words:
        return text
    spans: _Spans = []
    layers: dict[str, tuple[re.Pattern[str], ...]] = {text: ()}
    waiting = [text]
    while waiting:
        layer = waiting.pop(0)
        undone = layers[layer]
        if _find(_squeezed(layer)) or _find_words(layer.casefold()):
            spans += _locate(text, undone)
        for sign, escapes in _ESCAPES.items() if len(undone) < _LAYERS and len(layers) < _LAYERS_MOST else ():
            if sign in layer and (below := escapes.sub(_unescape, layer)) not in layers:
                layers[below] = (*undone, escapes)
                waiting.append(below)
    if not spans:
        return text
    shown, end = [], 0
    for start, stop in sorted(spans):
        if stop <= end:
            continue
        if start >= end:
            shown += [text[end:start], MASK]
        end = stop
    return "".join([*shown, text[end:]])


# --- forms -----------------------------------------------------------------------------------------------------------


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _hex(text: str) -> str:
    return _bytes(text).hex()


def _base64(text: str) -> str:
    return b64encode(_bytes(text)).decode().rstrip("=")


def _within(encode: Callable[[bytes], bytes], before: int, text: str) -> str:
    """Return those characters that are the text's alone, with `before` other bytes before it."""
    raw = bytes(before) + _bytes(text)
    return encode(raw).decode()[-(-before * 8 // 6) : len(raw) * 8 // 6]


# escapes are undone in the text; the + of a form in a URL is not, as it may be one
_PLAIN: tuple[_Form, ...] = (str, lambda text: text.replace(" ", "+"))
_WITHIN_BASE64: list[_Form] = [
    partial(_within, encode, before) for encode in (b64encode, urlsafe_b64encode) for before in range(3)
]


def _squeezed(text: str) -> str:
    dense = "".join(text.split())
    return (dense if dense.isprintable() else _BLANK.sub("", dense)).casefold()


def _unescape(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == "%":
        return unquote(text)
    if text[0] == "&":
        return unescape(text)
    if text[0] == "=":
        return ""  # a soft line break of quoted-printable
    if text[1] in "uU":
        undone: str = json.loads(f'"{text.lower()}"')
        return undone
    if text[1] in "xX":
        return chr(int(text.replace("\\", "0"), 16))
    return _BACKSLASHED.get(text[1].lower(), text[1])  # somebody may shout a secret


# --- where they are --------------------------------------------------------------------------------------------------


def _find(squeezed: str) -> _Spans:
    seeds = _seeds
    starts = [i for i in range(len(squeezed) - _SEED + 1) if squeezed[i : i + _SEED] in seeds]
    return [(start, start + most) for start in starts if (most := _longest(squeezed, start))]


def _longest(squeezed: str, start: int) -> int:
    """Return how many characters from there on are a secret's."""
    most = 0
    for form, least in _seeds[squeezed[start : start + _SEED]]:
        there = squeezed[start : start + len(form)]
        length = next((i for i, (one, other) in enumerate(zip(form, there, strict=False)) if one != other), len(there))
        most = max(most, length if length >= least else 0)
    return most


def _find_words(folded: str) -> _Spans:
    return [
        (start, start + len(word))
        for start in (found.start() for found in _WORD_START.finditer(folded) if _words)
        for length in _word_lengths
        if (word := folded[start : start + length]) in _words and not _WORDY.match(folded, start + len(word))
    ]


_WORD_START = re.compile(r"(?<!\w)(?=\S)")
_WORDY = re.compile(r"\w")


# characters, each with its place in the text that they were made of
_Mapped = Iterator[tuple[str, int, int]]


def _locate(text: str, undone: tuple[re.Pattern[str], ...]) -> _Spans:
    """Return where in the text the secrets are that come to light when these escapes are undone one by one."""
    mapped = [(character, i, i + 1) for i, character in enumerate(text)]
    for escapes in undone:
        mapped = list(_undo(escapes, mapped))
    spans = []
    for find, drop in ((_find, _BLANK), (_find_words, None)):
        kept = [
            (folded, start, end)
            for character, start, end in mapped
            if not (drop and drop.match(character))
            for folded in character.casefold()
        ]
        found = find("".join(character for character, _, _ in kept))
        spans += [(kept[start][1], kept[stop - 1][2]) for start, stop in found]
    return spans


def _undo(escapes: re.Pattern[str], mapped: list[tuple[str, int, int]]) -> _Mapped:
    end = 0
    for found in escapes.finditer("".join(character for character, _, _ in mapped)):
        yield from mapped[end : found.start()]
        end = found.end()
        for character in _unescape(found):
            yield character, mapped[found.start()][1], mapped[end - 1][2]
    yield from mapped[end:]
