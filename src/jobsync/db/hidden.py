"""
Row-level security that binds our role: a row that it may not see would be taken for one that is not there.

The same question is the function `jobsync_hidden()` in the database, which `jobsync_tick` asks before anything else.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from jobsync.causes import Cause
from jobsync.db.tables import metadata
from jobsync.errors import ConfigurationProblem
from jobsync.logs import visible
from jobsync.schema_name import quoted, schema_of

# Not alembic's default: the host application may use alembic in the same database.
VERSION_TABLE = "jobsync_schema_version"
_COPIED = ("easycar_stock_data", "vehicle_changes", "vehicles")  # COPY writes past no policy: it fails
_SHOWN = 3
_OF_OURS = "p.polrelid = c.oid AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS r (role)"
_APPLIES = f"{_OF_OURS} WHERE pg_has_role(r.role, 'USAGE')))"


def hidden_tables(schema: str) -> str:
    """
    Return the query for the tables of ours whose rows the current role may not all see and write.

    A policy that lets it see and write every row is no obstacle, except where rows are copied in. `schema` is an
    expression of SQL.
    """
    names = ", ".join(f"'{name}'" for name in sorted((*metadata.tables, VERSION_TABLE)))
    copied = ", ".join(f"'{name}'" for name in _COPIED)
    return f"""
        SELECT c.relname::text FROM pg_class c
        WHERE c.relname = ANY (ARRAY[{names}]) AND c.relrowsecurity
          AND c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = {schema})
          AND row_security_active(c.oid)
          AND (c.relname = ANY (ARRAY[{copied}])
               OR EXISTS (SELECT FROM pg_policy p WHERE {_APPLIES} AND NOT p.polpermissive)
               OR NOT EXISTS (SELECT FROM pg_policy p WHERE {_APPLIES} AND p.polpermissive AND p.polcmd = '*'
                              AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                              AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'))
        ORDER BY 1
    """


def hidden_function() -> str:
    """Return the statement that makes `jobsync_hidden()`; it asks about the schema that it is called with."""
    return (
        "CREATE OR REPLACE FUNCTION jobsync_hidden() RETURNS SETOF text LANGUAGE sql STABLE AS $$"
        f"{hidden_tables('current_schema()')}$$"
    )


def refuse_hidden(connection: Connection[Any]) -> None:
    """Raise ConfigurationProblem, naming tables, role and cure, where row-level security binds the role on ours."""
    rows = connection.execute(
        f"SELECT hidden.relname, current_user, quote_ident(current_user) FROM ({hidden_tables('%s')}) hidden".encode(),
        [schema_of(connection)],
    ).fetchall()
    if not rows:
        return
    tables, role, spelled = [row[0] for row in rows], visible(rows[0][1], most=80), visible(rows[0][2], most=80)
    names = ", ".join(tables[:5]) + (f" and {len(tables) - 5} more" if len(tables) > 5 else "")
    schema = quoted(schema_of(connection)) if schema_of(connection) != "public" else "public"
    policies = [f"CREATE POLICY jobsync ON {visible(schema)}.{table} TO {spelled} USING (true)" for table in tables]
    cures = [f"ALTER ROLE {spelled} BYPASSRLS"]
    if not set(tables) & set(_COPIED):
        more = f"; and so on, {len(tables)} in all" if len(tables) > _SHOWN else ""
        cures.append(f"as the tables' owner: {'; '.join(policies[:_SHOWN])}{more}")
    raise ConfigurationProblem(
        f"row-level security hides rows of {names} from the role {role}: what it may not see would count as absent;"
        f" {', or '.join(cures)}",
        cause=Cause.ROWS_HIDDEN,
    )
