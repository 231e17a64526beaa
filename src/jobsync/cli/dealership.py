"""jobsync dealership: whom we sync."""

from typing import Annotated, Any

from sqlalchemy import Connection

from jobsync.cli.command import Answer, DealershipId, argument, command, facts, flag, group, option, said, table
from jobsync.cli.output import excerpts, print_facts, print_lines, print_table, with_pause
from jobsync.cron import is_zone, problem_of_cron, text_of_cron
from jobsync.db.jsonb import as_lines
from jobsync.easycars import registry
from jobsync.errors import UsageProblem
from jobsync.logs import visible
from jobsync.phrases import local_stamp, pause_end
from jobsync.wiring import Tools

app = group("Dealerships: whom we sync, and when.")

_NO_ZONE = (
    "no --timezone: its slots follow easycar_sync_timezone (UTC unless set), and 02:00 UTC is midday in Sydney;"
    " Australian dealerships want for example --timezone Australia/Sydney"
)


@command('dealership add "Bilby Creek Motors" --timezone Australia/Sydney', of=app)
def add(
    tools: Tools,
    name: Annotated[str, argument("NAME", "Name of the dealership.")],
    timezone: Annotated[str | None, option("TZ", "Its time zone, e.g. Australia/Sydney.")] = None,
    email: Annotated[str | None, option("E", "Whom to write to.")] = None,
) -> Answer:
    """Add a dealership; prints its number."""
    _check("NAME", name, timezone, email)
    with tools.transaction() as connection:
        twins = [row["id"] for row in registry.list_dealerships(connection) if row["name"] == name.strip()]
        row = registry.add_dealership(connection, name.strip(), timezone=timezone, email=email)
    doubts = [
        f"dealership {twin} has the same name; if this one is a mistake, leave it without credentials: it is"
        f" never synced (jobsync dealership set {row['id']} --name gives it another name)"
        for twin in twins[:1]
    ]
    doubts += [_NO_ZONE] if timezone is None else []
    return said(row, f"dealership {row['id']}: {row['name']}", complaints=doubts)


def _check(of_name: str, name: str | None, timezone: str | None, email: str | None) -> None:
    """Look at what is to be stored, None is left alone; raises UsageProblem, which names the option, or `of_name`."""
    if name is not None and (not name.strip() or len(name) > 255):
        raise UsageProblem(f"{of_name}: expected 1 to 255 characters")
    if timezone is not None and not is_zone(timezone):
        raise UsageProblem(f"--timezone: no time zone {timezone!r}, expected one such as Australia/Sydney")
    if email is not None and ("@" not in email or len(email) > 255):
        raise UsageProblem("--email: expected an address such as stock@dealer.example")


@command("dealership set 17 --name 'Bilby Creek'", of=app)
def set_(
    tools: Tools,
    dealership_id: DealershipId,
    name: Annotated[str | None, option("N", "Its name.")] = None,
    timezone: Annotated[str | None, option("TZ", "Its time zone; '': easycar_sync_timezone.")] = None,
    email: Annotated[str | None, option("E", "Whom to write to; '': nobody.")] = None,
    auto_sync: Annotated[bool | None, flag("Whether runs that do not name it take it.")] = None,
) -> Answer:
    """Change name, time zone, e-mail or the switch of a dealership; the next tick goes by it."""
    given = {"name": name, "timezone": timezone, "email": email}
    changes = {column: value.strip() or None for column, value in given.items() if value is not None}
    _check("--name", name, changes.get("timezone"), changes.get("email"))
    if not changes and auto_sync is None:
        raise UsageProblem("nothing to change; give --name, --timezone, --email, --auto-sync or --no-auto-sync")
    with tools.transaction() as connection:
        registry.require_dealership(connection, dealership_id)
        if changes:
            registry.change_dealership(connection, dealership_id, changes)
        if auto_sync is not None:
            registry.set_auto_sync(connection, dealership_id, on=auto_sync)
        row = registry.show_dealership(connection, dealership_id)
    return facts({column: row[column] for column in ("id", "name", "timezone", "email", "auto_sync")})


@command("dealership list", of=app, reads=True)
def list_(connection: Connection) -> Answer:
    """List all dealerships."""
    rows = registry.list_dealerships(connection)
    columns = ["id", "name", "last_status", "last_warnings", "last_synced_at", "vehicles", _HELD, "timezone"]
    columns += ["auto_sync", "paused", "has_credentials"]
    columns += ["unreadable"] if any(row["unreadable"] for row in rows) else []
    return table(rows, columns, map(_told, rows), empty="no dealerships yet")


# questions that wait for a person; a run's `held` counts vehicles
_HELD = "holds to decide"


def _told(row: dict[str, Any]) -> dict[str, Any]:
    named = {_HELD if name == "held" else name: value for name, value in with_pause(row).items()}
    return named | {"unreadable": excerpts(row["unreadable"])}


@command("dealership show 17", of=app, reads=True)
def show(connection: Connection, dealership_id: DealershipId) -> Answer:
    """Show one dealership and its last syncs."""
    row = registry.show_dealership(connection, dealership_id)

    def tell() -> None:
        print_facts({name: value for name, value in _told(row).items() if name != "syncs"})
        columns = ["synced_at", "status", "created", "updated", "unchanged", "revived", "refused", "skipped"]
        columns += ["removed", "held", "error_messages"]
        print_table(columns, row["syncs"], title="last syncs", empty="none yet")
        last = [warning for sync in row["syncs"][:1] for warning in as_lines(sync["warnings"])]
        print_lines(last, title="warnings of the last sync")

    return Answer(row, tell)


@command("dealership pause 17 --until 1d12h --reason 'moving yards'", of=app)
def pause(
    connection: Connection,
    dealership_id: DealershipId,
    until: Annotated[
        str | None, option("T", "Instant (2026-12-24T18:00+11:00), date, or span (12h, 1d6h, 2w).")
    ] = None,
    reason: Annotated[str | None, option("S", "Why; schedule show tells it.")] = None,
) -> Answer:
    """Leave a dealership out of every run that does not name it with --dealership."""
    name = registry.require_dealership(connection, dealership_id)
    zone = registry.zone_of(connection, dealership_id)
    end = registry.parse_until(connection, dealership_id, until) if until is not None else None
    registry.pause(connection, dealership_id, until=end, reason=reason)
    document = {"dealership_id": dealership_id, "paused": True, "paused_until": end, "reason": reason}
    return said(document, f"dealership {dealership_id} {name}: paused {pause_end(end, zone)}")


@command("dealership resume 17", of=app)
def resume(connection: Connection, dealership_id: DealershipId) -> Answer:
    """End a pause."""
    registry.resume(connection, dealership_id)
    document = {"dealership_id": dealership_id, "paused": False, "paused_until": None}
    return said(document, f"dealership {dealership_id}: resumed")


@command("dealership schedule 17 '30 1 * * *'", of=app)
def schedule(
    tools: Tools,
    dealership_id: DealershipId,
    cron: Annotated[str | None, argument("[CRON]", "E.g. '30 1 * * *'.")] = None,
    default: Annotated[bool, flag("Back to the common schedule.")] = False,
) -> Answer:
    """Show a dealership's schedule, or give it one of its own."""
    if cron is not None and default:
        raise UsageProblem("CRON and --default exclude each other")
    if cron is not None and (wrong := problem_of_cron(cron)):
        raise UsageProblem(
            f"CRON: {visible(cron, most=80)!r} cannot be used ({wrong}), expected five cron fields such as '30 1 * * *'"
        )
    with tools.transaction() as connection:
        registry.require_dealership(connection, dealership_id)
        if cron is not None or default:
            registry.set_cron(connection, dealership_id, text_of_cron(cron) if cron else None)
        rows = registry.list_schedules(connection)
    [row] = [row for row in rows if row["dealership_id"] == dealership_id]
    return facts(row, _planned(row))


def _planned(row: dict[str, Any]) -> dict[str, Any]:
    whose = {"dealership": "its own", "fallback": "since the wanted one cannot be read"}
    told = with_pause(row) | {"unreadable": excerpts(row["unreadable"])}
    for name in ("next_at", "retry_at", "last_success_at"):
        told[name] = local_stamp(row[name], row["timezone"])
    for name in ("cron", "timezone"):
        origin = told.pop(f"{name}_from")
        told[name] = f"{row[name]} ({whose.get(origin, origin)})"
    if row["paused"]:
        told["paused"] = pause_end(row["paused_until"], row["timezone"])
    return told
