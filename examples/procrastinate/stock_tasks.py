"""
Stock sync shared out over several hosts by procrastinate, on the Postgres that jobsync uses.

Every minute one worker asks the database which dealerships are due and puts a task for each into the queue; any worker
takes it and calls jobsync for that one dealership. The queue holds nothing that may not be lost: what is due, its lock
and its retries stay jobsync's, so a task that comes twice, late or not at all costs nothing but time.

`JOBSYNC_DATABASE_URL` is the database of both.
"""

from __future__ import annotations

import os
import subprocess

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued

DATABASE_URL = os.environ["JOBSYNC_DATABASE_URL"]
DONE = {0, 3, 75}  # done; finished, and jobsync's own alerts tell what needs attention; another host is at it

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DATABASE_URL))


@app.periodic(cron="* * * * *")
@app.task(queue="what-is-due", queueing_lock="what-is-due")
def ask_what_is_due(timestamp: int) -> None:  # noqa: ARG001 - procrastinate hands it over
    """Queue each dealership that is due and not queued yet."""
    with psycopg.connect(DATABASE_URL) as connection:
        [(something,)] = connection.execute("SELECT jobsync_tick('stock-sync')")  # also tells status that we woke up
        rows = connection.execute("SELECT dealership_id FROM due_dealerships") if something else []
        due = [dealership for (dealership,) in rows]
    for dealership in due:
        # no `lock`: it would stay with a worker that was killed; jobsync's own is gone with its connection
        task = sync_dealership.configure(queueing_lock=f"dealership-{dealership}")
        try:
            task.defer(dealership=dealership)
        except AlreadyEnqueued:
            continue


@app.task(queue="stock-sync")
def sync_dealership(dealership: int) -> None:
    """Sync one dealership if it is still due; fails as jobsync fails, and jobsync decides when it is due again."""
    command = ["jobsync", "stock-sync", "--scheduled", "--dealership", str(dealership)]
    code = subprocess.run(command, check=False).returncode
    if code not in DONE:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
