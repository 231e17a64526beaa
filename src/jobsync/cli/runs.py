"""jobsync runs, jobsync locks: what ran, how it ended, who holds what now."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync.cli.options import Json, group, transaction
from jobsync.cli.output import print_facts, print_table, show, write

app = group("Runs of all jobs.")


@app.command("list")
def list_(
    context: typer.Context,
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, metavar="N")] = 20,
    as_json: Json = False,
) -> None:
    """List the latest runs, newest first."""
    from jobsync.operate import runs

    with transaction(context) as connection:
        rows = runs.list_runs(connection, job=job, limit=limit)
    counts = ["eligible", "succeeded", "partial", "held", "failed", "skipped"]
    show(
        rows,
        as_json=as_json,
        otherwise=lambda: print_table(
            ["run", "job", "trigger", "status", "exit", "started", "seconds", *counts, "error"],
            [
                [
                    str(row["run_id"])[:8],
                    row["job"],
                    row["trigger"],
                    row["status"],
                    row["exit_code"],
                    row["started_at"],
                    row["duration_s"],
                    *(row["counts"].get(name) for name in counts),
                    row["error"],
                ]
                for row in rows
            ],
            empty="no runs yet",
        ),
    )


@app.command("show")
def show_(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id or its beginning.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show one run with its items."""
    from jobsync.operate import runs

    with transaction(context) as connection:
        row = runs.show_run(connection, run)

    def tell() -> None:
        print_facts({name: value for name, value in row.items() if name not in ("items", "traceback")})
        columns = ["item_key", "label", "status", "attempt", "duration_ms", "counts", "error"]
        print_table(columns, [[item[c] for c in columns] for item in row["items"]], title="items", empty="none")
        if row["traceback"]:
            write("\n" + row["traceback"] + "\n")

    show(row, as_json=as_json, otherwise=tell)


def locks(context: typer.Context, as_json: Json = False) -> None:
    """Show who holds which lock now."""
    from jobsync.operate import runs

    with transaction(context) as connection:
        rows = runs.list_locks(connection)
    columns = ["name", "holder", "acquired_at", "run_id", "backend_pid"]
    show(
        rows,
        as_json=as_json,
        otherwise=lambda: print_table(columns, [[row[c] for c in columns] for row in rows], empty="no lock is held"),
    )
