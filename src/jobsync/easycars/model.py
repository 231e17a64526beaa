"""The nouns of stock sync: a car as the feed tells it, a row as we keep it, and the plan from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from jobsync.runner.job import ItemStatus

# One item's JSON text: bytes, or a view into the body that came.
RawItem = bytes | msgspec.Raw

# Columns of `vehicles` that the feed fills, in the order in which they are written -> the vendor's keys that tell each.
FEED_KEYS: Mapping[str, tuple[str, ...]] = {
    "vin": ("VIN",),
    "make": ("Make",),
    "model": ("Model",),
    "badge": ("Badge",),
    "series": ("Series",),
    "year": ("YearGroup",),
    "body": ("Body",),
    "colour": ("Colour",),
    "interior_colour": ("InteriorColor",),
    "price": ("Price",),
    "special_price": ("AdvSpecialPrice",),
    "is_drive_away": ("IsDriveAway",),
    "odometer": ("Odometer",),
    "odometer_unit": ("IsMiles",),
    "condition": ("IsUsed", "IsDemo"),
    "stock_type": ("StockType",),
    "stock_status": ("StockStatus",),
    "status": ("StockStatus", "IsDepositTaken"),
    "title": (),  # of year, make and model
    "description": ("AdvDescription",),
    "short_description": ("ShortDescription",),
    "registration": ("RegoNum",),
    "registration_state": ("RegoState",),
    "fuel_type": ("FuelType",),
    "transmission": ("GearType",),
    "drive_train": ("DriveTrain",),
    "engine_capacity": ("EngineCapacity",),
    "doors": ("DoorNum",),
    "seats": ("SeatCapacity",),
    "yard_code": ("YardCode",),
    "video_link": ("VideoLink",),
    "features": ("StandardFeatures", "OptionalFeatures"),
    "images": ("ImageURLs",),
}
FEED_COLUMNS = tuple(FEED_KEYS)

# Raised when the same item would lead to another row: every stored fingerprint is then out of date. At most 255.
MAPPING_VERSION = 2


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    The vendor's answer before its items are looked into.

    Args:
        code: 0 success, 1 authentication, 5 warning, 7 failed, 9 system error; None if there was none.
        items: each item's JSON text as received; None when StockList was null, absent or no list.
        size: bytes of the body.
    """

    code: int | None
    message: str | None
    items: Sequence[RawItem] | None
    token: str | None = None
    size: int = 0


class Note(NamedTuple):
    """
    A warning about one value of an item.

    Args:
        key: the vendor's name of the field.
        reason: what is wrong; the same words for every item that has the same fault.
        seen: the value in question, where it says more than the reason.
    """

    key: str
    reason: str
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.seen} {self.reason}" if self.seen else f"{self.key}: {self.reason}"


class Car(NamedTuple):
    """
    One readable item; a tuple because it is made for every new one.

    Args:
        position: place in the feed, counted from 1.
        stock_number: as sent, trimmed; `stock_key` is the same as it is compared.
        vin: upper case without blanks, None if blank.
        values: every feed column's value; money is Decimal, features and images are lists of strings.
        absent: columns that the item does not tell, by a lacking key or an unreadable value: what is stored stays.
        says_sold: the item itself says that it is sold.
        raw: the item's JSON text as received.
        mended: the same in a form that jsonb can hold, where the text as received is none.
        content_hash: fingerprint of the bytes received and of the rules they were read by.
        unreadable: the keys whose value cannot be read.
    """

    position: int
    stock_number: str
    stock_key: str
    vin: str | None
    yard_code: str | None
    values: Mapping[str, Any]
    absent: frozenset[str]
    says_sold: bool
    raw: RawItem
    mended: str | None
    content_hash: bytes
    warnings: tuple[Note, ...] = ()
    unknown_keys: frozenset[str] = frozenset()
    missing_keys: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()

    @property
    def document(self) -> str:
        """The item's JSON text, in a form that jsonb can hold; made anew at each call, to hold a large feed once."""
        return self.mended if self.mended is not None else bytes(self.raw).decode()


@dataclass(frozen=True, slots=True)
class Refused:
    """
    One item that cannot become a row, with the reason in a sentence and as a stable code.

    Args:
        vin: upper case without blanks, as far as it could be read; `kind` likewise, as `kind_of` returns it.
    """

    position: int
    stock_number: str | None
    code: str
    reason: str
    raw: str
    vin: str | None = None
    kind: frozenset[tuple[str, str]] = frozenset()


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
    excluded_by: str | None
    stock_key: str

    @property
    def is_retired(self) -> bool:
        """Whether another vehicle took the number over; an item may have the same key, and is not this vehicle."""
        return self.stock_number.endswith(f"~{self.id} ")

    @property
    def kept_off(self) -> bool:
        """Whether a person keeps the vehicle off; NULL of an excluded row is an UPDATE by SQL, so a person too."""
        return self.excluded_by == "person" or (self.status == "excluded" and self.excluded_by is None)


@dataclass(frozen=True, slots=True)
class VehicleRow:
    """
    A row of ours in full, read only for items that are not plainly unchanged; removed rows too.

    Args:
        document: the stored item's JSON text.
    """

    listed: Listed
    values: Mapping[str, Any]
    document: str


# Stock keys -> the rows that there are; asked in batches, so that a large dealership never stands in memory whole.
RowLookup = Callable[[Sequence[str]], Mapping[str, VehicleRow]]
# VINs -> our rows that have them, removed ones too.
VinLookup = Callable[[Sequence[str]], Sequence[VehicleRow]]


@dataclass(frozen=True, slots=True)
class HeldSet:
    """
    A set that a person was or is asked about.

    Args:
        keys: the vehicles' stock keys.
        vehicles: stock key and VIN (empty: none) of each vehicle of a foreign feed.
        decided_at: when it was approved or rejected.
    """

    id: int
    keys: frozenset[str]
    status: str
    reason: str
    kind: str = "removals"
    vehicles: Sequence[tuple[str, str]] = ()
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What was listed and advertised when the week began, and when that was; not before the last approval."""

    listed: int
    advertised: int
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Current:
    """
    What we have of one dealership.

    Args:
        dealership_id: its number, for commands that a person is to type.
        listed: our rows that are not removed, by stock key; excluded ones among them.
        rows: looks up full rows, for the items that need them.
        with_vins: looks up our rows by VIN, removed ones too.
        other_stock_keys, other_vins: identities of the dealership's rows that are not ours, with what to call each.
        status_words: words of StockStatus that the feed has had; `status_map` their meaning that the rows follow.
        asked: by kind and status (pending, approved, rejected) the latest held set that still counts.
        window: the week that drains are judged over, None if no sync of it has counted.
        removed_since: looks up how many rows were removed since an instant and still are, and how many of those had
            been advertised.
        elsewhere: looks up which of some VINs are listed at another dealership.
        yard_code: the filter of the last complete sync; `synced_before` says whether there was one.
        blocked_in_a_row: syncs before this one in which removals were not possible.
    """

    dealership_id: int
    listed: Mapping[str, Listed]
    rows: RowLookup
    with_vins: VinLookup = lambda _vins: ()
    other_stock_keys: Mapping[str, str] = field(default_factory=dict)
    other_vins: Mapping[str, str] = field(default_factory=dict)
    status_words: frozenset[str] = frozenset()
    status_map: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[tuple[str, str], HeldSet] = field(default_factory=dict)
    window: Window | None = None
    removed_since: Callable[[datetime], tuple[int, int]] = lambda _since: (0, 0)
    elsewhere: Callable[[Sequence[str]], Collection[str]] = lambda _vins: ()
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
        rules_version: what the fingerprints of this reading begin with.
    """

    same: Sequence[Listed]
    cars: Sequence[Car]
    refused: Sequence[Refused]
    received: int
    yard_code: str | None
    warned: bool = False
    rules_version: bytes = b""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that a plan follows; `status_map` says what words of StockStatus mean."""

    limit_percent: int = 30
    limit_floor: int = 5
    grace_days: int = 0
    status_map: Mapping[str, str] = field(default_factory=dict)

    def is_beyond(self, number: int, of: int) -> bool:
        """Whether so many are more than one night may change."""
        return number > self.limit_floor and number * 100 > of * self.limit_percent


@dataclass(frozen=True, slots=True)
class Change:
    """
    An existing row that gets new values, and the stock number as sent.

    Args:
        kept: columns that get another value than the item's: locked ones, those whose key was absent.
        changes: field -> (old, new), for the history. Empty where what is written is no news: the stock number in
            another spelling, pictures whose URLs differ in their query.
        partial: something of the item is kept back: it waits for a person, or a person sold the vehicle here or keeps
            it off.
    """

    row: Listed
    car: Car
    kept: Mapping[str, Any]
    changes: Mapping[str, tuple[Any, Any]]
    partial: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """Every feed column's new value."""
        return {**self.car.values, **self.kept}

    @property
    def revived(self) -> bool:
        """Whether the row was removed."""
        return self.row.status == "removed"

    @property
    def renumbered(self) -> bool:
        """Whether the vehicle was known by its VIN; it had another stock number."""
        return self.row.stock_key != self.car.stock_key

    @property
    def is_whole(self) -> bool:
        """Whether the row says all that the item does; else it takes no fingerprint, and the item is read again."""
        return not self.partial and not self.car.unreadable


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item whose row is protected; `other` is what a row of a person that stands in its way is called."""

    stock_number: str
    reason: str
    other: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """
    What waits for a person.

    Args:
        kind: removals, sold, prices, pictures, descriptions or foreign_feed.
        stock_numbers: the vehicles; of a foreign feed all that it names, with their VINs (empty: none).
        pending_id: the row that asks already, None if one must be made.
        changes: by stock number what is kept back, field -> (old, new).
    """

    kind: str
    stock_numbers: Sequence[str]
    reason: str
    pending_id: int | None
    vins: Sequence[str] = ()
    changes: Mapping[str, Mapping[str, tuple[Any, Any]]] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """Why a vehicle is kept back: of removals what led to the question, else the kind."""
        return self.reason if self.kind == "removals" else self.kind


@dataclass
class StockPlan:
    """
    All that a sync will do to one dealership, and the numbers it will report.

    Args:
        received: items, identical copies counted once.
        listed, advertised: rows before this night.
        restated: rows that are written though nothing of them is news.
        returned: rows that were missing and are listed again.
        retired: removed rows whose number came back as another vehicle.
        recognized: rows that say what their item says, under a fingerprint of an earlier version: each with the new
            one, by which the item is known by its bytes again.
        missing: rows that begin their days of grace; `removed` those that go.
        holds: what waits for a person, at most one of each kind.
        spent, superseded, lapsed: approvals carried out, questions withdrawn, rejections whose set is another now.
        blocked: why nothing could be removed, None if the answer was complete.
        warned: the vendor answered with Code 5.
        foreign: nothing of the feed is applied.
        unreadable: too many items have a value in one key that cannot be read.
        new_words: words of StockStatus to be remembered.
        status_map: their meaning from now on, None if it is as before.
    """

    received: int = 0
    listed: int = 0
    advertised: int = 0
    unchanged: int = 0
    created: Sequence[Car] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    restated: list[Change] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    refused: Sequence[Refused] = ()
    returned: list[Listed] = field(default_factory=list)
    retired: list[Listed] = field(default_factory=list)
    recognized: list[Listed] = field(default_factory=list)
    missing: list[Listed] = field(default_factory=list)
    removed: list[Listed] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    lapsed: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocked: str | None = None
    warned: bool = False
    foreign: bool = False
    unreadable: bool = False
    yard_code: str | None = None
    new_words: list[str] = field(default_factory=list)
    status_map: Mapping[str, str] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """
        The numbers of the result: the first six add up to the items received.

        `held` has each vehicle once; of a foreign feed those that are listed.
        """
        revived = sum(change.revived for change in self.changed)
        held = len({number for hold in self.holds for number in hold.stock_numbers})
        return {
            "created": len(self.created),
            "updated": len(self.changed) - revived,
            "unchanged": self.unchanged,
            "revived": revived,
            "refused": len(self.refused),
            "skipped": self.received if self.foreign else len(self.skipped),
            "removed": len(self.removed),
            "renumbered": sum(change.renumbered for change in self.changed),
            "held": self.listed if self.foreign and self.holds else held,
        }

    @property
    def status(self) -> ItemStatus:
        """How the sync ends: held before partial before success."""
        if self.holds:
            return ItemStatus.HELD
        return ItemStatus.PARTIAL if self.reason else ItemStatus.SUCCESS

    @property
    def reason(self) -> str | None:
        """Why it is not plainly a success."""
        if self.holds:
            return ", ".join(hold.why for hold in self.holds)
        if self.warned:
            return "vendor_warning"
        if self.refused:
            return "refused_items"
        return "unreadable_values" if self.unreadable else None
