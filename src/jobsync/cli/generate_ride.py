"""`jobsync generate-ride`."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync.cli.options import Json, tools_of
from jobsync.cli.output import say
from jobsync.cli.run import (
    AccessKeys,
    Items,
    Limit,
    Make,
    Scheduled,
    TenantRucs,
    Wait,
    carry_out,
    each_once,
    print_items,
    print_verdict,
)
from jobsync.errors import UsageProblem
from jobsync.jobs import GENERATE_RIDE
from jobsync.ride.job import GenerateRide, item_json
from jobsync.runner.job import Report
from jobsync.wiring.ride import document_in, storage_of


def generate_ride(
    context: typer.Context,
    tenant: TenantRucs = None,
    access_key: AccessKeys = None,
    scheduled: Scheduled = False,
    force: Annotated[bool, typer.Option("--force", help="Render anew what has its file already.")] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Render again those whose file is missing or altered.")
    ] = False,
    limit: Limit = None,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """
    Render the RIDE (PDF) of authorized documents.

    Without options: of every one that is due, which means new or to be tried again.
    """
    tools = tools_of(context)
    keys, tenants = each_once(access_key), each_once(tenant)

    def prepare() -> Make:
        if scheduled and (keys or force or missing):
            raise UsageProblem("--scheduled asks what is due; it cannot go with --access-key, --force or --missing")
        if force and missing:
            raise UsageProblem("--force renders anew whatever is there, --missing what is not: one of the two")
        if force and not (keys or tenants):
            raise UsageProblem("--force renders anew: say whose with --tenant, or which with --access-key")
        storage = storage_of(tools)  # a missing setting is named before anything else
        return lambda settings: GenerateRide(
            storage,
            settings,
            document_in,
            access_keys=keys,
            tenants=tenants,
            force=force,
            missing=missing,
            limit=limit,
            every=not scheduled,
        )

    def tell(report: Report, items: Items) -> None:
        if items or not report.error:
            columns = {"status": "status", "why": "reason", "bytes": "bytes", "tenant": "tenant_ruc"}
            print_items(items, columns, empty="no file is missing or altered" if missing else "nothing is due")
        if paths := [str(item["path"]) for item in items if item["path"]]:
            number = "1 file below" if len(paths) == 1 else f"{len(paths)} files, such as this one, below"
            say(f"{number} {storage_of(tools).root}")
            say(paths[0])
        print_verdict(report, dry_run=False)

    carry_out(context, GENERATE_RIDE, prepare, item_json, tell, scheduled=scheduled, wait_s=wait, as_json=as_json)
