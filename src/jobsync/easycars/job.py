"""Stock sync in its order: who is due -> fetch -> sort -> plan -> apply, each dealership in isolation."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from jobsync.cron import next_slot, resolve
from jobsync.db.engine import transaction, translated
from jobsync.db.system_settings import SystemSettings, keep_last_good
from jobsync.easycars import store
from jobsync.easycars.client import WARNING, EasyCarsClient, EasyCarsFailure, NotAsked, replace_text
from jobsync.easycars.credentials import Cipher, Credentials, Place, places_of
from jobsync.easycars.hosts import Hosts, resting
from jobsync.easycars.model import Envelope, Policy, StockPlan
from jobsync.easycars.parse import rules_of
from jobsync.easycars.plan import plan_stock, show_plan, sort_feed
from jobsync.easycars.schedule import coming_slot
from jobsync.errors import ConfigurationProblem, ExitCode, Unavailable, UsageProblem
from jobsync.hosts.store import claim_hosts, read_hosts
from jobsync.jobs import STOCK_SYNC
from jobsync.logs import get_logger, show_progress, visible
from jobsync.runner import record
from jobsync.runner.items import Attempt, Item, ItemFailure, NotStarted, as_json, failure_of, work_lines
from jobsync.runner.job import ItemResult, ItemStatus, Report, count_items, judge_run
from jobsync.runner.lock import ROWS_WITHIN_S
from jobsync.runner.run import Run, database_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection
    from sqlalchemy import Engine


_SMALL_FEED = 8 << 20  # bytes; a larger feed keeps its turn until it is written: so many of them are in memory at most
_PLANS_MOST = 3
_SEARCHES_MOST = 5
_LOG_STATUS = {
    ItemStatus.SUCCESS: "Success",
    ItemStatus.PARTIAL: "PartialSuccess",
    ItemStatus.HELD: "Held",
    ItemStatus.FAILED: "Failed",
}


def lock_name(dealership_id: int) -> str:
    """Return the name of a dealership's lock."""
    return f"{STOCK_SYNC.name}:dealership:{dealership_id}"


@dataclass(frozen=True)
class StockSync:
    """
    The work of one run.

    Args:
        make_client: gets a pause function that ends with the run.
        hosts: the vendor's, by environment.
        named: the dealerships asked for by hand; empty means all that are eligible.
        scheduled: only those whose slot or retry has come.
    """

    cipher: Cipher
    make_client: Callable[[Callable[[float], bool]], EasyCarsClient]
    hosts: Mapping[str, str]
    settings: SystemSettings
    named: tuple[int, ...] = ()
    scheduled: bool = False
    concurrency: int = 1  # dealerships that the vendor is asked for at once

    def __call__(self, run: Run) -> list[ItemResult]:
        """Sync what is due; returns a result for each dealership, the ineligible ones as skipped."""
        with run.writing(run.own_fences) as connection:
            keep_last_good(connection, self.settings)
            claim_hosts(connection, self.hosts)
            known = read_hosts(connection, self.hosts.values())
            users = store.count_users(connection)
            items, skipped, streak = choose(
                connection, self.named, scheduled=self.scheduled, resting=resting(self.hosts, known)
            )
        run.eligible = len(items)
        run.streak = streak
        get_logger().info("stock_sync.found", eligible=len(items), message=f"Found {len(items)} dealerships eligible")
        for environment, until in resting(self.hosts, known).items():
            get_logger().warning("stock_sync.host_rests", environment=environment, until=until.isoformat())
        hosts = Hosts(self.hosts, known, users, pause=run.pause)
        work = _Work(self, self.make_client(run.pause), hosts)
        return [*work_lines(run, hosts.queues(items), work, concurrency=self.at_once), *skipped]

    @property
    def at_once(self) -> int:
        """
        How many dealerships are worked on at once: while some are written, others are asked for.

        One alone is worked off one after the other.
        """
        return self.concurrency + self.writers if self.concurrency > 1 else 1

    @property
    def writers(self) -> int:
        """How many are planned and written at once: Python has one at a time, the others wait for the database."""
        return 1 + self.concurrency // 2

    @property
    def policy(self) -> Policy:
        """The settings that plans follow."""
        return Policy(
            limit_percent=self.settings.number("easycar_removal_limit_percent"),
            limit_floor=self.settings.number("easycar_removal_limit_floor"),
            grace_days=self.settings.number("easycar_removal_grace_days"),
            status_map=self.settings.status_map(),
        )


def refresh_schedules(connection: Any, now: datetime) -> None:
    """Compute the next slot of every dealership that has none yet, whose cron or zone has changed, or the clock."""
    for found in store.read_schedules(connection):
        rule, next_at = coming_slot(found, now)
        if not found.clock_ahead and (rule.cron, rule.timezone, found.wanted.seen, next_at) == (
            found.cron,
            found.timezone,
            found.seen,
            found.next_at,
        ):
            continue
        for text in rule.unreadable:
            get_logger().warning(
                "stock_sync.schedule_unreadable",
                dealership_id=found.dealership_id,
                value=visible(text, most=80),
                in_force=f"{rule.cron} @ {rule.timezone}",
            )
        if found.clock_ahead:
            get_logger().warning(
                "stock_sync.clock_was_ahead",
                dealership_id=found.dealership_id,
                message="what was written of it lies in the future: the clock was wrong; the slot is computed anew",
            )
        store.write_schedule(connection, found, rule, next_at=next_at)


def is_due(connection: Connection[Any], hosts: Mapping[str, str]) -> bool:
    """
    Stamp the tick and say whether a scheduled run has anything to do; brings the schedules up to date first.

    Args:
        hosts: the vendor's, by environment.
    """
    if not record.is_tick_due(connection, STOCK_SYNC.name):
        return False
    refresh_schedules(connection, database_now(connection))
    rests = resting(hosts, read_hosts(connection, hosts.values()))
    return bool(choose(connection, (), scheduled=True, resting=rests)[0])


def next_slot_of_any(connection: Connection[Any], now: datetime) -> datetime:
    """Return the first slot after now of the dealerships that take part, a day later if none does."""
    found = store.read_schedules(connection, taking_part=True)
    rules = {resolve(each.wanted, last_cron=each.cron, last_timezone=each.timezone) for each in found}
    return min((next_slot(rule.cron, rule.timezone, now) for rule in rules), default=now + timedelta(days=1))


def require_awake(connection: Connection[Any], named: Sequence[int], hosts: Mapping[str, str]) -> None:
    """
    Look before a run by hand begins whether a host that it would ask wants to be asked.

    Raises:
        Unavailable: all of them want to rest; the text says until when.
    """
    rests = resting(hosts, read_hosts(connection, hosts.values()))
    items, _, _ = choose(connection, named, scheduled=False) if rests else ([], [], False)
    if items and all(item.group in rests for item in items):
        until = min(rests[item.group] for item in items if item.group in rests)
        raise Unavailable(
            f"EasyCars does not want to be asked before {until.isoformat(timespec='seconds')} (Retry-After);"
            " nothing was asked"
        )


def choose(
    connection: Any, named: Sequence[int], *, scheduled: bool, resting: Mapping[str, datetime] | None = None
) -> tuple[list[Item], list[ItemResult], bool]:
    """
    Return what to work on, in order, what is left out with the reason, and whether a slot is among the work.

    Args:
        resting: environments whose host wants to rest: nothing of theirs is due.

    Raises:
        UsageProblem: a named dealership does not exist.
    """
    dealerships = store.read_dealerships(connection)
    if named:
        _refuse_unknown(named, dealerships)
        chosen = [dealership for dealership in dealerships if dealership.id in set(named)]
        for dealership in chosen:
            if dealership.why_not in ("auto_sync_off", "paused"):
                get_logger().warning(
                    "stock_sync.overridden", dealership_id=dealership.id, name=dealership.name, why=dealership.why_not
                )
    else:
        chosen = [d for d in dealerships if d.why_not is None and (d.due is not None or not scheduled)]
    if scheduled and resting:
        chosen = [d for d in chosen if d.environment not in resting]
    items = [
        Item(
            str(d.id),
            d.name,
            lock_name(d.id),
            named=bool(named),
            about={"dealership_id": d.id},
            group=d.environment if d.why_not != "no_credentials" else None,
        )
        for d in chosen
    ]
    left_out = [
        ItemResult(str(d.id), d.name, ItemStatus.SKIPPED, reason=d.why_not)
        for d in dealerships
        if d.why_not is not None and not named and not scheduled
    ]
    return items, left_out, scheduled and any(d.due == "slot" for d in chosen)


def require_known(connection: Connection[Any], named: Sequence[int]) -> None:
    """
    Look the named dealerships up before a run begins.

    Raises:
        UsageProblem: one does not exist.
    """
    if named:
        _refuse_unknown(named, store.read_dealerships(connection))


def require_key(connection: Connection[Any], cipher: Cipher) -> None:
    """
    Look before a scheduled run begins whether the key is that of the stored credentials: a wrong one must not use up
    everybody's slot. By hand each dealership just fails.

    Raises:
        ConfigurationProblem: it decrypts none of them.
    """
    secrets = store.read_account_secrets(connection)
    if secrets and not any(cipher.opens(stored, Place(number, "account_secret")) for number, stored in secrets):
        raise ConfigurationProblem(
            f"JOBSYNC_ENCRYPTION_KEY decrypts none of the stored credentials ({len(secrets)}); use the key they were"
            " stored with, or set them again: jobsync credentials set ID"
        )


def _refuse_unknown(named: Sequence[int], dealerships: Sequence[store.Dealership]) -> None:
    known = {dealership.id for dealership in dealerships}
    if unknown := [str(number) for number in named if number not in known]:
        raise UsageProblem(f"no dealership {', '.join(unknown)}; jobsync dealership list shows them")


class _Work:
    """Stock sync's side of runner.items.Work."""

    def __init__(self, job: StockSync, client: EasyCarsClient, hosts: Hosts) -> None:
        self._job = job
        self._client = client
        self._hosts = hosts
        self._before: dict[str, store.StoredAttempt] = {}
        client.use(hosts.lines)
        self._stored: dict[str, store.StoredCredentials | None] = {}
        self._asking = threading.BoundedSemaphore(job.concurrency)
        self._writing = threading.BoundedSemaphore(job.writers)

    def begin(self, connection: Connection[Any], item: Item) -> int:
        dealership_id = int(item.key)
        _require(connection, dealership_id)
        self._stored[item.key] = store.read_credentials(connection, dealership_id)
        self._before[item.key] = store.read_attempt(connection, dealership_id)
        return store.begin_attempt(
            connection,
            dealership_id,
            scheduled=self._job.scheduled,
            retry_minutes=self._job.settings.minutes("easycar_retry_minutes"),
        )

    def do(self, attempt: Attempt) -> ItemResult:
        dealership_id = int(attempt.item.key)
        log = get_logger().bind(dealership_id=dealership_id, name=attempt.item.label)
        log.info("stock_sync.dealership_started", attempt=attempt.number)
        credentials = decrypt_credentials(dealership_id, self._stored.pop(attempt.item.key), self._job.cipher)
        with ExitStack() as turn:
            turn.enter_context(self._asking)
            try:
                envelope = self._client.fetch_stock(credentials, item=attempt.item.key)
            except NotAsked as left:
                before = self._before[attempt.item.key]
                raise NotStarted(
                    str(left), undo=lambda connection: store.take_back(connection, dealership_id, before, asked=False)
                ) from None
            except EasyCarsFailure as failure:
                return self._not_fetched(attempt, credentials, failure)
            self._remember(attempt, credentials)
            if envelope.size <= _SMALL_FEED:
                turn.close()
            with self._writing:
                return self._bring_in(attempt, credentials, envelope)

    def _remember(self, attempt: Attempt, credentials: Credentials) -> None:
        """Write down what this attempt taught of the vendor's host, if it is news."""
        if (change := self._client.change_of(attempt.item.key)) is not None:
            with attempt.writing() as connection:
                self._hosts.write(connection, credentials.environment, change)

    def _not_fetched(self, attempt: Attempt, credentials: Credentials, failure: EasyCarsFailure) -> ItemResult:
        """
        Record that the vendor gave no feed; an open circuit's probe that found the host as before charges nobody.

        Raises:
            EasyCarsFailure: for an attempt that counts.
        """
        dealership_id, item = int(attempt.item.key), attempt.item
        change = self._client.change_of(item.key)
        probed = failure.of_the_host and change is not None and change.probed and change.open
        result = replace(failure_of(item, failure), status=ItemStatus.SKIPPED)
        if change is not None:
            with attempt.writing() as connection:
                self._hosts.write(connection, credentials.environment, change)
                if probed:
                    store.take_back(connection, dealership_id, self._before[item.key], asked=True)
                    attempt.record(connection, result)
        if probed:
            get_logger().warning("stock_sync.probe", dealership_id=dealership_id, error=result.error)
            return result
        if failure.reason == "token_refused" and self._job.scheduled and not self._has_retries(attempt):
            raise replace_text(failure, f"{failure}; its machines disagree on the time, or the account is wrong")
        raise failure

    def _has_retries(self, attempt: Attempt) -> bool:
        with attempt.writing() as connection:
            return store.read_attempt(connection, int(attempt.item.key))[-1] is not None

    def _bring_in(self, attempt: Attempt, credentials: Credentials, envelope: Envelope) -> ItemResult:
        dealership_id = int(attempt.item.key)
        log = get_logger().bind(dealership_id=dealership_id, name=attempt.item.label)

        run_id = attempt.run.who.run_id

        def apply(connection: Connection[Any], plan: StockPlan, now: datetime) -> tuple[StockPlan, ItemResult]:
            plan = store.apply_plan(connection, dealership_id, plan, run_id=run_id, now=now)
            store.write_log(
                connection,
                dealership_id,
                run_id=run_id,
                status=_LOG_STATUS[plan.status],
                duration_ms=attempt.elapsed_ms,
                counts=plan.counts,
                listed=plan.listed,
                advertised=plan.advertised,
                yard_code=plan.yard_code,
                blocked=plan.blocked,
                errors=[f"item {item.position} ({item.stock_number}): {item.reason}" for item in plan.refused[:50]],
                warnings=plan.warnings,
            )
            store.end_attempt(connection, dealership_id, success=plan.status is ItemStatus.SUCCESS)
            result = _result(attempt.item, plan)
            attempt.record(connection, result)
            return plan, result

        plan, result = plan_and(
            apply, attempt.writing, dealership_id, envelope, credentials.yard_code, self._job.policy, run_id=run_id
        )
        for warning in plan.warnings:
            log.warning("stock_sync.warning", warning=warning)
        log.info(
            "stock_sync.dealership_finished",
            status=str(result.status),
            received=plan.received,
            **plan.counts,
            duration_ms=attempt.elapsed_ms,
        )
        return result

    def failed(self, connection: Connection[Any], attempt: Attempt, result: ItemResult) -> None:
        get_logger().error(
            "stock_sync.dealership_failed",
            dealership_id=int(attempt.item.key),
            name=attempt.item.label,
            status=str(result.status),
            reason=result.reason,
            error=result.error,
            duration_ms=attempt.elapsed_ms,
        )
        if not store.keep_dealership(connection, int(attempt.item.key)):
            return  # there is nobody left to keep a log of
        store.write_log(
            connection,
            int(attempt.item.key),
            run_id=attempt.run.who.run_id,
            status="Failed",
            duration_ms=attempt.elapsed_ms,
            counts={},
            errors=[result.error or result.reason or "unknown"],
        )
        store.fail_attempt(connection, int(attempt.item.key), scheduled=self._job.scheduled, transient=result.transient)


def plan_and(
    apply: Callable[[Connection[Any], StockPlan, datetime], tuple[StockPlan, ItemResult]],
    transaction: Callable[[], Any],
    dealership_id: int,
    envelope: Envelope,
    yard_code: str | None,
    policy: Policy,
    *,
    run_id: UUID | None = None,
) -> tuple[StockPlan, ItemResult]:
    """
    Read, plan and apply inside one transaction; without a run nothing is to be written.

    If the database refuses a row, by its types, its constraints or a trigger, be it when the transaction commits, the
    items to blame are found and refused, and all is done once more; so one strange item never costs the feed. The same
    if another session changed what is to be removed.

    Raises:
        ItemFailure: the database refuses what is written beside the vehicles, or something else each time.
    """
    rules = rules_of(policy.status_map)
    blamed = store.Blamed()
    for plans in itertools.count(1):
        planned: tuple[StockPlan, datetime] | None = None
        try:
            with transaction() as connection:
                if run_id is not None:
                    _require(connection, dealership_id)
                listed = store.read_listed(connection, dealership_id)
                incoming = blamed.refuse(
                    sort_feed(
                        envelope.items or (),
                        listed,
                        yard_code=yard_code,
                        warned=envelope.code == WARNING,
                        rules=rules,
                    )
                )
                current, now = store.read_current(connection, dealership_id, listed, for_update=run_id is not None)
                plan = blamed.spare(plan_stock(incoming, current, policy, now))
                planned = plan, now
                return apply(connection, plan, now)
        except store.ChangedMeanwhile:
            if plans >= _PLANS_MOST:
                raise
        except Exception as error:
            words = store.refusal_of(error)
            if words is None or planned is None or run_id is None:
                raise
            with transaction() as connection:
                found = store.find_refused(connection, dealership_id, planned[0], run_id=run_id, now=planned[1])
            if plans > _SEARCHES_MOST or not len(found):
                raise ItemFailure(
                    f"the database refuses what the sync writes: {words}; nothing was written", reason="database"
                ) from error
            blamed.items |= found.items
            blamed.rows |= found.rows
    raise AssertionError  # never: the loop ends by itself


def _require(connection: Connection[Any], dealership_id: int) -> None:
    if not store.keep_dealership(connection, dealership_id):
        raise ItemFailure("the dealership was deleted meanwhile; nothing was written", reason="deleted")


def load_credentials(connection: Connection[Any], dealership_id: int, cipher: Cipher) -> Credentials:
    """
    Read and decrypt a dealership's credentials.

    Raises:
        ItemFailure: there are none, or they cannot be decrypted.
    """
    return decrypt_credentials(dealership_id, store.read_credentials(connection, dealership_id), cipher)


def decrypt_credentials(dealership_id: int, stored: store.StoredCredentials | None, cipher: Cipher) -> Credentials:
    """Decrypt what was read; raises as `load_credentials` does."""
    if stored is None:
        raise ItemFailure(
            f"no active credentials; set them with: jobsync credentials set {dealership_id}", reason="no_credentials"
        )
    *sealed, environment, yard = stored
    places = places_of(dealership_id)
    secrets = {place.field: cipher.decrypt(text, place) for place, text in zip(places, sealed, strict=True)}
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


def check_credentials(credentials: Credentials, client: EasyCarsClient) -> CredentialsCheck:
    """Try both pairs for real: a token, then the account's stock."""
    try:
        envelope = client.fetch_stock(credentials)
    except EasyCarsFailure as failure:
        if failure.reason == "credentials_client":
            return CredentialsCheck("refused", "unknown", None, str(failure), int(ExitCode.FAILED))
        if failure.reason == "credentials_account":
            return CredentialsCheck("accepted", "refused", None, str(failure), int(ExitCode.FAILED))
        if failure.reason == "token_refused":
            return CredentialsCheck("accepted", "unknown", None, str(failure), int(ExitCode.FAILED))
        code = ExitCode.UNAVAILABLE if failure.unreachable else ExitCode.FAILED
        return CredentialsCheck("unknown", "unknown", None, str(failure), int(code))
    number = len(envelope.items or ())
    if not number:
        words = "the list is empty: nothing is published, or AccountNumber or AccountSecret is wrong"
        return CredentialsCheck("accepted", "unknown", 0, words, int(ExitCode.NEEDS_ATTENTION))
    return CredentialsCheck("accepted", "accepted", number, f"{number} vehicles are listed", int(ExitCode.DONE))


def dry_run(job: StockSync, engine: Engine, *, pause: Callable[[float], bool]) -> Report:
    """Do everything up to the plan, in read-only transactions and without a lock; nothing is written."""

    @contextmanager
    def reading() -> Iterator[Connection[Any]]:
        with translated(), transaction(engine) as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            record.limit_waits(connection, ROWS_WITHIN_S)
            yield connection

    import structlog

    client = job.make_client(pause)
    with reading() as connection:
        known = read_hosts(connection, job.hosts.values())
        users = store.count_users(connection)
        items, skipped, _ = choose(connection, job.named, scheduled=job.scheduled, resting=resting(job.hosts, known))
    hosts = Hosts(job.hosts, known, users, pause=pause)
    client.use(hosts.lines)
    results: list[ItemResult] = []
    for item in items:
        show_progress(f"{len(results)}/{len(items)} {STOCK_SYNC.noun}")
        if not hosts.admit(item):
            continue
        with structlog.contextvars.bound_contextvars(**item.about):
            try:
                with reading() as connection:
                    credentials = load_credentials(connection, int(item.key), job.cipher)
                envelope = client.fetch_stock(credentials, item=item.key)
                _, result = plan_and(
                    lambda _connection, plan, _now, item=item: (plan, _result(item, plan, shown=True)),  # type: ignore[misc]
                    reading,
                    int(item.key),
                    envelope,
                    credentials.yard_code,
                    job.policy,
                )
            except NotAsked:
                continue
            except Exception as error:  # noqa: BLE001 - as in a real run, one dealership never stops the others
                result = failure_of(item, error)
        results.append(result)
    status, code = judge_run(results)
    every = (*results, *skipped)
    return Report(STOCK_SYNC.name, status, code, None, count_items(every, eligible=len(items)), every)


def _result(item: Item, plan: StockPlan, *, shown: bool = False) -> ItemResult:
    details: dict[str, Any] = {"received": plan.received}
    if plan.warnings:
        details["warnings"] = list(plan.warnings)
    if shown:
        details["plan"] = show_plan(plan)
    return ItemResult(
        item.key, item.label, plan.status, reason=plan.reason, counts=plan.counts, details=details, named=item.named
    )


def item_json(result: ItemResult) -> dict[str, Any]:
    """Return one dealership's result in the shape of the contract."""
    numbers = {name: result.counts.get(name, 0) for name in store.ITEM_COUNT_NAMES}
    return {
        "dealership_id": int(result.key),
        "name": result.label,
        **as_json(result),
        **numbers,
        **result.details,
    }
