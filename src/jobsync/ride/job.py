"""RIDE rendering in its order: what is authorized and has none -> XML -> page -> file -> record, each in isolation."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from psycopg import Connection

from jobsync.documents import ChosenDocuments, DocumentWork
from jobsync.errors import JobsyncError
from jobsync.fiscal.read import read_document
from jobsync.jobs import GENERATE_RIDE, Job
from jobsync.logs import get_logger, show_progress, visible
from jobsync.ride import store
from jobsync.ride.files import PlaceFault, Storage, StorageFault
from jobsync.ride.model import Logo, Rendered, Stamp
from jobsync.ride.paper import PICTURE_BYTES_MAX
from jobsync.ride.store import DueRide
from jobsync.runner import record
from jobsync.runner.items import Attempt, Item, ItemFailure, ItemQueue, NoLongerDue, as_json, in_pages, work_queues
from jobsync.runner.job import ItemResult, ItemStatus
from jobsync.runner.run import DryRun, Run

AT_ONCE = 3  # while one document waits for its file and its commit to reach the disk, the next is drawn
TOLD_EVERY = 1000  # of the files that are looked at


@dataclass(frozen=True, kw_only=True)
class GenerateRide(DocumentWork[DueRide]):
    """
    The work of one run.

    Args:
        open_file: returns the fiscal document inside whatever was stored as the authorized XML.
        missing: render again those whose row names a file that is not there, or not as it was written.
    """

    storage: Storage
    open_file: Callable[[bytes], bytes]
    force: bool = False
    missing: bool = False

    job: ClassVar[Job] = GENERATE_RIDE
    most: ClassVar[int] = 5000

    @property
    def connections(self) -> int:
        return AT_ONCE + 2  # each document that is worked on may need one, and the run itself

    def __call__(self, run: Run | DryRun) -> list[ItemResult]:
        """Render what is due; returns a result for each document that was begun."""
        assert isinstance(run, Run)  # noqa: S101 - no option asks for a dry one
        try:
            database_id = self._require_storage(run)
            lost = self._find_lost(run) if self.missing else ()
        except StorageFault as fault:
            return self._held(run, fault)

        def ended(run_ids: Set[UUID]) -> Set[UUID]:
            with run.transaction() as connection:
                return record.read_ended(connection, run_ids)

        if swept := self.storage.sweep(ended):
            get_logger().info("generate_ride.swept", files=swept)
        if self.force:
            with run.writing(run.own_fences) as connection:
                store.forget(connection, access_keys=self.access_keys, tenants=self.tenants)
        with run.transaction() as connection:
            chosen = self.choose(connection, lost)
        run.eligible = chosen.total
        taken = len(chosen.documents) + len(chosen.later)
        get_logger().info("generate_ride.found", eligible=chosen.total, taken=taken)
        work = _RideWork(self, run, database_id)
        results: list[ItemResult] = []
        read = store.read_printed_of if self.missing else store.QUEUE.read_due_of
        for rides in in_pages(run, chosen.documents, chosen.later, read, most=self.most):
            items = work.take(rides)
            finished = work_queues(run, [ItemQueue(items, gate=work.gate)], work, concurrency=AT_ONCE, total=taken)
            results.extend(work.named(result) for result in finished)
        return [*results, *chosen.left_out]

    def choose(self, connection: Connection[Any], lost: Sequence[int] = ()) -> ChosenDocuments[DueRide]:
        """Return what to render; raise as for any documents. `lost`: ids of those whose file is missing or altered."""
        if self.missing and not self.access_keys:
            self.require_tenants(connection)
            ids = lost[: self.limit]
            return ChosenDocuments(store.read_printed_of(connection, ids[: self.most]), [], len(lost), ids[self.most :])
        again = frozenset(lost)

        def leave_out(ride: DueRide) -> ItemResult | None:
            if ride.authorized and (self.force or not ride.generated or ride.id in again):
                return None
            reason = "already_rendered" if ride.authorized else "not_authorized"
            result = _result(ride, ItemStatus.SKIPPED, reason, _why_not(ride))
            return replace(result, named=not ride.authorized)  # what is rendered already needs no attention

        return self.choose_from(connection, store.QUEUE, leave_out)

    def _require_storage(self, run: Run) -> UUID:
        """Make sure that the storage is this database's, whose id is returned; mark one that is not in use yet."""
        with run.transaction() as connection:
            database_id = store.read_database_id(connection)
        if not self.storage.is_marked(database_id):  # hardly ever: only then files are read
            with run.transaction() as connection:
                files = store.read_files(connection)
            self.storage.recognize(database_id, files)
            self.storage.mark(database_id)
            told = {"storage": str(self.storage.root), "database_id": str(database_id)}
            get_logger().info("generate_ride.storage_marked", **told)
        return database_id

    def _find_lost(self, run: Run) -> array[int]:
        lost = array("q")
        printed = store.each_printed(run.transaction, access_keys=self.access_keys, tenants=self.tenants)
        for seen, (number, _key, path, sha256) in enumerate(printed):
            if run.must_stop():
                break
            if seen % TOLD_EVERY == 0:
                show_progress(f"{seen} files looked at, {len(lost)} missing or altered")
            if self.storage.state_of(path, sha256):
                lost.append(number)
        return lost

    def _held(self, run: Run, fault: StorageFault) -> list[ItemResult]:
        """Stop before anything is begun: what is due remains, the first of it says why."""
        with run.transaction() as connection:
            chosen = self.choose(connection)
        run.eligible = chosen.total
        hold(run, fault)
        return [_result(ride, ItemStatus.HELD, "storage", visible(fault)) for ride in chosen.documents[:1]]


def _result(ride: DueRide, status: ItemStatus, reason: str, error: str) -> ItemResult:
    details = {"tenant_ruc": ride.tenant_ruc}
    return ItemResult(ride.access_key, ride.access_key, status, reason=reason, error=error, details=details)


def hold(run: Run, fault: StorageFault) -> None:
    """Stop the run, in words that begin with the cause, by which screens and alerts know it."""
    get_logger().error("generate_ride.storage", cause=fault.cause, error=str(fault))
    run.hold(f"{fault.cause}: {visible(fault)}")


def _why_not(ride: DueRide) -> str:
    key = ride.access_key
    if ride.deleted or ride.status == "cancelled":
        return f"it is {'deleted' if ride.deleted else 'cancelled'} here, and is not printed any more"
    return {
        "authorized": f"it is printed already; anew: jobsync generate-ride --force --access-key {key}",
        "pending_authorization": "it is pending: the SRI has not authorized it yet; ask now:"
        f" jobsync check-authorizations --access-key {key}",
        "rejected": f"the SRI has refused it; its story: jobsync invoice show {key}",
    }.get(ride.status, f"it needs attention, and is not authorized; its story: jobsync invoice show {key}")


class _NoPlace(ItemFailure):
    """The file finds no place; the document is held until it does."""

    status = ItemStatus.HELD


class _RideWork:
    def __init__(self, job: GenerateRide, run: Run, database_id: UUID) -> None:
        self._job = job
        self._run = run
        self._database_id = database_id
        self._rides: dict[str, DueRide] = {}
        self._delay_s = job.settings.number("ride_delay_ms") / 1000
        self._attach = job.settings.switch("ride_attach_xml")
        self._read_logo = cache(read_logo)  # once a run, and one that cannot be read is told once
        self._begun_at: float | None = None

    def take(self, rides: Sequence[DueRide]) -> list[Item]:
        self._rides = {ride.access_key: ride for ride in rides}
        return [ride.item(named=bool(self._job.access_keys)) for ride in rides]

    def gate(self, _item: Item) -> bool:
        """Keep the distance between two documents."""
        if self._begun_at is not None:
            wait_s = self._begun_at + self._delay_s - time.monotonic()
            if wait_s > 0 and not self._run.pause(wait_s):
                return False
        self._begun_at = time.monotonic()
        return not self._run.must_stop()

    def named(self, result: ItemResult) -> ItemResult:
        """Return the result with the tenant's RUC, which one that ended early lacks."""
        return replace(result, details={"tenant_ruc": self._rides[result.key].tenant_ruc, **result.details})

    def begin(self, connection: Connection[Any], item: Item) -> int:
        number = store.begin_attempt(connection, self._rides[item.key])
        if number is None:
            raise NoLongerDue("it was rendered, cancelled or deleted meanwhile")
        return number

    def find(self, attempt: Attempt) -> tuple[Rendered, Path]:
        """Return the printed form, and its file, which is not in its place yet."""
        ride, storage = self._rides[attempt.item.key], self._job.storage
        with attempt.run.transaction() as connection:
            source = store.read_source(connection, ride)
        rendered = self._render(ride, *source)
        with self._storing():
            storage.require_marker(self._database_id)
            unfinished = storage.write(attempt.run_id, ride.access_key, rendered.data)
        attempt.turn.callback(storage.drop, unfinished)  # unless it is in its place by then
        return rendered, unfinished

    def keep(self, connection: Connection[Any], attempt: Attempt, found: tuple[Rendered, Path]) -> ItemResult:
        """Row and rename in one transaction, the commit last."""
        ride, (rendered, unfinished) = self._rides[attempt.item.key], found
        path = self._job.storage.relative(ride.tenant_id, ride.access_key)
        sha256 = hashlib.sha256(rendered.data).hexdigest()
        if not store.write_rendered(connection, ride, path=path, sha256=sha256):
            raise NoLongerDue("it was cancelled or deleted while it was rendered")
        with self._storing():
            self._job.storage.place(unfinished, path)
        details: dict[str, Any] = {"path": path, "sha256": sha256, "bytes": len(rendered.data)}
        if rendered.warnings:
            details["warnings"] = list(rendered.warnings)

        def tell() -> None:
            told = {"outcome": "rendered", "pages": rendered.pages, "duration_ms": attempt.elapsed_ms}
            get_logger().info("generate_ride.rendered", **told, **details)

        attempt.on_commit.append(tell)
        return ItemResult(attempt.item.key, attempt.item.label, ItemStatus.SUCCESS, details=details)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Stop the run if the storage is broken; what only has no place of its own waits ever longer, as a failure."""
        try:
            yield
        except StorageFault as fault:
            if isinstance(fault, PlaceFault):
                get_logger().error("generate_ride.storage", error=str(fault))
            else:
                hold(self._run, fault)
            raise _NoPlace(visible(fault), reason="storage") from fault

    def failed(self, connection: Connection[Any], attempt: Attempt, result: ItemResult) -> None:
        ride, error = self._rides[attempt.item.key], result.error or result.reason or "unknown"
        if result.reason == "storage" and self._run.why_held:
            store.give_back(connection, ride, error)
            return
        parked = result.reason in ("unreadable", "no_xml")
        if result.reason != "storage":
            told = {"outcome": "failed", "reason": result.reason, "error": result.error, "parked": parked}
            get_logger().error("generate_ride.failed", **told)
        store.write_failed(connection, ride, error, parked=parked)

    def _render(self, ride: DueRide, stored: bytes | None, number: str | None, at: datetime | None) -> Rendered:
        from jobsync.ride.render import render

        if stored is None:
            raise ItemFailure("no XML is kept of this document; import it, then force its RIDE", reason="no_xml")
        try:
            document = read_document(self._job.open_file(stored))
        except JobsyncError as error:
            raise ItemFailure(f"the stored XML cannot be read: {error}", reason="unreadable") from error
        stamp = Stamp(state="AUTORIZADO", number=number, authorized_at=at)
        logo = self._read_logo(Path(ride.logo_path)) if ride.logo_path is not None else None
        return render(document, stamp, logo=logo, attach_xml=stored if self._attach else None)


def read_logo(path: Path) -> Logo | None:
    """Return a logo, or None, with a warning in the log, if there is none to be read."""
    why: str | None = "no file"
    try:
        if path.is_file():  # a pipe would be waited for
            with path.open("rb") as file:
                return Logo(file.read(PICTURE_BYTES_MAX + 1), path.name)  # one more, so that too large a one is told
    except OSError as error:
        why = error.strerror
    get_logger().warning("generate_ride.logo_unreadable", path=str(path), error=why)
    return None


def item_json(result: ItemResult) -> dict[str, Any]:
    """Return one document's result in the shape of the contract."""
    words = {ItemStatus.SUCCESS: "rendered", ItemStatus.SKIPPED: "skipped"}
    status = words.get(result.status, "failed")
    shown = {"access_key": result.key, "tenant_ruc": None, **as_json(result), "status": status}
    return {**shown, "path": None, "sha256": None, "bytes": None, **result.details}
