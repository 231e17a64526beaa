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
    """The vendor's answer before its items are looked into."""

    code: int | None  # 0 success, 1 authentication, 5 warning, 7 failed, 9 system error
    message: str | None
    items: Sequence[RawItem] | None  # None when StockList was null, absent or no list
    token: str | None = None
    size: int = 0  # bytes of the body


class Note(NamedTuple):
    """A warning about one value of an item."""

    key: str  # the vendor's name of the field
    reason: str  # the same words for every item that has the same fault
    seen: str = ""  # the value, where it says more than the reason

    def __str__(self) -> str:
        return f"{self.key}: {self.seen} {self.reason}" if self.seen else f"{self.key}: {self.reason}"


class Car(NamedTuple):
    """One readable item; a tuple because it is made for every new one."""

    position: int  # place in the feed, counted from 1
    stock_number: str  # as sent, trimmed
    stock_key: str
    vin: str | None  # upper case without blanks
    yard_code: str | None
    values: Mapping[str, Any]  # by column; money is Decimal, features and images are lists
    absent: frozenset[str]  # columns without a key or a readable value: what is stored stays
    says_sold: bool
    raw: RawItem
    mended: str | None  # in a form that jsonb can hold, where the text as received is none
    content_hash: bytes  # fingerprint of the bytes received and of the rules they were read by
    warnings: tuple[Note, ...] = ()
    unknown_keys: frozenset[str] = frozenset()
    missing_keys: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()  # keys whose value cannot be read

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
    vin: str | None = None  # upper case without blanks, as far as it could be read
    kind: frozenset[tuple[str, str]] = frozenset()  # likewise, as `kind_of` returns it


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
    """A row of ours in full, read only for items that are not plainly unchanged; removed rows too."""

    listed: Listed
    values: Mapping[str, Any]
    document: str  # the stored item's JSON text


@dataclass(frozen=True, slots=True)
class HeldSet:
    """A set of vehicles that a person was or is asked about."""

    id: int
    keys: frozenset[str]  # their stock keys
    status: str
    reason: str
    kind: str = "removals"
    vehicles: Sequence[tuple[str, str]] = ()  # of a foreign feed, key and VIN (empty: none)
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What was listed and advertised when the week began, and when that was; not before the last approval."""

    listed: int
    advertised: int
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Current:
    """What we have of one dealership; what is not needed each night is looked up when it is."""

    dealership_id: int
    listed: Mapping[str, Listed]  # by stock key: our rows that are not removed; excluded ones among them
    # full rows, removed ones too; by stock key for a batch of keys, or those that have a VIN
    rows: Callable[[Sequence[str]], Mapping[str, VehicleRow]]
    with_vins: Callable[[Sequence[str]], Sequence[VehicleRow]] = lambda _vins: ()
    # the rows that are not ours, and what to call each
    other_stock_keys: Mapping[str, str] = field(default_factory=dict)
    other_vins: Mapping[str, str] = field(default_factory=dict)
    status_words: frozenset[str] = frozenset()  # that the feed has had
    status_map: Mapping[str, str] = field(default_factory=dict)  # that the rows follow
    # by kind and status (pending, approved, rejected) the latest that still counts
    asked: Mapping[tuple[str, str], HeldSet] = field(default_factory=dict)
    window: Window | None = None  # None if no sync of the week has counted
    # how many rows were removed since an instant and still are, and how many of those had been advertised
    removed_since: Callable[[datetime], tuple[int, int]] = lambda _since: (0, 0)
    elsewhere: Callable[[Sequence[str]], Collection[str]] = lambda _vins: ()  # listed at others
    synced_before: bool = False
    yard_code: str | None = None  # the filter of the last complete sync
    blocked_in_a_row: int = 0  # syncs before this one in which removals were not possible


@dataclass(frozen=True, slots=True)
class Incoming:
    """A feed, sorted into what is plainly as stored and what must be looked at."""

    same: Sequence[Listed]  # whose item came again byte for byte
    cars: Sequence[Car]
    refused: Sequence[Refused]
    received: int  # items, identical copies counted once
    yard_code: str | None
    warned: bool = False  # the vendor answered with Code 5
    rules_version: bytes = b""  # what the fingerprints of this reading begin with


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
    """An existing row that gets new values, and the stock number as sent."""

    row: Listed
    car: Car
    kept: Mapping[str, Any]  # what gets another value than the item's: locked or not told
    # field -> (old, new), for the history. Empty where what is written is no news: the stock number in another
    # spelling, pictures whose URLs differ in their query.
    changes: Mapping[str, tuple[Any, Any]]
    partial: bool = False  # something waits for a person, or is kept as a person left it

    @property
    def values(self) -> dict[str, Any]:
        """Every feed column's new value."""
        return {**self.car.values, **self.kept}

    @property
    def revived(self) -> bool:
        return self.row.status == "removed"

    @property
    def renumbered(self) -> bool:
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
    """What waits for a person; `kind` is one of `phrases.HELD`."""

    kind: str
    stock_numbers: Sequence[str]  # of a foreign feed all that it names
    reason: str
    pending_id: int | None  # the row that asks already
    vins: Sequence[str] = ()  # of a foreign feed's vehicles, in their order (empty: none)
    # by stock number what is kept back, field -> (old, new)
    changes: Mapping[str, Mapping[str, tuple[Any, Any]]] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """Why a vehicle is kept back: of removals what led to the question, else the kind."""
        return self.reason if self.kind == "removals" else self.kind


@dataclass
class StockPlan:
    """All that a sync will do to one dealership, and the numbers it will report."""

    received: int = 0  # items, identical copies counted once
    listed: int = 0  # rows before this night
    advertised: int = 0
    unchanged: int = 0
    created: Sequence[Car] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    restated: list[Change] = field(default_factory=list)  # written, and no news
    skipped: list[Skipped] = field(default_factory=list)
    refused: Sequence[Refused] = ()
    returned: list[Listed] = field(default_factory=list)  # were missing, and are listed again
    retired: list[Listed] = field(default_factory=list)  # the number is another's now
    # say what their item says, under a fingerprint of an earlier version; each has the new one
    recognized: list[Listed] = field(default_factory=list)
    missing: list[Listed] = field(default_factory=list)  # begin their days of grace
    removed: list[Listed] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)  # at most one of each kind
    spent: list[int] = field(default_factory=list)  # approvals carried out
    superseded: list[int] = field(default_factory=list)  # questions withdrawn
    lapsed: list[int] = field(default_factory=list)  # rejections whose set is another now
    warnings: list[str] = field(default_factory=list)
    blocked: str | None = None  # why nothing could be removed; None if the answer was complete
    warned: bool = False  # the vendor answered with Code 5
    foreign: bool = False  # nothing of the feed is applied
    unreadable: bool = False  # too many items have a value in one key that cannot be read
    yard_code: str | None = None
    new_words: list[str] = field(default_factory=list)  # of StockStatus, to be remembered
    status_map: Mapping[str, str] | None = None  # from now on; None if as before

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
