"""jobsync metrics: the facts of status for Prometheus."""

from pathlib import Path
from typing import Annotated

from jobsync.cli.command import TO_FILE, command, option
from jobsync.cli.output import write_page
from jobsync.db.engine import driver
from jobsync.errors import JobsyncError
from jobsync.runner.totals import read_totals
from jobsync.watch.views.metrics import render_away, render_metrics
from jobsync.wiring import Tools
from jobsync.wiring.watched import look

_MODE = 0o644  # node_exporter reads it as another user


@command("metrics -o /var/lib/node_exporter/jobsync.prom", reads=True, unless=TO_FILE)
def metrics(
    tools: Tools,
    output: Annotated[
        Path | None, option("FILE", "Write here, whole or not at all; - or nothing: stdout.", "-o", "--output")
    ] = None,
) -> None:
    """Print metrics in Prometheus' text format. With -o for node_exporter's textfile collector."""
    try:
        with tools.transaction() as connection:
            seen, verdict = look(tools, connection)
            totals = read_totals(driver(connection))
    except JobsyncError:
        write_page(output, render_away(), mode=_MODE)  # old numbers would look like today's
        raise
    write_page(output, render_metrics(seen, verdict, totals), mode=_MODE)
