"""jobsync report: how the last weeks went, as one page for a browser."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from jobsync.cli.options import Json, tools_of, transaction
from jobsync.cli.output import say, show, write_page
from jobsync.errors import UsageProblem
from jobsync.watch.health import judge_health
from jobsync.watch.views.page import find_row, read_history, render_report
from jobsync.wiring.watched import WATCHED, look

_MODE = 0o640  # names and errors are not for everybody on this host


def report(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The HTML file; - for stdout.")],
    days: Annotated[int, typer.Option("--days", min=1, max=400, metavar="N", help="How far back.")] = 30,
    dealership: Annotated[
        int | None, typer.Option("--dealership", metavar="ID", help="Of this one alone.", show_default=False)
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="RUC", help="Of this one alone.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page. What is wrong, runs with their items, failures, who was told."""
    if dealership is not None and tenant is not None:
        raise UsageProblem("--dealership and --tenant: a page is about one of them")
    if as_json and str(output) == "-":
        raise UsageProblem("--json and -o -: standard output has room for one of the two; name a file for the page")
    tools = tools_of(context)
    with transaction(context) as connection:
        seen = look(tools, connection, window=timedelta(days=days))
        about = None
        if dealership is not None:
            about = find_row(seen, f"dealership {dealership}", "jobsync dealership list")
        elif tenant is not None:
            about = find_row(seen, f"tenant {tenant.strip()}", "jobsync tenant list")
        history = read_history(connection, WATCHED, now=seen.now, since=seen.since, about=about)
    verdict = judge_health(seen)
    page = render_report(seen, history, verdict, about=about)
    write_page(output, page, mode=_MODE)
    if str(output) != "-":
        document = {"file": str(output), "bytes": len(page.encode())}
        show(document, as_json=as_json, otherwise=lambda: say(f"{output}: {len(page.encode()) // 1024} kB"))
