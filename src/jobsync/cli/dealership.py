"""jobsync dealership: whom we sync."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jobsync.cli.options import DealershipId, Json, group, transaction
from jobsync.cli.output import excerpts, print_facts, print_lines, print_table, say, show, with_pause
from jobsync.cron import is_zone, problem_of_cron, text_of_cron
from jobsync.db.jsonb import as_lines
from jobsync.db.statements import read_now
from jobsync.easycars import registry
from jobsync.errors import UsageProblem
from jobsync.logs import complain, visible
from jobsync.phrases import local_stamp, pause_end

app = group("Dealerships: whom we sync, and when.")

_NO_ZONE = (
    "no --timezone: its slots follow easycar_sync_timezone (UTC unless set), and 02:00 UTC is midday in Sydney;"
    " Australian dealerships want for example --timezone Australia/Sydney"
)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the dealership.", show_default=False)],
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="TZ", help="Its time zone, e.g. Australia/Sydney.")
    ] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="E", help="Whom to write to.")] = None,
    as_json: Json = False,
) -> None:
    """Add a dealership; prints its number."""
    _check("NAME", name, timezone, email)
    with transaction(context) as connection:
        twins = [row["id"] for row in registry.list_dealerships(connection) if row["name"] == name.strip()]
        row = registry.add_dealership(connection, name.strip(), timezone=timezone, email=email)
    show(row, as_json=as_json, otherwise=lambda: say(f"dealership {row['id']}: {row['name']}"))
    if twins:
        complain(
            f"jobsync: dealership {twins[0]} has the same name; if this one is a mistake, leave it without credentials:"
            f" it is never synced (jobsync dealership set {row['id']} --name gives it another name)"
        )
    if timezone is None:
        complain(f"jobsync: {_NO_ZONE}")


def _check(of_name: str, name: str | None, timezone: str | None, email: str | None) -> None:
    """
    Look at what is to be stored; None is left alone.

    Raises:
        UsageProblem: it cannot be; names the option, or `of_name`.
    """
    if name is not None and (not name.strip() or len(name) > 255):
        raise UsageProblem(f"{of_name}: expected 1 to 255 characters")
    if timezone is not None and not is_zone(timezone):
        raise UsageProblem(f"--timezone: no time zone {timezone!r}, expected one such as Australia/Sydney")
    if email is not None and ("@" not in email or len(email) > 255):
        raise UsageProblem("--email: expected an address such as stock@dealer.example")


@app.command("set")
def set_(
    context: typer.Context,
    dealership_id: DealershipId,
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="Its name.")] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="TZ", help="Its time zone; '': easycar_sync_timezone.")
    ] = None,
    email: Annotated[str | None, typer.Option("--email", metavar="E", help="Whom to write to; '': nobody.")] = None,
    auto_sync: Annotated[
        bool | None,
        typer.Option(
            "--auto-sync/--no-auto-sync", help="Whether runs that do not name it take it.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change name, time zone, e-mail or the switch of a dealership; the next tick goes by it."""
    given = {"name": name, "timezone": timezone, "email": email}
    changes = {column: value.strip() or None for column, value in given.items() if value is not None}
    _check("--name", name, changes.get("timezone"), changes.get("email"))
    if not changes and auto_sync is None:
        raise UsageProblem("nothing to change; give --name, --timezone, --email, --auto-sync or --no-auto-sync")
    with transaction(context) as connection:
        registry.require_dealership(connection, dealership_id)
        if changes:
            registry.change_dealership(connection, dealership_id, changes)
        if auto_sync is not None:
            registry.set_auto_sync(connection, dealership_id, on=auto_sync)
        row = registry.show_dealership(connection, dealership_id)
    told = {column: row[column] for column in ("id", "name", "timezone", "email", "auto_sync")}
    show(told, as_json=as_json, otherwise=lambda: print_facts(told))


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List all dealerships."""
    with transaction(context) as connection:
        rows = registry.list_dealerships(connection)
    columns = ["id", "name", "last_status", "last_warnings", "last_synced_at", "vehicles", _HELD, "timezone"]
    columns += ["auto_sync", "paused", "has_credentials"]
    columns += ["unreadable"] if any(row["unreadable"] for row in rows) else []
    lines = [[_told(row)[column] for column in columns] for row in rows]
    show(rows, as_json=as_json, otherwise=lambda: print_table(columns, lines, empty="no dealerships yet"))


# questions that wait for a person; a run's `held` counts vehicles
_HELD = "holds to decide"


def _told(row: dict[str, Any]) -> dict[str, Any]:
    named = {_HELD if name == "held" else name: value for name, value in with_pause(row).items()}
    return named | {"unreadable": excerpts(row["unreadable"])}


@app.command("show")
def show_(context: typer.Context, dealership_id: DealershipId, as_json: Json = False) -> None:
    """Show one dealership and its last syncs."""
    with transaction(context) as connection:
        row = registry.show_dealership(connection, dealership_id)

    def tell() -> None:
        print_facts({name: value for name, value in _told(row).items() if name != "syncs"})
        columns = ["synced_at", "status", "created", "updated", "unchanged", "revived", "refused", "skipped"]
        columns += ["removed", "held", "error_messages"]
        syncs = [[sync[column] for column in columns] for sync in row["syncs"]]
        print_table(columns, syncs, title="last syncs", empty="none yet")
        last = [warning for sync in row["syncs"][:1] for warning in as_lines(sync["warnings"])]
        print_lines(last, title="warnings of the last sync")

    show(row, as_json=as_json, otherwise=tell)


@app.command()
def pause(
    context: typer.Context,
    dealership_id: DealershipId,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="T", help="Instant (2026-12-24T18:00+11:00), date, or span (12h, 1d6h, 2w)."),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="S", help="Why; schedule show tells it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Leave a dealership out of every run that does not name it with --dealership."""
    with transaction(context) as connection:
        name = registry.require_dealership(connection, dealership_id)
        zone = registry.zone_of(connection, dealership_id)
        end = registry.parse_until(connection, dealership_id, until) if until is not None else None
        registry.pause(connection, dealership_id, until=end, reason=reason)
    document = {"dealership_id": dealership_id, "paused": True, "paused_until": end, "reason": reason}
    words = f"dealership {dealership_id} {name}: paused {pause_end(end, zone)}"
    show(document, as_json=as_json, otherwise=lambda: say(words))


@app.command()
def resume(context: typer.Context, dealership_id: DealershipId, as_json: Json = False) -> None:
    """End a pause."""
    with transaction(context) as connection:
        registry.resume(connection, dealership_id)
    document = {"dealership_id": dealership_id, "paused": False, "paused_until": None}
    show(document, as_json=as_json, otherwise=lambda: say(f"dealership {dealership_id}: resumed"))


@app.command()
def schedule(
    context: typer.Context,
    dealership_id: DealershipId,
    cron: Annotated[str | None, typer.Argument(metavar="[CRON]", help="E.g. '30 1 * * *'.", show_default=False)] = None,
    default: Annotated[bool, typer.Option("--default", help="Back to the common schedule.")] = False,
    as_json: Json = False,
) -> None:
    """Show a dealership's schedule, or give it one of its own."""
    if cron is not None and default:
        raise UsageProblem("CRON and --default exclude each other")
    if cron is not None and (wrong := problem_of_cron(cron)):
        raise UsageProblem(
            f"CRON: {visible(cron, most=80)!r} cannot be used ({wrong}), expected five cron fields such as '30 1 * * *'"
        )
    with transaction(context) as connection:
        registry.require_dealership(connection, dealership_id)
        if cron is not None or default:
            registry.set_cron(connection, dealership_id, text_of_cron(cron) if cron else None)
        rows = registry.list_schedules(connection, read_now(connection))
        [row] = [row for row in rows if row["dealership_id"] == dealership_id]
    show(row, as_json=as_json, otherwise=lambda: print_facts(_planned(row)))


def _planned(row: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule for a person: its instants as the dealership's clocks show them, and whose cron and zone."""
    whose = {"dealership": "its own", "fallback": "since the wanted one cannot be read"}
    times = {name: local_stamp(row[name], row["timezone"]) for name in ("next_at", "retry_at", "last_success_at")}
    named: dict[str, Any] = {
        name: f"{row[name]} ({whose.get(row[f'{name}_from'], row[f'{name}_from'])})" for name in ("cron", "timezone")
    }
    named["unreadable"] = excerpts(row["unreadable"])
    if row["paused"]:
        named["paused"] = pause_end(row["paused_until"], row["timezone"])
    told = with_pause(row) | times | named
    return {name: value for name, value in told.items() if not name.endswith("_from")}
