"""jobsync metrics: the facts of status for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobsync.cli.options import tools_of, transaction
from jobsync.cli.output import write_page
from jobsync.db.engine import driver
from jobsync.errors import JobsyncError
from jobsync.runner.totals import read_totals
from jobsync.watch.health import judge_health
from jobsync.watch.views.metrics import render_away, render_metrics
from jobsync.wiring.watched import look

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write here, whole or not at all; - or nothing: stdout."),
]
_MODE = 0o644  # node_exporter reads it as another user


def metrics(context: typer.Context, output: Output = None) -> None:
    """Print metrics in Prometheus' text format. With -o for node_exporter's textfile collector."""
    try:
        with transaction(context) as connection:
            seen = look(tools_of(context), connection)
            totals = read_totals(driver(connection))
    except JobsyncError:
        write_page(output, render_away(), mode=_MODE)  # old numbers would look like today's
        raise
    verdict = judge_health(seen)
    write_page(output, render_metrics(seen, verdict, totals), mode=_MODE)
