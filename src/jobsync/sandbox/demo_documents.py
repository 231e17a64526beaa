"""The second half of jobsync demo: documents of two tenants, from submission to the printed page."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobsync.cli.output import write
from jobsync.errors import JobsyncError
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE
from jobsync.ride.files import MARKER
from jobsync.sandbox.documents import Invented, invent_documents, taxpayer_of, write_documents
from jobsync.sandbox.sri_scenario import SriRule, SriScenario

_INTRO = """
Documents: two taxpayers, and the tax authority of Ecuador
----------------------------------------------------------
Their application has signed and submitted nine documents, one of each kind and three more. The stand-in SRI authorizes
most of them at once, refuses one, and takes its time over another.

"""

_REFUSED = """
One was refused. This is its story, and what the code means:

"""

_SLOW = """
One was still in process: the timer asks again, ever more rarely. A person may ask at once:

"""

_PAGES = """
What is authorized gets its printed form (RIDE), within a minute if the timer runs:

"""

_OUTRO = """
{number} PDFs, all six kinds of documents among them:

    {folder}
"""


_SLOW_S = 2.0


class DemoBroken(JobsyncError):
    """The demonstration did not go as it must."""


class Shows(Protocol):
    """Runs commands and shows them; `ask` returns a command's JSON document instead."""

    def command(self, *arguments: str, expect: int = 0) -> None: ...
    def ask(self, *arguments: str, stdin: str | None = None) -> object: ...


@dataclass(frozen=True)
class Cast:
    """Who plays: the documents, the one that is refused, the one that takes its time, and what the SRI does."""

    documents: Sequence[Invented]
    refused: Invented
    slow: Invented
    scenario: SriScenario


def cast() -> Cast:
    """Invent the documents and what becomes of them."""
    documents = list(invent_documents(6, seed=11, issuers=1, rich=True))
    documents += list(invent_documents(3, seed=12, issuers=1, codes=("01",)))
    refused, slow = documents[-1], documents[-2]
    scenario = SriScenario(
        latency_ms=120,
        rules=(
            SriRule(outcome="refused", codes=("39",), keys=(refused.key,)),
            SriRule(in_process_s=_SLOW_S, keys=(slow.key,)),
        ),
    )
    return Cast(documents, refused, slow, scenario)


def pages_folder() -> Path:
    """Return where the demo's PDFs stay: here if possible, else in a new temporary folder."""
    folder = Path.cwd() / "demo-rides"
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
        (folder / MARKER).unlink(missing_ok=True)  # that of an earlier demo, whose database is gone
    except OSError:
        return Path(tempfile.mkdtemp(prefix="jobsync-demo-rides-"))
    return folder


def play_documents(show: Shows, chosen: Cast, folder: Path, storage: Path) -> None:
    """Import, ask, explain, ask again, print; `folder` takes the files to import."""
    write(_INTRO)
    for ruc in dict.fromkeys(one.key[10:23] for one in chosen.documents):
        show.command("tenant", "add", ruc, taxpayer_of(ruc).name, "--environment", "test")
    show.ask("settings", "set", "sri_call_delay_ms", "100")  # the real SRI gets 500
    show.ask("settings", "set", "ride_delay_ms", "0")
    write_documents(folder, chosen.documents)
    show.command("invoice", "import", str(folder))
    show.command(CHECK_AUTHORIZATIONS.name)
    asked = time.monotonic()  # the slow one's time began before
    write(_REFUSED)
    show.command("invoice", "show", chosen.refused.key)
    show.command("sri", "explain", "39")
    write(_SLOW)
    time.sleep(max(0.0, asked + _SLOW_S - time.monotonic()))
    show.command(CHECK_AUTHORIZATIONS.name, "--access-key", chosen.slow.key)
    write(_PAGES)
    show.command(GENERATE_RIDE.name)
    with suppress(OSError):
        (storage / ".unfinished").rmdir()  # a run's own; nobody who opens the folder should wonder
    pages = sorted(storage.rglob("*_ride.pdf"))
    kinds = {page.name[8:10] for page in pages}
    if len(pages) < len(chosen.documents) - 1 or len(kinds) != 6:
        raise DemoBroken(f"demo: {len(pages)} PDFs of {len(kinds)} kinds of documents, expected 8 of 6")
    write(_OUTRO.format(number=len(chosen.documents) - 1, folder=storage))
