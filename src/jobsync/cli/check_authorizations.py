"""`jobsync check-authorizations`."""

from typing import Annotated

from jobsync.cli import run
from jobsync.cli.command import Answer, Json, command, flag
from jobsync.errors import UsageProblem
from jobsync.jobs import CHECK_AUTHORIZATIONS
from jobsync.runner.job import Report
from jobsync.sri.job import CheckAuthorizations, item_json
from jobsync.wiring import Tools
from jobsync.wiring.sri import make_client


@command("check-authorizations --tenant 1790012345001 --limit 50")
def check_authorizations(
    tools: Tools,
    tenant: run.TenantRucs = None,
    access_key: run.AccessKeys = None,
    scheduled: run.Scheduled = False,
    limit: run.Limit = None,
    dry_run: Annotated[bool, flag("Ask the SRI, and write nothing.")] = False,
    wait: run.Wait = 0.0,
    as_json: Json = False,
) -> Answer:
    """
    Ask the SRI whether documents are authorized.

    Without options: about every document whose next check is due.
    """
    keys, tenants = run.each_once(access_key), run.each_once(tenant)

    def prepare() -> run.Make:
        if scheduled and keys:
            raise UsageProblem("--scheduled asks what is due; it cannot go with --access-key")
        return lambda settings: CheckAuthorizations(
            settings=settings,
            client=make_client(tools, settings),
            access_keys=keys,
            tenants=tenants,
            limit=limit,
            every=not scheduled,
        )

    def tell(report: Report, items: run.Items) -> None:
        run.print_items(items, {"status": "status", "why": "reason", "codes": "codes", "tenant": "tenant_ruc"})
        run.print_verdict(report, dry_run=dry_run, outcomes=[item["status"] for item in items])

    how = {"scheduled": scheduled, "as_json": as_json, "dry_run": dry_run}
    return run.carry_out(tools, CHECK_AUTHORIZATIONS, prepare, item_json, tell, wait_s=wait, **how)
