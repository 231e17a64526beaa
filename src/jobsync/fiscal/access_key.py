"""
The access key (clave de acceso): 49 digits that name a fiscal document, and tell its day, kind, issuer and environment.

Source: docs/facts/sri.md, "Access key".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from stdnum import exceptions
from stdnum.ec import ruc as rules

from jobsync.errors import ExitCode, JobsyncError

Environment = Literal["test", "production"]
KeyProblem = Literal[
    "key_length",
    "key_not_digits",
    "key_check_digit",  # a digit is wrong, or two are exchanged
    "key_date",
    "key_document_type",
    "key_environment",
    "key_ruc",  # another issuer's
]


class DocumentKind(StrEnum):
    """The six documents, by the SRI's document code."""

    INVOICE = "01"
    PURCHASE_SETTLEMENT = "03"
    CREDIT_NOTE = "04"
    DEBIT_NOTE = "05"
    DELIVERY_NOTE = "06"
    WITHHOLDING = "07"


LENGTH = 49
DOCUMENT_TYPES: Mapping[str, str] = {kind.value: kind.name.lower() for kind in DocumentKind}
ENVIRONMENTS: Mapping[str, Environment] = {"1": "test", "2": "production"}
_WEIGHTS = tuple(2 + place % 6 for place in range(LENGTH - 1))  # from the right


class AccessKeyError(JobsyncError):
    """A text that is no access key, or not one of the issuer in question."""

    exit_code = ExitCode.USAGE

    def __init__(self, problem: KeyProblem, text: str) -> None:
        super().__init__(f"the access key {text}")
        self.problem = problem


@dataclass(frozen=True)
class AccessKey:
    """A correct access key and what it tells."""

    text: str  # the 49 digits; also the document's authorization number
    issue_date: date
    document_code: str  # the SRI's two digits for the kind of document
    ruc: str  # the issuer's
    environment: Environment
    series_number: str  # establishment, point of emission and sequence, 001-002-000000030

    def __str__(self) -> str:
        return self.text

    @property
    def document_type(self) -> str:
        """What the document is called here; see docs/glossary.md."""
        return DOCUMENT_TYPES[self.document_code]

    def require_ruc(self, ruc: str) -> None:
        """Raise AccessKeyError if the issuer is not the one with this RUC."""
        if self.ruc != ruc:
            raise AccessKeyError("key_ruc", f"is of RUC {self.ruc}, expected {ruc}")


def check_digit(first_48: str) -> int:
    """
    Return the modulo-11 check digit of an access key; raise AccessKeyError for anything but 48 ASCII digits.

    Two remainders lead to the digit 1: 11 - 10, and 10 itself, which has no digit of its own.

    >>> check_digit("0" * 48)
    0
    >>> check_digit("160920260117600132100011001001000940421234478361")
    1
    """
    _require_digits(first_48, LENGTH - 1)
    digit = 11 - sum(int(sign) * weight for sign, weight in zip(reversed(first_48), _WEIGHTS, strict=True)) % 11
    return {11: 0, 10: 1}.get(digit, digit)


def parse_access_key(text: str) -> AccessKey:
    """
    Read an access key, with blanks around it or not; raise AccessKeyError with what is wrong.

    Its RUC is not judged: see `find_ruc_problem`.
    """
    text = text.strip()
    _require_digits(text, LENGTH)
    expected, found = check_digit(text[:-1]), int(text[-1])
    if found != expected:
        raise AccessKeyError("key_check_digit", f"ends in {found}, its other 48 digits ask for {expected}")
    try:
        issue_date = date(int(text[4:8]), int(text[2:4]), int(text[:2]))
    except ValueError:
        raise AccessKeyError("key_date", f"begins with {text[:8]}, expected the day of issue as ddmmyyyy") from None
    if text[8:10] not in DOCUMENT_TYPES:
        known = ", ".join(DOCUMENT_TYPES)
        raise AccessKeyError("key_document_type", f"names document type {text[8:10]}, expected one of {known}")
    if text[23] not in ENVIRONMENTS:
        raise AccessKeyError("key_environment", f"names environment {text[23]}, expected 1 (test) or 2 (production)")
    return AccessKey(
        text=text,
        issue_date=issue_date,
        document_code=text[8:10],
        ruc=text[10:23],
        environment=ENVIRONMENTS[text[23]],
        series_number=f"{text[24:27]}-{text[27:30]}-{text[30:39]}",
    )


def _require_digits(text: str, length: int) -> None:
    if len(text) != length:
        raise AccessKeyError("key_length", f"has {len(text)} characters, expected {length} digits")
    if not (text.isascii() and text.isdigit()):
        place = next(at for at, sign in enumerate(text, 1) if not (sign.isascii() and sign.isdigit()))
        raise AccessKeyError("key_not_digits", f"has something else than a digit at place {place}")


def is_ruc_shaped(ruc: str) -> bool:
    """
    Whether a text has the shape that every RUC has: 13 ASCII digits.

    >>> is_ruc_shaped("1792177758001"), is_ruc_shaped("179217775800"), is_ruc_shaped("179217775800A")
    (True, False, False)
    """
    return len(ruc) == 13 and ruc.isascii() and ruc.isdigit()


def find_ruc_problem(ruc: str) -> str | None:
    """
    Return what is odd about a RUC, by the check that python-stdnum knows; None if nothing is.

    A reason to look twice, never to refuse: there are active companies whose RUC has a check digit that does not fit
    (docs/facts/sri.md, "RUC"), and only the SRI knows which exist.
    """
    if not is_ruc_shaped(ruc):
        return "it does not have 13 digits"
    try:
        rules.validate(ruc)
    except exceptions.InvalidChecksum:
        return "its check digit does not fit"
    except exceptions.ValidationError:
        return "no province has this number, or the establishment is 000, or its third digit fits no kind of taxpayer"
    return None
