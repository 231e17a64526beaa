"""Which commands note a stop, so that they can say what they did."""

# Expected stands before actual.

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from jobsync import __main__
from jobsync.errors import ExitCode
from jobsync.runner import signals

RUN, IN_PARTS, PLAIN = {"SIGINT", "SIGTERM"}, {"SIGINT"}, set[str]()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("stock-sync --scheduled", RUN),
        ("cron run generate-ride", RUN),
        ("-v generate-ride --missing", RUN),
        ("runs retry 3f2a", RUN),
        ("invoice import in", IN_PARTS),
        ("-q runs prune --json", IN_PARTS),
        ("invoice import in --dry-run", PLAIN),
        ("runs prune --dry-run", PLAIN),
        ("stock-sync --dry-run", PLAIN),
        ("runs list", PLAIN),
        ("-q", PLAIN),
        ("", PLAIN),
    ],
)
def test_who_notes_a_stop(words: str, expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs both signals; what commits part by part only Ctrl-C; whatever leaves nothing just ends."""
    caught: set[str] = set()

    def set_handler(number: str, _handler: Callable[..., None]) -> None:
        caught.add(number)

    fake = SimpleNamespace(
        SIGINT="SIGINT", SIGTERM="SIGTERM", signal=set_handler, getsignal=lambda _: None, default_int_handler=None
    )
    monkeypatch.setattr(signals, "signal", fake)
    signals.note_stops(words.split())

    assert expected == caught


def test_ctrl_c_again_and_again_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an interrupt ends the process, those behind it meet nobody: it ends as the first one says."""
    codes: list[int] = []

    def leave(code: int) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        codes.append(code)

    def interrupted() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "_is_idle_tick", interrupted)
    monkeypatch.setattr(__main__, "_leave", leave)
    monkeypatch.setattr("sys.argv", ["jobsync", "status"])
    before = signal.getsignal(signal.SIGINT)
    try:
        __main__.main()
    finally:
        signal.signal(signal.SIGINT, before)

    assert [ExitCode.INTERRUPTED] == codes
