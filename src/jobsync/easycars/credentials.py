"""A dealership's EasyCars credentials: their shape, and the cipher that keeps them in the database."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jobsync.errors import ConfigurationProblem, ExitCode, UsageProblem
from jobsync.masking import register_secret
from jobsync.runner.items import ItemFailure

ENVIRONMENTS = ("Test", "Production")
_NONCE = 12
_TAG = 16
# name in the JSON form -> most characters (limits of the system that was replaced)
_REQUIRED = {"client_id": 200, "client_secret": 200, "account_number": 100, "account_secret": 100}
_YARD_MOST = 50
# The dealership it is bound to. A colon is no character of base64's: what the replaced system stored never begins so.
_BOUND = re.compile(r"v2:([0-9]{1,18}):")
_LIKE_A_NAME = re.compile(r"[A-Za-z_]{1,20}")  # of a field; what is not may be a secret in the place of one


class CredentialsUnreadable(ItemFailure):
    """Stored credentials cannot be decrypted with the key at hand."""

    exit_code = ExitCode.CONFIGURATION

    def __init__(self, text: str) -> None:
        super().__init__(text, reason="credentials")


@dataclass(frozen=True)
class Credentials:
    """What one dealership signs in with; only environment and yard are ever shown."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    account_number: str = field(repr=False)
    account_secret: str = field(repr=False)
    environment: str
    yard_code: str | None = None

    def __post_init__(self) -> None:
        for secret in (self.client_id, self.client_secret, self.account_number, self.account_secret):
            register_secret(secret)


def find_problem(name: str, value: object) -> str | None:
    """Return what is wrong with the value of one field, None if nothing is; never quotes the value."""
    if name == "environment":
        return None if value in ENVIRONMENTS else "environment: expected Test or Production"
    if not isinstance(value, str | None):
        return f"{name}: expected text, in quotes"
    most = _REQUIRED.get(name, _YARD_MOST)
    text = (value or "").strip()
    if name == "yard_code":
        if len(text) > most:
            return f"yard_code: expected text of at most {most} characters"
    elif not text:
        return f"{name}: required, expected text"
    elif len(text) > most:
        return f"{name}: {len(text)} characters, at most {most}"
    return None if text.isprintable() else f"{name}: holds a control character or half a character"


def parse_credentials(document: object) -> Credentials:
    """
    Check what somebody wants to store, {client_id, client_secret, account_number, account_secret, environment,
    yard_code?}.

    UsageProblem: one message names every field that is wrong, and never a value.
    """
    if not isinstance(document, Mapping):
        raise UsageProblem("credentials: expected one JSON object")
    known = (*_REQUIRED, "environment", "yard_code")
    problems = [problem for name in known if (problem := find_problem(name, document.get(name)))]
    unknown = sorted(str(key) for key in document if key not in known)
    named = [key for key in unknown if _LIKE_A_NAME.fullmatch(key)]
    if named:
        problems.append(f"unknown field {', '.join(named)}")
    if len(named) < len(unknown):
        problems.append(f"{len(unknown) - len(named)} unknown and not shown of the fields")
    if problems:
        raise UsageProblem("credentials: " + "; ".join(problems))
    texts = {name: str(document.get(name) or "").strip() for name in known}
    yard = texts.pop("yard_code") or None
    return Credentials(**texts, yard_code=yard)


@dataclass(frozen=True)
class Place:
    """Where a secret is stored: a ciphertext that is bound to one place opens at no other."""

    dealership_id: int
    field: str

    @property
    def column(self) -> str:
        return f"{self.field}_encrypted"

    @property
    def associated_data(self) -> bytes:
        return f"easycar_credentials/{self.dealership_id}/{self.column}".encode()

    def __str__(self) -> str:
        return f"the stored {self.field} of dealership {self.dealership_id}"


def places_of(dealership_id: int) -> tuple[Place, ...]:
    """Return where a dealership's four secrets are stored, in the order of its columns."""
    return tuple(Place(dealership_id, name) for name in _REQUIRED)


def sealed_at(dealership_id: int, sealed: Sequence[str]) -> list[tuple[Place, str]]:
    """Return a dealership's four ciphertexts, each with the place that it is opened at: in a copied row its own."""
    places = places_of(copied_from(dealership_id, sealed) or dealership_id)
    return list(zip(places, sealed, strict=True))


def bound_to(stored: str) -> int | None:
    """Return the dealership that a ciphertext is bound to; one that the replaced system stored is bound to none."""
    found = _BOUND.match(stored)
    return int(found[1]) if found else None


def copied_from(dealership_id: int, sealed: Sequence[str]) -> int | None:
    """Return the other dealership whose four ciphertexts these are, copied together; None where they are not."""
    homes = {bound_to(stored) for stored in sealed}
    return next(iter(homes)) if len(homes) == 1 and len(sealed) == len(_REQUIRED) and homes != {dealership_id} else None


class Cipher:
    """
    AES-256-GCM as the replaced system stored it, base64(nonce | tag | ciphertext), with no associated data; or with a
    mark before it, and then with the place that it is bound to as associated data.

    Keys are 32 bytes; `previous` only decrypts, while a rotation is under way.
    """

    def __init__(self, key: bytes, previous: bytes | None = None) -> None:
        self._aead = AESGCM(key)
        self._older = [AESGCM(previous)] if previous else []

    def encrypt(self, text: str, place: Place | None = None) -> str:
        """Encrypt under a fresh random nonce, bound to the place; without one as the replaced system did."""
        nonce = os.urandom(_NONCE)
        sealed = self._aead.encrypt(nonce, text.encode(), place.associated_data if place else None)
        return (f"v2:{place.dealership_id}:" if place else "") + base64.b64encode(
            nonce + sealed[-_TAG:] + sealed[:-_TAG]
        ).decode()

    def decrypt(self, stored: str, place: Place | None = None) -> str:
        """
        Decrypt what `encrypt` or the replaced system stored; without its place only what is bound to nothing opens.

        CredentialsUnreadable: wrong key, damaged text, or one that belongs elsewhere.
        """
        what = str(place) if place else "a stored secret"
        again = "set them again: jobsync credentials set " + (str(place.dealership_id) if place else "ID")
        bound = _BOUND.match(stored)
        try:
            raw = base64.b64decode(stored[bound.end() if bound else 0 :], validate=True)
        except (binascii.Error, ValueError):
            raise CredentialsUnreadable(f"{what} is damaged (not base64); {again}") from None
        nonce, tag, sealed = raw[:_NONCE], raw[_NONCE : _NONCE + _TAG], raw[_NONCE + _TAG :]
        associated = place.associated_data if bound and place else None
        for aead in (self._aead, *self._older):
            try:
                return aead.decrypt(nonce, sealed + tag, associated).decode()
            except (InvalidTag, ValueError):
                continue
        copied = ", or it was copied there from another dealership or field" if bound else ""
        raise CredentialsUnreadable(
            f"{what} cannot be decrypted: it was stored with another JOBSYNC_ENCRYPTION_KEY{copied}; use the key that"
            f" the credentials were stored with, or {again}"
        )

    def opens(self, stored: str, place: Place) -> bool:
        try:
            self.decrypt(stored, place)
        except CredentialsUnreadable:
            return False
        return True


def require_cipher(key: bytes | None, previous: bytes | None) -> Cipher:
    """Return the cipher; ConfigurationProblem if there is no key."""
    if key is None:
        raise ConfigurationProblem(
            "JOBSYNC_ENCRYPTION_KEY is not set (expected the base64 of 32 bytes; make one with:"
            " python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())')"
        )
    return Cipher(key, previous)
