"""Credentials: what may be stored, and the cipher that existing databases were written with."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from jobsync.easycars.credentials import (
    Cipher,
    CredentialsUnreadable,
    Place,
    bound_to,
    copied_from,
    parse_credentials,
    places_of,
    require_cipher,
)
from jobsync.errors import ConfigurationProblem, UsageProblem

KEY = base64.b64decode("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER_KEY = bytes(32)
STORED = "ZGVmZ2hpamtsbW5vkJx279LFBU47uMBv47zojQ1Y7lZJ2Wau"  # as the replaced system wrote it
GOOD = {
    "client_id": "kangaroo-client",
    "client_secret": "kangaroo-secret",
    "account_number": "EC000000",
    "account_secret": "wombat-secret",
    "environment": "Test",
}


# --- the cipher ------------------------------------------------------------------------------------------------------


def test_what_the_replaced_system_stored_can_be_read() -> None:
    """Existing ciphertexts carry over: nonce, tag, ciphertext, in this order."""
    assert Cipher(KEY).decrypt(STORED) == "EC000000"


@pytest.mark.parametrize("text", ["", "EC000000", "päss wörd 🚗", "x" * 10_000])
def test_round_trip(text: str) -> None:
    """What is encrypted can be decrypted."""
    cipher = Cipher(KEY)

    assert cipher.decrypt(cipher.encrypt(text)) == text


def test_the_stored_layout_is_nonce_tag_ciphertext() -> None:
    """What we store has 12 bytes of nonce and 16 of tag before the text, as the replaced system reads it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    raw = base64.b64decode(Cipher(KEY).encrypt("EC000000"))

    assert AESGCM(KEY).decrypt(raw[:12], raw[28:] + raw[12:28], None) == b"EC000000"


def test_the_same_text_never_looks_the_same() -> None:
    """Each encryption has a nonce of its own."""
    cipher = Cipher(KEY)

    assert len({cipher.encrypt("EC000000") for _ in range(50)}) == 50


def test_the_previous_key_still_reads() -> None:
    """During a rotation what the old key wrote can be read."""
    assert Cipher(OTHER_KEY, previous=KEY).decrypt(STORED) == "EC000000"


def test_the_previous_key_no_longer_writes() -> None:
    """During a rotation only the new key encrypts."""
    stored = Cipher(OTHER_KEY, previous=KEY).encrypt("EC000000")

    with pytest.raises(CredentialsUnreadable):
        Cipher(KEY).decrypt(stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "not base64!",
        "ü",
        STORED[:-4],
        STORED[:20],
        STORED[:8],
        "A" + STORED[1:],
        STORED[:-1] + "v",
        STORED + "\n",
        base64.b64encode(bytes(28)).decode(),
    ],
)
def test_damaged_text_is_unreadable(stored: str) -> None:
    """Damage anywhere is a foreseen failure with its reason, and shows nothing of what is stored."""
    with pytest.raises(CredentialsUnreadable) as raised:
        Cipher(KEY).decrypt(stored)

    assert (raised.value.reason, raised.value.transient) == ("credentials", False)
    assert not stored or stored not in str(raised.value)


def test_wrong_key_names_the_variable() -> None:
    """The operator learns which key is meant."""
    with pytest.raises(CredentialsUnreadable, match="JOBSYNC_ENCRYPTION_KEY"):
        Cipher(OTHER_KEY).decrypt(STORED)


# --- bound to its place ----------------------------------------------------------------------------------------------


HERE = Place(17, "client_id")


@pytest.mark.parametrize("text", ["", "EC000000", "päss wörd 🚗", "x" * 10_000])
def test_what_is_bound_opens_in_its_place(text: str) -> None:
    """A round trip, and it says of itself that it is bound."""
    stored = Cipher(KEY).encrypt(text, HERE)

    assert (text, 17) == (Cipher(OTHER_KEY, previous=KEY).decrypt(stored, HERE), bound_to(stored))


@pytest.mark.parametrize("place", [Place(1, "client_id"), Place(17, "client_secret"), Place(171, "client_id"), None])
def test_what_is_bound_opens_nowhere_else(place: Place | None) -> None:
    """Another dealership, another field, none: unreadable, as with another key."""
    stored = Cipher(KEY).encrypt("EC000000", HERE)

    with pytest.raises(CredentialsUnreadable, match="copied"):
        Cipher(KEY).decrypt(stored, place)


def test_the_mark_cannot_be_taken_off_or_put_on() -> None:
    """A bound one without its mark and an unbound one with it are both unreadable."""
    stored = Cipher(KEY).encrypt("EC000000", HERE)

    assert not Cipher(KEY).opens(stored.removeprefix("v2:17:"), HERE)
    assert not Cipher(KEY).opens("v2:17:" + STORED, HERE)


def test_what_is_bound_to_nothing_opens_in_any_place() -> None:
    """Ciphertexts of the replaced system carry over as they are."""
    assert ("EC000000", None) == (Cipher(KEY).decrypt(STORED, HERE), bound_to(STORED))


@pytest.mark.parametrize("stored", ["v2:17:not base64!", "v2:17:" + STORED, STORED[:-4]])
def test_an_unreadable_one_names_dealership_field_and_remedy(stored: str) -> None:
    """Who meets it knows where it is and what to type."""
    with pytest.raises(CredentialsUnreadable) as raised:
        Cipher(KEY).decrypt(stored, HERE)

    assert "client_id of dealership 17" in str(raised.value)
    assert "jobsync credentials set 17" in str(raised.value)


def test_no_key_is_a_configuration_problem() -> None:
    """Without a key there is no cipher, and the message says how to make one."""
    with pytest.raises(ConfigurationProblem, match="base64 of 32 bytes"):
        require_cipher(None, None)


# --- what may be stored ----------------------------------------------------------------------------------------------


def test_values_are_trimmed() -> None:
    """Blanks around what somebody pasted are no part of it."""
    credentials = parse_credentials({**GOOD, "client_id": " kangaroo-client\n", "yard_code": " 100 "})

    assert (credentials.client_id, credentials.yard_code) == ("kangaroo-client", "100")


@pytest.mark.parametrize("yard", [None, "", "  "])
def test_no_yard_is_all_yards(yard: str | None) -> None:
    """A blank yard code means none."""
    assert parse_credentials({**GOOD, "yard_code": yard}).yard_code is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"client_id": ""}, ["client_id"]),
        (
            {"client_id": None, "client_secret": 5, "account_number": " "},
            ["client_id", "client_secret", "account_number"],
        ),
        ({"client_id": "x" * 201, "client_secret": "x" * 201}, ["client_id", "client_secret"]),
        ({"account_number": "x" * 101, "account_secret": "x" * 101}, ["account_number", "account_secret"]),
        ({"account_secret": ["x"]}, ["account_secret"]),
        ({"environment": "test"}, ["environment"]),
        ({"environment": None}, ["environment"]),
        ({"environment": ["Test"]}, ["environment"]),
        ({"yard_code": "x" * 51}, ["yard_code"]),
        ({"yard_code": 100}, ["yard_code"]),
        ({"public_id": "x", "secret_key": "y"}, ["public_id", "secret_key"]),
        ({"client_id": "wallaby\x00wallaby"}, ["client_id"]),
        ({"client_secret": "wallaby\ud83dwallaby"}, ["client_secret"]),
        ({"account_secret": "wallaby\nwallaby"}, ["account_secret"]),
        ({"yard_code": "wallaby\x00"}, ["yard_code"]),
        (
            {"client_id": "", "account_secret": "x" * 101, "environment": "Live", "yard_code": 1, "extra": "x"},
            ["client_id", "account_secret", "environment", "yard_code", "extra"],
        ),
    ],
)
def test_every_wrong_field_is_named(wrong: dict[str, Any], named: list[str]) -> None:
    """One message names all that is wrong, and only that."""
    with pytest.raises(UsageProblem) as raised:
        parse_credentials({**GOOD, **wrong})

    fields = (*GOOD, "yard_code", "public_id", "secret_key", "extra")
    assert {name for name in fields if name in str(raised.value)} == set(named)


@pytest.mark.parametrize("field", [*GOOD, "yard_code"])
@pytest.mark.parametrize("value", ["platypus" * 40, "platypus\x00platypus", ["platypus"], {"platypus": 1}])
def test_no_message_shows_a_value(field: str, value: object) -> None:
    """What is wrong may be a secret all the same: no value is repeated, the right ones of the others neither."""
    with pytest.raises(UsageProblem) as raised:
        parse_credentials({**GOOD, field: value})

    assert not [secret for secret in ("platypus", "kangaroo", "wombat", "EC000000") if secret in str(raised.value)]


@pytest.mark.parametrize("document", [None, [], "x", 5, [GOOD]])
def test_only_an_object_will_do(document: object) -> None:
    """Anything but one JSON object is refused."""
    with pytest.raises(UsageProblem, match="one JSON object"):
        parse_credentials(document)


def test_no_secret_in_the_representation() -> None:
    """Credentials in a traceback or a log show environment and yard only."""
    shown = repr(parse_credentials({**GOOD, "yard_code": "100"}))

    assert shown == "Credentials(environment='Test', yard_code='100')"


def test_only_a_row_that_was_copied_whole_is_anothers() -> None:
    """Four of one other dealership; its own, a mixture, and what is bound to nothing are not."""
    of_17 = [Cipher(KEY).encrypt("x", place) for place in places_of(17)]
    of_18 = [Cipher(KEY).encrypt("x", place) for place in places_of(18)]
    rows = (of_17, of_18, [*of_17[:3], of_18[3]], [*of_18[:3], STORED], [STORED] * 4)

    assert [None, 18, None, None, None] == [copied_from(17, row) for row in rows]
