"""The root of the command line: every noun is hung in here, nothing is decided here."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync import __version__
from jobsync.cli.lazy import Place, lazy_root
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC
from jobsync.wiring import Tools

# In the order in which help lists them; a command's file is imported when it is called.
COMMANDS = {
    STOCK_SYNC.name: Place("jobsync.cli.jobs", "stock_sync"),
    CHECK_AUTHORIZATIONS.name: Place("jobsync.cli.jobs", "check_authorizations"),
    GENERATE_RIDE.name: Place("jobsync.cli.jobs", "generate_ride"),
    "logs": Place("jobsync.cli.logs", "logs"),
    "locks": Place("jobsync.cli.runs", "locks"),
    "status": Place("jobsync.cli.status", "status"),
    "health": Place("jobsync.cli.health", "health"),
    "doctor": Place("jobsync.cli.doctor", "doctor"),
    "report": Place("jobsync.cli.report", "report"),
    "metrics": Place("jobsync.cli.report", "metrics"),
    "alert": Place("jobsync.cli.health", "alert"),
    "alerts": Place("jobsync.cli.alerts", "app"),
    "audit": Place("jobsync.cli.audit", "audit"),
    "completion": Place("jobsync.cli.completion", "completion"),
    "man": Place("jobsync.cli.manual", "man"),
    "demo": Place("jobsync.sandbox.demo", "demo"),
    "adopt": Place("jobsync.cli.adopt", "adopt"),
    "db": Place("jobsync.cli.database", "app"),
    "dealership": Place("jobsync.cli.dealership", "app"),
    "credentials": Place("jobsync.cli.credentials", "app"),
    "settings": Place("jobsync.cli.settings", "app"),
    "holds": Place("jobsync.cli.holds", "app"),
    "removals": Place("jobsync.cli.holds", "app", hidden=True),  # the name of old
    "stock": Place("jobsync.cli.stock", "app"),
    "tenant": Place("jobsync.cli.tenant", "app"),
    "invoice": Place("jobsync.cli.invoice", "app"),
    "sri": Place("jobsync.cli.sri", "app"),
    "ride": Place("jobsync.cli.ride", "app"),
    "runs": Place("jobsync.cli.runs", "app"),
    "schedule": Place("jobsync.cli.schedule", "app"),
    "units": Place("jobsync.cli.units", "app"),
    "cron": Place("jobsync.cli.cron", "app"),
    "sandbox": Place("jobsync.sandbox.commands", "app"),
}

app = typer.Typer(
    name="jobsync",
    cls=lazy_root(COMMANDS),
    help="Scheduled business jobs as one-shot commands: systemd wakes them, Postgres says what is due.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"jobsync {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Scheduled business jobs as one-shot commands: systemd wakes them, Postgres says what is due."""
    from jobsync.logs import configure_logs, register_secret

    tools = context.obj if isinstance(context.obj, Tools) else Tools()
    context.obj = tools
    context.call_on_close(tools.close)
    configure_logs(
        tools.environ.get("JOBSYNC_LOG_LEVEL", "info")
        if tools.environ.get("JOBSYNC_LOG_LEVEL", "info").lower() in ("debug", "info", "warning", "error", "critical")
        else "info",
        tools.environ.get("JOBSYNC_LOG_FORMAT", "auto"),
    )
    for name in ("JOBSYNC_ENCRYPTION_KEY", "JOBSYNC_ENCRYPTION_KEY_PREVIOUS", "EASYCARS_ENCRYPTION_KEY"):
        register_secret(tools.environ.get(name, ""))
