"""The nouns of stock sync: a car as the feed tells it, a row as we keep it, and the plan from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from jobsync.runner.job import ItemStatus

# One item's JSON text: bytes, or a view into the body that came.
RawItem = bytes | msgspec.Raw

# Columns of `vehicles` that the feed fills, in the order in which they are written.
FEED_COLUMNS = (
    "vin",
    "make",
    "model",
    "badge",
    "series",
    "year",
    "body",
    "colour",
    "interior_colour",
    "price",
    "special_price",
    "is_drive_away",
    "odometer",
    "odometer_unit",
    "condition",
    "stock_type",
    "stock_status",
    "status",
    "title",
    "description",
    "short_description",
    "registration",
    "registration_state",
    "fuel_type",
    "transmission",
    "drive_train",
    "engine_capacity",
    "doors",
    "seats",
    "yard_code",
    "video_link",
    "features",
    "images",
)

# Raised when the same item would lead to another row: every stored fingerprint is then out of date. At most 255.
MAPPING_VERSION = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    The vendor's answer before its items are looked into.

    Args:
        code: 0 success, 1 authentication, 5 warning, 7 failed, 9 system error; None if there was none.
        items: each item's JSON text as received; None when StockList was null, absent or no list.
        strict: the whole body was valid JSON (False: a tolerant reading was needed).
        size: bytes of the body.
    """

    code: int | None
    message: str | None
    items: Sequence[RawItem] | None
    token: str | None = None
    strict: bool = True
    size: int = 0


class Car(NamedTuple):
    """
    One readable item; a tuple because it is made for every new one.

    Args:
        position: place in the feed, counted from 1.
        vin: upper case without blanks, None if blank.
        values: every feed column's value; money is Decimal, features and images are lists of strings.
        absent: columns whose key the item did not have: what is stored stays.
        says_sold: the item itself says that it is sold.
        raw: the item's JSON text as received.
        mended: the same in a form that jsonb can hold, where the text as received is none.
        content_hash: fingerprint of the bytes received and the mapping's version.
    """

    position: int
    stock_number: str
    vin: str | None
    yard_code: str | None
    values: Mapping[str, Any]
    absent: frozenset[str]
    says_sold: bool
    raw: RawItem
    mended: str | None
    content_hash: bytes
    warnings: tuple[str, ...] = ()
    unknown_keys: frozenset[str] = frozenset()
    missing_keys: frozenset[str] = frozenset()

    @property
    def document(self) -> str:
        """The item's JSON text, in a form that jsonb can hold; made anew at each call, to hold a large feed once."""
        return self.mended if self.mended is not None else bytes(self.raw).decode()


@dataclass(frozen=True, slots=True)
class Refused:
    """One item that cannot become a row, with the reason in a sentence and as a stable code."""

    position: int
    stock_number: str | None
    code: str
    reason: str
    raw: str


class Listed(NamedTuple):
    """
    What is compared for every listed row of ours: enough to see that nothing changed.

    A tuple, not a dataclass: there is one for every vehicle there is.
    """

    id: int
    stock_number: str
    vin: str | None
    status: str
    content_hash: bytes | None
    locked: Sequence[str]
    missing_since: datetime | None
    locally_sold: bool
    yard_code: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """
    A row of ours in full, read only for items that are not plainly unchanged; removed rows too.

    Args:
        document: the stored item's JSON text.
    """

    listed: Listed
    values: Mapping[str, Any]
    document: str


# Stock numbers -> the rows that there are; asked in batches, so that a large dealership never stands in memory whole.
RowLookup = Callable[[Sequence[str]], Mapping[str, Row]]


@dataclass(frozen=True, slots=True)
class HeldSet:
    """A set of removals that a person was or is asked about."""

    id: int
    stock_numbers: frozenset[str]
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Current:
    """
    What we have of one dealership.

    Args:
        listed: our rows that are not removed, by stock number.
        rows: looks up full rows, for the items that need them.
        other_stock_numbers, other_vins: identities of the dealership's rows that are not ours.
        pending, approved, rejected: the latest held set of each kind that still counts.
        yard_code: the filter of the last complete sync; `synced_before` says whether there was one.
        blocked_in_a_row: syncs before this one in which removals were not possible.
    """

    listed: Mapping[str, Listed]
    rows: RowLookup
    other_stock_numbers: frozenset[str] = frozenset()
    other_vins: frozenset[str] = frozenset()
    pending: HeldSet | None = None
    approved: HeldSet | None = None
    rejected: HeldSet | None = None
    synced_before: bool = False
    yard_code: str | None = None
    blocked_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Incoming:
    """
    A feed, sorted into what is plainly as stored and what must be looked at.

    Args:
        same: rows whose item came again byte for byte.
        received: items, identical copies counted once.
        warned: the vendor answered with Code 5.
    """

    same: Sequence[Listed]
    cars: Sequence[Car]
    refused: Sequence[Refused]
    received: int
    yard_code: str | None
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that a plan follows."""

    limit_percent: int = 30
    limit_floor: int = 5
    grace_days: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """
    An existing row that gets new values.

    Args:
        kept: columns that get another value than the item's: locked ones, those whose key was absent.
        changes: field -> (old, new).
    """

    row: Listed
    car: Car
    kept: Mapping[str, Any]
    changes: Mapping[str, tuple[Any, Any]]
    revived: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """Every feed column's new value."""
        return {**self.car.values, **self.kept}


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item whose row is protected."""

    stock_number: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Removals that wait for a person; `pending_id` is the row that asks already, None if one must be made."""

    stock_numbers: tuple[str, ...]
    reason: str
    listed_before: int
    listed_now: int
    pending_id: int | None


@dataclass(frozen=True)
class StockPlan:
    """
    All that a sync will do to one dealership, and the numbers it will report.

    `returned` are rows that were missing and are listed again; `retired` are removed rows whose number came back as
    another vehicle; `spent` is the approval that this plan carries out; `superseded` the question it withdraws;
    `lapsed` the rejection whose set is no longer what is missing; `recognized` are rows that say what their item says,
    under a fingerprint of an earlier version, with the new one: once noted, the item is known by its bytes again.
    """

    received: int
    unchanged: int
    created: Sequence[Car] = ()
    changed: Sequence[Change] = ()
    skipped: Sequence[Skipped] = ()
    refused: Sequence[Refused] = ()
    returned: Sequence[Listed] = ()
    retired: Sequence[Listed] = ()
    recognized: Sequence[tuple[Listed, bytes]] = ()
    missing: Sequence[Listed] = ()
    removed: Sequence[Listed] = ()
    hold: Hold | None = None
    spent: int | None = None
    superseded: int | None = None
    lapsed: int | None = None
    blocked: str | None = None
    warnings: Sequence[str] = ()
    yard_code: str | None = None
    status: ItemStatus = ItemStatus.SUCCESS
    reason: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
