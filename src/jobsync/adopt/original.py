"""The tables of the program that jobsync replaces, read as they were made: whatever columns are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from jobsync.db.engine import connect, problem_of
from jobsync.db.hidden import VERSION_TABLE
from jobsync.db.silence import Patience
from jobsync.db.tables import metadata
from jobsync.errors import ConfigurationProblem, Unavailable, UsageProblem
from jobsync.logs import visible

_BATCH = 500
Row = dict[str, Any]


class _Table:
    """
    One table of the original.

    Args:
        names: what it may be called, the likeliest first.
        columns: our names for them. A column may be called as behind the = if there is one, the likeliest first, and
            reads as None if it is not there; one with a ! must be there. The first one orders the rows.
    """

    def __init__(self, names: str, columns: str) -> None:
        self.names = names.split()
        words = [word.partition("=") for word in columns.split()]
        named = {ours: theirs or ours.removesuffix("!") for ours, _, theirs in words}
        self.required = [ours.removesuffix("!") for ours in named if ours.endswith("!")]
        self.columns = {ours.removesuffix("!"): theirs.split("|") for ours, theirs in named.items()}


# Singular as it was built, plural as its papers have it (docs/facts/easycars.md, "Tables of the replaced system").
_TABLES = {
    "dealerships": _Table("dealership dealerships", "id! name! email timezone=timezone|time_zone created_at"),
    "switches": _Table("dealership_settings dealership_setting", "dealership_id! auto_sync!=easycar_auto_sync_enabled"),
    "credentials": _Table(
        "dealership_easycars_credentials dealership_easycar_credentials easycar_credentials easycars_credentials",
        "dealership_id! client_id_encrypted! client_secret_encrypted! account_number_encrypted!"
        " account_secret_encrypted! environment is_active yard_code",
    ),
    "vehicles": _Table(
        "vehicle vehicles",
        "id! dealership_id! stock_number=easycars_stock_number|stock_number yard_code=easycars_yard_code|yard_code"
        " vin=easycars_vin|vin make model badge series year price special_price odometer=mileage|odometer condition"
        " status title description images data_source colour=exterior_color|exterior_colour|colour|color"
        " interior_colour=interior_color|interior_colour body fuel_type transmission=gear_type|transmission"
        " engine_capacity doors=door_count|doors features created_at",
    ),
    "documents": _Table("easycar_stock_data", "vehicle_id! document!=stock_item_json synced_at api_version"),
    # where a vehicle has no row there, its own column has the latest item
    "raw": _Table("vehicle vehicles", "vehicle_id!=id document=easycars_raw_data synced_at=last_synced_from_easycars"),
    "logs": _Table(
        "easycar_sync_logs easycar_sync_log",
        "id! dealership_id! sync_type status! started_at synced_at!=synced_at|completed_at duration_ms items_processed"
        " items_succeeded items_failed error_messages api_version",
    ),
    "settings": _Table("system_settings system_setting", "key! value!"),
}


class Original:
    """The original's tables as they were at one instant: one read-only transaction, on a connection of its own."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self.source = f"{connection.info.dbname}.{schema} on {_server(connection)}"
        self._there = self._look()
        self._tables = {name: self._find(table) for name, table in _TABLES.items()}
        if self._tables["dealerships"] is None:
            self._refuse()
        if self._tables["vehicles"] is None:
            self._tables["raw"] = None

    def _look(self) -> dict[str, tuple[dict[str, str], bool]]:
        """Return the schema's tables: type by column, and whether row-level security hides rows of it from us."""
        rows = self._connection.execute(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL), row_security_active(c.oid)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
            [self._schema],
        ).fetchall()
        found: dict[str, tuple[dict[str, str], bool]] = {}
        for table, column, kind, hidden in rows:
            found.setdefault(table, ({}, hidden))[0][column] = kind
        ours = metadata.tables if VERSION_TABLE in found else ()  # beside theirs; what has one of our names is ours
        return {name: what for name, what in found.items() if name not in ours}

    def _refuse(self) -> None:
        hint = ""
        if not self._there:
            known = self._connection.execute(
                "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relname = ANY(%s) AND NOT EXISTS (SELECT FROM pg_class o WHERE o.relname = %s"
                " AND o.relnamespace = n.oid) ORDER BY 1",
                [_TABLES["dealerships"].names, VERSION_TABLE],
            ).fetchall()
            others = ", ".join(f"--from-schema {name}" for (name,) in known)
            hint = f"; such tables are there with {visible(others, most=200)}" if others else ""
        raise UsageProblem(
            f"--from-schema: schema {self._schema!r} of --from has no table"
            f" {' or '.join(_TABLES['dealerships'].names)} of the original product{hint}"
        )

    def _find(self, table: _Table) -> str | None:
        """Return what the table is called there, None where it is not; one that cannot be read whole is a problem."""
        name = next((name for name in table.names if name in self._there), None)
        if name is None:
            return None
        columns, hidden = self._there[name]
        missing = [ours for ours in table.required if not any(column in columns for column in table.columns[ours])]
        if missing:
            wanted = ", ".join(" or ".join(table.columns[ours]) for ours in missing)
            raise ConfigurationProblem(f"--from: table {self._schema}.{name} has no column {wanted}")
        if hidden:
            raise ConfigurationProblem(
                f"--from: row-level security hides rows of {self._schema}.{name} from this role; read as its owner, or:"
                " ALTER ROLE … BYPASSRLS"
            )
        return name

    def read(self, what: str, *only: str) -> Iterator[list[Row]]:
        """
        Yield the rows of a table in the order of their ids, some hundreds at a time; nothing where there is no table.

        Args:
            only: our names of the columns that are wanted; all by default.
        """
        name, table = self._tables[what], _TABLES[what]
        if name is None:
            return
        kinds = self._there[name][0]
        wanted = {ours: next((c for c in table.columns[ours] if c in kinds), None) for ours in only or table.columns}
        there = {ours: column for ours, column in wanted.items() if column is not None}
        statement = sql.SQL("SELECT {} FROM {}.{} ORDER BY {}").format(
            sql.SQL(", ").join(_selected(ours, column, kinds[column]) for ours, column in there.items()),
            *(sql.Identifier(part) for part in (self._schema, name, there[next(iter(table.columns))])),
        )
        with _of_source(), self._connection.cursor(name="jobsync_adopt", row_factory=dict_row) as cursor:
            cursor.execute(statement)
            while rows := cursor.fetchmany(_BATCH):
                yield [{**dict.fromkeys(wanted), **row} for row in rows]

    def read_all(self, what: str, *only: str) -> list[Row]:
        """Return the rows of a small table."""
        return [row for batch in self.read(what, *only) for row in batch]


def _server(connection: psycopg.Connection[Any]) -> str:
    """Return what tells a server from others, however it is reached; its address where it does not say."""
    asked = connection.execute("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')").fetchall()
    if asked != [(True,)]:
        return f"{connection.info.host}:{connection.info.port}"
    [(number,)] = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchall()
    return str(number)


def _selected(ours: str, column: str, kind: str) -> sql.Composable:
    how = "{} AS {}"
    if ours == "document":  # a JSON text, which is kept as it is
        how = "{}::text AS {}"
    elif kind == "timestamp without time zone":  # the original kept UTC
        how = "{} AT TIME ZONE 'UTC' AS {}"
    return sql.SQL(how).format(sql.Identifier(column), sql.Identifier(ours))


@contextmanager
def _of_source() -> Iterator[None]:
    """Say of an error of the original's database that it is that one's, in our words."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationProblem(
            f"--from: the role may not read there: {visible(error, most=200)}; as the tables' owner: GRANT USAGE ON"
            " SCHEMA … TO …; GRANT SELECT ON ALL TABLES IN SCHEMA … TO …"
        ) from None
    except (psycopg.Error, Unavailable, ConfigurationProblem) as error:
        problem = problem_of(error) if isinstance(error, psycopg.Error) else error
        if problem is None or str(problem).startswith("--from"):
            raise
        raise type(problem)(f"--from: {problem}") from None


@contextmanager
def open_original(url: str, schema: str, *, patience: Patience | None = None) -> Iterator[Original]:
    """
    Open the original's database for one reading.

    Raises:
        UsageProblem: the URL is none, or its schema has no such tables.
        ConfigurationProblem: the server refuses the role, or hides rows from it.
        Unavailable: nobody answers.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageProblem("--from: expected postgresql://…, the database of the original product")
    with _of_source():
        connection = connect(url, application_name="jobsync adopt", autocommit=False, patience=patience)
    with closing(connection):  # which ends the transaction too
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with _of_source():
            original = Original(connection, schema)
        yield original
