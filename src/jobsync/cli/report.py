"""jobsync report, jobsync metrics: the same facts for a browser and for Prometheus."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from jobsync.cli.options import Json, tools_of, transaction
from jobsync.cli.output import say, show, write, write_file
from jobsync.errors import JobsyncError
from jobsync.watch.health import judge_health
from jobsync.watch.snapshot import read_snapshot
from jobsync.watch.views.metrics import render_away, render_metrics
from jobsync.watch.views.page import read_history, render_report

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write here, whole or not at all; - or nothing: stdout."),
]
_FOR_ALL = 0o644  # node_exporter reads it as another user


def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The HTML file; - for stdout.")],
    days: Annotated[int, typer.Option("--days", min=1, max=400, metavar="N", help="How far back.")] = 30,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page. Runs, durations, dealerships, the SRI, failures."""
    with transaction(context) as connection:
        seen = read_snapshot(
            connection, tools_of(context).watched, window=timedelta(days=days), waker=tools_of(context).waker
        )
        history = read_history(connection, tools_of(context).watched, now=seen.now, since=seen.since)
    verdict = judge_health(seen, open_kinds={(found.subject, found.kind) for found in seen.alerts})
    page = render_report(seen, history, verdict)
    _write(output, page, mode=0o640)  # names and errors: not for everybody on this host
    if str(output) != "-":
        document = {"file": str(output), "bytes": len(page.encode())}
        show(document, as_json=as_json, otherwise=lambda: say(f"{output}: {len(page.encode()) // 1024} kB"))


def metrics(context: typer.Context, output: Output = None) -> None:
    """Print metrics in Prometheus' text format. With -o for node_exporter's textfile collector."""
    try:
        with transaction(context) as connection:
            seen = read_snapshot(connection, tools_of(context).watched)
    except JobsyncError:
        _write(output, render_away(), mode=_FOR_ALL)  # old numbers would look like today's
        raise
    verdict = judge_health(seen, open_kinds={(found.subject, found.kind) for found in seen.alerts})
    _write(output, render_metrics(seen, verdict), mode=_FOR_ALL)


def _write(path: Path | None, text: str, *, mode: int) -> None:
    if path is None or str(path) == "-":
        write(text)
    else:
        write_file(path, text.encode(errors="replace"), mode=mode)
