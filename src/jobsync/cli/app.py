"""The root of the command line: every noun is hung in here, nothing is decided here."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync import __version__
from jobsync.cli import (
    audit,
    completion,
    credentials,
    cron,
    database,
    dealership,
    demo,
    doctor,
    health,
    holds,
    invoice,
    jobs,
    logs,
    manual,
    report,
    ride,
    runs,
    sandbox,
    schedule,
    settings,
    sri,
    status,
    stock,
    tenant,
    units,
)
from jobsync.cli.options import Group
from jobsync.wiring import Tools

app = typer.Typer(
    name="jobsync",
    cls=Group,
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


app.command("stock-sync")(jobs.stock_sync)
app.command("check-authorizations")(jobs.check_authorizations)
app.command("generate-ride")(jobs.generate_ride)
app.add_typer(database.app, name="db")
app.add_typer(dealership.app, name="dealership")
app.add_typer(credentials.app, name="credentials")
app.add_typer(settings.app, name="settings")
app.add_typer(holds.app, name="holds")
app.add_typer(holds.app, name="removals", hidden=True)  # the name of old
app.add_typer(stock.app, name="stock")
app.add_typer(tenant.app, name="tenant")
app.add_typer(invoice.app, name="invoice")
app.add_typer(sri.app, name="sri")
app.add_typer(ride.app, name="ride")
app.add_typer(runs.app, name="runs")
app.command("logs")(logs.logs)
app.command("locks")(runs.locks)
app.add_typer(schedule.app, name="schedule")
app.command("status")(status.status)
app.command("health")(health.health)
app.command("doctor")(doctor.doctor)
app.command("report")(report.report)
app.command("metrics")(report.metrics)
app.command("alert")(health.alert)
app.command("audit")(audit.audit)
app.add_typer(units.app, name="units")
app.add_typer(cron.app, name="cron")
app.command("completion")(completion.completion)
app.command("man")(manual.man)
app.add_typer(sandbox.app, name="sandbox")
app.command("demo")(demo.demo)
