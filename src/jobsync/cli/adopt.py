"""jobsync adopt: the data of the program that jobsync replaces."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from jobsync.adopt.job import COUNTED, Adoption, IdsTaken
from jobsync.adopt.job import adopt as bring
from jobsync.adopt.original import open_original
from jobsync.cli.options import Json, tools_of
from jobsync.cli.output import print_facts, print_lines, print_table, say, show
from jobsync.db.engine import passwords_in, translated
from jobsync.errors import ExitCode
from jobsync.logs import complain, visible
from jobsync.masking import register_secret


def adopt(
    context: typer.Context,
    url: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL",
            help="The original product's database, which is only read: postgresql://…; keep its password in ~/.pgpass.",
            show_default=False,
        ),
    ],
    schema: Annotated[str, typer.Option("--from-schema", metavar="S", help="The schema of its tables.")] = "public",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be brought, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """
    Bring in the data of the original product.

    Dealerships, credentials, vehicles, documents, logs, settings; ids are kept.

    It may be repeated: until a dealership's first sync it brings what has changed there since. Exit 3: something was
    left, each with its reason; 1: an id is here already and was not brought from there, so nothing was.
    """
    for password in passwords_in(url):
        register_secret(password)
    tools = tools_of(context)
    engine = tools.engine
    outcome, problem = Adoption(), None
    try:
        with (
            open_original(url, schema) as original,
            translated(),
            engine.begin() as connection,
        ):
            outcome = bring(original, connection, lambda: tools.cipher, dry_run=dry_run)
    except IdsTaken as taken:
        outcome.left, problem = [*taken.left], taken
    document: dict[str, Any] = {
        "counts": outcome.counts,
        "left": [asdict(left) for left in outcome.left],
        "untouched": outcome.untouched,
        "warnings": outcome.warnings,
        **({"error": visible(problem)} if problem else {}),
    }
    show(document, as_json=as_json, otherwise=lambda: _tell(outcome, brought=problem is None, dry_run=dry_run))
    if problem is not None:
        complain(f"jobsync: {visible(problem)}")
        raise typer.Exit(int(problem.exit_code))
    if outcome.left:
        raise typer.Exit(int(ExitCode.NEEDS_ATTENTION))


def _tell(outcome: Adoption, *, brought: bool, dry_run: bool) -> None:
    if brought:
        say("would be brought or changed:" if dry_run else "brought or changed:")
        print_facts({f"  {name}": outcome.counts[name] for name in COUNTED})
    if outcome.untouched:
        few = ", ".join(str(number) for number in outcome.untouched[:12])
        more = f" and {len(outcome.untouched) - 12} more" if len(outcome.untouched) > 12 else ""
        say(f"synced here since, so nothing of theirs is changed any more: dealership {few}{more}")
    print_lines(outcome.warnings, title="brought otherwise")
    if outcome.left:
        rows = [[left.what, left.id, left.reason] for left in outcome.left]
        print_table(["what", "id", "reason"], rows, title="left")
