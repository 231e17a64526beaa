"""jobsync db: bring the schema up to date, and say where it stands."""

from __future__ import annotations

import typer

from jobsync.cli.options import Json, group, tools_of
from jobsync.cli.output import print_facts, say, show
from jobsync.db import migrate
from jobsync.db.audit import write_audit
from jobsync.db.engine import LOCK_WITHIN_S, translated
from jobsync.errors import ExitCode

app = group("The database's schema.")


@app.command()
def upgrade(context: typer.Context, as_json: Json = False) -> None:
    """Create or upgrade the tables; safe to run twice, and two at once."""
    with translated():
        engine = tools_of(context).database.engine(connections=1)
        after = migrate.upgrade(engine)
        if after.applied:
            with engine.begin() as connection:
                write_audit(connection, "db.upgrade", after.current, {"applied": after.applied})
    document = {"to": after.current, "applied": list(after.applied)}
    done = f"applied {', '.join(after.applied)}" if after.applied else "up to date"
    show(document, as_json=as_json, otherwise=lambda: say(f"schema {after.current}: {done}"))


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Say which schema the database has; exit 78 if it is not this version's."""
    with translated():
        engine = tools_of(context).database.engine(connections=1, lock_timeout_s=LOCK_WITHIN_S)
        found = migrate.schema_status(engine)
    document = {
        "current": found.current,
        "head": migrate.HEAD,
        "up_to_date": found.up_to_date,
        "pending": list(found.pending),
    }
    show(
        document, as_json=as_json, otherwise=lambda: print_facts({**document, "pending": document["pending"] or "none"})
    )
    if not found.up_to_date:
        raise typer.Exit(int(ExitCode.CONFIGURATION))
