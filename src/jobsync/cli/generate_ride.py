"""`jobsync generate-ride`."""

from typing import Annotated

from jobsync.cli import run
from jobsync.cli.command import Answer, Json, command, flag
from jobsync.cli.output import say
from jobsync.errors import UsageProblem
from jobsync.jobs import GENERATE_RIDE
from jobsync.ride.job import GenerateRide, item_json
from jobsync.runner.job import Report
from jobsync.wiring import Tools
from jobsync.wiring.ride import open_document, storage_of


@command("generate-ride --missing --tenant 1790012345001")
def generate_ride(
    tools: Tools,
    tenant: run.TenantRucs = None,
    access_key: run.AccessKeys = None,
    scheduled: run.Scheduled = False,
    force: Annotated[bool, flag("Render anew what has its file already.")] = False,
    missing: Annotated[bool, flag("Render again those whose file is missing or altered.")] = False,
    limit: run.Limit = None,
    wait: run.Wait = 0.0,
    as_json: Json = False,
) -> Answer:
    """
    Render the RIDE (PDF) of authorized documents.

    Without options: of every one that is due, which means new or to be tried again.
    """
    keys, tenants = run.each_once(access_key), run.each_once(tenant)

    def prepare() -> run.Make:
        if scheduled and (keys or force or missing):
            raise UsageProblem("--scheduled asks what is due; it cannot go with --access-key, --force or --missing")
        if force and missing:
            raise UsageProblem("--force renders anew whatever is there, --missing what is not: one of the two")
        if force and not (keys or tenants):
            raise UsageProblem("--force renders anew: say whose with --tenant, or which with --access-key")
        storage = storage_of(tools)  # a missing setting is named before anything else
        return lambda settings: GenerateRide(
            settings=settings,
            storage=storage,
            open_file=open_document,
            access_keys=keys,
            tenants=tenants,
            force=force,
            missing=missing,
            limit=limit,
            every=not scheduled,
        )

    def tell(report: Report, items: run.Items) -> None:
        if items or not report.error:
            columns = {"status": "status", "why": "reason", "bytes": "bytes", "tenant": "tenant_ruc"}
            run.print_items(items, columns, empty="no file is missing or altered" if missing else "nothing is due")
        if paths := [str(item["path"]) for item in items if item["path"]]:
            number = "1 file below" if len(paths) == 1 else f"{len(paths)} files, such as this one, below"
            say(f"{number} {storage_of(tools).root}")
            say(paths[0])
        run.print_verdict(report, dry_run=False)

    how = {"scheduled": scheduled, "as_json": as_json}
    return run.carry_out(tools, GENERATE_RIDE, prepare, item_json, tell, wait_s=wait, **how)
