"""jobsync invoice: the documents, how they came in, and what the SRI said of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from jobsync.cli.options import Json, group, holds, tools_of, transaction
from jobsync.cli.output import OF_DOCUMENT, print_facts, print_json, print_table, replace_file, say, show
from jobsync.errors import ExitCode, UsageProblem
from jobsync.logs import complain, configure_hand_run, end_progress, show_progress, visible
from jobsync.phrases import many
from jobsync.runner.signals import stop_noted
from jobsync.sri import registry
from jobsync.sri.import_ import Taken, find_files, take_in
from jobsync.sri.model import DocumentStatus

app = group("Fiscal documents and what the SRI said of them.")
AccessKey = Annotated[str, typer.Argument(metavar="KEY", help="Access key, 49 digits.", show_default=False)]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, metavar="N", help="At most so many documents.")]
_COUNTED = ("imported", "replaced", "unchanged", "refused")


@app.command("import")
def import_(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE-OR-FOLDER...", help="XML files, or folders of them.")],
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", metavar="RUC", help="Take only this tenant's; refuse others.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each file, and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Take documents in from XML files: bare, or inside what the SRI answered.

    Each belongs to the tenant that its key names. Running it twice changes nothing. After Ctrl-C it says what went in.
    """
    with transaction(context) as connection:
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

    configure_hand_run(tools_of(context).environ)
    try:
        take_in(
            files,
            transaction=lambda: transaction(context),
            tenant=tenant,
            told=told,
            stop=lambda: stop_noted() is not None,
            dry_run=dry_run,
        )
    finally:
        end_progress()
    if counts and not dry_run:
        with transaction(context) as connection:
            registry.record_import(connection, [str(path) for path in paths], dict(counts))
    for entry, *others in of_nobody.values():
        refuse(f"{len(others) + 1} files" if others else entry.file, entry)
    left = len(files) - counts.total()
    code = _code(counts, left)
    if as_json:
        told_of = {"counts": {name: counts[name] for name in _COUNTED}, "items": items, "remaining": left}
        print_json({**told_of, "exit_code": int(code)})
    elif not files:
        say("no XML file there")
    else:
        first = "nothing was written; " if dry_run else f"interrupted, {left} of {len(files)} left; " if left else ""
        done = ", ".join(f"{counts[name]} {name}" for name in _COUNTED if counts[name]) or "nothing was done"
        say(f"{first}{many(counts.total(), 'file')}{' would be' if dry_run else ''}: {done}")
    raise typer.Exit(code)  # not its number: 130 alone would mean that nothing was said


def _code(counts: Counter[str], left: int) -> ExitCode:
    """Return the verdict; files are left only where somebody broke it off."""
    if left:
        return ExitCode.INTERRUPTED
    if not counts["refused"]:
        return ExitCode.DONE
    return ExitCode.FAILED if counts["refused"] == counts.total() else ExitCode.NEEDS_ATTENTION


@app.command("list")
def list_(
    context: typer.Context,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="S",
            help="pending_authorization, authorized, rejected, needs_attention or cancelled.",
            show_default=False,
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="RUC", help="Only this tenant's.", show_default=False)
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List documents, newest first."""
    if status is not None and status not in set(DocumentStatus):
        raise UsageProblem(f"--status: {status!r} is unknown, expected one of {', '.join(DocumentStatus)}")
    with transaction(context) as connection:
        rows = registry.list_invoices(connection, status=status, tenant=tenant, limit=limit)
    columns = {
        "status": "status",
        "why": "status_reason",
        "type": "document_type",
        "number": "series_number",
        "issued": "issue_date",
        "total": "total",
        "next check": "next_check_at",
        "key": "access_key",
        "tenant": "tenant",
    }
    lines = [[row[column] for column in columns.values()] for row in rows]
    show(rows, as_json=as_json, otherwise=lambda: print_table(list(columns), lines, empty="no documents"))


@app.command("show")
def show_(context: typer.Context, key: AccessKey, as_json: Json = False) -> None:
    """Show one document and its story: each ask and each answer."""
    with transaction(context) as connection:
        row = registry.show_invoice(connection, key.strip())

    def tell() -> None:
        hidden = {"events"} if row["status"] == "authorized" else {"events", *(n for n in row if n.startswith("ride_"))}
        print_facts({name: value for name, value in row.items() if name not in hidden and value is not None})
        lines = [
            [
                event["at"],
                event["kind"],
                event["code"],
                event["http_status"],
                event["duration_ms"],
                " - ".join(part for part in (event["message"], event["additional_info"]) if part) or None,
            ]
            for event in row["events"]
        ]
        print_table(["at", "what", "code", "http", "ms", "message"], lines, title="what happened", empty="nothing yet")

    show(row, as_json=as_json, otherwise=tell)


@app.command()
def recheck(context: typer.Context, key: AccessKey, as_json: Json = False) -> None:
    """
    Make a document pending and due at once: the next tick asks the SRI.

    For a document that was corrected, submitted again, or settled with the SRI.
    """
    with transaction(context) as connection:
        was = registry.recheck_invoice(connection, key.strip())
    document = {"access_key": key.strip(), "status": "pending_authorization", "was": was}
    words = f"document {key.strip()}: pending, was {was}; the next tick asks the SRI"
    show(document, as_json=as_json, otherwise=lambda: say(words))


@app.command()
def export(
    context: typer.Context,
    key: AccessKey,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="An existing folder.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write the XML that is kept of a document, and the SRI's answer byte for byte, into a folder."""
    if not holds(to.is_dir):
        raise UsageProblem(f"--to: no folder {to}")
    with transaction(context) as connection:
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
    document = {"access_key": key.strip(), "files": written}

    def tell() -> None:
        for path in written:
            say(path)

    show(document, as_json=as_json, otherwise=tell)
    if not written:
        complain(f"jobsync: nothing is kept of document {key.strip()}")
