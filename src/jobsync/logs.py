"""structlog set up once per process, and visible(): the one door for text that came from outside."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO, cast

from jobsync import journal
from jobsync.masking import UNPRINTABLE, mask_secrets

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_UNPRINTABLE = re.compile(f"[{UNPRINTABLE}]")
_to_journald = False
_progress_on: TextIO | None = None  # the terminal where a hand run's progress stands, in a line of its own
# Fields of every event that we word ourselves: with hundreds of secrets known, looking for each in each would cost.
_OURS = frozenset({"event", "level", "timestamp", "job", "run_id", "item", "status"})
_Event = MutableMapping[str, Any]
_MOST = 2000  # characters
_READ_TIMES = 20  # of what is shown at most: text that is all blanks, or a whole page, is not looked through to its end
_VALUE_MOST = 160
_CLEAR_LINE = "\r\x1b[K"


def visible(text: object, *, most: int = _MOST) -> str:
    """
    Return text from a vendor, a file or a database in a form that is safe to show anywhere.

    Known secrets are masked, control characters become spaces, runs of blanks collapse, and what is longer than
    `most` characters is cut with an ellipsis.

    >>> visible("sold\\x1b[31m\\n\\tout")
    'sold [31m out'
    """
    return _cleaned(mask_secrets(str(text)[: _READ_TIMES * most]), most)


def visible_lines(text: str) -> str:
    """Return text of several lines, such as a traceback: each line made visible, its indentation kept."""
    lines = mask_secrets(text).splitlines()
    return "\n".join(" " * (len(line) - len(line.lstrip(" "))) + _cleaned(line, _MOST) for line in lines)


def _cleaned(masked: str, most: int) -> str:
    shown = " ".join(_UNPRINTABLE.sub(" ", masked).split())
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _make_visible(_logger: object, _method: str, event: _Event) -> _Event:
    for key, value in event.items():
        if key not in _OURS:
            event[key] = visible_lines(str(value)) if key == "exception" else _visible_value(value)
    return event


def _for_people(brief: bool, _logger: object, _method: str, event: _Event) -> _Event:
    if brief and event.get("event") == "run.finished":
        raise _structlog().DropEvent
    # the journal is asked by either field; a reader of 49 digits has enough of them once
    once = str(event.get("item")) in (str(event.get("access_key")), str(event.get("dealership_id")))
    left_out = ["item"] * once + ["job", "run_id"] * brief
    return {
        key: visible(value, most=_VALUE_MOST) if brief and isinstance(value, str) and key != "exception" else value
        for key, value in event.items()
        if value is not None and key not in left_out
    }


def _visible_value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {visible(key): _visible_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_visible_value(inner) for inner in value]
    return visible(value)


def configure_logs(
    level: str = "info", style: str = "auto", stream: TextIO | None = None, *, brief: bool = False
) -> None:
    """
    Send log events to the journal where standard error leads there, with fields that can be asked for; else to standard
    error: coloured on a terminal, one JSON object a line elsewhere.

    Args:
        style: auto, json or console.
        brief: on a console, lines for somebody who waits for this one run and reads its verdict as the command's last
            line: the time of day, no ids of job and run, and long values cut.
    """
    structlog = _structlog()
    global _to_journald
    out = stream or sys.stderr
    _to_journald = style == "auto" and stream is None and journal.is_journal(os.environ)
    console = style == "console" or (style == "auto" and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    # httpx logs whole URLs at INFO, and EasyCars takes the client secret in the query.
    for noisy in ("httpx", "httpcore", "waitress"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    logging.getLogger().addHandler(_of_libraries)  # which is added once

    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console and brief else "iso", utc=not console),
        structlog.processors.format_exc_info,
        _make_visible,
    ]
    if _to_journald:
        processors.append(_to_journal)
    elif console:
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain, pad_event_to=0)
        processors += [partial(_for_people, brief), renderer]
    else:
        processors.append(structlog.processors.JSONRenderer(ensure_ascii=False, default=str))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Lines(out),
        cache_logger_on_first_use=False,
    )


def configure_hand_run(environ: Mapping[str, str]) -> None:
    """
    Show warnings and a line of progress to somebody at a terminal who waits for a command.

    JOBSYNC_LOG_LEVEL brings the other lines back; where standard error is no terminal nothing changes.
    """
    global _progress_on
    if not sys.stderr.isatty() or environ.get("JOBSYNC_LOG_LEVEL") or environ.get("JOBSYNC_LOG_FORMAT") == "json":
        return
    configure_logs("warning", environ.get("JOBSYNC_LOG_FORMAT", "auto"), brief=True)
    _progress_on = sys.stderr if environ.get("TERM", "dumb") != "dumb" else None


def show_progress(text: str) -> None:
    """Put a text into the line of progress, or take the line away with an empty one; nothing where there is none."""
    if _progress_on is not None:
        _write(_progress_on, _CLEAR_LINE + visible(text, most=70))


def end_progress() -> None:
    """Take the line of progress away: from here on the command prints."""
    global _progress_on
    show_progress("")
    _progress_on = None


def _to_journal(_logger: object, _method: str, event: _Event) -> str:
    """Send the event as an entry of its own, and nothing to standard error, or every line would be there twice."""
    try:
        journal.send(journal.to_fields(event))
    except OSError:  # journald is away: its stream may still take a line
        return json.dumps(event, ensure_ascii=False, default=str)
    raise _structlog().DropEvent


def complain(text: str) -> None:
    """Say why a command failed: a line on standard error, an entry of priority err where that is the journal."""
    if not _to_journald:
        _write(sys.stderr, text + "\n")
    elif "\n" in text:  # a bug's traceback
        get_logger().critical("command.bug", exception=text)
    else:
        get_logger().error("command.failed", message=text.removeprefix("jobsync: "))


def _write(out: TextIO, text: str) -> None:
    """Write a text; if its reader has gone or the disk is full, it is lost and never the run: the exit code tells."""
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        close_quietly(out)
    except OSError:
        return


def _structlog() -> Any:
    """
    Return the library, imported when the first event is in sight, which for help and version none is.

    It is imported as if rich were not installed: tracebacks that are not used here cost every command 60 ms and 5 MB.
    """
    modules: dict[str, Any] = sys.modules
    if (loaded := modules.get("structlog")) is not None:
        return loaded
    rich, modules["rich"] = modules.get("rich"), None
    try:
        return import_module("structlog")
    finally:
        del modules["rich"]
        if rich is not None:
            modules["rich"] = rich


def close_quietly(out: TextIO) -> None:
    """The reader is gone: nothing more can be said there, not even at exit; the work and its exit code stand."""
    with suppress(OSError):  # no file number is left
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)


class _Lines:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        _write(self._out, (_CLEAR_LINE if self._out is _progress_on else "") + line + "\n")

    debug = info = warning = error = critical = msg


class _OfLibraries(logging.Handler):
    """Makes one event of what a library logs: Python itself would write it as it is, with secrets and tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        error = None if cause is None else f"{type(cause).__name__}: {cause}"
        say = get_logger().error if record.levelno >= logging.ERROR else get_logger().warning
        say("library.said", library=record.name, text=record.getMessage(), error=error)


_of_libraries = _OfLibraries(logging.WARNING)


def get_logger() -> FilteringBoundLogger:
    """Return the process's logger; events are named `room.what_happened` and carry fields, never secrets."""
    return cast("FilteringBoundLogger", _structlog().get_logger())


def log_fields(**fields: object) -> AbstractContextManager[object]:
    """Let every event of the block carry these fields."""
    return cast("AbstractContextManager[object]", _structlog().contextvars.bound_contextvars(**fields))
