"""jobsync sandbox: stand-ins for the vendors, for trying out and for tests."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from jobsync.cli.options import Json, group, tools_of
from jobsync.cli.output import say, show
from jobsync.proxies import exempting, read_proxies

app = group("Stand-ins for the outside services.")


@app.callback()
def sandbox() -> None:
    """Stand-ins for the outside services."""


@app.command()
def serve(
    context: typer.Context,
    scenario: Annotated[
        Path | None,
        typer.Option(
            "--scenario",
            metavar="FILE",
            help="TOML or JSON; default: six dealerships, and an SRI that answers.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Listen here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: any free one.")] = 0,
) -> None:
    """Serve the stand-ins until SIGTERM or Ctrl-C; prints the variables that lead there."""
    from jobsync.sandbox.serve import serve_forever

    environ = tools_of(context).environ
    also = None
    if read_proxies(environ, environ.get("JOBSYNC_PROXY") or None):
        exempt = exempting(environ, host)["no_proxy"]
        also = f"Both are asked without the proxy that is set here: NO_PROXY={exempt} no_proxy={exempt}"
    serve_forever(scenario, host, port, also=also)


@app.command()
def documents(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made if it is not there.", show_default=False)],
    count: Annotated[int, typer.Option("--count", min=1, max=1_000_000, metavar="N", help="How many.")] = 12,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Other documents for another seed.")] = 1,
    environment: Annotated[str, typer.Option("--environment", metavar="NAME", help="test or production.")] = "test",
    rich: Annotated[bool, typer.Option("--rich", help="Up to 20 lines, and what else documents can have.")] = False,
    as_json: Json = False,
) -> None:
    """Invent fiscal documents of taxpayers that do not exist, a file each, all six kinds in turn."""
    from jobsync.errors import UsageProblem
    from jobsync.sandbox.documents import invent_documents, taxpayer_of, write_documents

    codes = {"test": "1", "production": "2"}
    if environment not in codes:
        raise UsageProblem(f"--environment is {environment!r}, expected test or production")
    made = invent_documents(count, seed=seed, environment=codes[environment], rich=rich)
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
