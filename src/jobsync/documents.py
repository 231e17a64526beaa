"""Which documents a run of authorization checks or RIDEs takes, tenants in fair turns: those due, or those named."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

import sqlalchemy
from psycopg import Connection
from psycopg.rows import dict_row
from sqlalchemy import text

from jobsync.db.system_settings import SystemSettings
from jobsync.errors import UsageProblem
from jobsync.logs import visible
from jobsync.runner.items import Item
from jobsync.runner.job import ItemResult
from jobsync.runner.run import JobWork


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One document as a job finds it."""

    id: int
    tenant_id: int
    tenant_ruc: str
    access_key: str
    status: str
    deleted: bool = False  # the row stays, nothing is done about it any more
    too_far_ahead: bool = False  # it is due because its next time was set by a clock that was wrong

    def item(self, *, named: bool) -> Item:
        """Return it as an item of a run; `named`: it was asked for by its key."""
        about = {"access_key": self.access_key, "tenant_id": self.tenant_id, "tenant_ruc": self.tenant_ruc}
        return Item(self.access_key, self.access_key, named=named, about=about)


D = TypeVar("D", bound=Waiting)


@dataclass(frozen=True)
class DocumentQueue(Generic[D]):
    """Where the documents of a job wait."""

    row: type[D]  # what one of them becomes: a field for each column that it needs
    view: str  # source of what is due, with `due_since`; it may lack what has a default, as `whole` may
    whole: str  # source of all documents
    # window that tells whom a due document waits behind. Those with the fewest attempts are to come first, so that a
    # document that kills the process cannot stand in the way of the others.
    turn: str

    def statement(self) -> str:
        """Return the query for what is due, tenants in turns: the first of each, then the second of each."""
        return (
            "SELECT id, total FROM (SELECT d.id, d.due_since, count(*) OVER () AS total,"
            f" row_number() OVER ({self.turn}) AS turn FROM {self.view} d"
            " WHERE (%(tenants)s::text[] IS NULL OR d.tenant_ruc = ANY(%(tenants)s))) due"
            " ORDER BY turn, due_since, id LIMIT %(limit)s"
        )

    def read_due(
        self, connection: Connection[Any], *, limit: int | None, tenants: Sequence[str] = ()
    ) -> tuple[array[int], int]:
        """Return the numbers of documents whose time has come, tenants in fair turns; and how many there are in all."""
        numbers, total = array("q"), 0
        values = {"tenants": list(tenants) or None, "limit": limit}
        for number, total in connection.execute(self.statement().encode(), values):  # noqa: B007 - each row has it
            numbers.append(number)
        return numbers, total

    def read_due_of(self, connection: Connection[Any], ids: Sequence[int]) -> list[D]:
        """Return those of these documents whose time has still come, in the order of the numbers."""
        return self.read_of(connection, self.view, "id", ids)

    def read_of(self, connection: Connection[Any], source: str, column: str, wanted: Sequence[Any]) -> list[D]:
        """Return the documents of a source that have these values in a column, in their order."""
        names = {known.name for known in fields(self.row)}
        statement = f"SELECT * FROM {source} d WHERE {column} = ANY(%(wanted)s)"
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(statement.encode(), {"wanted": list(wanted)}).fetchall()
        found = {row[column]: self.row(**{name: row[name] for name in names & row.keys()}) for row in rows}
        return [found[value] for value in wanted if value in found]


@dataclass(frozen=True)
class ChosenDocuments(Generic[D]):
    """What a run works on."""

    documents: Sequence[D]
    left_out: Sequence[ItemResult]  # of documents that were asked for by name and are not worked on
    total: int  # how many are due; more than there are `documents` if the run takes only some
    later: Sequence[int] = ()  # numbers of what the run takes after `documents`, if their time has still come then


@dataclass(frozen=True, kw_only=True)
class DocumentWork(JobWork, Generic[D]):
    """The work of one run over documents."""

    settings: SystemSettings
    access_keys: tuple[str, ...] = ()  # worked on now, due or not; empty means what is due
    tenants: tuple[str, ...] = ()  # RUCs; only theirs; empty means all
    limit: int | None = None  # documents worked on at most; None means no limit of its own
    every: bool = False  # all that are due by now, however many; otherwise as many as are read at once

    most: ClassVar[int]  # documents read at once; a tick leaves what is beyond to the next, a run by hand goes on

    def require_known(self, connection: Connection[Any]) -> None:
        if self.access_keys or self.tenants:
            self.choose(connection)

    def choose(self, connection: Connection[Any]) -> ChosenDocuments[D]:
        """Return what to work on; raise UsageProblem if a named tenant or document does not exist, or is of no use."""
        raise NotImplementedError

    def require_tenants(self, connection: Connection[Any]) -> None:
        """Raise UsageProblem if a named tenant does not exist."""
        known = {ruc for (ruc,) in connection.execute("SELECT ruc FROM tenants WHERE ruc = ANY(%s)", [[*self.tenants]])}
        if unknown := [ruc for ruc in self.tenants if ruc not in known]:
            raise UsageProblem(f"no tenant {', '.join(unknown)}; jobsync tenant list shows them")

    def choose_from(
        self,
        connection: Connection[Any],
        queue: DocumentQueue[D],
        leave_out: Callable[[D], ItemResult | None],
    ) -> ChosenDocuments[D]:
        """Return what to work on; of what is named, that for which `leave_out` has no result. Raises as `choose`."""
        self.require_tenants(connection)
        if self.access_keys:
            found = [(document, leave_out(document)) for document in self._named(connection, queue)]
            chosen = [document for document, result in found if result is None]
            return ChosenDocuments(chosen, [result for _, result in found if result is not None], len(chosen))
        limits = (self.limit, None if self.every else self.most)
        limit = min((limit for limit in limits if limit is not None), default=None)
        ids, total = queue.read_due(connection, limit=limit, tenants=self.tenants)
        documents = queue.read_due_of(connection, ids[: self.most])
        total -= len(ids[: self.most]) - len(documents)  # what was decided between the two statements is not due
        return ChosenDocuments(documents, [], total, ids[self.most :])

    def _named(self, connection: Connection[Any], queue: DocumentQueue[D]) -> list[D]:
        found = queue.read_of(connection, queue.whole, "access_key", self.access_keys)
        known = {document.access_key for document in found}
        if unknown := [key for key in self.access_keys if key not in known]:
            raise UsageProblem(f"no document {', '.join(visible(key, most=60) for key in unknown)}")
        for document in found:
            if self.tenants and document.tenant_ruc not in self.tenants:
                raise UsageProblem(
                    f"document {document.access_key} is of tenant {document.tenant_ruc}, not of the one named"
                )
        return found


def read_there(connection: sqlalchemy.Connection, keys: Sequence[str]) -> set[str]:
    """Return those access keys whose document is here still, and may be worked on again."""
    there = "SELECT access_key FROM invoices WHERE access_key = ANY(:keys) AND deleted_at IS NULL"
    return set(connection.scalars(text(f"{there} AND status <> 'cancelled'"), {"keys": list(keys)}))
