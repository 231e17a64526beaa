"""Authorization checks in their order: what is due -> ask -> parse -> judge -> record, each document in isolation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from psycopg import Connection

from jobsync.db.system_settings import SystemSettings
from jobsync.errors import JobsyncError, UsageProblem
from jobsync.fiscal.access_key import AccessKey, AccessKeyError, parse_access_key
from jobsync.fiscal.element import UnreadableDocument
from jobsync.fiscal.read import read_summary
from jobsync.hosts.circuit import CircuitChange, HostLine
from jobsync.hosts.store import HostState, lock_host, read_hosts, write_host
from jobsync.jobs import CHECK_AUTHORIZATIONS, Job
from jobsync.logs import get_logger, visible
from jobsync.runner.items import Attempt, Item, ItemQueue, NoLongerDue, Trial, as_json, in_pages, work_queues
from jobsync.runner.job import ItemResult, ItemStatus
from jobsync.runner.run import DryRun, JobWork, Run, database_now
from jobsync.sri import store
from jobsync.sri.catalogue import explain
from jobsync.sri.client import Asked, SriClient
from jobsync.sri.model import UNUSABLE, DocumentStatus, Fault, Outcome, Verdict
from jobsync.sri.store import DocumentSummary, DueDocument, Event
from jobsync.sri.verdict import back_off, judge, judge_unusable

_MORE_DELAY_S = 0.01  # the way to the host shifts arrivals by a few ms; they too are to be apart as set
# Writes are short: calls in flight share their connections, instead of using up what the server has for everybody. Each
# more costs the server a process that learns everything anew, which weighs more than the few writes that it lets run
# side by side.
_CONNECTIONS_MOST = 8
# Documents read at once. A tick leaves what is beyond to the next, a run by hand goes on with them.
MOST_AT_ONCE = 2000
_STATUS = {
    Outcome.AUTHORIZED: DocumentStatus.AUTHORIZED,
    Outcome.REJECTED: DocumentStatus.REJECTED,
    Outcome.PENDING: DocumentStatus.PENDING,
    Outcome.NEEDS_ATTENTION: DocumentStatus.NEEDS_ATTENTION,
}
_OUTCOME = {
    DocumentStatus.AUTHORIZED: Outcome.AUTHORIZED,
    DocumentStatus.REJECTED: Outcome.REJECTED,
}
_RAW_KEPT = (Outcome.REJECTED, Outcome.NEEDS_ATTENTION, Outcome.FAULT)


@dataclass(frozen=True)
class CheckAuthorizations(JobWork):
    """
    The work of one run.

    Args:
        access_keys: asked about now, due or not; empty means what is due.
        tenants: RUCs; only theirs; empty means all.
        limit: documents asked about at most; None means no limit of its own.
        every: all that are due by now, however many; otherwise as many as are read at once.
    """

    client: SriClient
    settings: SystemSettings
    access_keys: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    limit: int | None = None
    every: bool = False

    job: ClassVar[Job] = CHECK_AUTHORIZATIONS

    def require_known(self, connection: Connection[Any]) -> None:
        if self.access_keys or self.tenants:
            choose(connection, self)

    @property
    def connections(self) -> int:
        """Connections that the run may open."""
        return min(2 * self.concurrency + 2, _CONNECTIONS_MOST)

    def __call__(self, run: Run | DryRun) -> list[ItemResult]:
        """Ask about what is due; returns a result for each document that was begun."""
        with run.transaction() as connection:
            chosen = choose(connection, self)
        run.eligible = chosen.total + len(chosen.decided)
        taken = len(chosen.documents) + len(chosen.later)
        get_logger().info("check_authorizations.found", eligible=chosen.total, taken=taken)
        work = _CheckWork(self, chosen, pause=run.pause)
        results: list[ItemResult] = []
        for documents in in_pages(run, chosen.documents, chosen.later, store.read_due_of, most=MOST_AT_ONCE):
            work.take(documents)
            ended = work_queues(run, work.lines(), work, concurrency=self.concurrency, total=taken)
            results.extend(work.named(result) for result in ended)
        if isinstance(run, Run):
            work.remember_last_calls(run)
        return [*results, *chosen.decided]

    @property
    def concurrency(self) -> int:
        """Calls in flight at once, for each host."""
        return self.settings.number("sri_check_concurrency")

    @property
    def delay_s(self) -> float:
        """Seconds between the starts of two calls to one host: a little more than is set, unless that is nothing."""
        set_s = self.settings.number("sri_call_delay_ms") / 1000
        return set_s + _MORE_DELAY_S if set_s else 0.0


@dataclass(frozen=True)
class ChosenDocuments:
    """
    What a run works on.

    Args:
        decided: documents asked for by name that the SRI has nothing more to say about.
        total: how many are due; more than there are `documents` if the run takes only some.
        later: numbers of documents that the run takes after `documents`, if their time has still come then.
        now: the database's clock, at the monotonic instant `read_at`.
    """

    documents: Sequence[DueDocument]
    decided: Sequence[ItemResult]
    total: int
    hosts: dict[str, HostState]
    now: datetime
    read_at: float
    later: Sequence[int] = ()

    @property
    def clock(self) -> datetime:
        """Return what the database's clock shows now, without asking it again."""
        return self.now + timedelta(seconds=time.monotonic() - self.read_at)


def choose(connection: Connection[Any], job: CheckAuthorizations) -> ChosenDocuments:
    """
    Return what to work on, tenants in fair turns.

    Raises:
        UsageProblem: a named tenant or document does not exist, or cannot be asked about.
    """
    if unknown := store.unknown_tenants(connection, job.tenants):
        raise UsageProblem(f"no tenant {', '.join(unknown)}; jobsync tenant list shows them")
    decided: list[ItemResult] = []
    later: Sequence[int] = ()
    if job.access_keys:
        documents, decided = _named(store.read_named(connection, job.access_keys), job)
        total = len(documents)
    elif job.every:
        ids = store.read_due_ids(connection, tenants=job.tenants)
        total, ids = len(ids), ids[: job.limit]
        documents, later = store.read_due_of(connection, ids[:MOST_AT_ONCE]), ids[MOST_AT_ONCE:]
    else:
        most = min(MOST_AT_ONCE, job.limit) if job.limit is not None else MOST_AT_ONCE
        documents, total = store.read_due(connection, limit=most, tenants=job.tenants)
    hosts = read_hosts(connection, {job.client.host("test"), job.client.host("production")})
    return ChosenDocuments(documents, decided, total, hosts, database_now(connection), time.monotonic(), later)


def _named(found: Sequence[DueDocument], job: CheckAuthorizations) -> tuple[list[DueDocument], list[ItemResult]]:
    known = {document.access_key for document in found}
    if unknown := [key for key in job.access_keys if key not in known]:
        raise UsageProblem(f"no document {', '.join(visible(key, most=60) for key in unknown)}")
    documents, decided = [], []
    for document in found:
        key = document.access_key
        if job.tenants and document.tenant_ruc not in job.tenants:
            raise UsageProblem(f"document {key} is of tenant {document.tenant_ruc}, not of the one named")
        if document.deleted or document.status is DocumentStatus.CANCELLED:
            words = "deleted" if document.deleted else "cancelled"
            raise UsageProblem(f"document {key} is {words}; the SRI is not asked about it any more")
        if document.status in _OUTCOME:
            details = {"outcome": str(_OUTCOME[document.status]), "codes": [], "tenant_ruc": document.tenant_ruc}
            decided.append(
                ItemResult(key, key, ItemStatus.SUCCESS, reason="already_decided", details=details, named=True)
            )
            continue
        if document.inactive or document.paused:
            get_logger().warning(
                "check_authorizations.overridden", access_key=key, why="paused" if document.paused else "inactive"
            )
        documents.append(document)
    return documents, decided


def check_key(document: DueDocument) -> AccessKey:
    """
    Return the document's key, once everything is right that can be known without a call.

    Raises:
        AccessKeyError: it cannot be right, or is of another issuer than the tenant.
    """
    key = parse_access_key(document.access_key)
    key.require_ruc(document.tenant_ruc)
    return key


@dataclass(frozen=True)
class _Answer:
    """What the SRI said, what it means, and what it taught of its host."""

    verdict: Verdict
    asked: Asked
    host: str
    change: CircuitChange | None


@dataclass(frozen=True)
class _CheckedDocument:
    """What was found out of a document; no `answer`: its key is wrong, and the SRI was not asked."""

    document: DueDocument
    result: ItemResult
    events: Sequence[Event]
    answer: _Answer | None = None


class _CheckWork:
    """Authorization checks' side of runner.items.Work."""

    def __init__(self, job: CheckAuthorizations, chosen: ChosenDocuments, *, pause: Callable[[float], bool]) -> None:
        self._job = job
        self._chosen = chosen
        self._documents: dict[str, DueDocument] = {}
        self._keys: dict[str, AccessKey] = {}
        self._unaskable: dict[str, AccessKeyError] = {}
        self._hosts = {
            host: HostLine(
                delay_s=job.delay_s,
                pause=pause,
                faults_in_a_row=state.faults_in_a_row,
                is_open=state.open,
                too_often=state.too_often,
                idle_s=state.idle_s,
            )
            for host, state in chosen.hosts.items()
        }

    def take(self, documents: Sequence[DueDocument]) -> None:
        """Turn to these documents; what was learned of the hosts stays."""
        self._documents = {document.access_key: document for document in documents}
        self._keys.clear()
        self._unaskable.clear()
        for document in documents:
            try:
                self._keys[document.access_key] = check_key(document)
            except AccessKeyError as error:
                self._unaskable[document.access_key] = error

    def lines(self) -> list[ItemQueue]:
        """Return a line for each host, and one for documents that the SRI is not asked about."""
        by_host: dict[str | None, list[Item]] = {}
        for name, document in self._documents.items():
            about = {"access_key": name, "tenant_id": document.tenant_id, "tenant_ruc": document.tenant_ruc}
            item = Item(name, name, named=bool(self._job.access_keys), about=about)
            by_host.setdefault(self._host(name), []).append(item)
        return [
            ItemQueue(items, gate=None if host is None else partial(_admit, self._hosts[host]))
            for host, items in by_host.items()
        ]

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

    def _host(self, name: str) -> str | None:
        key = self._keys.get(name)
        return None if key is None else self._job.client.host(key.environment)

    def begin(self, connection: Connection[Any], item: Item) -> int:
        document, host = self._documents[item.key], self._host(item.key)
        next_in = back_off(document.history, self._chosen.clock)
        paced = self._job.delay_s > 0
        number = store.begin_attempt(connection, document, next_in=next_in, host=host, paced=paced)
        if number is None:
            if host is not None:
                self._hosts[host].give_back()
            raise NoLongerDue("it was decided, cancelled, deleted or submitted again meanwhile")
        return number

    def find(self, attempt: Trial) -> _CheckedDocument:
        document = replace(self._documents[attempt.item.key], check_count=attempt.number)
        if (error := self._unaskable.get(document.access_key)) is not None:
            return _CheckedDocument(document, _parked(attempt.item, document, error), [_parked_event(error)])
        key, host = self._keys[document.access_key], self._host(document.access_key)
        assert host is not None  # noqa: S101 - every key that can be asked about has one
        line = self._hosts[host]
        asked = self._job.client.ask(key, sending=line.leaving())
        verdict = self._judge(attempt, document, asked)
        change = line.end(unreachable=_is_outage(asked), too_often=verdict.too_often)
        attempt.let_next()  # the SRI is done with it; the next may be asked about while this one is written
        result = _result(attempt.item, document, verdict, asked, probed=change is not None and change.probed)
        events = [*_events(verdict, asked), *(_first_look(document, key) if attempt.number == 1 else ())]
        if document.too_far_ahead:
            events.append(store.warning_event("due_too_far_ahead", None))
        return _CheckedDocument(document, result, events, _Answer(verdict, asked, host, change))

    def show(self, connection: Connection[Any], item: Item, found: _CheckedDocument) -> ItemResult:  # noqa: ARG002
        return found.result

    def keep(self, connection: Connection[Any], attempt: Attempt, found: _CheckedDocument) -> ItemResult:
        document, answer, events = found.document, found.answer, found.events
        if not _write(connection, found):
            events = [*events, Event("discarded", message="the document was changed while the SRI was asked about it")]
        store.add_events(
            connection, events, run_id=attempt.run_id, tenant_id=document.tenant_id, invoice_id=document.id
        )
        if answer is not None and (change := answer.change) is not None:
            lock_host(connection, answer.host)  # ends that come together are written in any order: each the latest
            write_host(connection, answer.host, self._hosts[answer.host].state, change)
            if change.turned:
                store.add_events(connection, [_circuit_event(answer.host, change)], run_id=attempt.run_id)
        attempt.on_commit.append(partial(_say, found))
        return found.result

    def _judge(self, attempt: Trial, document: DueDocument, asked: Asked) -> Verdict:
        now = self._chosen.clock
        verdict = judge(asked.answer, document.history, now)
        if verdict.outcome is not Outcome.FAULT or verdict.reason not in UNUSABLE:
            return verdict
        with attempt.run.transaction() as connection:
            since, count = store.read_unusable(connection, document.id, sorted(UNUSABLE))
        return judge_unusable(verdict, document.history, now, since=since or now, count=count + 1)

    def failed(self, connection: Connection[Any], attempt: Attempt, result: ItemResult) -> None:
        document = self._documents[attempt.item.key]
        get_logger().error(
            "check_authorizations.failed",
            access_key=document.access_key,
            outcome=str(Outcome.FAULT),
            reason=result.reason,
            error=result.error,
        )
        event = Event(Outcome.FAULT, code=result.reason, message=result.error)
        store.add_events(
            connection,
            [event],
            run_id=attempt.run_id,
            tenant_id=document.tenant_id,
            invoice_id=document.id,
        )


def _admit(line: HostLine, _item: Item) -> bool:
    return line.admit()


def _is_outage(asked: Asked) -> bool:
    """Whether the ask counts against the host: there was no usable answer, and the cause is not here."""
    return isinstance(asked.answer, Fault) and asked.answer.unreachable and not asked.answer.ours


def _write(connection: Connection[Any], found: _CheckedDocument) -> bool:
    document, answer = found.document, found.answer
    if answer is None:
        return store.write_waiting(
            connection,
            document,
            DocumentStatus.NEEDS_ATTENTION,
            reason=found.result.reason,
            next_in=None,
            empty_since=None,
            empty_count=0,
        )
    verdict, node = answer.verdict, answer.verdict.authorization
    if verdict.outcome is Outcome.AUTHORIZED:
        xml = node.document if node else None
        return store.write_authorized(
            connection,
            document,
            number=(node.number if node else None) or document.access_key,
            authorized_at=node.authorized_at if node else None,
            answer=answer.asked.body,
            xml=xml,
            found=_find(document, xml),
        )
    return store.write_waiting(
        connection,
        document,
        None if verdict.status_stays else _STATUS[verdict.outcome],
        reason=verdict.reason,
        next_in=verdict.next_check_in,
        empty_since=verdict.empty_since,
        empty_count=verdict.empty_count,
        refused_at=node.authorized_at
        if node and verdict.outcome in (Outcome.REJECTED, Outcome.NEEDS_ATTENTION)
        else None,
    )


def _find(document: DueDocument, xml: bytes | None) -> DocumentSummary:
    """Read what lists show; what the document does not tell readably stays empty."""
    key = parse_access_key(document.access_key)
    known = DocumentSummary(key.document_type, key.series_number, key.issue_date)
    if xml is None:
        return known
    try:
        summary = read_summary(xml)
    except UnreadableDocument:
        return known
    return DocumentSummary(
        key.document_type, key.series_number, key.issue_date, summary.receiver_name, summary.receiver_id, summary.total
    )


def _events(verdict: Verdict, asked: Asked) -> list[Event]:
    """Return the ask itself with its first message, then a row for each further message and warning."""
    raw = asked.body if verdict.outcome in _RAW_KEPT or verdict.too_often else None
    words = asked.answer.text if isinstance(asked.answer, Fault) else verdict.advice
    code = verdict.reason
    messages = [
        Event(
            "message",
            code=message.code or None,
            message=message.text or None,
            additional_info=message.additional_info,
            severity=message.severity,
            message_class=str(explain(message.code).code_class) if message.code else None,
        )
        for message in verdict.messages
    ]
    told = Event(
        str(verdict.outcome),
        code=code,
        message=words,
        http_status=asked.http_status,
        duration_ms=asked.duration_ms,
        raw=raw,
    )
    return [told, *messages, *(store.warning_event(warning, verdict.authorization) for warning in verdict.warnings)]


def _first_look(document: DueDocument, key: AccessKey) -> list[Event]:
    if key.environment == document.tenant_environment:
        return []
    words = f"the key is of the {key.environment} environment, the tenant of {document.tenant_environment}"
    return [Event("warning", code="tenant_environment", message=words)]


def _circuit_event(host: str, change: CircuitChange) -> Event:
    if change.open and change.too_often:
        words = "the SRI says that we ask too often (code 33); one call a run until an answer comes without it"
        return Event("circuit_opened", code=host, message=words)
    if change.open:
        return Event("circuit_opened", code=host, message="too many faults in a row; one call a run until it answers")
    return Event("circuit_closed", code=host, message="it answers again")


def _result(item: Item, document: DueDocument, verdict: Verdict, asked: Asked, *, probed: bool) -> ItemResult:
    details: dict[str, Any] = {
        "outcome": str(verdict.outcome),
        "codes": verdict.codes,
        "tenant_ruc": document.tenant_ruc,
    }
    if verdict.warnings:
        details["warnings"] = list(verdict.warnings)
    fault = asked.answer if isinstance(asked.answer, Fault) else None
    if verdict.outcome is not Outcome.FAULT:
        return ItemResult(item.key, item.label, ItemStatus.SUCCESS, verdict.reason, details=details, named=item.named)
    unreachable = fault is not None and fault.unreachable
    return ItemResult(
        item.key,
        item.label,
        ItemStatus.SKIPPED if probed and unreachable else ItemStatus.FAILED,
        reason=verdict.reason,
        error=visible(fault.text if fault else verdict.advice or verdict.reason),
        unreachable=unreachable,
        details=details,
    )


def _parked(item: Item, document: DueDocument, error: AccessKeyError) -> ItemResult:
    """No answer can help a key that is wrong: a person has to look, and the SRI is not asked."""
    details = {"outcome": str(Outcome.NEEDS_ATTENTION), "codes": [], "tenant_ruc": document.tenant_ruc}
    return ItemResult(item.key, item.label, ItemStatus.SUCCESS, reason=error.problem, details=details)


def _parked_event(error: AccessKeyError) -> Event:
    return Event(Outcome.NEEDS_ATTENTION, code=error.problem, message=str(error))


def _say(found: _CheckedDocument) -> None:
    document, answer = found.document, found.answer
    if answer is None:
        get_logger().warning(
            "check_authorizations.key_wrong", access_key=document.access_key, reason=found.result.reason
        )
        return
    verdict, asked, change = answer.verdict, answer.asked, answer.change
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
            "check_authorizations.circuit", host=answer.host, open=change.open, too_often=change.too_often or None
        )


def item_json(result: ItemResult) -> dict[str, Any]:
    """Return one document's result in the shape of the contract."""
    common = as_json(result)
    shown = {
        "access_key": result.key,
        "tenant_ruc": result.details.get("tenant_ruc"),
        **common,
        "status": result.details.get("outcome", str(Outcome.FAULT)),
        "codes": result.details.get("codes", []),
    }
    if "warnings" in result.details:
        shown["warnings"] = result.details["warnings"]
    return shown
