"""jobsync demo: two nights of stock sync and a morning of documents, for somebody who has never seen it."""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import typer

from jobsync.cli.command import command
from jobsync.cli.invoke import invoke
from jobsync.cli.output import write
from jobsync.db import embedded
from jobsync.errors import JobsyncError
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC
from jobsync.proxies import exempting
from jobsync.ride.files import MARKER
from jobsync.sandbox.documents import Invented, invent_documents, taxpayer_of, write_documents
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import Scenario
from jobsync.sandbox.serve import Served, serve
from jobsync.sandbox.sri import SriSandbox
from jobsync.sandbox.sri_scenario import SriRule, SriScenario
from jobsync.wiring import Tools

_RETRY_AFTER_S = 1.1  # on its first night the stand-in once asks not to be asked again for a second

_INTRO = """
jobsync demo
============
Six car dealerships publish their stock through the EasyCars API. Every night jobsync brings each feed into
Postgres. Here both sides are on this machine only: a private PostgreSQL in a temporary folder, and a stand-in
EasyCars on a loopback port. Two of the six are broken on purpose; they must not disturb the others. Then two taxpayers
of Ecuador submit documents; a stand-in SRI decides on them, and what it authorizes is printed.
"""

_NIGHTS = (
    "Night 1: nothing is known yet",
    "Night 2: prices moved, cars were sold, one feed is suddenly empty",
)

_HELD = """
One dealership's feed came back empty. That is a fault far more often than a clearance, so nothing was removed:
its {number} vehicles stay listed until a person decides. This is how, in a database of your own
(that of this demo ends with it):

    jobsync credentials test {dealership}     a wrong AccountSecret or AccountNumber looks like an empty feed too
    jobsync holds show {id}           which vehicles would go
    jobsync holds approve {id}        let them go at the next sync
    jobsync holds reject {id}         keep them; nobody is asked again until the set changes
"""

_OUTRO = """
Exit code 3 of both nights means "finished, needs attention": a timer would mark the run, and every reason is kept.
The database of this demo is gone now, so no command finds what it showed. Where to look next:

    docs/reference   all commands, settings and exit codes
    docs/sandbox.md  a test database of your own with the same dealerships
    {command} sandbox serve
                     the same stand-ins for your own experiments
"""

_DOCUMENTS = """
Documents: two taxpayers, and the tax authority of Ecuador
----------------------------------------------------------
Their application has signed and submitted nine documents, one of each kind and three more. The stand-in SRI authorizes
most of them at once, refuses one, and takes its time over another.

"""

_SLOW_S = 2.0


class DemoFailed(JobsyncError):
    """The demonstration did not go as it must."""


@command("demo")
def demo(context: typer.Context, tools: Tools) -> None:
    """Play two nights and a morning against stand-ins. A private Postgres is started for it and stopped."""
    service = EasyCarsSandbox(Scenario())
    documents, pages = submitted(), _pages_folder()
    write(_INTRO)
    with (
        embedded.acquire_temporary("jobsync-demo-") as (folder, lease),
        serve(service) as cars,
        serve(SriSandbox(decisions(documents))) as taxes,
    ):
        environ = {name: text for name, text in tools.environ.items() if not name.startswith("JOBSYNC_")}
        environ |= exempting(tools.environ, "127.0.0.1") | addresses(lease.url, cars, taxes, storage=pages)
        show = Show(context.find_root().command, environ)
        play(show, service, documents, folder / "submitted", pages)
    write(_OUTRO.format(command=command_here()))


def addresses(database: str, cars: Served, taxes: Served, *, storage: Path) -> dict[str, str]:
    """Return the environment in which the demo's commands meet its database and its stand-ins."""
    return {
        "JOBSYNC_DATABASE_URL": database,
        "JOBSYNC_EASYCARS_URL": cars.url,
        "JOBSYNC_SRI_URL": taxes.origin,
        "JOBSYNC_STORAGE": str(storage),
        "JOBSYNC_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "JOBSYNC_LOG_LEVEL": "critical",
    }


def play(show: Show, service: EasyCarsSandbox, documents: Sequence[Invented], folder: Path, pages: Path) -> None:
    """Play the nights and the morning; `folder` takes the documents to import, `pages` is the storage of RIDE files."""
    show.command("db", "upgrade")
    added = show.ask("sandbox", "seed", "--documents", "0")["dealerships"]
    write(f"{len(added)} dealerships added, with their EasyCars credentials (stored encrypted).\n")
    for night, title in enumerate(_NIGHTS, 1):
        service.set_night(night)
        time.sleep(_RETRY_AFTER_S * (night - 1))
        write(f"\n{title}\n{'-' * len(title)}\n")
        show.command(STOCK_SYNC.name, "--concurrency", "3", expect=3)
    _explain(show)
    _play_documents(show, documents, folder, pages)
    write("\nEvery run, as anybody can look it up later:\n\n")
    show.command("runs", "list")


def command_here() -> str:
    """Return how the reader can call jobsync: as it was called just now, where it is on no PATH."""
    if shutil.which("jobsync"):
        return "jobsync"
    here = Path(sys.argv[0])
    return shlex.quote(str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here))


class Show:
    """Runs commands of the program in this process and shows them as somebody would type them."""

    def __init__(self, program: Any, environ: dict[str, str]) -> None:
        self.program, self.environ = program, environ

    def command(self, *arguments: str, expect: int = 0) -> None:
        write(f"$ jobsync {shlex.join(arguments)}\n")
        self._run(arguments, expect)

    def ask(self, *arguments: str) -> Any:
        """Run a command quietly and return its JSON document."""
        with redirect_stdout(StringIO()) as out:
            self._run((*arguments, "--json"), 0)
        return json.loads(out.getvalue())

    def _run(self, arguments: Sequence[str], expect: int) -> None:
        code = invoke(self.program, arguments, Tools(self.environ))
        if code != expect:
            raise DemoFailed(f"demo: jobsync {' '.join(arguments)} ended with {code}, expected {expect}")


def _explain(show: Show) -> None:
    rows: list[Any] = []
    for title, words in (
        ("Prices that changed, cars that were sold or are gone", ("stock", "changes")),
        ("Items that were refused, and kept for you to look at", ("stock", "refused")),
        ("What waits for a person", ("holds", "list")),
    ):
        rows = show.ask(*words)
        if not rows:
            raise DemoFailed(f"demo: the second night has nothing to show: {title}")
        write(f"\n{title}:\n\n")
        show.command(*words)
    held = rows[0]
    write(_HELD.format(number=len(held["stock_numbers"]), id=held["id"], dealership=held["dealership_id"]))


def submitted() -> list[Invented]:
    """Invent the documents; the last one will be refused, the one before takes its time."""
    documents = list(invent_documents(6, seed=11, issuers=1, rich=True))
    return documents + list(invent_documents(3, seed=12, issuers=1, codes=("01",)))


def decisions(documents: Sequence[Invented]) -> SriScenario:
    return SriScenario(
        latency_ms=120,
        rules=(
            SriRule(outcome="refused", codes=("39",), keys=(documents[-1].key,)),
            SriRule(in_process_s=_SLOW_S, keys=(documents[-2].key,)),
        ),
    )


def _pages_folder() -> Path:
    """Return where the demo's PDFs stay: here if possible, else in a new temporary folder."""
    folder = Path.cwd() / "demo-rides"
    try:
        folder.mkdir(exist_ok=True)
        (folder / MARKER).unlink(missing_ok=True)  # that of an earlier demo, whose database is gone
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="jobsync-demo-rides-"))
    return folder


def _play_documents(show: Show, documents: Sequence[Invented], folder: Path, storage: Path) -> None:
    write(_DOCUMENTS)
    for ruc in dict.fromkeys(one.key[10:23] for one in documents):
        show.command("tenant", "add", ruc, taxpayer_of(ruc).name, "--environment", "test")
    show.ask("settings", "set", "sri_call_delay_ms", "100")  # the real SRI gets 500
    show.ask("settings", "set", "ride_delay_ms", "0")
    write_documents(folder, documents)
    show.command("invoice", "import", str(folder))
    show.command(CHECK_AUTHORIZATIONS.name)
    asked = time.monotonic()  # the slow one's time began before
    write("\nOne was refused. This is its story, and what the code means:\n\n")
    show.command("invoice", "show", documents[-1].key)
    show.command("sri", "explain", "39")
    write("\nOne was still in process: the timer asks again, ever more rarely. A person may ask at once:\n\n")
    time.sleep(max(0.0, asked + _SLOW_S - time.monotonic()))
    show.command(CHECK_AUTHORIZATIONS.name, "--access-key", documents[-2].key)
    write("\nWhat is authorized gets its printed form (RIDE), within a minute if the timer runs:\n\n")
    show.command(GENERATE_RIDE.name)
    with suppress(OSError):
        (storage / ".unfinished").rmdir()  # a run's own; nobody who opens the folder should wonder
    pages = sorted(storage.rglob("*_ride.pdf"))
    kinds = {page.name[8:10] for page in pages}
    if len(pages) < len(documents) - 1 or len(kinds) != 6:
        raise DemoFailed(f"demo: {len(pages)} PDFs of {len(kinds)} kinds of documents, expected 8 of 6")
    write(f"\n{len(documents) - 1} PDFs, all six kinds of documents among them:\n\n    {storage}\n")
