"""`jobsync stock-sync`."""

from functools import partial
from typing import Annotated, Any

from jobsync.cli import run
from jobsync.cli.command import Answer, Json, command, flag, option
from jobsync.cli.output import print_table, say
from jobsync.db.system_settings import SystemSettings
from jobsync.easycars.job import item_json
from jobsync.easycars.phrases import EMPTY_FEED, FOREIGN_FEED
from jobsync.errors import ExitCode
from jobsync.jobs import STOCK_SYNC
from jobsync.logs import visible
from jobsync.runner.job import ItemStatus, Report
from jobsync.runner.run import JobWork
from jobsync.wiring import Tools
from jobsync.wiring import easycars as wiring


@command("stock-sync --dealership 17 --dry-run")
def stock_sync(
    tools: Tools,
    dealership: Annotated[
        list[int] | None, option("ID", "Only this one, even if paused, or with --scheduled if it is due (repeatable).")
    ] = None,
    scheduled: run.Scheduled = False,
    dry_run: Annotated[bool, flag("Show what would change; write nothing.")] = False,
    concurrency: Annotated[
        int | None, option("N", "Dealerships at once; default: easycar_sync_concurrency.", min=1, max=32)
    ] = None,
    wait: run.Wait = 0.0,
    as_json: Json = False,
) -> Answer:
    """
    Bring dealerships' EasyCars stock into Postgres.

    Without options: that of every dealership which is neither paused nor switched off, now.
    """
    named = tuple(sorted(set(dealership or ())))

    def make(settings: SystemSettings) -> JobWork:
        return wiring.stock_sync(tools, settings, named=named, scheduled=scheduled, concurrency=concurrency)

    def tell(report: Report, items: run.Items) -> None:
        nobody = _NONE_DUE if scheduled else "no dealership is eligible"
        nobody = nobody if report.exit_code is ExitCode.DONE else "no dealership was reached"
        items.sort(key=lambda item: item["dealership_id"])
        told = [{**item, "dealership": f"{item['dealership_id']} {item['name']}"} for item in items]
        numbers = [name for name in _NUMBERS if any(item[name] for item in items)]
        print_table(["dealership", "status", *numbers], told, empty=nobody)
        for item in told:
            if why := _why(item, dry_run=dry_run):
                say(f"{item['dealership']}: {why}")
        for item in told:
            if plan := [_planned(entry) for entry in item.get("plan", [])]:
                print_table(["stock number", "action", "changes", "reason"], plan, title=item["dealership"])
        run.print_verdict(report, dry_run=dry_run)

    shape = partial(item_json, dry_run=dry_run)
    how = {"scheduled": scheduled, "as_json": as_json, "dry_run": dry_run}
    return run.carry_out(tools, STOCK_SYNC, lambda: make, shape, tell, wait_s=wait, **how)


_NONE_DUE = "no dealership is due: jobsync schedule show has the next slots"
_NUMBERS = ("created", "updated", "unchanged", "revived", "refused", "skipped", "removed", "held")


def _why(item: dict[str, Any], *, dry_run: bool) -> str:
    reason = str(item.get("reason") or "")
    if item["status"] == ItemStatus.HELD:
        return _why_held(item["dealership_id"], reason, dry_run=dry_run)
    if reason == "vendor_warning" and item.get("removed"):
        return "the vendor warned (Code 5): nothing was removed but what was approved"
    return str(item.get("error") or _REASONS.get(reason, reason) or "; ".join(item["warnings"]) or "")


_REASONS = {
    "refused_items": "items were refused: jobsync stock refused",
    "vendor_warning": "the vendor warned (Code 5): nothing was removed",
    "no_credentials": "no credentials: jobsync credentials set",
    "auto_sync_off": "switched off",
}
_HOLDS = {
    "limit": "too many would go",
    "drain": "too many would go within a week",
    "empty_feed": EMPTY_FEED,
    "sold": "too many would become sold",
    "prices": "too many prices would go or change tenfold",
    "pictures": "too many would lose all pictures",
    "descriptions": "too many would lose their description",
    "foreign_feed": FOREIGN_FEED,
}


def _why_held(dealership_id: int, reason: str, *, dry_run: bool) -> str:
    reasons = reason.split(", ")
    told = "; ".join(_HOLDS.get(word, word) for word in reasons)
    doubtful = {"empty_feed", "foreign_feed"} & set(reasons)
    first = f"jobsync credentials test {dealership_id}; " if doubtful else ""
    return f"{told}: {first}{'a run that writes would hold them and ask' if dry_run else 'jobsync holds list'}"


def _planned(entry: dict[str, Any]) -> dict[str, Any]:
    shown = entry["changes"].items() if entry["action"] != "create" else ()
    changes = "; ".join(f"{name}: {_short(old)} -> {_short(new)}" for name, (old, new) in shown)
    return {"reason": None, **entry, "stock number": entry["stock_number"], "changes": changes}


def _short(value: object) -> str:
    return visible("nothing" if value is None else value, most=40)
