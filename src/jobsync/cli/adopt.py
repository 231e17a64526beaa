"""jobsync adopt: the data of the program that jobsync replaces."""

from dataclasses import asdict
from typing import Annotated, Any

from jobsync.adopt.job import COUNTED, Adoption, IdsTaken
from jobsync.adopt.job import adopt as bring
from jobsync.adopt.original import open_original
from jobsync.cli.command import Answer, command, flag, option
from jobsync.cli.output import cell, print_facts, print_lines, print_table, say
from jobsync.db.engine import passwords_in, translated
from jobsync.errors import ExitCode
from jobsync.logs import visible
from jobsync.masking import register_secret
from jobsync.wiring import Tools


@command("adopt --from postgresql://reader@db.example/shop --dry-run")
def adopt(
    tools: Tools,
    url: Annotated[
        str,
        option(
            "URL",
            "The original product's database, which is only read: postgresql://…; keep its password in ~/.pgpass.",
            "--from",
        ),
    ],
    schema: Annotated[str, option("S", "The schema of its tables.", "--from-schema")] = "public",
    dry_run: Annotated[bool, flag("Say what would be brought, and write nothing.")] = False,
) -> Answer:
    """
    Bring in the data of the original product.

    Dealerships, credentials, vehicles, documents, logs, settings; ids are kept.

    It may be repeated: until a dealership's first sync it brings what has changed there since. Exit 3: something was
    left, each with its reason; 1: an id is here already and was not brought from there, so nothing was.
    """
    for password in passwords_in(url):
        register_secret(password)
    engine = tools.engine  # ours first: what is wrong with it needs no other database
    outcome, problem = Adoption(), None
    try:
        with open_original(url, schema) as original, translated(), engine.begin() as connection:
            outcome = bring(original, connection, lambda: tools.cipher, dry_run=dry_run)
    except IdsTaken as taken:
        outcome.left, problem = [*taken.left], taken
    document: dict[str, Any] = {"counts": outcome.counts, "left": [asdict(left) for left in outcome.left]}
    document |= {"untouched": outcome.untouched, "warnings": outcome.warnings}
    code = ExitCode.NEEDS_ATTENTION if outcome.left else ExitCode.DONE
    if problem is not None:
        document["error"], code = visible(problem), problem.exit_code

    def tell() -> None:
        if problem is None:
            say("would be brought or changed:" if dry_run else "brought or changed:")
            print_facts({f"  {name}": outcome.counts[name] for name in COUNTED})
        if outcome.untouched:
            synced = cell(outcome.untouched)
            say(f"synced here since, so nothing of theirs is changed any more: dealership {synced}")
        print_lines(outcome.warnings, title="brought otherwise")
        if outcome.left:
            print_table(["what", "id", "reason"], document["left"], title="left")

    return Answer(document, tell, code, [visible(problem)] if problem else [])
