"""A procrastinate application with one task and nothing queued; the database's URL is in BENCH_DATABASE_URL."""

import os

import procrastinate  # type: ignore[import-not-found]

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE_URL"]))


@app.task  # type: ignore[untyped-decorator, unused-ignore]
def nothing() -> None:
    """Do nothing."""
