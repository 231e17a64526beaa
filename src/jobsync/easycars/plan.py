"""The business rule of stock sync, pure: what of a feed is new, changed, protected, gone, or held for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from jobsync.easycars.holds import Night, judge_night, why_held
from jobsync.easycars.model import (
    FEED_COLUMNS,
    Car,
    Change,
    Current,
    Incoming,
    Listed,
    Policy,
    RawItem,
    Refused,
    Row,
    Skipped,
    StockPlan,
)
from jobsync.easycars.parse import fingerprint, is_outdated, parse_item, refuse_car, title_of, watched_of
from jobsync.runner.job import ItemStatus

_KEPT_WARNINGS = 20
_SHOWN_PLACES = 5
_ROWS_AT_ONCE = 500


# --- sorting the feed ------------------------------------------------------------------------------------------------


def sort_feed(
    items: Sequence[RawItem], listed: Mapping[str, Listed], *, yard_code: str | None, warned: bool = False
) -> Incoming:
    """
    Find what came again byte for byte, read the rest, and settle duplicates.

    Identical copies collapse into one; copies of one stock number that differ are all refused. With a yard asked for,
    items that name another yard are refused.
    """
    by_hash = {row.content_hash: row for row in listed.values() if row.content_hash and not row.locked}
    same: dict[str, tuple[int, RawItem]] = {}
    cars: dict[str, list[Car]] = {}
    refused: list[Refused] = []
    seen: set[bytes] = set()
    received = 0
    for position, raw in enumerate(items, 1):
        digest = fingerprint(raw)
        if digest in seen:
            continue
        seen.add(digest)
        received += 1
        row = by_hash.get(digest)
        if row is not None and (yard_code is None or row.yard_code in (None, yard_code)):
            same[row.stock_number] = (position, raw)
            continue
        item = parse_item(raw, position, content_hash=digest)
        if isinstance(item, Refused):
            refused.append(item)
        elif yard_code is not None and item.yard_code is not None and item.yard_code != yard_code:
            refused.append(refuse_car(item, "other_yard", f"is of yard {item.yard_code}, asked for was {yard_code}"))
        else:
            cars.setdefault(item.stock_number, []).append(item)
    kept: list[Car] = []
    for number, copies in cars.items():
        if number in same:
            position, raw = same[number]
            twin = parse_item(raw, position)
            if isinstance(twin, Car):
                copies.insert(0, twin)
        distinct = _distinct(copies)
        received -= len(copies) - len(distinct)
        if len(distinct) == 1:
            if number not in same:
                kept.append(distinct[0])
            continue
        same.pop(number, None)
        reason = f"stock number {number} stands at places {_places(distinct)}, differently"
        refused += [refuse_car(car, "conflicting_duplicate", reason) for car in distinct]
    return Incoming(
        same=[listed[number] for number in same],
        cars=kept,
        refused=sorted(refused, key=lambda item: item.position),
        received=received,
        yard_code=yard_code,
        warned=warned,
    )


def _distinct(copies: Sequence[Car]) -> list[Car]:
    """Drop copies that say the same, however their JSON is written; nearly always there is just one."""
    if len(copies) == 1:
        return list(copies)
    kept: dict[Hashable, Car] = {}
    for car in copies:
        kept.setdefault(_content(car), car)
    return list(kept.values())


def _content(car: Car) -> Hashable:
    """Return what an item says: equal for two that say the same."""
    try:
        return _frozen([[car.values[column] for column in FEED_COLUMNS], list(watched_of(car.document).values())])
    except RecursionError:  # too deep to be compared but as text
        return car.document


def _frozen(value: Any) -> Hashable:
    if isinstance(value, dict):
        return frozenset([(key, _frozen(part)) for key, part in value.items()])
    return tuple([_frozen(part) for part in value]) if isinstance(value, list) else value


def _places(cars: Sequence[Car]) -> str:
    """Name the places of copies, a few of them: each copy tells its own."""
    shown = ", ".join([str(car.position) for car in cars[:_SHOWN_PLACES]])
    more = len(cars) - _SHOWN_PLACES
    return f"{shown} and {more:,} more" if more > 0 else shown


# --- the plan --------------------------------------------------------------------------------------------------------


def plan_stock(incoming: Incoming, current: Current, policy: Policy, now: datetime) -> StockPlan:
    """
    Decide everything that one dealership's sync will do.

    The same function serves the sync, its dry run and the tests. `now` is the database's clock.
    """
    found = _Found()
    for row in incoming.same:
        found.add_same(row, current)
    for start in range(0, len(incoming.cars), _ROWS_AT_ONCE):
        batch = incoming.cars[start : start + _ROWS_AT_ONCE]
        rows = current.rows([car.stock_number for car in batch])
        for car in batch:
            found.add_car(car, rows.get(car.stock_number), current)
    seen = {row.stock_number for row in incoming.same} | {car.stock_number for car in incoming.cars}
    for number in {item.stock_number for item in incoming.refused if item.stock_number is not None} - seen:
        seen.add(number)
        found.add_refused(current.listed.get(number))
    night = judge_night(
        incoming,
        current,
        policy,
        now,
        absent=[row for number, row in current.listed.items() if number not in seen],
        created=found.created,
        changed=found.changed,
    )
    if night.foreign:  # nothing of it counts as found
        found = _Found()
        incoming = replace(incoming, same=(), cars=(), refused=())
    warnings = [*_drift(incoming.cars), *_item_warnings(incoming.cars), *night.warnings]
    if incoming.received == 0 and not current.listed:
        warnings.append(
            "the feed is empty and nothing is listed: nothing published yet, or a wrong AccountSecret or AccountNumber;"
            " jobsync credentials test ID"
        )
    revived = sum(change.revived for change in night.changed)
    counts = {
        "created": len(found.created),
        "updated": len(night.changed) - revived,
        "unchanged": found.unchanged + night.unchanged,
        "revived": revived,
        "refused": len(incoming.refused),
        "skipped": incoming.received if night.foreign else len(found.skipped),
        "removed": len(night.removed),
        "held": night.held,
    }
    status, reason = _status(incoming, night)
    return StockPlan(
        received=incoming.received,
        unchanged=counts["unchanged"],
        created=found.created,
        changed=night.changed,
        skipped=found.skipped,
        refused=incoming.refused,
        returned=found.returned,
        retired=found.retired,
        recognized=found.recognized,
        missing=night.missing,
        removed=night.removed,
        holds=night.holds,
        spent=night.spent,
        superseded=night.superseded,
        lapsed=night.lapsed,
        listed=night.listed,
        advertised=night.advertised,
        blocked=night.blocked,
        warnings=warnings,
        yard_code=incoming.yard_code,
        status=status,
        reason=reason,
        counts=counts,
    )


class _Found:
    """What becomes of the items that the feed does name."""

    def __init__(self) -> None:
        self.created: list[Car] = []
        self.changed: list[Change] = []
        self.skipped: list[Skipped] = []
        self.returned: list[Listed] = []
        self.retired: list[Listed] = []
        self.recognized: list[tuple[Listed, bytes]] = []
        self.unchanged = 0

    def add_same(self, row: Listed, current: Current) -> None:
        protection = (
            _protection(row.stock_number, row.vin, current)
            or ("excluded" if row.status == "excluded" else None)
            or ("locally_sold" if row.locally_sold else None)
        )
        if protection:
            self.skipped.append(Skipped(row.stock_number, protection))
        else:
            self.unchanged += 1
        if row.missing_since is not None:
            self.returned.append(row)

    def add_car(self, car: Car, known: Row | None, current: Current) -> None:
        protection = _protection(car.stock_number, car.vin, current)
        if protection:
            self.skipped.append(Skipped(car.stock_number, protection))
        elif known is not None and _is_kept_off(known.listed):
            self.skipped.append(Skipped(car.stock_number, "excluded"))
        elif known is None:
            self.created.append(car)
        elif known.listed.status == "removed" and _other_vehicle(known.listed.vin, car.vin):
            self.retired.append(known.listed)
            self.created.append(car)
        elif known.listed.locally_sold and not car.says_sold and known.listed.status != "removed":
            self.skipped.append(Skipped(car.stock_number, "locally_sold"))
        else:
            self._add_known(known, car)
        if known is not None and known.listed.missing_since is not None and known.listed.status != "removed":
            self.returned.append(known.listed)

    def add_refused(self, row: Listed | None) -> None:
        """A refused item says that its row is not missing."""
        if row is not None and row.missing_since is not None:
            self.returned.append(row)

    def _add_known(self, known: Row, car: Car) -> None:
        change, held_back = _compare(known, car)
        if change.changes:
            self.changed.append(change)
        elif held_back:
            self.skipped.append(Skipped(car.stock_number, "locked_fields"))
        else:
            self.unchanged += 1
            if is_outdated(known.listed.content_hash) and not known.listed.locked:
                self.recognized.append((known.listed, car.content_hash))


def _status(incoming: Incoming, night: Night) -> tuple[ItemStatus, str | None]:
    if night.holds:
        return ItemStatus.HELD, night.reason
    if incoming.warned:
        return ItemStatus.PARTIAL, "vendor_warning"
    if incoming.refused:
        return ItemStatus.PARTIAL, "refused_items"
    return ItemStatus.SUCCESS, None


def _protection(stock_number: str, vin: str | None, current: Current) -> str | None:
    if stock_number in current.other_stock_numbers or (vin and vin in current.other_vins):
        return "manual_row"
    return None


def _is_kept_off(row: Listed) -> bool:
    """Whether a person keeps a row off; what a status word keeps off comes back with another one."""
    return row.status == "excluded" and row.excluded_by != "map"


def _other_vehicle(ours: str | None, theirs: str | None) -> bool:
    return bool(ours and theirs and ours != theirs)


def _compare(known: Row, car: Car) -> tuple[Change, bool]:
    """Return the change that the item asks for, and whether a lock held something of it back."""
    row, values = known.listed, known.values
    revived = row.status == "removed"
    final: dict[str, Any] = {}
    changes: dict[str, tuple[Any, Any]] = {}
    held_back = False
    for column in FEED_COLUMNS:
        # Year, make and model stand before the title; some may be kept, by a lock or for want of a key.
        old, new = values[column], title_of(final) if column == "title" else car.values[column]
        if column == "status" and revived and row.locally_sold and not car.says_sold:
            new = "sold"  # it was sold here before it went, and that is still so
        if column in car.absent and not (column == "status" and (revived or _no_longer_sold(row, car))):
            new = old
        elif old != new and column in row.locked and not (revived and column == "status"):
            held_back = True
            new = old
        elif old != new:
            changes[column] = (old, new)
        final[column] = new
    before = watched_of(known.document)
    for key, new in watched_of(car.document).items():
        if key not in car.missing_keys and not _equal(before[key], new):
            changes[key] = (before[key], new)
    kept = {column: value for column, value in final.items() if value != car.values[column]}
    return Change(row, car, kept, changes, revived), held_back


def _no_longer_sold(row: Listed, car: Car) -> bool:
    """Only the deposit is unknown: without it too, an item that is in stock is not sold."""
    return row.status == "sold" and not car.says_sold and "StockStatus" not in car.missing_keys


def _equal(old: Any, new: Any) -> bool:
    """Compare two JSON values of an item; a blank text and null are the same nothing, 1.50 and 1.5 the same number."""
    if isinstance(old, str):
        old = old.strip() or None
    if isinstance(new, str):
        new = new.strip() or None
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, int | float) and isinstance(new, int | float | Decimal):
        return Decimal(str(old)) == Decimal(str(new))
    return bool(old == new)


# --- words -----------------------------------------------------------------------------------------------------------


def _drift(cars: Iterable[Car]) -> list[str]:
    """Report keys that differ from the documented ones, once for the feed."""
    missing: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for car in cars:
        missing.update(car.missing_keys)
        unknown.update(car.unknown_keys)
    lines = []
    for word, keys in (("lack a documented key, what is stored stays", missing), ("have a new key, kept", unknown)):
        if keys:
            named = ", ".join(f"{key} ({number})" for key, number in keys.most_common(_KEPT_WARNINGS))
            lines.append(f"drift: items {word}: {named}")
    return lines


def _item_warnings(cars: Iterable[Car]) -> list[str]:
    lines = [f"{car.stock_number}: {warning}" for car in cars for warning in car.warnings]
    more = len(lines) - _KEPT_WARNINGS
    return [*lines[:_KEPT_WARNINGS], f"and {more} more warnings"] if more > 0 else lines


def show_plan(plan: StockPlan) -> list[dict[str, Any]]:
    """Return the plan in the shape of `--dry-run --json`: one entry for every stock number that is touched."""
    shown: list[dict[str, Any]] = []

    def add(number: str | None, action: str, changes: Mapping[str, tuple[Any, Any]] | None, reason: str | None) -> None:
        entry: dict[str, Any] = {
            "stock_number": number,
            "action": action,
            "changes": {name: [show(old), show(new)] for name, (old, new) in (changes or {}).items()},
        }
        if reason:
            entry["reason"] = reason
        shown.append(entry)

    for car in plan.created:
        values = {name: (None, value) for name, value in car.values.items() if value not in (None, [])}
        add(car.stock_number, "create", values, None)
    for change in plan.changed:
        add(change.row.stock_number, "revive" if change.revived else "update", change.changes, None)
    for row in plan.removed:
        add(row.stock_number, "remove", {"status": (row.status, "removed")}, None)
    for hold in plan.holds:
        for number in hold.stock_numbers:
            add(number, "hold", hold.changes.get(number), why_held(hold))
    for item in plan.refused:
        add(item.stock_number, "refuse", None, f"{item.code}: item {item.position} {item.reason}")
    for skip in plan.skipped:
        add(skip.stock_number, "skip", None, skip.reason)
    return shown


def show(value: Any) -> Any:
    """Return a value as JSON shows it: decimals as plain text, all else as it is."""
    return format(value, "f") if isinstance(value, Decimal) else value


def spell(value: Any) -> str | None:
    """Return a value as vehicle_changes keeps it: text, decimals in plain form, lists as JSON."""
    import json

    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False, default=str)
