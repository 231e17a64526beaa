"""The business rule of stock sync, pure: what of a feed is new, changed, protected, gone, or held for a person."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from jobsync.easycars import model, parse
from jobsync.easycars.holds import EXCLUDED, Judge, why_incomplete
from jobsync.easycars.identity import stock_key, telling_vin, yard_key

_KEPT_WARNINGS = 20
_SHOWN = 5
_ROWS_AT_ONCE = 500
_Changes = Mapping[str, tuple[Any, Any]]  # field -> (old, new)


# --- sorting the feed ------------------------------------------------------------------------------------------------


def sort_feed(
    items: Sequence[model.RawItem],
    listed: Mapping[str, model.Listed],
    *,
    yard_code: str | None,
    warned: bool = False,
    rules: parse.Rules = parse.PLAIN_RULES,
) -> model.Incoming:
    """
    Find what came again byte for byte, read the rest, and settle duplicates.

    Identical copies collapse into one; copies of one stock key that differ, be it in the number's spelling, are all
    refused. With a yard asked for, items that name another yard are refused.
    """
    by_hash = {row.content_hash: row for row in listed.values() if row.content_hash and not row.locked}
    wanted = None if yard_code is None else yard_key(yard_code)

    @cache
    def is_here(code: str | None) -> bool:
        return wanted is None or code is None or yard_key(code) == wanted

    same: dict[str, tuple[int, model.RawItem]] = {}
    cars: dict[str, list[model.Car]] = {}
    refused: list[model.Refused] = []
    seen: set[bytes] = set()
    received = 0
    for position, raw in enumerate(items, 1):
        digest = parse.fingerprint(raw, version=rules.version)
        if digest in seen:
            continue
        seen.add(digest)
        received += 1
        row = by_hash.get(digest)
        if row is not None and is_here(row.yard_code):
            same[row.stock_key] = (position, raw)
            continue
        item = parse.parse_item(raw, position, content_hash=digest, rules=rules)
        if isinstance(item, model.Refused):
            refused.append(item)
        elif not is_here(item.yard_code):
            why = f"is of yard {item.yard_code}, asked for was {yard_code}"
            refused.append(parse.refuse_car(item, "other_yard", why))
        else:
            cars.setdefault(item.stock_key, []).append(item)
    kept: list[model.Car] = []
    for key, copies in cars.items():
        if key in same:
            position, raw = same[key]
            twin = parse.parse_item(raw, position, rules=rules)
            if isinstance(twin, model.Car):
                copies.insert(0, twin)
        distinct = _distinct(copies)
        received -= len(copies) - len(distinct)
        if len(distinct) == 1:
            if key not in same:
                kept.append(distinct[0])
            continue
        same.pop(key, None)
        numbers, places = (car.stock_number for car in distinct), (car.position for car in distinct)
        reason = f"stock number {_few(numbers)} stands at places {_few(places)}, differently"
        refused += [parse.refuse_car(car, "conflicting_duplicate", reason) for car in distinct]
    return model.Incoming(
        same=[listed[key] for key in same],
        cars=kept,
        refused=sorted(refused, key=lambda item: item.position),
        received=received,
        yard_code=yard_code,
        warned=warned,
        rules_version=rules.version,
    )


def _few(names: Iterable[object]) -> str:
    told = [str(name) for name in dict.fromkeys(names)]
    return ", ".join(told[:_SHOWN]) + (f" and {len(told) - _SHOWN:,} more" if len(told) > _SHOWN else "")


def _distinct(copies: Sequence[model.Car]) -> list[model.Car]:
    """Drop copies that say the same, however their JSON is written; nearly always there is just one."""
    kept: dict[Hashable, model.Car] = {}
    for car in copies:
        kept.setdefault(_content(car) if len(copies) > 1 else None, car)
    return list(kept.values())


def _content(car: model.Car) -> Hashable:
    try:
        told = [car.values[column] for column in model.FEED_COLUMNS]
        return _frozen([car.stock_number, told, list(parse.watched_of(car.document).values())])
    except RecursionError:  # too deep to be compared but as text
        return car.document


def _frozen(value: Any) -> Hashable:
    if isinstance(value, dict):
        return frozenset([(key, _frozen(part)) for key, part in value.items()])
    return tuple([_frozen(part) for part in value]) if isinstance(value, list) else value


# --- the plan --------------------------------------------------------------------------------------------------------


def plan_stock(
    incoming: model.Incoming, current: model.Current, policy: model.Policy, now: datetime
) -> model.StockPlan:
    """Decide everything that one dealership's sync will do, or a dry run shows. `now` is the database's clock."""
    plan = model.StockPlan(incoming.received, yard_code=incoming.yard_code, warned=incoming.warned)
    judge = Judge(plan, incoming, current, policy, now)
    if judge.is_foreign():
        return plan
    plan.refused = incoming.refused
    unreadable = Counter(key for car in incoming.cars for key in car.unreadable)
    plan.unreadable = policy.is_beyond(max(unreadable.values(), default=0), incoming.received)
    plan.status_map = None if policy.status_map == current.status_map else policy.status_map
    found = _Found(plan, incoming, current)
    words, plan.new_words = _status_words(incoming.cars, current, policy)
    plan.warnings += [
        *_drift(incoming.cars),
        *_notes((car.stock_number, note) for car in incoming.cars for note in car.warnings),
        *words,
        *found.doubts,
        *_notes((skip.stock_number, _SKIPPED[skip.reason]._replace(seen=skip.other or "")) for skip in plan.skipped),
    ]
    judge.removals([row for key, row in current.listed.items() if key not in found.seen])
    judge.values()
    if incoming.received == 0 and not plan.listed:
        plan.warnings.append(
            "the feed is empty and nothing is listed: nothing published yet, or a wrong AccountSecret or AccountNumber;"
            f" jobsync credentials test {current.dealership_id}"
        )
    return plan


class _Found:
    """
    What becomes of the items that the feed does name, put into the plan.

    Items whose key is new wait until all others are known: each may be a vehicle of ours under a new number.
    """

    def __init__(self, plan: model.StockPlan, incoming: model.Incoming, current: model.Current) -> None:
        self.doubts: list[str] = []
        self.seen = {row.stock_key for row in incoming.same} | {car.stock_key for car in incoming.cars}
        self._plan, self._incoming, self._current = plan, incoming, current
        self._protects = bool(current.other_stock_keys or current.other_vins)
        self._new: list[tuple[model.Car, model.Listed | None]] = []
        for row in incoming.same:
            self._add_same(row)
        for start in range(0, len(incoming.cars), _ROWS_AT_ONCE):
            batch = incoming.cars[start : start + _ROWS_AT_ONCE]
            rows = current.rows([car.stock_key for car in batch])
            for car in batch:
                self._add_car(car, rows.get(car.stock_key))
        self._add_refused()
        self._add_new()

    def _add_same(self, row: model.Listed) -> None:
        protected = self._protects or row.locally_sold or row.status == EXCLUDED
        if protected and (skip := self._protection(row, row)):
            self._plan.skipped.append(skip)
        else:
            self._plan.unchanged += 1
        self._see(row)

    def _add_car(self, car: model.Car, known: model.VehicleRow | None) -> None:
        row = known.listed if known is not None else None
        if skip := self._protection(car, row):
            self._plan.skipped.append(skip)
        elif known is None or row is None:
            self._new.append((car, None))
        elif row.status == "removed" and (row.is_retired or _vins_differ(row.vin, car.vin)):
            self._new.append((car, row))
        else:
            self._add_known(known, car)
        self._see(row)

    def _add_refused(self) -> None:
        """A refused item says that its row is not missing."""
        for key in {stock_key(item.stock_number) for item in self._incoming.refused if item.stock_number} - self.seen:
            self.seen.add(key)
            self._see(self._current.listed.get(key))

    def _see(self, row: model.Listed | None) -> None:
        if row is not None and row.missing_since is not None and row.status != "removed":
            self._plan.returned.append(row)

    def _add_new(self) -> None:
        """Create what is new, or give the row that has its VIN the new number: it is the same vehicle."""
        vins = [vin for car, _ in self._new if (vin := telling_vin(car.vin))]
        every = (self._incoming.same, self._incoming.cars, self._incoming.refused) if vins else ()
        wanted = set(vins)
        named = Counter(item.vin for items in every for item in items if item.vin in wanted)
        holders: dict[str | None, list[model.VehicleRow]] = {}
        for row in self._current.with_vins(vins) if vins else ():
            holders.setdefault(row.listed.vin, []).append(row)
        found = [
            (car, old, self._same_vehicle(car, named[car.vin], holders.get(car.vin, [])) if car.vin in wanted else None)
            for car, old in self._new
        ]
        kept = {holder.listed.id for _, _, holder in found if holder is not None}
        created = []
        for car, old, holder in found:
            if old is not None and old.id not in kept:
                self._plan.retired.append(old)
            if holder is None:
                created.append(car)
            else:
                self.seen.add(holder.listed.stock_key)
                self._plan.changed.append(_renumber(holder, car))
        self._plan.created = created

    def _same_vehicle(self, car: model.Car, named: int, holders: Sequence[model.VehicleRow]) -> model.VehicleRow | None:
        """Return the row that is this vehicle under an earlier number, None if there is none or a doubt."""
        if named > 1:
            doubt = f"is that of {named} items of the feed"
        elif len(holders) > 1:
            doubt = f"is that of {len(holders)} vehicles here: {', '.join(row.listed.stock_number for row in holders)}"
        elif not holders:
            return None
        elif holders[0].listed.status == "removed":
            return holders[0]
        elif holders[0].listed.stock_key in self.seen:
            doubt = f"is that of {holders[0].listed.stock_number}, which the feed names too"
        elif why_incomplete(self._incoming, self._current):
            doubt = f"is that of {holders[0].listed.stock_number}, and the answer may be incomplete"
        else:
            return holders[0]
        self.doubts.append(f"{car.stock_number}: VIN: {car.vin} {doubt}; it is a vehicle of its own")
        return None

    def _protection(self, item: model.Car | model.Listed, row: model.Listed | None) -> model.Skipped | None:
        """Return why a row is left alone, None if it is not; an item that came again as it was is known by its row."""
        others, car = self._current, item if isinstance(item, model.Car) else None
        if self._protects:
            other = others.other_stock_keys.get(item.stock_key) or others.other_vins.get(telling_vin(item.vin) or "")
            if other is not None:
                return model.Skipped(item.stock_number, "manual_row", other)
        if row is None or row.status == "removed":
            return None
        if row.kept_off or (row.status == EXCLUDED and (car is None or car.values["status"] == EXCLUDED)):
            return model.Skipped(item.stock_number, EXCLUDED)
        if row.locally_sold and (car is None or not car.says_sold):
            return model.Skipped(item.stock_number, "locally_sold")
        return None

    def _add_known(self, known: model.VehicleRow, car: model.Car) -> None:
        plan, row = self._plan, known.listed
        change, held_back = _compare(known, car)
        if change.changes:
            plan.changed.append(change)
            return
        if held_back:
            plan.skipped.append(model.Skipped(car.stock_number, "locked_fields"))
        else:
            plan.unchanged += 1
        if car.stock_number != row.stock_number or known.values["images"] != change.values["images"]:
            plan.restated.append(change)
        elif held_back or row.locked or not change.is_whole:
            return
        elif not (row.content_hash or b"").startswith(self._incoming.rules_version):
            plan.recognized.append(row._replace(content_hash=car.content_hash))


def _vins_differ(ours: str | None, theirs: str | None) -> bool:
    return bool(telling_vin(ours) and telling_vin(theirs) and ours != theirs)


def _renumber(known: model.VehicleRow, car: model.Car) -> model.Change:
    """Return the change of a vehicle that has a new stock number; one that was sold or excluded here stays as it is."""
    row = known.listed
    change, _ = _compare(known, car)
    number = {"stock_number": (row.stock_number, car.stock_number)}
    if row.status != "removed" and (row.kept_off or (row.locally_sold and not car.says_sold)):
        return replace(change, kept=dict(known.values), changes=number, partial=True)
    return replace(change, changes={**number, **change.changes})


def _compare(known: model.VehicleRow, car: model.Car) -> tuple[model.Change, bool]:
    """Return the change that the item asks for, and whether a lock held something of it back."""
    row, values = known.listed, known.values
    revived = row.status == "removed"
    final: dict[str, Any] = {}
    changes: dict[str, tuple[Any, Any]] = {}
    held_back = False
    for column in model.FEED_COLUMNS:
        # Year, make and model stand before the title; some may be kept, by a lock or for want of a key.
        old, new = values[column], parse.title_of(final) if column == "title" else car.values[column]
        if column == "status" and revived and row.kept_off:
            new = "excluded"  # the person who excluded it has not included it again
        elif column == "status" and revived and row.locally_sold and not car.says_sold:
            new = "sold"  # it was sold here before it went, and that is still so
        if column in car.absent and not (column == "status" and (revived or _says_otherwise(row, car))):
            new = old
        elif old != new and column in row.locked and not (revived and column == "status"):
            held_back = held_back or not (column == "images" and _same_pictures(old, new))
            new = old
        elif old != new and not (column == "images" and _same_pictures(old, new)):
            changes[column] = (old, new)
        final[column] = new
    before = parse.watched_of(known.document)
    for key, new in parse.watched_of(car.document).items():
        if key not in car.missing_keys and not _equal(before[key], new):
            changes[key] = (before[key], new)
    kept = {column: value for column, value in final.items() if value != car.values[column]}
    return model.Change(row, car, kept, changes), held_back


def _says_otherwise(row: model.Listed, car: model.Car) -> bool:
    """Only the deposit is unknown: without it too, an item that is in stock is neither sold nor excluded."""
    told = "StockStatus" not in car.missing_keys and "StockStatus" not in car.unreadable
    return told and row.status in ("sold", "excluded") and car.values["status"] != row.status


_QUERY = re.compile(r"\?[^#]*")


def _same_pictures(old: Any, new: Any) -> bool:
    """Whether two lists of URLs differ in their queries alone: a vendor that signs URLs signs them anew each night."""
    texts = isinstance(old, list) and all(isinstance(url, str) for url in old)
    return texts and [_QUERY.sub("", url, count=1) for url in old] == [_QUERY.sub("", url, count=1) for url in new]


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


def _drift(cars: Sequence[model.Car]) -> Iterator[str]:
    missing = Counter(key for car in cars for key in car.missing_keys)
    unknown = Counter(key for car in cars for key in car.unknown_keys)
    for word, keys in (("lack a documented key, what is stored stays", missing), ("have a new key, kept", unknown)):
        if keys:
            named = ", ".join(f"{key} ({number})" for key, number in keys.most_common(_KEPT_WARNINGS))
            yield f"drift: items {word}: {named}"


_SKIPPED: Mapping[str, model.Note] = {
    "manual_row": model.Note("StockNumber, VIN", "is a vehicle of your own with this number or VIN; skipped"),
    "locally_sold": model.Note("StockStatus", "the vehicle was sold here; skipped"),
    "locked_fields": model.Note("StockNumber", "all that changed is locked; skipped"),
    "excluded": model.Note("StockStatus", "the vehicle is excluded; skipped"),
}
_LEFT = model.Note("StockNumber", "the database left the vehicle as it was (a trigger, or the type of a column)")


def left_warnings(numbers: Iterable[str]) -> list[str]:
    return _notes((number, _LEFT) for number in numbers)


def _notes(notes: Iterable[tuple[str, model.Note]]) -> list[str]:
    """Spell warnings, each with stock number and key; of more than twenty of one kind the number and the first ones."""
    kinds: dict[tuple[str, str], list[tuple[str, model.Note]]] = {}
    for number, note in notes:
        kinds.setdefault((note.key, note.reason), []).append((number, note))
    lines: list[str] = []
    for (key, reason), all_of in kinds.items():
        if len(all_of) > _KEPT_WARNINGS:
            first = ", ".join(number for number, _ in all_of[:_KEPT_WARNINGS])
            lines.append(f"{key}: {reason}: {len(all_of):,} items ({first}, …)")
        else:
            lines += [f"{number}: {note}" for number, note in all_of]
    return lines


KNOWN_WORDS = frozenset({"in stock", "on offer", "on order", "sold"})
_WORDS_MOST = 1_000  # of one dealership, each of so many characters: a feed may put anything there
_WORD_MOST = 100


def _status_words(
    cars: Iterable[model.Car], current: model.Current, policy: model.Policy
) -> tuple[list[str], list[str]]:
    """Return a warning for each word of StockStatus that is new at this dealership, and the words."""
    known = KNOWN_WORDS | current.status_words | policy.status_map.keys()
    found: dict[str, tuple[str, model.Note]] = {}
    for car in cars:
        shown = car.values["stock_status"]
        if shown is None or (word := parse.status_word(shown)[:_WORD_MOST]) in known or word in found:
            continue
        status = "sold" if car.says_sold else "active unless a deposit is taken"
        reason = f"was never seen here before; it counts as {status} (jobsync settings set easycar_status_map …)"
        found[word] = (car.stock_number, model.Note("StockStatus", reason, repr(shown[:_WORD_MOST])))
    room = max(0, _WORDS_MOST - len(current.status_words))
    return _notes(found.values()), list(found)[:room]


def show_plan(plan: model.StockPlan) -> list[dict[str, Any]]:
    """Return the plan in the shape of `--dry-run --json`: an entry for every stock number that is touched."""
    entries: list[dict[str, Any]] = []

    def show(number: str | None, action: str, changes: _Changes | None, reason: str | None = None) -> None:
        shown = {name: [_show(old), _show(new)] for name, (old, new) in (changes or {}).items()}
        why = {"reason": reason} if reason else {}
        entries.append({"stock_number": number, "action": action, "changes": shown, **why})

    for car in plan.created:
        told = {name: (None, new) for name, new in car.values.items() if new not in (None, [])}
        show(car.stock_number, "create", told)
    for each in plan.changed:
        show(each.car.stock_number, "revive" if each.revived else "update", each.changes)
    for row in plan.removed:
        show(row.stock_number, "remove", {"status": (row.status, "removed")})
    for hold in plan.holds:
        for number in hold.stock_numbers:
            show(number, "hold", hold.changes.get(number), hold.why)
    for item in plan.refused:
        show(item.stock_number, "refuse", None, f"{item.code}: item {item.position} {item.reason}")
    for skip in plan.skipped:
        show(skip.stock_number, "skip", None, skip.reason)
    return entries


def _show(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def spell(value: Any) -> str | None:
    """Return a value as vehicle_changes keeps it: text, decimals in plain form, lists as JSON."""
    if value is None or isinstance(value, str):
        return value
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
