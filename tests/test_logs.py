"""Text from outside at the edge, and the lines a collector reads."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jobsync.logs import configure_logs, get_logger, visible, visible_lines
from jobsync.masking import register_secret


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """The usual log afterwards."""
    yield
    configure_logs()


@pytest.fixture
def stream() -> io.StringIO:
    """Where JSON lines go."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    return stream


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("  two  blanks ", "two blanks"),
        ("line\nline\r\nline", "line line line"),
        ("tab\there", "tab here"),
        ("nul\x00nul", "nul nul"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("\x1b]0;title\x07", "]0;title"),
        ("c1 \x9b31m \x85 \x7f", "c1 31m"),
        ("para\u2028graph\u2029", "para graph"),
        ("exe\u202ecod.txt", "exe cod.txt"),
        ("\u2066a\u2067b\u2068c\u2069", "a b c"),
        ("\u200ea\u200fb\u061cc", "a b c"),
        ("\ufeffbom", "bom"),
        ("half \ud83d pair \udc00", "half pair"),
        ("whole 🚗 car", "whole 🚗 car"),
        ("Niño — ñandú 自動車", "Niño — ñandú 自動車"),
        ("[bold]not markup[/bold]", "[bold]not markup[/bold]"),
        ("<b>&amp;", "<b>&amp;"),
        (None, "None"),
        (ValueError("a\nb"), "a b"),
    ],
)
def test_visible(text: object, shown: str) -> None:
    """No character that could forge a line, colour a terminal or turn the reading direction comes through."""
    assert visible(text) == shown


def test_visible_is_encodable() -> None:
    """Whatever came in, UTF-8 can say what goes out."""
    everything = "".join(map(chr, range(0x110000)))

    assert visible(everything, most=10**7).encode()


def test_visible_cuts_what_is_too_long() -> None:
    """A long text ends in an ellipsis, and is exactly as long as allowed."""
    shown = visible("x" * 100, most=10)

    assert shown == "xxxxxxxxx…"


def test_secret_is_masked() -> None:
    """Every occurrence of a known secret is masked."""
    register_secret("hunter2")

    assert visible("a hunter2 b hunter2") == "a ••• b •••"


def test_secret_at_the_cut_is_masked_first() -> None:
    """The cut does not leave half a secret."""
    register_secret("hunter2hunter2")

    assert "hunt" not in visible("xxxx hunter2hunter2", most=10)


def test_secret_that_begins_with_another_is_masked_whole() -> None:
    """Of two secrets, one the beginning of the other, no rest is left."""
    for number in range(20):
        register_secret(f"abcd{number}")
        register_secret(f"abcd{number}-the-rest")

    assert "rest" not in visible(" ".join(f"abcd{number}-the-rest" for number in range(20)))


def test_secret_that_becomes_known_while_another_is_looked_for() -> None:
    """Threads learn secrets (a decrypted password, a token) while others write lines: neither disturbs the other."""
    register_secret("hunter2")
    register_secret("swordfish")

    def learn() -> None:
        for number in range(300):
            register_secret(f"s{number:02}" if number < 100 else f"hunter{number}-and-more")

    learning = threading.Thread(target=learn)
    learning.start()
    shown = {visible("hunter2 met swordfish") for _ in range(300)}
    learning.join()

    assert shown == {"••• met •••"}


def test_lines_keep_their_indentation() -> None:
    """A traceback stays readable, without control characters and secrets."""
    register_secret("hunter2")

    assert visible_lines("Traceback:\n  File \x1b[1m\n    hunter2\n") == "Traceback:\n  File [1m\n    •••"


def line(stream: io.StringIO) -> Any:
    """Return the only line."""
    [text] = stream.getvalue().splitlines()
    return json.loads(text)


def test_json_line(stream: io.StringIO) -> None:
    """One event is one JSON object on one line: event, level, time with zone, fields."""
    get_logger().info("room.happened", number=3, name="Niño\nx", nothing=None, yes=True)
    written = line(stream)

    assert written.pop("timestamp").endswith("Z")
    assert written == {
        "event": "room.happened",
        "level": "info",
        "number": 3,
        "name": "Niño x",
        "nothing": None,
        "yes": True,
    }


def test_nested_values_are_made_visible(stream: io.StringIO) -> None:
    """Lists, mappings and objects pass the same door as texts."""
    register_secret("hunter2")
    get_logger().info("x", a=["hunter2\x1b"], b={"hunter2": ("hunter2",)}, c=ValueError("hunter2"))
    written = line(stream)

    assert (written["a"], written["b"], written["c"]) == (["•••"], {"•••": ["•••"]}, "•••")


@pytest.mark.parametrize("style", ["json", "console"])
def test_traceback_gives_nothing_away(style: str) -> None:
    """Tracebacks are in the log, without secrets and control characters."""
    register_secret("hunter2")
    stream = io.StringIO()
    configure_logs("info", style, stream)
    try:
        raise ValueError("hunter2 \x1b[31m \x9b")
    except ValueError:
        get_logger().exception("x")
    written = stream.getvalue()

    assert "Traceback (most recent call last)" in written
    for piece in ("\x1b", "\x9b", "\\u001b", "hunter2"):
        assert piece not in written


@pytest.mark.parametrize("style", ["json", "console"])
def test_event_is_one_line(style: str) -> None:
    """No text from outside can forge a second line."""
    stream = io.StringIO()
    configure_logs("info", style, stream)
    get_logger().info("x", text="a\nb\r\u2028c")

    assert len(stream.getvalue().splitlines()) == 1


def test_brief_lines_cut_what_is_long() -> None:
    """For somebody at a terminal only: the journal and JSON lines keep all of it."""
    lines = []
    for style in ("console", "json"):
        stream = io.StringIO()
        configure_logs("info", style, stream, brief=True)
        get_logger().warning("x", text="y" * 500, run_id="1a2b")
        lines.append(stream.getvalue())

    assert [(159, False), (500, True)] == [(text.count("y"), "1a2b" in text) for text in lines]


def test_level_is_kept() -> None:
    """What is below the level is not written."""
    stream = io.StringIO()
    configure_logs("warning", "json", stream)
    get_logger().info("quiet")
    get_logger().warning("loud")

    assert line(stream)["event"] == "loud"


@pytest.mark.parametrize("name", ["httpx", "httpcore", "httpcore.http11"])
def test_http_libraries_are_silent(name: str, stream: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    """Whole URLs, with secrets in their query, are never logged, at any of our levels."""
    configure_logs("debug", "json", stream)
    logger = logging.getLogger(name)
    logger.info("GET https://h/?ClientSecret=hunter2")
    logger.error("GET https://h/?ClientSecret=hunter2")

    assert "hunter2" not in stream.getvalue() + "".join(capfd.readouterr())
    assert not logger.isEnabledFor(logging.ERROR)


@pytest.mark.parametrize(("level", "shown"), [("info", []), ("warning", ["warning"]), ("error", ["error"])])
def test_what_a_library_logs_is_an_event(
    level: str, shown: list[str], stream: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    """From a warning on, in one line without traceback and secrets; not as Python by itself would write it."""
    register_secret("hunter2")
    try:
        raise ValueError("hunter2 is lost")
    except ValueError:
        logging.getLogger("sqlalchemy.pool.impl.QueuePool").log(
            logging.getLevelNamesMapping()[level.upper()], "Exception during %s", "reset", exc_info=True
        )
    written = [json.loads(text) for text in stream.getvalue().splitlines()]

    assert shown == [event["level"] for event in written]
    for event in written:
        assert ("library.said", "sqlalchemy.pool.impl.QueuePool") == (event["event"], event["library"])
        assert ("Exception during reset", "ValueError: ••• is lost") == (event["text"], event["error"])
    assert "" == "".join(capfd.readouterr())
