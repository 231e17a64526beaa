"""A stop that is asked for before a run can listen: noted here until it does."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # its Python side brings enum: a fifth of an idle tick's time

from jobsync.jobs import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_noted: list[int] = []


def note_stops(arguments: list[str]) -> None:
    """
    Let SIGTERM and SIGINT no longer end this process where the arguments ask for a run, which looks at `stop_noted`
    when it begins and listens by itself from then on; a dry run leaves nothing, and just ends. Nor does SIGINT end a
    command that commits part by part and looks there after each.

    An interrupt that came as an exception could be lost within an import; the second Ctrl-C is that exception.
    """
    words = arguments
    while words and words[0].startswith("-"):  # the root's own
        words = words[1:]
    words = words[2:] if words[:2] == ["cron", "run"] else words
    is_run = bool(words) and (words[0] in BY_NAME or words[:2] == ["runs", "retry"])
    # other commands than these end at once by a signal, as any program does
    if "--dry-run" not in words and (is_run or words[:2] in _IN_PARTS):
        if is_run:
            signal.signal(signal.SIGTERM, _note)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _note)


_IN_PARTS = (["invoice", "import"], ["runs", "prune"])


def _note(number: int, _frame: FrameType | None) -> None:
    _noted.append(number)
    if number == signal.SIGINT:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_noted() -> int | None:
    """Return the number of the signal that came first, None if none has."""
    return _noted[0] if _noted else None
