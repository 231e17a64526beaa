"""How commands speak: one JSON document, a table on a terminal, plain aligned text elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from jobsync.errors import JobsyncError, UsageProblem
from jobsync.logs import close_quietly, visible


def to_json(value: object) -> Any:
    """Return what JSON cannot say itself: instants with offset, decimals and ids as text."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(type(value).__name__)


# What JSON may hold as it is, but a terminal or an encoder should not meet.
_TO_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def print_json(document: object) -> None:
    """Print exactly one JSON document on standard output; nothing is lost where its encoding is not UTF-8."""
    plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    text = json.dumps(document, indent=2, ensure_ascii=plain, default=to_json)
    write(_TO_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


_lost: list[str | None] = []  # why; None where the reader has only gone


def write(text: str) -> None:
    """
    Write to standard output, whatever its encoding can hold; once that fails, nowhere.

    A reader that has gone wanted no more. Anything else, such as a full disk, is kept for `take_loss`: what runs is not
    torn from its work by it.
    """
    out = sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        out.write(text.encode(encoding, "replace").decode(encoding))
        out.flush()
    except BrokenPipeError:
        _lost.append(None)
        close_quietly(out)
    except OSError as error:
        _lost.append(error.strerror or type(error).__name__)
        close_quietly(out)


class CannotWrite(JobsyncError):
    """The file that was asked for cannot be written."""


def write_file(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """
    Write a whole file or none, by renaming a finished one into place; a device or a pipe is written to, a link stays.

    Args:
        mode: the file's permissions, None: as usual.

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
        target = path.resolve()
        draft = target.with_name(f".jobsync.{os.getpid()}.new")  # the name itself may be as long as names can be
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                draft.chmod(mode)
            draft.replace(target)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
    except (OSError, RuntimeError) as error:  # the latter where links lead in a circle
        why = getattr(error, "strerror", None) or str(error)
        raise CannotWrite(f"cannot write {visible(path, most=300)}: {visible(why)}") from None


def take_loss() -> str | None:
    """Return why output was lost since this was last asked, None if all of it was written."""
    why = next(filter(None, _lost), None)
    _lost.clear()
    return why


def is_deaf() -> bool:
    """Whether what is written reaches nobody any more."""
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
        return " ".join(f"{name}={cell(part)}" for name, part in value.items() if part not in (None, 0)) or "-"
    if isinstance(value, list | tuple):
        shown = ", ".join(cell(part) for part in value[:12])
        return f"{shown} and {len(value) - 12} more" if len(value) > 12 else shown
    return visible(value, most=200)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None, empty: str = "nothing"
) -> None:
    """Print rows under their headings; numbers stand to the right."""
    texts = [[cell(value) for value in row] for row in rows]
    if title:
        write(f"\n{visible(title)}\n")
    if not texts:
        write(f"  {empty}\n" if title else f"{empty}\n")
    elif sys.stdout.isatty() and _width(columns, texts) <= shutil.get_terminal_size().columns:
        _rich_table(columns, texts, sys.stdout)
    else:  # too wide for this terminal: whole lines wrap better than words in narrow columns
        _plain_table(columns, texts)


def _width(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> int:
    return sum(max(len(column), *(len(row[at]) for row in texts)) + 2 for at, column in enumerate(columns))


def _numeric(texts: Sequence[Sequence[str]], at: int) -> bool:
    return all(row[at].replace(".", "", 1).isdigit() or row[at] == "-" for row in texts)


def _plain_table(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    widths = [max(len(column), *(len(row[at]) for row in texts)) for at, column in enumerate(columns)]
    right = [_numeric(texts, at) for at in range(len(columns))]
    for row in [columns, *texts]:
        parts = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        write("  ".join(parts).rstrip() + "\n")


def _rich_table(columns: Sequence[str], texts: Sequence[Sequence[str]], out: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if _numeric(texts, at) else "left", overflow="fold")
    for row in texts:
        table.add_row(*(Text(text) for text in row))
    Console(file=out).print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, a line each."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        write(f"{name.ljust(width)}  {cell(value)}\n")


def show(document: object, *, as_json: bool, otherwise: Callable[[], None]) -> None:
    """Print the document as JSON, or let `otherwise` print it for a person."""
    if as_json:
        print_json(document)
    else:
        otherwise()
