"""`jobsync check-authorizations`."""

from __future__ import annotations

from typing import Annotated

import typer

from jobsync.cli.options import Json, tools_of
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
from jobsync.jobs import CHECK_AUTHORIZATIONS
from jobsync.runner.job import Report
from jobsync.sri.job import CheckAuthorizations, item_json
from jobsync.wiring.sri import make_client


def check_authorizations(
    context: typer.Context,
    tenant: TenantRucs = None,
    access_key: AccessKeys = None,
    scheduled: Scheduled = False,
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the SRI, and write nothing.")] = False,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """
    Ask the SRI whether documents are authorized.

    Without options: about every document whose next check is due.
    """
    tools = tools_of(context)
    keys, tenants = each_once(access_key), each_once(tenant)

    def prepare() -> Make:
        if scheduled and keys:
            raise UsageProblem("--scheduled asks what is due; it cannot go with --access-key")
        return lambda settings: CheckAuthorizations(
            make_client(tools, settings), settings, keys, tenants, limit, every=not scheduled
        )

    def tell(report: Report, items: Items) -> None:
        print_items(items, {"status": "status", "why": "reason", "codes": "codes", "tenant": "tenant_ruc"})
        print_verdict(report, dry_run=dry_run, outcomes=[item["status"] for item in items])

    carry_out(
        context,
        CHECK_AUTHORIZATIONS,
        prepare,
        item_json,
        tell,
        scheduled=scheduled,
        wait_s=wait,
        as_json=as_json,
        dry_run=dry_run,
    )
