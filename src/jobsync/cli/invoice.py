"""jobsync invoice: the documents, how they came in, and what the SRI said of them."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from sqlalchemy import Connection

from jobsync.cli.command import Answer, Json, argument, command, flag, group, holds, option, said, table
from jobsync.cli.output import OF_DOCUMENT, print_facts, print_table, replace_file
from jobsync.db.audit import AuditOfParts
from jobsync.errors import ExitCode, JobsyncError, UsageProblem
from jobsync.logs import complain, configure_hand_run, end_progress, show_progress, visible
from jobsync.phrases import many
from jobsync.runner.signals import stop_noted
from jobsync.sri import registry
from jobsync.sri.import_ import Taken, find_files, take_in
from jobsync.sri.model import DocumentStatus
from jobsync.wiring import Tools

app = group("Fiscal documents and what the SRI said of them.")
AccessKey = Annotated[str, argument("KEY", "Access key, 49 digits.")]
_KEY = "2011202601179001234500120010010000000421234567811"
_COUNTED = ("imported", "replaced", "unchanged", "refused")


@command("invoice import /srv/inbox --tenant 1790012345001 --dry-run", of=app)
def import_(
    tools: Tools,
    paths: Annotated[list[Path], argument("FILE-OR-FOLDER...", "XML files, or folders of them.")],
    tenant: Annotated[str | None, option("RUC", "Take only this tenant's; refuse others.")] = None,
    dry_run: Annotated[bool, flag("Say what would become of each file, and write nothing.")] = False,
    as_json: Json = False,
) -> Answer:
    """
    Take documents in from XML files: bare, or inside what the SRI answered.

    Each belongs to the tenant that its key names. Running it twice changes nothing. After Ctrl-C it says what went in.
    """
    with tools.transaction() as connection:
        if tenant is not None:
            registry.show_tenant(connection, tenant)
    files = list(find_files(paths))
    counts: Counter[str] = Counter()
    of_nobody: dict[str, list[Taken]] = {}  # by the RUC that no tenant has
    items: list[dict[str, Any]] = []

    def told(entry: Taken) -> None:
        counts[entry.status] += 1
        show_progress(f"{counts.total()}/{len(files)} files")
        if as_json:
            items.append({name: value for name, value in vars(entry).items() if value is not None})
        elif entry.unknown_ruc is not None:
            of_nobody.setdefault(entry.unknown_ruc, []).append(entry)
        elif entry.status == "refused":
            refuse(entry.file, entry)

    def refuse(what: str, entry: Taken) -> None:
        complain(f"jobsync: {visible(what)}: {visible(entry.reason)}")

    configure_hand_run(tools.environ)
    try:
        take_in(
            files,
            transaction=tools.transaction,
            tenant=tenant,
            told=told,
            record=AuditOfParts("invoice.import", paths=[str(path) for path in paths[:20]]),
            stop=lambda: stop_noted() is not None,
            dry_run=dry_run,
        )
    except JobsyncError:
        end_progress()
        if counts and not dry_run:
            complain(f"jobsync: broken off after {counts.total()} of {len(files)} files: {_in_words(counts)}")
        raise
    end_progress()
    for entry, *others in of_nobody.values():
        refuse(f"{len(others) + 1} files" if others else entry.file, entry)
    left = len(files) - counts.total()
    first = "nothing was written; " if dry_run else f"interrupted, {left} of {len(files)} left; " if left else ""
    words = f"{first}{many(counts.total(), 'file')}{' would be' if dry_run else ''}: {_in_words(counts)}"
    code = ExitCode.NEEDS_ATTENTION if counts["refused"] else ExitCode.DONE
    if left:  # somebody broke it off
        code = ExitCode.INTERRUPTED
    elif 0 < counts["refused"] == counts.total():
        code = ExitCode.FAILED
    told_of = {"counts": {name: counts[name] for name in _COUNTED}, "items": items, "remaining": left}
    return said({**told_of, "exit_code": int(code)}, words if files else "no XML file there", code=code)


def _in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in _COUNTED if counts[name]) or "nothing was done"


@command("invoice list --status needs_attention", of=app, reads=True)
def list_(
    tools: Tools,
    status: Annotated[
        str | None, option("S", "pending_authorization, authorized, rejected, needs_attention or cancelled.")
    ] = None,
    tenant: Annotated[str | None, option("RUC", "Only this tenant's.")] = None,
    limit: Annotated[int, option("N", "At most so many documents.", min=1, max=100_000)] = 50,
) -> Answer:
    """List documents, newest first."""
    if status is not None and status not in set(DocumentStatus):
        raise UsageProblem(f"--status: {status!r} is unknown, expected one of {', '.join(DocumentStatus)}")
    with tools.transaction() as connection:
        rows = registry.list_invoices(connection, status=status, tenant=tenant, limit=limit)
    columns = {"status": "status", "why": "status_reason", "type": "document_type", "number": "series_number"}
    columns |= {"issued": "issue_date", "total": "total", "next check": "next_check_at", "key": "access_key"}
    return table(rows, {**columns, "tenant": "tenant"}, empty="no documents")


@command(f"invoice show {_KEY}", of=app, reads=True)
def show(connection: Connection, key: AccessKey) -> Answer:
    """Show one document and its story: each ask and each answer."""
    row = registry.show_invoice(connection, key.strip())

    def tell() -> None:
        hidden = {"events"} if row["status"] == "authorized" else {"events", *(n for n in row if n.startswith("ride_"))}
        print_facts({name: value for name, value in row.items() if name not in hidden and value is not None})
        columns = {"at": "at", "what": "kind", "code": "code", "http": "http_status", "ms": "duration_ms"}
        events = [
            {**event, "message": " - ".join(filter(None, (event["message"], event["additional_info"]))) or None}
            for event in row["events"]
        ]
        print_table({**columns, "message": "message"}, events, title="what happened", empty="nothing yet")

    return Answer(row, tell)


@command(f"invoice recheck {_KEY}", of=app)
def recheck(connection: Connection, key: AccessKey) -> Answer:
    """
    Make a document pending and due at once: the next tick asks the SRI.

    For a document that was corrected, submitted again, or settled with the SRI.
    """
    was = registry.recheck_invoice(connection, key.strip())
    document = {"access_key": key.strip(), "status": "pending_authorization", "was": was}
    return said(document, f"document {key.strip()}: pending, was {was}; the next tick asks the SRI")


@command(f"invoice export {_KEY} --to .", of=app)
def export(tools: Tools, key: AccessKey, to: Annotated[Path, option("DIR", "An existing folder.")]) -> Answer:
    """Write the XML that is kept of a document, and the SRI's answer byte for byte, into a folder."""
    if not holds(to.is_dir):
        raise UsageProblem(f"--to: no folder {to}")
    with tools.transaction() as connection:
        kept = registry.read_files(connection, key.strip())
    written = []
    for name, content in kept.items():
        if content is not None:
            target = to / f"{key.strip()}_{name.removesuffix('_xml')}.xml"
            try:
                replace_file(target, content, most=OF_DOCUMENT)
            except OSError as error:
                raise UsageProblem(f"{target}: cannot be written ({error.strerror})") from None
            written.append(str(target))
    nothing = [] if written else [f"nothing is kept of document {key.strip()}"]
    return said({"access_key": key.strip(), "files": written}, *written, complaints=nothing)
