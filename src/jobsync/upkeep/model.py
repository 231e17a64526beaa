"""The nouns of upkeep: an answer of the doctor, the retention of one table, the items of past runs."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from jobsync.errors import ExitCode


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One answer; `code` is the exit code that a problem of this kind leads to."""

    name: str
    text: str
    what_to_do: str | None = None
    code: ExitCode = ExitCode.NEEDS_ATTENTION
    level: Level = Level.OK

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "level": str(self.level), "text": self.text, "what_to_do": self.what_to_do}


ok = Finding
warning, problem = partial(Finding, level=Level.WARNING), partial(Finding, level=Level.PROBLEM)


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are: longer lines are not read."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# what a batch takes: rows older than :before, of a table that is walked those behind :after up to :end, :batch of them
BEFORE = sa.bindparam("before", type_=sa.DateTime(timezone=True))
AFTER = sa.bindparam("after", type_=sa.BigInteger)
END = sa.bindparam("end", type_=sa.BigInteger)
BATCH_SIZE: Any = sa.bindparam("batch", type_=sa.Integer)


@dataclass(frozen=True)
class RetentionRule:
    """One table's retention."""

    table: sa.Table
    setting: str
    find: sa.Select[Any] | sa.TextClause  # the next batch of ids older than :before; a text calls their table `old`
    most: int = 1_000_000  # rows of one transaction
    walked: sa.Column[Any] | None = None  # the instant, where the primary key is walked: a batch ends at an id

    @property
    def find_locked(self) -> sa.Executable:
        """The same, locked; rows that somebody else has locked are left."""
        if isinstance(self.find, sa.Select):
            return self.find.with_for_update(skip_locked=True)
        return sa.text(f"{self.find.text} FOR UPDATE OF old SKIP LOCKED")

    @property
    def count(self) -> sa.Executable:
        if isinstance(self.find, sa.Select):
            return sa.select(sa.func.count()).select_from(self.find.subquery())
        return sa.text(f"SELECT count(*) FROM ({self.find.text}) found")


def oldest(table: sa.Table, *wanted: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select ids in their order: they grow with time, so no further index is needed."""
    return sa.select(table.c.id).where(table.c.id > AFTER, *wanted).order_by(table.c.id).limit(BATCH_SIZE)


def walk(at: sa.Column[Any], setting: str, *wanted: sa.ColumnElement[bool]) -> RetentionRule:
    """Return the rule of a table that is walked along its primary key."""
    table = at.table
    return RetentionRule(table, setting, oldest(table, at < BEFORE, table.c.id <= END, *wanted), walked=at)


@dataclass(frozen=True)
class ItemsOfRuns:
    """What a slice knows of the items of its job's past runs."""

    job: str
    read_there: Callable[[sa.Connection, Sequence[str]], Set[str]]  # those of the keys that a run can still take
    read_warnings: Callable[[sa.Connection, UUID], Mapping[str, list[str]]] = lambda *_: {}  # of a run's items, by key
