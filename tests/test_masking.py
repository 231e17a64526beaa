"""A known secret comes through in no form that somebody may quote it in, and ordinary words are left alone."""

from __future__ import annotations

import base64
import html
import json
import re
import time
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsync.logs import visible, visible_lines
from jobsync.masking import mask_secrets, register_secret
from tests.conftest import forget_secrets

SECRET = '3f2A9c-Kx/71+wq&Tz=%41"\\ü'
KEEP = "4F0E8A1C-77B2-4d3a-9f6e-0123456789ab"

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "lower": str.lower,
    "swapped": str.swapcase,
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "url, slashes kept": urllib.parse.quote,
    "url of a form": urllib.parse.quote_plus,
    "url, lower hex": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "url twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "html": html.escape,
    "html by number": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "html by hex number": lambda text: "".join(f"&#x{ord(character):X};" for character in text),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, slashes too": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json by number": lambda text: re.sub("(....)", r"\\u\1", text.encode("utf-16-be").hex()),
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "html in a url": lambda text: urllib.parse.quote(html.escape(text), safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in a url": lambda text: urllib.parse.quote(base64.b64encode(text.encode()).decode(), safe=""),
    "hex": lambda text: text.encode().hex(),
    "upper hex": lambda text: text.encode().hex().upper(),
    "wrapped": lambda text: text[:7] + "\r\n\t" + text[7:],
    "wrapped everywhere": "\n".join,
    "wrapped, quoted-printable": lambda text: text[:7] + "=\r\n" + text[7:],
    "wrapped in json": lambda text: json.dumps(text[:7] + "\n" + text[7:]),
    "wrapped base64": lambda text: base64.encodebytes(text.encode() * 3).decode(),
    "control characters in it": lambda text: text[:7] + "\x00\x1b" + text[7:],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [SECRET, KEEP])
def test_a_secret_is_masked_in_every_form(secret: str, form: str) -> None:
    """Quoted back in any of these, nothing of it is left but the frame."""
    register_secret(secret)
    quoted = FORMS[form](secret)
    shown = visible(f"invalid <{quoted}> here", most=10_000)

    assert "•••" in shown
    assert len(shown) <= len("invalid <> here") + 12, shown


@pytest.mark.parametrize(
    ("secret", "quoted"),
    [
        ("\ta;9", "%09a%3B9"),  # short, and blanks around it
        ("a;9\n", "a;9"),
        ('one\nlong "secret"', r"ONE\NLONG \"SECRET\""),
    ],
)
def test_a_secret_with_blanks_is_masked(secret: str, quoted: str) -> None:
    """Whether a short one has them at its ends, or a long one in JSON that was shouted."""
    register_secret(secret)

    assert mask_secrets(f"<{quoted}>") in ("<•••>", "<%09•••>")


def test_a_secret_is_masked_across_the_lines_of_a_traceback() -> None:
    """Lines are looked at together before they are told apart."""
    register_secret(SECRET)

    assert visible_lines(f"a\n  b {SECRET[:6]}\n{SECRET[6:]}\n  c") == "a\n  b •••\n  c"


@given(
    secret=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=8, max_size=60),
    form=st.sampled_from(sorted(FORMS)),
    before=st.sampled_from(["", "x", "secret=", "a b "]),
    after=st.sampled_from(["", "y", "&b=1", "amp;", " n"]),
)
def test_no_form_of_any_secret_comes_through(secret: str, form: str, before: str, after: str) -> None:
    """Whatever the secret and whatever stands beside it, what was quoted is no longer there."""
    forget_secrets()
    register_secret(secret)
    quoted = FORMS[form](secret)
    shown = mask_secrets(before + quoted + after)

    assert quoted not in shown
    assert "•••" in shown


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=6, max_size=60),
    before=st.binary(max_size=7),
    after=st.binary(max_size=7),
    safe=st.booleans(),
)
def test_a_secret_within_something_that_is_base64_is_masked(
    secret: str, before: bytes, after: bytes, safe: bool
) -> None:
    """Wherever it begins: all characters that are the secret's alone are gone."""
    forget_secrets()
    register_secret(secret)
    encode = base64.urlsafe_b64encode if safe else base64.b64encode
    quoted = encode(before + secret.encode() + after).decode()
    own = quoted[-(-len(before) * 8 // 6) : (len(before) + len(secret.encode())) * 8 // 6]

    assert own not in mask_secrets(f"x {quoted}")


@given(
    secret=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=13, max_size=60), cut=st.integers(12)
)
def test_the_beginning_of_a_secret_is_masked(secret: str, cut: int) -> None:
    """Of more than 12 characters, the first 12 or more."""
    forget_secrets()
    register_secret(secret)

    assert mask_secrets(f"got {secret[:cut]}... ") == "got •••... "


@pytest.mark.parametrize("form", ["base64", "hex", "upper", "url, lower hex"])
def test_the_beginning_of_a_secret_is_masked_in_other_forms(form: str) -> None:
    """Twelve characters of it, encoded."""
    register_secret(KEEP)

    assert "•••" in mask_secrets(FORMS[form](KEEP[:12]))


def test_the_beginning_of_an_address_is_no_secret() -> None:
    """A webhook's URL is one; `https://hook` is not."""
    register_secret("https://hooks.example/services/T0/B0/abcdefgh")

    assert mask_secrets("see https://hooks.example/help") == "see https://hooks.example/help"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a car", "a •••"),
        ("AccountNumber=CAR&b", "AccountNumber=•••&b"),
        ("%63ar, &#99;ar; Y2Fy 636172", "•••, •••; ••• •••"),
        ("carpet oscar car_lot car1 scary", "carpet oscar car_lot car1 scary"),
        ("the c a r", "the c a r"),
    ],
)
def test_a_short_secret_is_masked_as_a_word_of_its_own(text: str, shown: str) -> None:
    """Three letters within other words are no secret."""
    register_secret("car")

    assert mask_secrets(text) == shown


@pytest.mark.parametrize("secret", ["", "a", "is", "  a ", "\n\n\n\n\n\n\n"])
def test_what_hides_nothing_is_not_masked(secret: str) -> None:
    """One or two characters would cost every sentence its words."""
    register_secret(secret)

    assert mask_secrets("this is a day\n\n\n\n\n\n\n") == "this is a day\n\n\n\n\n\n\n"


@given(st.text(max_size=300))
def test_other_text_is_left_as_it_is(text: str) -> None:
    """Undoing escapes serves the search alone."""
    forget_secrets()
    for secret in (SECRET, KEEP, "EC000001", "q7x"):
        register_secret(secret)
    if "q7x" not in text.casefold():
        assert mask_secrets(text) == text


def test_looking_is_cheap_however_many_secrets_there_are() -> None:
    """A run of a thousand dealerships that logs thousands of lines: a tenth of a millisecond or so for each."""
    for number in range(1000):
        register_secret(f"{number:08x}-77b2-4d3a-9f6e-{number:012x}")
    line = "stock_sync.dealership_finished: created 12, updated 7, https://easycars.example/x?a=1&b=2 " * 2
    took_s = min(_timed(line) for _ in range(5))

    assert took_s < 0.002


def _timed(line: str) -> float:
    started = time.thread_time()
    for _ in range(10):
        mask_secrets(line)
    return (time.thread_time() - started) / 10
