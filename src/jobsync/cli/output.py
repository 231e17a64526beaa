"""How commands print: one JSON document, or aligned text that a terminal's width holds."""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unicodedata import combining, east_asian_width
from uuid import UUID

from jobsync.errors import JobsyncError, UsageProblem
from jobsync.logs import close_quietly, visible
from jobsync.phrases import pause_end
from jobsync.whole_file import write_new

# the keys of rows, or headings with their keys
Columns = Sequence[str] | Mapping[str, str]
Rows = Iterable[Sequence[object] | Mapping[str, object]]


def to_json(value: object) -> Any:
    """Return what JSON cannot say itself: instants with offset, decimals and ids as text."""
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(type(value).__name__)


# What JSON may hold as it is, but a terminal or an encoder should not meet.
_TO_ESCAPE = re.compile("[\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def print_json(document: object) -> None:
    """Print exactly one JSON document on standard output; nothing is lost where its encoding is not UTF-8."""
    plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    text = json.dumps(document, indent=2, ensure_ascii=plain, default=to_json)
    write(_TO_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


_lost: list[str | None] = []  # why; None where the reader has only gone


def write(text: str) -> None:
    """Write to standard output, whatever its encoding can hold; once that fails, nowhere: `take_loss` says why."""
    out = sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        out.write(text.encode(encoding, "replace").decode(encoding))
        out.flush()
    except OSError as error:
        gone = isinstance(error, BrokenPipeError)  # a reader that wanted no more
        _lost.append(None if gone else error.strerror or type(error).__name__)
        close_quietly(out)


OF_DOCUMENT = 0o640  # at most: it names a customer and what they bought


class CannotWrite(JobsyncError):
    """The file that was asked for cannot be written."""


def replace_file(target: Path, data: bytes, *, mode: int | None = None, most: int = 0o644) -> None:
    """
    Write a file beside its place and move it there, so that no half one ever has its name; raises OSError.

    Args:
        mode: the file's permissions exactly, whatever the umask; None: as many of `most` as the umask, and a file
            that is replaced, allow.
    """
    draft = target.with_name(f".jobsync.{os.getpid()}.new")  # the name itself may be as long as names can be
    with suppress(OSError):
        most &= target.stat().st_mode
    write_new(draft, data, most=most | 0o200, mode=mode, place=target)


def write_file(path: Path, data: bytes, *, mode: int | None = None, most: int = 0o644) -> None:
    """
    As `replace_file`, but a device or a pipe is written to, and a link stays.

    Raises:
        UsageProblem: the path is a folder's.
        CannotWrite: it cannot be written.
    """
    try:
        if path.is_dir():
            raise UsageProblem(f"{path} is a folder; expected the name of a file")
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        replace_file(path.resolve(), data, mode=mode, most=most)
    except (OSError, RuntimeError) as error:  # the latter where links lead in a circle
        why = getattr(error, "strerror", None) or str(error)
        raise CannotWrite(f"cannot write {visible(path, most=300)}: {visible(why)}") from None


def is_stdout(path: Path | None) -> bool:
    """Whether an output that was typed, or left out, means standard output."""
    return path is None or str(path) == "-"


def write_page(path: Path | None, text: str, *, mode: int) -> None:
    """Write a text to a file with these permissions, whole or not at all, or to standard output."""
    if path is None or is_stdout(path):
        write(text)
    else:
        write_file(path, text.encode(errors="replace"), mode=mode)


def take_loss() -> str | None:
    """Return why output was lost since this was last asked, None if all of it was written."""
    why = next(filter(None, _lost), None)
    _lost.clear()
    return why


def is_deaf() -> bool:
    """Whether output is lost."""
    return bool(_lost)


def say(sentence: str) -> None:
    """Print one line for a person."""
    write(visible(sentence) + "\n")


def cell(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        parts = [f"{visible(name, most=80)}={cell(part)}" for name, part in value.items() if part not in (None, 0)]
        return " ".join(parts) or "-"
    if isinstance(value, list | tuple):
        shown = ", ".join(cell(part) for part in value[:12])
        return f"{shown} and {len(value) - 12} more" if len(value) > 12 else shown
    return visible(value, most=200)


def print_table(columns: Columns, rows: Rows, *, title: str | None = None, empty: str = "nothing") -> None:
    """
    Print rows under their headings; numbers stand to the right. A row has the columns' values in order, or by key.

    On a terminal no line is longer than the screen: the last columns, where long texts belong, move below their row as
    `name: value` until the others fit. So an access key stands whole in one line, to be copied with the mouse.
    """
    keys = columns.values() if isinstance(columns, Mapping) else columns
    values = ([row[key] for key in keys] if isinstance(row, Mapping) else row for row in rows)
    texts = [[cell(value) for value in row] for row in values]
    if title:
        write(f"\n{visible(title)}\n")
    if not texts:
        write(f"  {empty}\n" if title else f"{empty}\n")
        return
    widths = [max(_cells(text) for text in column) for column in zip(columns, *texts, strict=True)]
    room = room_of_screen()
    heads, kept = list(columns), len(columns)
    while room and kept > 1 and sum(widths[:kept]) + len(_GAP) * (kept - 1) > room:
        kept -= 1
    right = [_numeric(column) for column in zip(*texts, strict=True)]
    for number, row in enumerate([heads, *texts]):
        places = zip(row[:kept], widths, right, strict=False)
        lines = [_GAP.join(_placed(text, width, to_right) for text, width, to_right in places).rstrip()]
        if number == 0 and room:
            lines.append("─" * (sum(widths[:kept]) + len(_GAP) * (kept - 1)))
        elif number:
            below = [(name, text) for name, text in zip(heads[kept:], row[kept:], strict=True) if text not in ("", "-")]
            lines += [f"  {line}" for line in _packed(below, room - 2)]
        write("\n".join(lines) + "\n")


_GAP = "  "


def room_of_screen() -> int:
    """Return how many columns the screen has; 0 off a terminal, where lines may be as long as they are."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(sign) in "WF" else not combining(sign) for sign in text)


def _placed(text: str, width: int, to_right: bool) -> str:
    blanks = " " * (width - _cells(text))
    return blanks + text if to_right else text + blanks


def _numeric(texts: Sequence[str]) -> bool:
    """Whether a column holds numbers; digits without end, such as access keys, are names."""
    found = [text for text in texts if text != "-"]
    return bool(found) and all(len(text) <= 12 and text.replace(".", "", 1).isdigit() for text in found)


def _packed(facts: Iterable[tuple[str, str]], room: int) -> Iterator[str]:
    """Yield lines of `name: value`, as many facts in a line as it holds; one too long for that has lines of its own."""
    line = ""
    for name, text in facts:
        fact = f"{name}: {text}"
        if line and _cells(line) + len(_GAP) + _cells(fact) > room:
            yield line
            line = ""
        if _cells(fact) > room:
            yield f"{name}:"
            yield from _wrapped(text, room, "  ", "  ")
        else:
            line = f"{line}{_GAP}{fact}" if line else fact
    if line:
        yield line


def _wrapped(text: str, room: int, first: str, others: str) -> list[str]:
    """Return a text behind its margins in lines that end between words (room 0: one); a long word is left whole."""
    wrapper = textwrap.TextWrapper(room, break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent, wrapper.subsequent_indent = first, others
    return wrapper.wrap(text) if text and room > len(others) else [first + text]


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, a line each; on a terminal, long values take several, none of them in mid-word."""
    width, room = max(len(name) for name in facts) + len(_GAP), room_of_screen()
    for name, value in facts.items():
        lines = _wrapped(cell(value), room, name.ljust(width), " " * width)
        if room and max(map(_cells, lines)) > room:
            lines = [name, *_wrapped(cell(value), room, "  ", "  ")]
        write("".join(f"{line}\n" for line in lines))


def print_lines(lines: Sequence[str], *, title: str) -> None:
    """Print sentences under a title, nothing where there are none; on a terminal, long ones take several lines."""
    if lines:
        write(f"\n{visible(title)}\n")
    for line in lines:
        write("\n".join(_wrapped(visible(line, most=600), room_of_screen(), "  ", "    ")) + "\n")


def excerpts(texts: Sequence[str]) -> str | None:
    """Return texts that cannot be read, each cut to 80 characters, as one cell; None if there are none."""
    return ", ".join(visible(text, most=80) or "(blank)" for text in texts) or None


def with_pause(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for a person: `paused` says until when, or no; the reason of a past pause is past as well."""
    told = {name: value for name, value in row.items() if name != "paused_until"}
    if "paused_reason" in told and not row["paused"]:
        told["paused_reason"] = None
    return told | {"paused": pause_end(row["paused_until"]) if row["paused"] else False}
