"""jobsync sandbox: stand-ins for the vendors, and data that they know, for trying out and for tests."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from jobsync.cli.options import Json, group, tools_of, transaction
from jobsync.cli.output import say, show
from jobsync.errors import UsageProblem
from jobsync.proxies import exempting, read_proxies
from jobsync.sandbox.documents import ENVIRONMENTS, invent_documents, taxpayer_of, write_documents
from jobsync.sandbox.scenario import Scenario, load_scenario
from jobsync.sandbox.serve import serve_forever

app = group("Stand-ins for the outside services.")
ScenarioFile = Annotated[
    Path | None,
    typer.Option(
        "--scenario",
        metavar="FILE",
        help="TOML or JSON; default: six dealerships, and an SRI that answers.",
        show_default=False,
    ),
]
Environment = Annotated[str, typer.Option("--environment", metavar="NAME", help="test or production.")]


@app.callback()
def sandbox() -> None:
    """Stand-ins for the outside services."""


@app.command()
def serve(
    context: typer.Context,
    scenario: ScenarioFile = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Listen here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: any free one.")] = 0,
) -> None:
    """Serve the stand-ins until SIGTERM or Ctrl-C; prints the variables that lead there."""
    environ = tools_of(context).environ
    also = None
    if read_proxies(environ, environ.get("JOBSYNC_PROXY") or None):
        exempt = exempting(environ, host)["no_proxy"]
        also = f"Both are asked without the proxy that is set here: NO_PROXY={exempt} no_proxy={exempt}"
    serve_forever(scenario, host, port, also=also)


@app.command("seed")
def seed_(
    context: typer.Context,
    scenario: ScenarioFile = None,
    documents: Annotated[int, typer.Option("--documents", min=0, max=100_000, metavar="N", help="How many.")] = 12,
    environment: Environment = "test",
    add: Annotated[
        bool, typer.Option("--add", help="Also where dealerships or tenants are already; what is there stays.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Fill a test database with the dealerships, tenants and documents that `sandbox serve` knows; all or nothing.

    A database that holds dealerships or tenants is refused.
    """
    from jobsync.sandbox.seed import seed  # the database's room with it: dear to whoever only serves

    played = load_scenario(scenario) if scenario else Scenario()
    _code(environment)
    cipher = tools_of(context).cipher
    with transaction(context) as connection:
        made = seed(connection, cipher, played, invented=documents, environment=environment, add=add)
    show(made, as_json=as_json, otherwise=lambda: _tell_seeded(made))


def _code(environment: str) -> str:
    if environment not in ENVIRONMENTS:
        raise UsageProblem(f"--environment is {environment!r}, expected {' or '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[environment]


def _tell_seeded(made: dict[str, Any]) -> None:
    others = dict(made["documents"])
    imported = others.pop("imported", 0)
    say(f"{len(made['dealerships'])} dealerships, {len(made['tenants'])} tenants and {imported} documents added")
    for status, number in others.items():
        say(f"documents {status}: {number}")
    say("run jobsync sandbox serve, set the variables that it prints, then: jobsync stock-sync;")
    say("jobsync check-authorizations; jobsync generate-ride")


@app.command()
def documents(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made if it is not there.", show_default=False)],
    count: Annotated[int, typer.Option("--count", min=1, max=1_000_000, metavar="N", help="How many.")] = 12,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Other documents for another seed.")] = 1,
    environment: Environment = "test",
    rich: Annotated[bool, typer.Option("--rich", help="Up to 20 lines, and what else documents can have.")] = False,
    as_json: Json = False,
) -> None:
    """Invent fiscal documents of taxpayers that do not exist, a file each, all six kinds in turn."""
    made = invent_documents(count, seed=seed, environment=_code(environment), rich=rich)
    try:
        keys = write_documents(folder, made)
    except OSError as error:
        raise UsageProblem(f"cannot write to {folder}: {error.strerror or error}") from error
    issuers = {key[10:23]: taxpayer_of(key[10:23]).name for key in keys}
    document = {"folder": str(folder), "documents": keys, "issuers": issuers}
    show(document, as_json=as_json, otherwise=lambda: _tell(folder, keys, issuers, environment))


def _tell(folder: Path, keys: list[str], issuers: dict[str, str], environment: str) -> None:
    say(f"{len(keys)} documents in {folder}; their issuers:")
    for ruc, name in issuers.items():
        say(f"jobsync tenant add {ruc} {shlex.quote(name)} --environment {environment}")
