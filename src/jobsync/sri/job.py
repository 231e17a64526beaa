"""Authorization checks in their order: what is due -> ask -> parse -> judge -> record, each document in isolation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from psycopg import Connection

from jobsync.documents import ChosenDocuments, DocumentWork
from jobsync.errors import JobsyncError, UsageProblem
from jobsync.fiscal.access_key import AccessKeyError
from jobsync.fiscal.element import UnreadableDocument
from jobsync.fiscal.read import read_summary
from jobsync.hosts.circuit import CircuitChange, HostLine, HostState
from jobsync.hosts.store import read_hosts, write_host
from jobsync.jobs import CHECK_AUTHORIZATIONS, Job
from jobsync.logs import get_logger, visible
from jobsync.runner.items import Attempt, Item, ItemQueue, NoLongerDue, Trial, as_json, in_pages, work_queues
from jobsync.runner.job import ItemResult, ItemStatus
from jobsync.runner.run import DryRun, Run, database_now
from jobsync.sri import store
from jobsync.sri.catalogue import explain
from jobsync.sri.client import Asked, SriClient
from jobsync.sri.model import UNUSABLE, DocumentStatus, Fault, FaultKind, Outcome, Verdict
from jobsync.sri.store import DueDocument, Event
from jobsync.sri.verdict import back_off, judge, judge_unusable

_MORE_DELAY_S = 0.01  # the way to the host shifts arrivals by a few ms; they too are to be apart as set
# Writes are short: calls in flight share their connections, instead of using up what the server has for everybody. Each
# more costs the server a process that learns everything anew, which weighs more than the few writes that it lets run
# side by side.
_CONNECTIONS_MOST = 8
_DECIDED = (DocumentStatus.AUTHORIZED, DocumentStatus.REJECTED)
_RAW_KEPT = (Outcome.REJECTED, Outcome.NEEDS_ATTENTION, Outcome.FAULT)


@dataclass(frozen=True, kw_only=True)
class CheckAuthorizations(DocumentWork[DueDocument]):
    """The work of one run."""

    client: SriClient

    job: ClassVar[Job] = CHECK_AUTHORIZATIONS
    most: ClassVar[int] = 2000

    @property
    def connections(self) -> int:
        """Connections that the run may open."""
        return min(2 * self.concurrency + 2, _CONNECTIONS_MOST)

    def __call__(self, run: Run | DryRun) -> list[ItemResult]:
        """Ask about what is due; returns a result for each document that was begun."""
        with run.transaction() as connection:
            chosen = self.choose(connection)
            hosts = read_hosts(connection, {self.client.host("test"), self.client.host("production")})
            work = _CheckWork(self, hosts, database_now(connection), pause=run.pause)
        run.eligible = chosen.total + len(chosen.left_out)
        taken = len(chosen.documents) + len(chosen.later)
        get_logger().info("check_authorizations.found", eligible=chosen.total, taken=taken)
        results: list[ItemResult] = []
        for documents in in_pages(run, chosen.documents, chosen.later, store.QUEUE.read_due_of, most=self.most):
            work.take(documents)
            ended = work_queues(run, work.lines(), work, concurrency=self.concurrency, total=taken)
            results.extend(work.named(result) for result in ended)
        if isinstance(run, Run):
            work.remember_last_calls(run)
        return [*results, *chosen.left_out]

    def choose(self, connection: Connection[Any]) -> ChosenDocuments[DueDocument]:
        return self.choose_from(connection, store.QUEUE, _leave_out)

    @property
    def concurrency(self) -> int:
        """Calls in flight at once, for each host."""
        return self.settings.number("sri_check_concurrency")

    @property
    def delay_s(self) -> float:
        """Seconds between the starts of two calls to one host: a little more than is set, unless that is nothing."""
        set_s = self.settings.number("sri_call_delay_ms") / 1000
        return set_s + _MORE_DELAY_S if set_s else 0.0


def _leave_out(document: DueDocument) -> ItemResult | None:
    """Return the result of a document that is named and that the SRI has nothing more to say about."""
    key = document.access_key
    if document.deleted or document.status == DocumentStatus.CANCELLED:
        words = "deleted" if document.deleted else "cancelled"
        raise UsageProblem(f"document {key} is {words}; the SRI is not asked about it any more")
    if document.status in _DECIDED:
        details = {"outcome": str(document.status), "codes": [], "tenant_ruc": document.tenant_ruc}
        return ItemResult(key, key, ItemStatus.SUCCESS, reason="already_decided", details=details, named=True)
    if document.inactive or document.paused:
        why = "paused" if document.paused else "inactive"
        get_logger().warning("check_authorizations.overridden", access_key=key, why=why)
    return None


@dataclass(frozen=True)
class _CheckedDocument:
    """What was found out of a document."""

    document: DueDocument
    verdict: Verdict
    events: Sequence[Event] = ()  # what is told of it beyond the verdict
    asked: Asked | None = None  # None: its key is wrong, and the SRI was not asked
    host: str = ""
    change: CircuitChange | None = None  # what the ask taught of its host


class _CheckWork:
    """Authorization checks' side of runner.items.Work; `now` is the database's clock."""

    def __init__(
        self, job: CheckAuthorizations, hosts: Mapping[str, HostState], now: datetime, *, pause: Callable[[float], bool]
    ) -> None:
        self._job = job
        self._now, self._read_at = now, time.monotonic()
        self._documents: dict[str, DueDocument] = {}
        self._hosts = {name: HostLine(state, delay_s=job.delay_s, pause=pause) for name, state in hosts.items()}

    @property
    def _clock(self) -> datetime:
        """What the database's clock shows now, without asking it again."""
        return self._now + timedelta(seconds=time.monotonic() - self._read_at)

    def take(self, documents: Sequence[DueDocument]) -> None:
        """Turn to these documents; what was learned of the hosts stays."""
        self._documents = {document.access_key: document for document in documents}

    def lines(self) -> list[ItemQueue]:
        by_host: dict[str | None, list[Item]] = {}
        for document in self._documents.values():
            by_host.setdefault(self._host(document), []).append(document.item(named=bool(self._job.access_keys)))
        gates = {host: lambda _item, line=line: line.admit() for host, line in self._hosts.items()}
        return [ItemQueue(items, None if host is None else gates[host]) for host, items in by_host.items()]

    def named(self, result: ItemResult) -> ItemResult:
        """Return the result with the tenant's RUC, which one that ended early lacks."""
        ruc = self._documents[result.key].tenant_ruc
        left_alone = {"outcome": str(Outcome.PENDING)} if result.status is ItemStatus.SKIPPED else {}
        return replace(result, details={"tenant_ruc": ruc, **left_alone, **result.details})

    def remember_last_calls(self, run: Run) -> None:
        """Let the next run keep its distance to the last call, which left a little after its attempt was begun."""
        left = {host: line.idle_s for host, line in self._hosts.items()}
        with suppress(JobsyncError), run.writing(run.own_fences) as connection:  # the stamps of the attempts stand
            for host, idle_s in left.items():
                if idle_s is not None:
                    store.write_last_start(connection, host, idle=timedelta(seconds=idle_s))

    def _host(self, document: DueDocument) -> str | None:
        key = document.key
        return None if isinstance(key, AccessKeyError) else self._job.client.host(key.environment)

    def begin(self, connection: Connection[Any], item: Item) -> int:
        document = self._documents[item.key]
        host = self._host(document)
        next_in = back_off(document, self._clock)
        paced = self._job.delay_s > 0
        number = store.begin_attempt(connection, document, next_in=next_in, host=host, paced=paced)
        if number is None:
            if host is not None:
                self._hosts[host].give_back()
            raise NoLongerDue("it was decided, cancelled, deleted or submitted again meanwhile")
        return number

    def find(self, attempt: Trial) -> _CheckedDocument:
        document = replace(self._documents[attempt.item.key], check_count=attempt.number)
        key = document.key
        if isinstance(key, AccessKeyError):  # no answer can help: a person has to look
            return _CheckedDocument(document, Verdict(Outcome.NEEDS_ATTENTION, key.problem, advice=str(key)))
        host = self._job.client.host(key.environment)
        line = self._hosts[host]
        asked = self._job.client.ask(key, sending=line.leaving())
        verdict = self._judge(attempt, document, asked)
        change = line.end(unreachable=_is_outage(asked), too_often=verdict.too_often)
        attempt.let_next()  # the SRI is done with it; the next may be asked about while this one is written
        events = []
        if attempt.number == 1 and key.environment != document.tenant_environment:
            words = f"the key is of the {key.environment} environment, the tenant of {document.tenant_environment}"
            events.append(Event("warning", code="tenant_environment", message=words))
        if document.too_far_ahead:
            events.append(store.warning_event("due_too_far_ahead", None))
        return _CheckedDocument(document, verdict, events, asked, host, change)

    def show(self, connection: Connection[Any], item: Item, found: _CheckedDocument) -> ItemResult:  # noqa: ARG002
        return _result(item, found)

    def keep(self, connection: Connection[Any], attempt: Attempt, found: _CheckedDocument) -> ItemResult:
        document = found.document
        events = [*_events(found), *found.events]
        if not _write(connection, found):
            events.append(Event("discarded", message="the document was changed while the SRI was asked about it"))
        _add_events(connection, attempt, document, events)
        if found.change is not None:
            write_host(connection, found.host, self._hosts[found.host], found.change)
            if found.change.turned:
                store.add_events(connection, [_circuit_event(found.host, found.change)], run_id=attempt.run_id)
        attempt.on_commit.append(partial(_say, found))
        return _result(attempt.item, found)

    def _judge(self, attempt: Trial, document: DueDocument, asked: Asked) -> Verdict:
        now = self._clock
        verdict = judge(asked.answer, document, now)
        if verdict.outcome is not Outcome.FAULT or verdict.reason not in UNUSABLE:
            return verdict
        with attempt.run.transaction() as connection:
            since, count = store.read_unusable(connection, document.id, sorted(UNUSABLE))
        return judge_unusable(verdict, document, now, since=since or now, count=count + 1)

    def failed(self, connection: Connection[Any], attempt: Attempt, result: ItemResult) -> None:
        document = self._documents[attempt.item.key]
        told = {"access_key": document.access_key, "outcome": str(Outcome.FAULT)}
        get_logger().error("check_authorizations.failed", **told, reason=result.reason, error=result.error)
        _add_events(connection, attempt, document, [Event(Outcome.FAULT, code=result.reason, message=result.error)])


def _add_events(connection: Connection[Any], attempt: Attempt, document: DueDocument, events: Sequence[Event]) -> None:
    store.add_events(connection, events, run_id=attempt.run_id, tenant_id=document.tenant_id, invoice_id=document.id)


def _is_outage(asked: Asked) -> bool:
    """Whether the ask counts against the host: there was no usable answer, and the cause is not here."""
    fault = asked.answer
    return isinstance(fault, Fault) and fault.unreachable and fault.kind is not FaultKind.ADDRESS


def _write(connection: Connection[Any], found: _CheckedDocument) -> bool:
    document, said = found.document, found.verdict.authorization
    if found.verdict.outcome is not Outcome.AUTHORIZED or said is None or found.asked is None:
        return store.write_waiting(connection, document, found.verdict)
    summary = None
    with suppress(UnreadableDocument):  # what the document does not tell readably stays empty
        summary = read_summary(said.document) if said.document is not None else None
    columns = store.columns_of(found.asked.key, summary)
    return store.write_authorized(connection, document, said, answer=found.asked.body, columns=columns)


def _events(found: _CheckedDocument) -> list[Event]:
    verdict, asked = found.verdict, found.asked
    told = Event(
        str(verdict.outcome),
        code=verdict.reason,
        message=asked.answer.text if asked and isinstance(asked.answer, Fault) else verdict.advice,
        http_status=asked.http_status if asked else None,
        duration_ms=asked.duration_ms if asked else None,
        raw=asked.body if asked and (verdict.outcome in _RAW_KEPT or verdict.too_often) else None,
    )
    messages = (
        Event(
            "message",
            code=message.code or None,
            message=message.text or None,
            additional_info=message.additional_info,
            severity=message.severity,
            message_class=str(explain(message.code).code_class) if message.code else None,
        )
        for message in verdict.messages
    )
    return [told, *messages, *(store.warning_event(warning, verdict.authorization) for warning in verdict.warnings)]


def _circuit_event(host: str, change: CircuitChange) -> Event:
    if not change.open:
        return Event("circuit_closed", code=host, message="it answers again")
    words = "too many faults in a row; one call a run until it answers"
    if change.too_often:
        words = "the SRI says that we ask too often (code 33); one call a run until an answer comes without it"
    return Event("circuit_opened", code=host, message=words)


def _result(item: Item, found: _CheckedDocument) -> ItemResult:
    verdict = found.verdict
    details: dict[str, Any] = {
        "outcome": str(verdict.outcome),
        "codes": verdict.codes,
        "tenant_ruc": found.document.tenant_ruc,
    }
    if verdict.warnings:
        details["warnings"] = list(verdict.warnings)
    if verdict.outcome is not Outcome.FAULT:
        return ItemResult(item.key, item.label, ItemStatus.SUCCESS, verdict.reason, details=details)
    fault = found.asked.answer if found.asked and isinstance(found.asked.answer, Fault) else None
    unreachable = fault is not None and fault.unreachable
    probed = found.change is not None and found.change.probed
    return ItemResult(
        item.key,
        item.label,
        ItemStatus.SKIPPED if probed and unreachable else ItemStatus.FAILED,
        reason=verdict.reason,
        error=visible(fault.text if fault else verdict.advice or verdict.reason),
        unreachable=unreachable,
        details=details,
    )


def _say(found: _CheckedDocument) -> None:
    document, verdict, asked, change = found.document, found.verdict, found.asked, found.change
    if asked is None:
        get_logger().warning("check_authorizations.key_wrong", access_key=document.access_key, reason=verdict.reason)
        return
    level = "warning" if verdict.outcome in _RAW_KEPT or verdict.warnings or verdict.too_often else "info"
    getattr(get_logger(), level)(
        "check_authorizations.asked",
        access_key=document.access_key,
        tenant_ruc=document.tenant_ruc,
        outcome=str(verdict.outcome),
        reason=verdict.reason,
        codes=verdict.codes,
        warnings=list(verdict.warnings) or None,
        http_status=asked.http_status,
        duration_ms=asked.duration_ms,
    )
    if change is not None and change.turned:
        get_logger().warning(
            "check_authorizations.circuit", host=found.host, open=change.open, too_often=change.too_often or None
        )


def item_json(result: ItemResult) -> dict[str, Any]:
    """Return one document's result in the shape of the contract."""
    details = result.details
    return {
        "access_key": result.key,
        "tenant_ruc": details.get("tenant_ruc"),
        **as_json(result),
        "status": details.get("outcome", str(Outcome.FAULT)),
        "codes": details.get("codes", []),
        **({"warnings": details["warnings"]} if "warnings" in details else {}),
    }
