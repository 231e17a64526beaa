"""jobsync sandbox: stand-ins for the vendors, and data that they know, for trying out and for tests."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

from jobsync.cli.command import Answer, argument, command, flag, group, option, said
from jobsync.cli.output import say
from jobsync.errors import UsageProblem
from jobsync.proxies import exempting, read_proxies
from jobsync.sandbox.documents import ENVIRONMENTS, invent_documents, taxpayer_of, write_documents
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import Scenario, load_scenario
from jobsync.sandbox.serve import BothVendors
from jobsync.sandbox.serve import serve as start
from jobsync.sandbox.sri import SriSandbox
from jobsync.wiring import Tools

app = group("Stand-ins for the outside services.")
ScenarioFile = Annotated[
    Path | None, option("FILE", "TOML or JSON; default: six dealerships, and an SRI that answers.", "--scenario")
]
Environment = Annotated[str, option("NAME", "test or production.")]


@command("sandbox serve --port 8080", of=app)
def serve(
    tools: Tools,
    scenario: ScenarioFile = None,
    host: Annotated[str, option("ADDRESS", "Listen here.")] = "127.0.0.1",
    port: Annotated[int, option("N", "0: any free one.", min=0, max=65535)] = 0,
) -> None:
    """Serve the stand-ins until SIGTERM or Ctrl-C; prints the variables that lead there."""
    environ = tools.environ
    played = load_scenario(scenario) if scenario else Scenario()
    ends = (signal.SIGTERM, signal.SIGINT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # for the threads of the server too
    try:
        with start(BothVendors(EasyCarsSandbox(played), SriSandbox(played.sri)), host, port) as served:
            say(f"EasyCars stand-in, Ctrl-C ends it: JOBSYNC_EASYCARS_URL={served.url}")
            say(f"SRI stand-in, on the same port: JOBSYNC_SRI_URL={served.origin}")
            if read_proxies(environ, environ.get("JOBSYNC_PROXY") or None):
                exempt = exempting(environ, host)["no_proxy"]
                say(f"Both are asked without the proxy that is set here: NO_PROXY={exempt} no_proxy={exempt}")
            sys.stdout.flush()
            signal.sigwait(ends)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    say("The stand-ins have ended.")


@command("sandbox seed --documents 20", of=app)
def seed_(
    tools: Tools,
    scenario: ScenarioFile = None,
    documents: Annotated[int, option("N", "How many.", min=0, max=100_000)] = 12,
    environment: Environment = "test",
    add: Annotated[bool, flag("Also where dealerships or tenants are already; what is there stays.")] = False,
) -> Answer:
    """
    Fill a test database with the dealerships, tenants and documents that `sandbox serve` knows; all or nothing.

    A database that holds dealerships or tenants is refused.
    """
    from jobsync.sandbox.seed import seed  # the database's room with it: dear to whoever only serves

    played = load_scenario(scenario) if scenario else Scenario()
    _code(environment)
    cipher = tools.cipher
    with tools.transaction() as connection:
        made = seed(connection, cipher, played, invented=documents, environment=environment, add=add)
    others = dict(made["documents"])
    imported = others.pop("imported", 0)
    return said(
        made,
        f"{len(made['dealerships'])} dealerships, {len(made['tenants'])} tenants and {imported} documents added",
        *(f"documents {status}: {number}" for status, number in others.items()),
        "run jobsync sandbox serve, set the variables that it prints, then: jobsync stock-sync;",
        "jobsync check-authorizations; jobsync generate-ride",
    )


def _code(environment: str) -> str:
    if environment not in ENVIRONMENTS:
        raise UsageProblem(f"--environment is {environment!r}, expected {' or '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[environment]


@command("sandbox documents inbox --count 20", of=app)
def documents(
    folder: Annotated[Path, argument("FOLDER", "Made if it is not there.")],
    count: Annotated[int, option("N", "How many.", min=1, max=1_000_000)] = 12,
    seed: Annotated[int, option("N", "Other documents for another seed.", min=0)] = 1,
    environment: Environment = "test",
    rich: Annotated[bool, flag("Up to 20 lines, and what else documents can have.")] = False,
) -> Answer:
    """Invent fiscal documents of taxpayers that do not exist, a file each, all six kinds in turn."""
    made = invent_documents(count, seed=seed, environment=_code(environment), rich=rich)
    try:
        keys = write_documents(folder, made)
    except OSError as error:
        raise UsageProblem(f"cannot write to {folder}: {error.strerror or error}") from error
    issuers = {key[10:23]: taxpayer_of(key[10:23]).name for key in keys}
    return said(
        {"folder": str(folder), "documents": keys, "issuers": issuers},
        f"{len(keys)} documents in {folder}; their issuers:",
        *(f"jobsync tenant add {ruc} {shlex.quote(name)} --environment {environment}" for ruc, name in issuers.items()),
    )
