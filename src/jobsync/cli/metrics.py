"""jobsync metrics: the facts of status for Prometheus."""

from pathlib import Path
from typing import Annotated

from jobsync.cli.command import TO_FILE, Answer, Json, command, option
from jobsync.cli.output import is_stdout, write_page
from jobsync.db.engine import driver
from jobsync.errors import JobsyncError
from jobsync.runner.totals import read_totals
from jobsync.watch.views.metrics import read_metrics, render_away, render_metrics
from jobsync.wiring import Tools
from jobsync.wiring.watched import look

_MODE = 0o644  # node_exporter reads it as another user


@command("metrics -o /var/lib/node_exporter/jobsync.prom", reads=True, unless=TO_FILE)
def metrics(
    tools: Tools,
    output: Annotated[
        Path | None, option("FILE", "Write here, whole or not at all; - or nothing: stdout.", "-o", "--output")
    ] = None,
    as_json: Json = False,
) -> Answer:
    """Print metrics in Prometheus' text format. With -o for node_exporter's textfile collector."""
    try:
        with tools.transaction() as connection:
            seen, verdict = look(tools, connection)
            totals = read_totals(driver(connection))
    except JobsyncError:
        if not (as_json and is_stdout(output)):
            write_page(output, render_away(), mode=_MODE)  # old numbers would look like today's
        raise
    text = render_metrics(seen, verdict, totals)
    if not (as_json and is_stdout(output)):
        write_page(output, text, mode=_MODE)
    document = read_metrics(text) if as_json else None  # a scrape does not pay for it
    return Answer(document, lambda: None)
