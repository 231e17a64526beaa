"""jobsync values: what a shell may offer where a value is typed; asked through libpq alone, since a person waits."""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated

from jobsync import libpq
from jobsync.cli.command import argument, command
from jobsync.cli.output import write
from jobsync.logs import visible
from jobsync.schema_name import use_schema
from jobsync.settings import load_settings
from jobsync.wiring import Tools

# With the start of the program a person waits for less than a second, whatever the database does.
_ANSWER_WITHIN_S = 0.5
_MOST = 200
# Each asks for a value and what it is, in the order in which they are offered.
_QUESTIONS = {
    "dealership": "SELECT id::text AS value, name AS about FROM dealerships ORDER BY id",
    "tenant": "SELECT ruc AS value, name AS about FROM tenants ORDER BY name",
    "run": (
        "SELECT left(id::text, 8) AS value, concat_ws(' ', job, status, to_char(started_at AT TIME ZONE 'UTC',"
        " 'YYYY-MM-DD HH24:MI\"Z\"')) AS about FROM job_runs ORDER BY started_at DESC LIMIT 30"
    ),
    "hold": (
        "SELECT h.id::text AS value, concat_ws(' ', h.kind, 'of', d.name) AS about"
        " FROM holds h JOIN dealerships d ON d.id = h.dealership_id"
        " WHERE h.status IN ('pending', 'approved') AND h.applied_at IS NULL ORDER BY h.id DESC"
    ),
    "subject": (
        "SELECT subject AS value, string_agg(DISTINCT kind, ', ') AS about FROM alerts"
        " WHERE closed_at IS NULL GROUP BY subject ORDER BY subject"
    ),
}


@command("values dealership", reads=True)
def values(tools: Tools, kind: Annotated[str, argument("WHAT", "What is typed, such as dealership.")]) -> None:
    """Print what may be typed, a line each with what it is behind a tab. Nothing, in time, where anything is wrong."""
    found: list[str] = []

    def ask() -> None:
        with suppress(Exception):  # somebody is in the middle of typing
            found.extend([f"{value}\t{about}\n" for value, about in _suggest(kind, tools.environ)])

    if kind in _QUESTIONS:
        asking = threading.Thread(target=ask, daemon=True)  # a name that does not resolve would keep it for a minute
        asking.start()
        asking.join(_ANSWER_WITHIN_S)
        write("".join(tuple(found)))


def _suggest(kind: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    settings = load_settings(environ)
    if settings.database_url is None:
        return []
    question = (
        f"{use_schema(settings.database_schema)}; SET LOCAL statement_timeout = '{_ANSWER_WITHIN_S}s';"
        " SELECT coalesce(json_agg(json_build_array(value, coalesce(about, ''))), '[]')::text, ''"
        f" FROM (SELECT * FROM ({_QUESTIONS[kind]}) AS every LIMIT {_MOST}) AS found"
    )
    parameters = {"application_name": "jobsync:completion", "client_encoding": "UTF8"}
    row = libpq.ask_row(settings.database_url, question, parameters=parameters, within_s=_ANSWER_WITHIN_S)
    pairs = json.loads(row[0]) if row else []
    # what holds a blank would be two words in the line
    return [(value, visible(about, most=60)) for value, about in pairs if value == visible(value) and " " not in value]
