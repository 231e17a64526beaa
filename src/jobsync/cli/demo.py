"""jobsync demo: two nights of stock sync, for somebody who has never seen it."""

from __future__ import annotations

import typer


def demo(context: typer.Context) -> None:
    """Two nights of stock sync on a private Postgres and a stand-in EasyCars."""
    raise typer.Exit(1)
