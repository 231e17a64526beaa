"""
Brings the schema to this version of the code, and says where a database stands.

The second is asked far more often: alembic is imported by the functions that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection, errors
from sqlalchemy import Connection as SQLConnection
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from jobsync.causes import Cause
from jobsync.db.engine import driver
from jobsync.db.hidden import VERSION_TABLE, hidden_function, refuse_hidden
from jobsync.db.tables import VIEWS, metadata
from jobsync.errors import ConfigurationProblem
from jobsync.logs import visible
from jobsync.schema_name import DEFAULT, quoted, schema_of

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0016"
# Its own lock, taken for the length of the migrating transaction; see runner/lock.py for the hashed names of jobs.
_UPGRADE_LOCK = 0x6A6F_6273_796E_63  # "jobsync"
# Whoever calls them sees what we see, whatever search_path is theirs. Those that read no table need none.
_FUNCTIONS_CARRY_IT = r"""
    DO $$
    DECLARE
        ours regprocedure;
    BEGIN
        FOR ours IN SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
                    WHERE nspname = current_schema() AND proname LIKE 'jobsync\_%' AND provolatile <> 'i' LOOP
            EXECUTE format('ALTER FUNCTION %s SET search_path FROM CURRENT', ours);
        END LOOP;
    END
    $$
"""


@dataclass(frozen=True)
class SchemaStatus:
    """`current` is None in a database without our schema; `pending` would be run, `applied` was, by this upgrade."""

    current: str | None
    pending: tuple[str, ...]
    applied: tuple[str, ...] = ()

    @property
    def up_to_date(self) -> bool:
        return self.current == HEAD


def migrations_folder() -> Path:
    """Return the folder of migrations: inside the installed package, or beside `src/` in a checkout."""
    packaged = Path(__file__).parents[1] / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "migrations"


def read_version(connection: Connection[Any]) -> str | None:
    """Return the schema's revision or None; raises ConfigurationProblem where row-level security may hide our rows."""
    table = f"{quoted(schema_of(connection))}.{VERSION_TABLE}"
    [found] = connection.execute("SELECT to_regclass(%s)", [table]).fetchall()
    if found[0] is None:
        return None
    refuse_hidden(connection)
    row = connection.execute(f"SELECT version_num FROM {table}".encode()).fetchone()
    return row[0] if row else None


def check_schema(connection: Connection[Any]) -> None:
    """Raise ConfigurationProblem, with the remedy, for a schema that this code was not written for."""
    current = read_version(connection)
    if current == HEAD:
        return
    if current is None:
        schema = schema_of(connection)
        where = "database" if schema == DEFAULT else f"database's schema {visible(quoted(schema))}"
        others = connection.execute(
            "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname = %s"
            " ORDER BY 1 LIMIT 5",
            [VERSION_TABLE],
        ).fetchall()
        elsewhere = ", ".join(visible(quoted(name), most=80) for (name,) in others)
        hint = f" (or JOBSYNC_DATABASE_SCHEMA: there are some in {elsewhere})" if elsewhere else ""
        raise ConfigurationProblem(
            f"the {where} has no jobsync tables yet; run: jobsync db upgrade{hint}", cause=Cause.SCHEMA_MISSING
        )
    if current > HEAD:
        raise ConfigurationProblem(
            f"the schema ({current}) is newer than this jobsync ({HEAD}); install the newer jobsync on this host too",
            cause=Cause.SCHEMA_NEWER,
        )
    raise ConfigurationProblem(
        f"the schema ({current}) is older than this jobsync ({HEAD}); run: jobsync db upgrade", cause=Cause.SCHEMA_OLDER
    )


def schema_status(engine: Engine) -> SchemaStatus:
    """Return where the database stands and what an upgrade would do."""
    with engine.begin() as connection:
        current = read_version(driver(connection))
    return SchemaStatus(current, tuple(_revisions(after=current)))


def upgrade(engine: Engine, record: Callable[[SQLConnection, Sequence[str]], object] | None = None) -> SchemaStatus:
    """
    Run what is missing, all of it in one transaction; a second upgrade at the same time waits, then finds nothing.

    Args:
        record: called in that transaction with the revisions that were run, if there were any.

    Raises:
        ConfigurationProblem: the schema is newer, or holds others' tables of our names; the role may not change it.
    """
    try:
        before = _run_migrations(engine, record)
    except ProgrammingError as error:
        taken = errors.DuplicateTable | errors.DuplicateObject | errors.DuplicateFunction
        if isinstance(error.orig, taken | errors.InvalidFunctionDefinition):  # an index, a type, a function
            with engine.begin() as connection:
                schema = schema_of(driver(connection))
            raise _taken(schema, str(error.orig).partition("\n")[0]) from None
        if not isinstance(error.orig, errors.InsufficientPrivilege):
            raise
        raise ConfigurationProblem(
            f"the database role may not change the schema ({visible(error.orig, most=200)}); run this as its owner"
        ) from None
    return replace(schema_status(engine), applied=tuple(_revisions(after=before)))


def _run_migrations(
    engine: Engine, record: Callable[[SQLConnection, Sequence[str]], object] | None = None
) -> str | None:
    """Return the revision that was there before."""
    from alembic import command

    config = _config()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        _create_schema(driver(connection))
        current = read_version(driver(connection))
        if current is not None and current > HEAD:
            check_schema(driver(connection))
        if current is None:
            _refuse_others(driver(connection))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if current != HEAD:
            for statement in (hidden_function(), _FUNCTIONS_CARRY_IT):
                driver(connection).execute(statement.encode(), prepare=False)
            if record is not None:
                record(connection, _revisions(after=current))
    return current


def _refuse_others(connection: Connection[Any]) -> None:
    found = connection.execute(
        "SELECT relname::text FROM pg_class"
        " WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        " AND relname = ANY(%s) AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1",
        [[*metadata.tables, *VIEWS]],
    ).fetchall()
    if found:
        raise _taken(
            schema_of(connection), f"there are tables that jobsync did not make: {', '.join(name for (name,) in found)}"
        )


def _taken(schema: str, what: str) -> ConfigurationProblem:
    other = "jobsync" if schema != "jobsync" else "jobsync_own"
    return ConfigurationProblem(
        f"nothing was made, for names that jobsync needs are taken in schema {visible(quoted(schema))}:"
        f" {visible(what, most=400)}; give it a schema of its own: JOBSYNC_DATABASE_SCHEMA={other} (in"
        f' /etc/jobsync/config.toml: database_schema = "{other}"), then: jobsync db upgrade; what another program kept'
        " in such tables is brought by: jobsync adopt"
    )


def _create_schema(connection: Connection[Any]) -> None:
    schema = schema_of(connection)
    [(there, role)] = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s), quote_ident(current_user)", [schema]
    ).fetchall()
    if there:
        return
    statement = f"CREATE SCHEMA {quoted(schema)}"
    try:
        connection.execute(statement.encode())
    except errors.InsufficientPrivilege:
        raise ConfigurationProblem(
            f"the database has no schema {visible(quoted(schema))}, and the role may not create it; as the database's"
            f" owner: {visible(statement)} AUTHORIZATION {visible(role)}"
        ) from None


def _revisions(*, after: str | None = None) -> list[str]:
    """Return the revisions in their order; those behind one, none behind a newer one than ours."""
    from alembic.script import ScriptDirectory

    known = [each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
    if after is None:
        return known
    return known[known.index(after) + 1 :] if after in known else []


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config
