"""jobsync db: bring the schema up to date, and say where it stands."""

from jobsync.cli.command import Answer, command, group, said
from jobsync.cli.output import print_facts
from jobsync.db import migrate
from jobsync.db.audit import write_audit
from jobsync.db.engine import LOCK_WITHIN_S, translated
from jobsync.errors import ExitCode
from jobsync.wiring import Tools

app = group("The database's schema.")


@command("db upgrade", of=app)
def upgrade(tools: Tools) -> Answer:
    """Create or upgrade the tables; safe to run twice, and two at once."""
    with translated():
        engine = tools.database.engine(connections=1)
        after = migrate.upgrade(
            engine, lambda connection, ran: write_audit(connection, "db.upgrade", migrate.HEAD, {"applied": list(ran)})
        )
    done = f"applied {', '.join(after.applied)}" if after.applied else "up to date"
    return said({"to": after.current, "applied": after.applied}, f"schema {after.current}: {done}")


@command("db status --json", of=app, reads=True)
def status(tools: Tools) -> Answer:
    """Say which schema the database has; exit 78 if it is not this version's."""
    with translated():
        engine = tools.database.engine(connections=1, lock_timeout_s=LOCK_WITHIN_S)
        found = migrate.schema_status(engine)
    told = {"current": found.current, "head": migrate.HEAD, "up_to_date": found.up_to_date}
    return Answer(
        {**told, "pending": found.pending},
        lambda: print_facts({**told, "pending": found.pending or "none"}),
        code=ExitCode.DONE if found.up_to_date else ExitCode.CONFIGURATION,
    )
