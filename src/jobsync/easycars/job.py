"""Stock sync in its order: who is due -> fetch -> sort -> plan -> apply, each dealership in isolation."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Self
from uuid import UUID

import psycopg
from psycopg import Connection

from jobsync.cron import next_slot
from jobsync.db.system_settings import SystemSettings, keep_last_good
from jobsync.easycars import due, store
from jobsync.easycars.client import WARNING, EasyCarsClient, EasyCarsFailure, NotAsked
from jobsync.easycars.credentials import Cipher, Credentials, Place, bound_to, copied_from, sealed_at
from jobsync.easycars.hosts import Hosts, resting
from jobsync.easycars.model import Envelope, Policy, StockPlan
from jobsync.easycars.parse import rules_of
from jobsync.easycars.plan import plan_stock, show_plan, sort_feed
from jobsync.errors import ConfigurationProblem, ExitCode, Unavailable, UsageProblem
from jobsync.hosts.store import claim_hosts, read_hosts
from jobsync.jobs import STOCK_SYNC, Job
from jobsync.logs import get_logger, visible
from jobsync.runner import items as runner
from jobsync.runner.job import ItemResult, ItemStatus
from jobsync.runner.run import DryRun, JobWork, Run, database_now

_SMALL_FEED = 8 << 20  # bytes; a larger one keeps its turn until it is written: few are in memory
_PLANS_MOST = 3
_SEARCHES_MOST = 5
_LOG_STATUS = {
    ItemStatus.SUCCESS: "Success",
    ItemStatus.PARTIAL: "PartialSuccess",
    ItemStatus.HELD: "Held",
}


def lock_name(dealership_id: int) -> str:
    return f"{STOCK_SYNC.name}:dealership:{dealership_id}"


@dataclass(frozen=True)
class StockSync(JobWork):
    """The work of one run."""

    job: ClassVar[Job] = STOCK_SYNC

    read_key: Callable[[], Cipher]  # raises ConfigurationProblem where no key is set
    make_client: Callable[[Callable[[float], bool]], EasyCarsClient]  # by a pause that ends with the run
    hosts: Mapping[str, str]  # the vendor's, by environment
    settings: SystemSettings
    named: tuple[int, ...] = ()  # the dealerships asked for; empty means all that are eligible
    scheduled: bool = False  # only those whose slot or retry has come
    concurrency: int = 1  # dealerships that the vendor is asked for at once

    def require_known(self, connection: Connection[Any]) -> None:
        known = {found.id for found in due.read_dealerships(connection)} if self.named else ()
        if unknown := [str(number) for number in self.named if number not in known]:
            raise UsageProblem(f"no dealership {', '.join(unknown)}; jobsync dealership list shows them")

    def if_due(self, connection: Connection[Any]) -> Self | None:
        """
        Return what of a scheduled run there is to do, None if nothing; brings the schedules up to date first.

        Where dealerships are named this is no tick of the job: nothing is stamped, and the others are left alone.
        """
        if not self.named and super().if_due(connection) is None:
            return None
        self._refresh_schedules(connection)
        items, _, _ = self._choose(connection)
        if not items:
            return None
        return replace(self, named=tuple(int(item.key) for item in items)) if self.named else self

    def told_again_at(self, connection: Connection[Any], now: datetime) -> datetime:
        """At the first slot after now of the dealerships that take part, a day later if none does."""
        rules = {found.rule for found in due.read_dealerships(connection) if found.why_not is None}
        return min((next_slot(rule.cron, rule.timezone, now) for rule in rules), default=now + timedelta(days=1))

    def require_ready(self, connection: Connection[Any]) -> None:
        """
        Look before a run begins whether it can do anything at all.

        Raises:
            Unavailable: (by hand) all hosts that it would ask want to rest.
            ConfigurationProblem: there is no key, or, for a scheduled run, it is not that of the stored credentials: a
                wrong one must not use up everybody's slot. By hand each dealership just fails.
        """
        if not self.scheduled:
            self._require_awake(connection)
        cipher = self.read_key()
        secrets = store.read_account_secrets(connection) if self.scheduled else ()
        if secrets and not any(
            cipher.opens(stored, Place(bound_to(stored) or number, "account_secret")) for number, stored in secrets
        ):
            raise ConfigurationProblem(
                f"JOBSYNC_ENCRYPTION_KEY decrypts none of the stored credentials ({len(secrets)}); use the key they"
                " were stored with, or set them again: jobsync credentials set ID"
            )

    def _rests(self, connection: Connection[Any]) -> dict[str, datetime]:
        return resting(self.hosts, read_hosts(connection, self.hosts.values()))

    def _require_awake(self, connection: Connection[Any]) -> None:
        rests = self._rests(connection)
        items, _, _ = self._choose(connection) if rests else ([], [], False)
        if items and all(item.group in rests for item in items):
            until = min(rests[item.group] for item in items if item.group in rests)
            raise Unavailable(
                f"EasyCars does not want to be asked before {until.isoformat(timespec='seconds')} (Retry-After);"
                " nothing was asked"
            )

    @property
    def named_locks(self) -> tuple[str, ...]:
        """The locks of the named dealerships, in one order for all, so that two runs never wait for each other."""
        return tuple(lock_name(number) for number in sorted(self.named))

    @property
    def connections(self) -> int:
        return self.at_once + 2

    def __call__(self, run: Run | DryRun) -> list[ItemResult]:
        """Sync what is due; returns a result for each dealership, the ineligible ones as skipped."""
        if isinstance(run, Run):
            with run.writing(run.own_fences) as connection:
                keep_last_good(connection, self.settings)
                claim_hosts(connection, self.hosts)
        with run.transaction() as connection:
            known = read_hosts(connection, self.hosts.values())
            takers = [d.environment for d in due.read_dealerships(connection) if d.why_not != "no_credentials"]
            items, skipped, run.streak = self._choose(connection)
        run.eligible = len(items)
        get_logger().info("stock_sync.found", eligible=len(items), message=f"Found {len(items)} dealerships eligible")
        hosts = Hosts(self.hosts, known, Counter(filter(None, takers)), pause=run.pause)
        for environment, until in hosts.resting.items():
            get_logger().warning("stock_sync.host_rests", environment=environment, until=until.isoformat())
        work = _SyncWork(self, self.make_client(run.pause), hosts)
        return [*runner.work_queues(run, hosts.queues(items), work, concurrency=self.at_once), *skipped]

    @property
    def at_once(self) -> int:
        """How many dealerships are worked on at once: while some are written, others are asked for."""
        return self.concurrency + self.writers if self.concurrency > 1 else 1

    @property
    def writers(self) -> int:
        """How many are planned and written at once: Python has one at a time, the others wait for the database."""
        return 1 + self.concurrency // 2

    @property
    def policy(self) -> Policy:
        return Policy(
            limit_percent=self.settings.number("easycar_removal_limit_percent"),
            limit_floor=self.settings.number("easycar_removal_limit_floor"),
            grace_days=self.settings.number("easycar_removal_grace_days"),
            status_map=self.settings.status_map(),
        )

    def _refresh_schedules(self, connection: Connection[Any]) -> None:
        """Compute the next slot of each (named) dealership that has none, or whose cron, zone or clock has changed."""
        now = database_now(connection)
        # in one order for all: two runs would else wait for each other's rows
        for found in sorted(due.read_dealerships(connection), key=lambda each: each.id):
            rule, next_at = found.rule, found.slot(now)
            as_it_was = found.keeps_rule and (found.seen, found.next_at) == (found.wanted.seen, next_at)
            if (self.named and found.id not in self.named) or (as_it_was and not found.clock_ahead):
                continue
            for text in rule.unreadable:
                get_logger().warning(
                    "stock_sync.schedule_unreadable",
                    dealership_id=found.id,
                    value=visible(text, most=80),
                    in_force=f"{rule.cron} @ {rule.timezone}",
                )
            if found.clock_ahead:
                get_logger().warning(
                    "stock_sync.clock_was_ahead",
                    dealership_id=found.id,
                    message="what was written of it lies in the future: the clock was wrong; the slot is computed anew",
                )
            store.write_schedule(connection, found, next_at=next_at)

    def _choose(self, connection: Connection[Any]) -> tuple[list[runner.Item], list[ItemResult], bool]:
        """Return what to work on, in order, what is left out with the reason, and whether a slot is among the work."""
        self.require_known(connection)
        dealerships = due.read_dealerships(connection)
        taking_part = [d for d in dealerships if d.why_not is None]
        chosen = [d for d in dealerships if d.id in self.named] if self.named else taking_part
        if self.scheduled:
            rests = self._rests(connection)
            chosen = [d for d in chosen if d.due and d.why_not is None and d.environment not in rests]
        for d in chosen:
            if d.why_not in ("auto_sync_off", "paused"):
                get_logger().warning("stock_sync.overridden", dealership_id=d.id, name=d.name, why=d.why_not)
        items = [
            runner.Item(
                str(d.id),
                d.name,
                lock_name(d.id),
                named=bool(self.named),
                about={"dealership_id": d.id},
                group=d.environment if d.why_not != "no_credentials" else None,
                seen=(d.slot_started_at, d.retry_at),
            )
            for d in chosen
        ]
        left_out = [
            ItemResult(str(d.id), d.name, ItemStatus.SKIPPED, reason=d.why_not)
            for d in dealerships
            if d.why_not is not None and not self.named and not self.scheduled
        ]
        return items, left_out, self.scheduled and any(d.due == "slot" for d in chosen)


@dataclass(frozen=True)
class Feed:
    """What the vendor gave."""

    envelope: Envelope
    yard_code: str | None
    copied_from: int | None = None  # whose credentials somebody copied into this one's row


class _SyncWork:
    """Stock sync's side of runner.items.Work."""

    def __init__(self, job: StockSync, client: EasyCarsClient, hosts: Hosts) -> None:
        self._job = job
        self._cipher = job.read_key()
        self._client = client
        self._hosts = hosts
        self._before: dict[str, store.StoredAttempt] = {}
        self._stored: dict[str, store.StoredCredentials | None] = {}
        self._asking = threading.BoundedSemaphore(job.concurrency)
        self._writing = threading.BoundedSemaphore(job.writers)

    def begin(self, connection: Connection[Any], item: runner.Item) -> int:
        dealership_id = int(item.key)
        _require(connection, dealership_id)
        self._stored[item.key] = store.read_credentials(connection, dealership_id)
        self._before[item.key] = before = store.read_attempt(connection, dealership_id)
        if self._job.scheduled and before[-2:] != item.seen:
            raise runner.NoLongerDue("another run has used its slot meanwhile")
        return store.begin_attempt(
            connection,
            dealership_id,
            scheduled=self._job.scheduled,
            retry_minutes=self._job.settings.minutes("easycar_retry_minutes"),
        )

    def find(self, attempt: runner.Trial) -> Feed | EasyCarsFailure:
        item, dealership_id = attempt.item, int(attempt.item.key)
        if isinstance(attempt.run, Run):
            get_logger().info("stock_sync.dealership_started", name=item.label, attempt=attempt.number)
        else:  # nothing was begun
            with attempt.run.transaction() as connection:
                self._stored[item.key] = store.read_credentials(connection, dealership_id)
        credentials = decrypt_credentials(dealership_id, self._stored[item.key], self._cipher)
        with ExitStack() as asking:
            asking.enter_context(self._asking)
            try:
                line = self._hosts.lines.get(credentials.environment)
                envelope = self._client.fetch_stock(credentials, item=item.key, line=line)
            except NotAsked as left:
                raise runner.NotStarted(str(left), undo=partial(self._take_back, item, asked=False)) from None
            except EasyCarsFailure as failure:
                return self._probed(attempt, failure)
            if envelope.size > _SMALL_FEED:
                attempt.turn.push(asking.pop_all())
        attempt.turn.enter_context(self._writing)
        *sealed, _, _ = self._stored[item.key] or ("", "")
        return Feed(envelope, credentials.yard_code, copied_from(dealership_id, sealed))

    def _probed(self, attempt: runner.Trial, failure: EasyCarsFailure) -> EasyCarsFailure:
        """Return what the probe of an open circuit met, which charges no dealership an attempt; else raise it."""
        change = self._client.change_of(attempt.item.key)
        if failure.of_the_host and change is not None and change.probed and change.open:
            return failure
        if failure.reason == "token_refused" and self._job.scheduled:
            with attempt.run.transaction() as connection:
                *_, retry_at = store.read_attempt(connection, int(attempt.item.key))
            if retry_at is None:
                words = f"{failure}; its machines disagree on the time, or the account is wrong"
                raise EasyCarsFailure(words, **failure.facts)
        raise failure

    def keep(self, connection: Connection[Any], attempt: runner.Attempt, found: Feed | EasyCarsFailure) -> ItemResult:
        if isinstance(found, EasyCarsFailure):
            self._take_back(attempt.item, connection, asked=True)
            result = _unreached(attempt.item, found)
            attempt.on_commit.append(partial(get_logger().warning, "stock_sync.probe", error=result.error))
        else:
            plan = self._bring_in(connection, attempt, found)
            result = _result(attempt.item, plan)
            attempt.on_commit.append(partial(_tell, attempt, result))
        self._learn(connection, attempt.item)
        return result

    def _bring_in(self, connection: Connection[Any], attempt: runner.Attempt, feed: Feed) -> StockPlan:
        dealership_id, run_id = int(attempt.item.key), attempt.run_id
        _require(connection, dealership_id)

        def apply(plan: StockPlan, now: datetime) -> StockPlan:
            plan = store.apply_plan(connection, dealership_id, plan, run_id=run_id, now=now)
            status, duration_ms = _LOG_STATUS[plan.status], attempt.elapsed_ms
            store.write_log(connection, dealership_id, run_id=run_id, status=status, duration_ms=duration_ms, plan=plan)
            store.end_attempt(connection, dealership_id, success=plan.status is ItemStatus.SUCCESS)
            return plan

        return plan_and(apply, connection, dealership_id, feed, self._job.policy, run_id=run_id)

    def show(self, connection: Connection[Any], item: runner.Item, found: Feed | EasyCarsFailure) -> ItemResult:
        if isinstance(found, EasyCarsFailure):
            return _unreached(item, found)
        return _result(item, make_plan(connection, int(item.key), found, self._job.policy)[0], shown=True)

    def failed(self, connection: Connection[Any], attempt: runner.Attempt, result: ItemResult) -> None:
        dealership_id = int(attempt.item.key)
        get_logger().error(
            "stock_sync.dealership_failed",
            name=attempt.item.label,
            status=str(result.status),
            reason=result.reason,
            error=result.error,
            duration_ms=attempt.elapsed_ms,
        )
        self._learn(connection, attempt.item)
        if not store.keep_dealership(connection, dealership_id):
            return  # the dealership is gone, so its log is not kept
        store.write_log(
            connection,
            dealership_id,
            run_id=attempt.run_id,
            status="Failed",
            duration_ms=attempt.elapsed_ms,
            error=result.error or result.reason or "unknown",
        )
        store.fail_attempt(connection, dealership_id, scheduled=self._job.scheduled, transient=result.transient)

    def _learn(self, connection: Connection[Any], item: runner.Item) -> None:
        stored, change = self._stored[item.key], self._client.change_of(item.key)
        if stored is not None and change is not None:
            self._hosts.write(connection, stored[4], change)

    def _take_back(self, item: runner.Item, connection: Connection[Any], *, asked: bool) -> None:
        store.take_back(connection, int(item.key), self._before[item.key], asked=asked)


def _tell(attempt: runner.Attempt, result: ItemResult) -> None:
    log = get_logger().bind(name=attempt.item.label)
    for warning in result.details.get("warnings", ()):
        log.warning("stock_sync.warning", warning=warning)
    log.info(
        "stock_sync.dealership_finished",
        status=str(result.status),
        received=result.details["received"],
        **result.counts,
        duration_ms=attempt.elapsed_ms,
    )


def make_plan(
    connection: Connection[Any],
    dealership_id: int,
    feed: Feed,
    policy: Policy,
    blamed: store.Blamed | None = None,
) -> tuple[StockPlan, datetime]:
    """
    Read what there is and plan; returns the plan, and the database's clock.

    With `blamed`, what the database is known to refuse, the plan is to be carried out: other writers are kept out.
    """
    for_update, blamed = blamed is not None, store.Blamed() if blamed is None else blamed
    listed = store.read_listed(connection, dealership_id)
    items, warned, rules = feed.envelope.items or (), feed.envelope.code == WARNING, rules_of(policy.status_map)
    incoming = blamed.refuse(sort_feed(items, listed, yard_code=feed.yard_code, warned=warned, rules=rules))
    current, now = store.read_current(connection, dealership_id, listed, for_update=for_update)
    plan = blamed.spare(plan_stock(incoming, current, policy, now))
    if feed.copied_from is not None:
        words = f"its credentials were copied from dealership {feed.copied_from}"
        plan.warnings.insert(0, f"{words}: jobsync credentials set {dealership_id}")
    return plan, now


def plan_and(
    apply: Callable[[StockPlan, datetime], StockPlan],
    connection: Connection[Any],
    dealership_id: int,
    feed: Feed,
    policy: Policy,
    *,
    run_id: UUID,
) -> StockPlan:
    """
    Read, plan and apply in the caller's transaction; returns what `apply` does.

    If the database refuses a row, by its types, its constraints or a trigger, be it one that waits for the commit, the
    items to blame are found and refused, and all is done once more; so one strange item never costs the feed. The same
    if another session changed what is to be removed.

    Raises:
        ItemFailure: the database refuses what is written beside the vehicles, or something else each time.
    """
    blamed = store.Blamed()
    for plans in itertools.count(1):
        planned: tuple[StockPlan, datetime] | None = None
        try:
            with connection.transaction():
                planned = make_plan(connection, dealership_id, feed, policy, blamed)
                done = apply(*planned)
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                return done
        except store.ChangedMeanwhile:
            if plans >= _PLANS_MOST:
                raise
        except psycopg.Error as error:
            words = store.refusal_of(error)
            if words is None or planned is None:
                raise
            plan, now = planned
            found = store.find_refused(connection, dealership_id, plan, blamed, run_id=run_id, now=now)
            if plans > _SEARCHES_MOST or not found:
                raise runner.ItemFailure(
                    f"the database refuses what the sync writes: {words}; nothing was written", reason="database"
                ) from error
    raise AssertionError  # never: the loop ends by itself


def _require(connection: Connection[Any], dealership_id: int) -> None:
    if not store.keep_dealership(connection, dealership_id):
        raise runner.ItemFailure("the dealership was deleted meanwhile; nothing was written", reason="deleted")


def load_credentials(connection: Connection[Any], dealership_id: int, cipher: Cipher) -> Credentials:
    return decrypt_credentials(dealership_id, store.read_credentials(connection, dealership_id), cipher)


def decrypt_credentials(dealership_id: int, stored: store.StoredCredentials | None, cipher: Cipher) -> Credentials:
    """Decrypt what was read; ItemFailure if there are none, or they cannot be decrypted."""
    if stored is None:
        raise runner.ItemFailure(
            f"no active credentials; set them with: jobsync credentials set {dealership_id}", reason="no_credentials"
        )
    *sealed, environment, yard = stored
    secrets = {place.field: cipher.decrypt(text, place) for place, text in sealed_at(dealership_id, sealed)}
    yard_code = (yard or "").strip() or None  # as an item's is read: it may have been stored by SQL
    return Credentials(**secrets, environment=environment, yard_code=yard_code)


@dataclass(frozen=True)
class CredentialsCheck:
    """
    What EasyCars says of a dealership's credentials.

    `client` and `account` are `accepted`, `refused`, or `unknown` where it cannot be known; an empty list can mean a
    wrong AccountSecret, so it leaves the account unknown.
    """

    client: str
    account: str
    vehicles: int | None
    message: str
    exit_code: int


_SAID = {
    "credentials_client": ("refused", "unknown"),
    "credentials_account": ("accepted", "refused"),
    "token_refused": ("accepted", "unknown"),
}


def check_credentials(credentials: Credentials, client: EasyCarsClient) -> CredentialsCheck:
    """Try both pairs for real: a token, then the account's stock."""
    try:
        envelope = client.fetch_stock(credentials)
    except EasyCarsFailure as failure:
        pair, account = _SAID.get(failure.reason, ("unknown", "unknown"))
        code = ExitCode.UNAVAILABLE if failure.unreachable else ExitCode.FAILED
        return CredentialsCheck(pair, account, None, str(failure), int(code))
    number = len(envelope.items or ())
    if not number:
        words = "the list is empty: nothing is published, or AccountNumber or AccountSecret is wrong"
        return CredentialsCheck("accepted", "unknown", 0, words, int(ExitCode.NEEDS_ATTENTION))
    return CredentialsCheck("accepted", "accepted", number, f"{number} vehicles are listed", int(ExitCode.DONE))


def _result(item: runner.Item, plan: StockPlan, *, shown: bool = False) -> ItemResult:
    details: dict[str, Any] = {"received": plan.received}
    if plan.warnings:
        details["warnings"] = plan.warnings
    if shown:
        details["plan"] = show_plan(plan)
    return ItemResult(
        item.key, item.label, plan.status, reason=plan.reason, counts=plan.counts, details=details, named=item.named
    )


def _unreached(item: runner.Item, failure: EasyCarsFailure) -> ItemResult:
    return replace(runner.failure_of(item, failure), status=ItemStatus.SKIPPED)


def item_json(result: ItemResult, *, dry_run: bool = False) -> dict[str, Any]:
    counts = {**StockPlan().counts, **result.counts}
    details = {"warnings": [], **({"plan": []} if dry_run else {}), **result.details}
    return {"dealership_id": int(result.key), "name": result.label, **runner.as_json(result), **counts, **details}
