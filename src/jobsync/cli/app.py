"""The root of the command line: every noun is hung in here, nothing is decided here."""

from typing import Annotated

import typer

from jobsync import __version__
from jobsync.cli.command import as_epilog
from jobsync.cli.lazy import CommandPlace, lazy_root
from jobsync.errors import UsageProblem
from jobsync.jobs import CHECK_AUTHORIZATIONS, GENERATE_RIDE, STOCK_SYNC
from jobsync.logs import configure_logs
from jobsync.masking import register_secret
from jobsync.settings import LOG_LEVELS
from jobsync.wiring import Tools

_BY_HAND, _STATE = "Run a job now", "What is wrong, what ran, who is told"
_CARS, _INVOICES = "Dealerships and their stock", "Tenants and their documents"
_SETUP, _SHELL = "Configuration and installation", "To try, and to learn"

# In the order in which help lists them; a command's file is imported when it is called.
COMMANDS = {
    STOCK_SYNC.name: CommandPlace("jobsync.cli.stock_sync", "stock_sync", panel=_BY_HAND),
    CHECK_AUTHORIZATIONS.name: CommandPlace("jobsync.cli.check_authorizations", "check_authorizations", panel=_BY_HAND),
    GENERATE_RIDE.name: CommandPlace("jobsync.cli.generate_ride", "generate_ride", panel=_BY_HAND),
    "status": CommandPlace("jobsync.cli.status", "status", panel=_STATE),
    "health": CommandPlace("jobsync.cli.health", "health", panel=_STATE),
    "doctor": CommandPlace("jobsync.cli.doctor", "doctor", panel=_STATE),
    "runs": CommandPlace("jobsync.cli.runs", "app", panel=_STATE),
    "logs": CommandPlace("jobsync.cli.logs", "logs", panel=_STATE),
    "locks": CommandPlace("jobsync.cli.runs", "locks", panel=_STATE),
    "schedule": CommandPlace("jobsync.cli.schedule", "app", panel=_STATE),
    "audit": CommandPlace("jobsync.cli.audit", "audit", panel=_STATE),
    "report": CommandPlace("jobsync.cli.report", "report", panel=_STATE),
    "metrics": CommandPlace("jobsync.cli.metrics", "metrics", panel=_STATE),
    "alerts": CommandPlace("jobsync.cli.alerts", "app", panel=_STATE),
    "alert": CommandPlace("jobsync.cli.health", "alert", panel=_STATE),
    "dealership": CommandPlace("jobsync.cli.dealership", "app", panel=_CARS),
    "credentials": CommandPlace("jobsync.cli.credentials", "app", panel=_CARS),
    "holds": CommandPlace("jobsync.cli.holds", "app", panel=_CARS),
    "removals": CommandPlace("jobsync.cli.holds", "app", hidden=True),  # the name of old
    "stock": CommandPlace("jobsync.cli.stock", "app", panel=_CARS),
    "tenant": CommandPlace("jobsync.cli.tenant", "app", panel=_INVOICES),
    "invoice": CommandPlace("jobsync.cli.invoice", "app", panel=_INVOICES),
    "sri": CommandPlace("jobsync.cli.sri", "app", panel=_INVOICES),
    "ride": CommandPlace("jobsync.cli.ride", "app", panel=_INVOICES),
    "storage": CommandPlace("jobsync.cli.storage", "app", panel=_INVOICES),
    "settings": CommandPlace("jobsync.cli.settings", "app", panel=_SETUP),
    "db": CommandPlace("jobsync.cli.database", "app", panel=_SETUP),
    "adopt": CommandPlace("jobsync.cli.adopt", "adopt", panel=_SETUP),
    "units": CommandPlace("jobsync.cli.units", "app", panel=_SETUP),
    "cron": CommandPlace("jobsync.cli.cron", "app", panel=_SETUP),
    "demo": CommandPlace("jobsync.sandbox.demo", "demo", panel=_SHELL),
    "sandbox": CommandPlace("jobsync.sandbox.commands", "app", panel=_SHELL),
    "completion": CommandPlace("jobsync.cli.completion", "completion", panel=_SHELL),
    "values": CommandPlace("jobsync.cli.values", "values", hidden=True),  # what the scripts ask
    "man": CommandPlace("jobsync.cli.manual", "man", panel=_SHELL),
}

_EXAMPLES = (
    "status                        what is wrong, and what to do",
    "stock-sync --dealership 17    one dealership now",
    "runs list -h                  how a command is used",
    "man | man -l -                all of it",
)

app = typer.Typer(
    name="jobsync",
    cls=lazy_root(COMMANDS),
    help="Scheduled business jobs as one-shot commands: systemd wakes them, Postgres says what is due.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=as_epilog(_EXAMPLES),
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"jobsync {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Less log, as JOBSYNC_LOG_LEVEL=warning.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More log, as JOBSYNC_LOG_LEVEL=debug.")] = False,
) -> None:
    if quiet and verbose:
        raise UsageProblem("-q asks for less log and -v for more: give one of them")
    tools = context.obj if isinstance(context.obj, Tools) else Tools()
    context.obj = tools
    context.call_on_close(tools.close)
    if quiet or verbose:
        tools.environ["JOBSYNC_LOG_LEVEL"] = "warning" if quiet else "debug"
    level = tools.environ.get("JOBSYNC_LOG_LEVEL", "info")
    configure_logs(level if level.lower() in LOG_LEVELS else "info", tools.environ.get("JOBSYNC_LOG_FORMAT", "auto"))
    for name in ("JOBSYNC_ENCRYPTION_KEY", "JOBSYNC_ENCRYPTION_KEY_PREVIOUS", "EASYCARS_ENCRYPTION_KEY"):
        register_secret(tools.environ.get(name, ""))
