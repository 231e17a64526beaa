"""What counts as the same stock number, VIN and yard; the database agrees on stock numbers."""

from __future__ import annotations

import sys
import unicodedata
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsync.db.stock_key import BLANKS, ZERO_WIDTH
from jobsync.easycars.identity import stock_key, telling_vin, vin_of, yard_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ab12", "AB12"),
        ("A 7", "A  7 "),
        ("A 7", "\u00a0A\t \u30007\n"),
        ("Übung1", "U\u0308bung1"),
        ("Z9", "Z\u200b9"),
        ("Z9", "\ufeffZ9\u00ad"),
        ("é", "e\u200b\u0301"),
        ("\u212a1", "K1"),
    ],
)
def test_spellings_of_one_number(one: str, other: str) -> None:
    """Case of A-Z, blanks, signs without width and the form of accents make no other number."""
    assert stock_key(one) == stock_key(other)


@pytest.mark.parametrize(("one", "other"), [("A1", "A 1"), ("045", "45"), ("É", "é"), ("A-1", "A1"), ("ß", "ss")])
def test_numbers_that_differ(one: str, other: str) -> None:
    """A blank inside, a leading zero and the case of other letters tell two numbers apart."""
    assert stock_key(one) != stock_key(other)


@given(st.text())
def test_a_key_is_its_own_key(number: str) -> None:
    """Taking the key of a key changes nothing."""
    assert stock_key(stock_key(number)) == stock_key(number)


def test_the_blanks_are_those_of_split() -> None:
    """Python and the database cut at the same signs."""
    assert "".join(sign for sign in map(chr, range(sys.maxunicode + 1)) if sign.isspace()) == BLANKS


def test_no_sign_without_width_is_seen() -> None:
    """Each is a format character, a mark without advance, or unassigned in between."""
    assert {unicodedata.category(sign) for sign in ZERO_WIDTH} <= {"Cf", "Mn", "Cn"}


def _is_one_of_many(sign: str) -> bool:
    """Whether it is one of 240,000 that nobody tells apart but by number: ideographs, syllables, for private use."""
    many = ("CJK UNIFIED", "HANGUL SYLLABLE", "TANGUT IDEOGRAPH")
    return unicodedata.category(sign) == "Co" or unicodedata.name(sign, "").startswith(many)


def test_the_database_agrees_over_all_of_unicode(connection: psycopg.Connection[Any]) -> None:
    """Each sign, alone and among others, has the same key in SQL and in Python; of those that are all alike, some."""
    signs = [chr(code) for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    # newer tables of one side know signs that the other cannot know yet
    signs = [sign for sign in signs if unicodedata.category(sign) != "Cn"]
    signs = [sign for sign in signs if ord(sign) % 40 == 0 or not _is_one_of_many(sign)]
    random = Random(1)
    texts = [text for sign in signs for text in (sign, f"A{sign}B", f"e{sign}\u0301")]
    texts += ["".join(random.choices(signs, k=random.randint(0, 12))) for _ in range(20_000)]
    texts += ["".join(random.choices(f"aZ 9{BLANKS}{ZERO_WIDTH}", k=random.randint(0, 12))) for _ in range(20_000)]
    found = []
    for start in range(0, len(texts), 50_000):
        found += connection.execute(
            "SELECT jobsync_stock_key(x) FROM unnest(%s::text[]) WITH ORDINALITY AS t (x, n) ORDER BY n",
            [texts[start : start + 50_000]],
        ).fetchall()
    wrong = [(ascii(text), key) for text, (key,) in zip(texts, found, strict=True) if stock_key(text) != key]

    assert wrong == []


@pytest.mark.parametrize(
    ("vin", "expected"),
    [
        ("6T1BF3FK00X000001", True),
        ("12345678", True),
        ("6T1-BF3/FK", True),
        ("1234567", False),
        ("TBA", False),
        ("N/A", False),
        ("NOT-A-VI", False),
        ("00000000000000000", False),
        ("XXXXXXXX-XXXX", False),
        ("-----------------", False),
        ("", False),
        (None, False),
    ],
)
def test_which_vins_tell(vin: str | None, expected: bool) -> None:
    """Eight letters and digits that are not all alike; placeholders never match anything."""
    assert (vin if expected else None) == telling_vin(vin)


def test_a_vin_is_kept_without_blanks() -> None:
    """Upper case, without blanks anywhere."""
    assert [vin_of(text) for text in (" 6t1 bf3\tfk", "  ")] == ["6T1BF3FK", None]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("mel", " MEL", True), ("7", "007", True), ("0", "00", True), ("0", "", False), ("7", "70", False)],
)
def test_yards_are_compared_like_numbers(one: str, other: str, same: bool) -> None:
    """Leading zeros do not count; of nothing but zeros one stays."""
    assert same == (yard_key(one) == yard_key(other))
