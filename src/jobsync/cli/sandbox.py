"""jobsync sandbox: stand-ins for the vendors, for trying out and for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobsync.cli.options import group

app = group("Stand-ins for the outside services.")


@app.callback()
def sandbox() -> None:
    """Stand-ins for the outside services."""


@app.command()
def serve(
    scenario: Annotated[
        Path | None,
        typer.Option("--scenario", metavar="FILE", help="TOML or JSON; default: six dealerships.", show_default=False),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: any free one.")] = 0,
) -> None:
    """Serve the stand-in until SIGTERM or Ctrl-C; prints the variable that leads there."""
    from jobsync.sandbox.serve import serve_forever

    serve_forever(scenario, host, port)
