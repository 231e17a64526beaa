"""The 49 digits."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from jobsync.fiscal.access_key import AccessKeyError, check_digit, find_ruc_problem, parse_access_key

GOOD = "0407201901179217775800110010020000000301234567815"


def with_digit(first_48: str) -> str:
    """A key with the check digit that it needs."""
    return f"{first_48}{check_digit(first_48)}"


def changed(at: int, digits: str) -> str:
    """The good key with other digits from a place on (counted from 1), and the check digit that goes with them."""
    return with_digit((GOOD[: at - 1] + digits + GOOD[at - 1 + len(digits) :])[:48])


@pytest.mark.parametrize(
    ("first_48", "expected"),
    [
        ("0" * 40 + "41261533", 6),  # the vendor's own example
        ("040720190117921777580011001002000000030123456781", 5),
        ("030720190117921777580011001002000000028123456781", 1),  # 11 - 1 = 10
        ("160920260117600132100011001001000940421234478361", 1),  # remainder 10
        ("0" * 48, 0),  # 11
    ],
)
def test_check_digit(first_48: str, expected: int) -> None:
    """The digit is the one that was worked out by hand, whichever remainder it comes from."""
    assert check_digit(first_48) == expected


def test_every_single_wrong_digit_is_seen() -> None:
    """No exchange of one digit of this key by another goes unseen."""
    missed = []
    for at in range(48):
        for digit in "0123456789":
            other = GOOD[:at] + digit + GOOD[at + 1 : 48]
            if digit != GOOD[at] and check_digit(other) == int(GOOD[48]):
                missed.append((at, digit))

    assert missed == []


def test_parts() -> None:
    """A key tells day, kind, issuer, environment and number."""
    key = parse_access_key(f"  {GOOD}\n")

    assert (
        key.text,
        key.issue_date,
        key.document_code,
        key.document_type,
        key.ruc,
        key.environment,
        key.series_number,
        str(key),
    ) == (
        GOOD,
        date(2019, 7, 4),
        "01",
        "invoice",
        "1792177758001",
        "test",
        "001-002-000000030",
        GOOD,
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("01", "invoice"),
        ("03", "purchase_settlement"),
        ("04", "credit_note"),
        ("05", "debit_note"),
        ("06", "delivery_note"),
        ("07", "withholding"),
    ],
)
def test_document_types(code: str, expected: str) -> None:
    """Six kinds of document, one English name each."""
    assert parse_access_key(changed(9, code)).document_type == expected


def test_production() -> None:
    """2 is production."""
    assert parse_access_key(changed(24, "2")).environment == "production"


@pytest.mark.parametrize(
    ("text", "problem", "words"),
    [
        ("", "key_length", "0 characters"),
        (GOOD[:-1], "key_length", "48 characters, expected 49"),
        (GOOD + "A", "key_length", "50 characters"),
        (GOOD[:20] + "X" + GOOD[21:], "key_not_digits", "place 21"),
        (GOOD[:48] + "²", "key_not_digits", "place 49"),
        ("٠" + GOOD[1:], "key_not_digits", "place 1"),
        (GOOD[:24] + " " + GOOD[25:], "key_not_digits", "place 25"),
        ("-" + GOOD[1:], "key_not_digits", "place 1"),
        (GOOD[:48] + "6", "key_check_digit", "ends in 6, its other 48 digits ask for 5"),
        (changed(1, "31022026"), "key_date", "31022026"),
        (changed(1, "20260131"), "key_date", "ddmmyyyy"),
        (changed(1, "01010000"), "key_date", "01010000"),
        (changed(9, "02"), "key_document_type", "type 02"),
        (changed(9, "99"), "key_document_type", "type 99"),
        (changed(24, "0"), "key_environment", "environment 0"),
        (changed(24, "3"), "key_environment", "environment 3"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str, words: str) -> None:
    """Each kind of wrong has its own code, which a row in the database can hold, and the data to find it."""
    with pytest.raises(AccessKeyError, match=words) as raised:
        parse_access_key(text)

    assert raised.value.problem == problem


def test_another_issuer() -> None:
    """The issuer must be the tenant."""
    key = parse_access_key(GOOD)
    key.require_ruc("1792177758001")
    with pytest.raises(AccessKeyError, match=r"1792177758001, expected 1792060346001") as raised:
        key.require_ruc("1792060346001")

    assert raised.value.problem == "key_ruc"


@pytest.mark.parametrize(
    ("ruc", "expected"),
    [
        ("1792060346001", None),
        ("1792060346000", "no province"),
        ("1763154690001", "check digit"),
        ("9999999999999", "no province"),
        ("179206034600", "13 digits"),
        ("17920603460O1", "13 digits"),
    ],
)
def test_odd_rucs(ruc: str, expected: str | None) -> None:
    """What python-stdnum finds odd is named in our words."""
    problem = find_ruc_problem(ruc)

    assert (problem is None) if expected is None else (expected in (problem or ""))


def test_an_odd_ruc_is_no_reason_to_refuse_a_key() -> None:
    """Active companies have RUCs whose check digit does not fit."""
    assert parse_access_key(changed(11, "1763154690001")).ruc == "1763154690001"


def test_key_of_the_documented_example_is_right() -> None:
    """What docs/invoices.md tells an application to insert can be pasted."""
    text = (Path(__file__).parents[2] / "docs" / "invoices.md").read_text()
    [key] = set(re.findall(r"\b[0-9]{49}\b", text))
    [ruc] = set(re.findall(r"'([0-9]{13})'", text))

    parse_access_key(key).require_ruc(ruc)
