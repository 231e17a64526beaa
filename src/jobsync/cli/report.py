"""jobsync report, jobsync metrics: the same facts for a browser and for Prometheus."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from jobsync.cli.options import Json, tools_of, transaction
from jobsync.cli.output import say, show, write
from jobsync.errors import JobsyncError


class CannotWrite(JobsyncError):
    """The file that was asked for cannot be written."""


Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write here, whole or not at all; - or nothing: stdout."),
]


def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The HTML file; - for stdout.")],
    days: Annotated[int, typer.Option("--days", min=1, max=400, metavar="N", help="How far back.")] = 30,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page: runs, durations, dealerships, the SRI, failures."""
    from datetime import timedelta

    from jobsync.operate.health import judge_health
    from jobsync.operate.look import look
    from jobsync.operate.report import read_history, render_report

    with transaction(context) as connection:
        seen = look(connection, window=timedelta(days=days), waker=tools_of(context).waker)
        history = read_history(connection, now=seen.now, since=seen.since)
    verdict = judge_health(seen, open_kinds={(found.subject, found.kind) for found in seen.alerts})
    page = render_report(seen, history, verdict)
    _write(output, page)
    if str(output) != "-":
        document = {"file": str(output), "bytes": len(page.encode())}
        show(document, as_json=as_json, otherwise=lambda: say(f"{output}: {len(page.encode()) // 1024} kB"))


def metrics(context: typer.Context, output: Output = None) -> None:
    """Print metrics in Prometheus' text format, or write them for node_exporter's textfile collector."""
    from jobsync.operate.health import judge_health
    from jobsync.operate.look import look
    from jobsync.operate.metrics import render_away, render_metrics

    try:
        with transaction(context) as connection:
            seen = look(connection)
    except JobsyncError:
        _write(output, render_away())  # old numbers would look like today's
        raise
    verdict = judge_health(seen, open_kinds={(found.subject, found.kind) for found in seen.alerts})
    _write(output, render_metrics(seen, verdict))


def _write(path: Path | None, text: str) -> None:
    """Write a file by renaming a finished one into place; readers never see half of it."""
    if path is None or str(path) == "-":
        write(text)
        return
    if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe is written to, never replaced
        _write_through(path, text)
        return
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with draft.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise CannotWrite(f"{path}: cannot be written ({error.strerror})") from None


def _write_through(path: Path, text: str) -> None:
    try:
        with path.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise CannotWrite(f"{path}: cannot be written ({error.strerror})") from None
