"""jobsync report: how the last weeks went, as one page for a browser."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from jobsync.cli.command import TO_FILE, Answer, Json, command, option, said
from jobsync.cli.output import is_stdout, write_page
from jobsync.errors import UsageProblem
from jobsync.watch.views.page import find_row, read_history, render_report
from jobsync.wiring import Tools
from jobsync.wiring.watched import look


@command("report -o report.html --days 7", reads=True, unless=TO_FILE)
def report(
    tools: Tools,
    output: Annotated[Path, option("FILE", "The HTML file; - for stdout.", "-o", "--output")],
    days: Annotated[int, option("N", "How far back.", min=1, max=400)] = 30,
    dealership: Annotated[int | None, option("ID", "Of this one alone.")] = None,
    tenant: Annotated[str | None, option("RUC", "Of this one alone.")] = None,
    as_json: Json = False,
) -> Answer:
    """Write one self-contained HTML page. What is wrong, runs with their items, failures, who was told."""
    if dealership is not None and tenant is not None:
        raise UsageProblem("--dealership and --tenant: a page is about one of them")
    if as_json and is_stdout(output):
        raise UsageProblem("--json and -o -: standard output has room for one of the two; name a file for the page")
    with tools.transaction() as connection:
        seen, verdict = look(tools, connection, window=timedelta(days=days))
        about = None
        if dealership is not None:
            about = find_row(seen, f"dealership {dealership}", "jobsync dealership list")
        elif tenant is not None:
            about = find_row(seen, f"tenant {tenant.strip()}", "jobsync tenant list")
        history = read_history(connection, seen, about=about)
    page = render_report(seen, history, verdict, about=about)
    write_page(output, page, mode=0o640)  # names and errors are not for everybody on this host
    size = len(page.encode())
    told = [] if is_stdout(output) else [f"{output}: {size // 1024} kB"]
    return said({"file": str(output), "bytes": size}, *told)
