"""Holds: a night judged whole before anything is written, and what of it waits for a person; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from jobsync.easycars.identity import stock_key, telling_vin, yard_key
from jobsync.easycars.model import Car, Change, Current, HeldSet, Hold, Incoming, Listed, Policy
from jobsync.easycars.parse import Traits, traits_of

BLOCKED_MOST = 7
APPROVED_FOR = timedelta(days=7)  # how long an approval of a foreign feed waits for that feed
ADVERTISED = frozenset({"active", "deposit"})
EXCLUDED = "excluded"

# kind -> the columns that keep their value
HELD_COLUMNS = {
    "sold": ("status",),
    "prices": ("price", "special_price"),
    "pictures": ("images",),
    "descriptions": ("description",),
}
_FACTOR = 10  # a price is lost, too, when it becomes a tenth or tenfold


@dataclass
class Night:
    """
    What the judgement makes of one night.

    Args:
        missing: rows that begin their days of grace; `removed` those that go.
        changed: the changes, without what is kept back.
        unchanged: items whose only change is kept back.
        holds: what waits for a person, at most one of each kind.
        spent, superseded, lapsed: approvals carried out, questions withdrawn, rejections whose set is another now.
        blocked: why nothing could be removed, None if the answer was complete.
        foreign: nothing at all is applied.
        listed, advertised: rows before this night.
    """

    changed: Sequence[Change]
    listed: int
    advertised: int
    missing: list[Listed] = field(default_factory=list)
    removed: list[Listed] = field(default_factory=list)
    unchanged: int = 0
    holds: list[Hold] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    lapsed: list[int] = field(default_factory=list)
    blocked: str | None = None
    foreign: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Return in one word each what is held: of removals what led to the question, else the kind."""
        return ", ".join(why_held(hold) for hold in self.holds)

    @property
    def held(self) -> int:
        """Vehicles that are kept back, each counted once; of a foreign feed those that are listed."""
        if self.foreign:
            return self.listed if self.holds else 0
        return len({number for hold in self.holds for number in hold.stock_numbers})


def why_held(hold: Hold) -> str:
    """Return why a vehicle is kept back: of removals what led to the question, else the kind."""
    return hold.reason if hold.kind == "removals" else hold.kind


def judge_night(
    incoming: Incoming,
    current: Current,
    policy: Policy,
    now: datetime,
    *,
    absent: Sequence[Listed],
    created: Sequence[Car],
    changed: Sequence[Change],
) -> Night:
    """
    Judge a night as a whole.

    Args:
        absent: rows that the feed does not name, excluded ones among them.
        created, changed: what the feed would make of the others.
    """
    rows = [row for row in current.listed.values() if row.status != EXCLUDED]
    night = Night(changed, len(rows), sum(row.status in ADVERTISED for row in rows))
    judge = _Judge(incoming, current, policy, now, night)
    excluded = [row for row in absent if row.status == EXCLUDED]
    absent = [row for row in absent if row.status != EXCLUDED]
    if judge.is_foreign(rows, absent):
        return night
    judge.removals(absent, created)
    judge.values()
    if incoming.received and not night.blocked:  # so that one of them does not come back that is gone by now
        night.missing += [row for row in excluded if row.missing_since is None]
    return night


class _Judge:
    """The rules, over one night."""

    def __init__(self, incoming: Incoming, current: Current, policy: Policy, now: datetime, night: Night) -> None:
        self._incoming, self._current, self._policy, self._now = incoming, current, policy, now
        self._night = night
        self._whole = False  # a foreign feed that was approved goes through whole

    def _beyond(self, number: int, of: int) -> bool:
        return number > self._policy.limit_floor and number * 100 > of * self._policy.limit_percent

    def _asked(self, kind: str, status: str) -> HeldSet | None:
        return self._current.asked.get((kind, status))

    # --- one kind, whatever it is

    def _let_through(self, kind: str) -> frozenset[str]:
        """Return what a person approved; the sync that asks for it spends the approval."""
        approved = self._asked(kind, "approved")
        if approved is None:
            return frozenset()
        self._night.spent.append(approved.id)
        return approved.keys

    def _ask(self, kind: str, vehicles: Mapping[str, str], reason: str | None) -> bool:
        """
        Hold vehicles (key -> number) if there is a reason for it or a person was asked or said so before; whether they
        are held.

        Other rows that come or return make a set a smaller share; what a person was asked or said still stands.
        """
        pending, rejected = self._asked(kind, "pending"), self._asked(kind, "rejected")
        keys = frozenset() if self._whole else frozenset(vehicles)
        refused = rejected is not None and bool(keys) and rejected.keys == keys
        if rejected is not None and not refused:
            self._night.lapsed.append(rejected.id)
        same = pending if pending is not None and keys and pending.keys == keys else None
        if same is not None and not same.reason.startswith("blocked"):
            reason = reason or same.reason
        wanted = reason is not None and bool(keys) and not refused
        if pending is not None and not (same and wanted):
            self._night.superseded.append(pending.id)
        if wanted and reason is not None:
            self._hold(kind, sorted(vehicles.values()), reason, same.id if same is not None else None)
        elif refused:
            self._night.warnings.append(f"{len(keys)} {_KEPT[kind]}")
        return wanted or refused

    def _hold(
        self, kind: str, numbers: Sequence[str], reason: str, pending_id: int | None, vins: Sequence[str] = ()
    ) -> None:
        self._night.holds.append(
            Hold(
                kind=kind,
                stock_numbers=tuple(numbers),
                vins=tuple(vins),
                reason=reason,
                listed_before=self._night.listed,
                listed_now=self._incoming.received,
                pending_id=pending_id,
            )
        )

    # --- somebody else's feed

    def is_foreign(self, rows: Sequence[Listed], absent: Sequence[Listed]) -> bool:
        """Whether nothing of the feed may be applied; an approved one is let through, whole."""
        reason = self._why_foreign(rows, absent)
        approved = self._asked("foreign_feed", "approved")
        if approved is not None:
            self._whole = (
                approved.decided_at is None or self._now - approved.decided_at <= APPROVED_FOR
            ) and self._come_again(approved) > (0 if reason else len(approved.vehicles) / 2)
            if self._is_over(approved, reason):
                self._night.spent.append(approved.id)
            if self._whole:
                reason = None
        pending, rejected = self._asked("foreign_feed", "pending"), self._asked("foreign_feed", "rejected")
        if reason is None:
            if self._incoming.received:
                self._night.superseded += [pending.id] if pending else []
                self._night.lapsed += [rejected.id] if rejected else []
            return False
        self._night.foreign = True
        self._night.changed = ()
        same = [held for held in (pending, rejected) if held and self._come_again(held) > len(held.vehicles) / 2]
        if rejected is not None and rejected not in same:
            self._night.lapsed.append(rejected.id)
        if pending is not None and pending not in same:
            self._night.superseded.append(pending.id)
        if rejected is not None and rejected in same:
            self._night.warnings.append("nothing of the feed was applied: it looks foreign, and was rejected")
            return True
        self._night.warnings.append(f"nothing of the feed was applied: {_FOREIGN[reason]}")
        vehicles = self._vehicles()
        self._hold(
            "foreign_feed",
            [number for number, _ in vehicles],
            reason,
            pending.id if pending is not None and pending in same else None,
            [vin for _, vin in vehicles],
        )
        return True

    def _is_over(self, approved: HeldSet, reason: str | None) -> bool:
        """Whether an approval ends tonight: carried out, or the feed is the right one again, or it is a week old."""
        old = approved.decided_at is not None and self._now - approved.decided_at > APPROVED_FOR
        complete = bool(self._incoming.received) and not self._incoming.warned
        return old or (complete and (self._whole or reason is None))

    def _why_foreign(self, rows: Sequence[Listed], absent: Sequence[Listed]) -> str | None:
        incoming = self._incoming
        if not incoming.received:
            return None
        if len(rows) >= _LOT_LEAST and len(absent) == len(rows) and self._vehicles():
            listed = {row.vin for row in rows}
            if not any(telling_vin(car.vin) and car.vin in listed for car in incoming.cars):
                return "nothing_in_common"
        return "another_dealership" if self._is_listed_elsewhere(rows) else None

    def _is_listed_elsewhere(self, rows: Sequence[Listed]) -> bool:
        """Whether more than half of the feed's VINs, three at the least, are listed at others and not here."""
        cars = self._incoming.cars
        if len(cars) < _FOREIGN_LEAST:
            return False
        vins = {vin for car in cars if (vin := telling_vin(car.vin)) is not None}
        if len(vins) < _FOREIGN_LEAST:
            return False
        unknown = vins - {row.vin for row in rows}
        known = len(vins) - len(unknown)
        for row in self._incoming.same:  # listed here, each of them
            if known >= len(unknown):
                return False
            known += telling_vin(row.vin) is not None
        if len(unknown) < _FOREIGN_LEAST or known >= len(unknown):
            return False
        elsewhere = len(self._current.elsewhere(sorted(unknown)))
        return elsewhere >= _FOREIGN_LEAST and elsewhere * 2 > known + len(unknown)

    def _vehicles(self) -> list[tuple[str, str]]:
        """Return stock number and VIN (empty if it has none) of all that the feed names."""
        incoming = self._incoming
        named = {row.stock_number: telling_vin(row.vin) or "" for row in incoming.same}
        named |= {item.stock_number: "" for item in incoming.refused if item.stock_number is not None}
        named |= {car.stock_number: telling_vin(car.vin) or "" for car in incoming.cars}
        return sorted(named.items())

    def _come_again(self, held: HeldSet) -> int:
        """Return how many vehicles of a foreign feed the feed of tonight names."""
        vehicles = self._vehicles()
        keys, vins = {stock_key(number) for number, _ in vehicles}, {vin for _, vin in vehicles if vin}
        return sum(key in keys or vin in vins for key, vin in held.vehicles)

    # --- what goes

    def removals(self, absent: Sequence[Listed], created: Sequence[Car]) -> None:
        """Decide what becomes of the listed rows that the feed does not name."""
        night = self._night
        night.blocked, absent = self._spare(absent)
        fresh = self._carry_out_approval(absent)
        if night.blocked:
            self._wait_or_ask(fresh)
            return
        # An empty feed confirms nothing: rows in their days of grace wait with the others.
        settled = [row for row in fresh if row.missing_since is not None and self._incoming.received]
        fresh = [row for row in fresh if row.missing_since is None or not self._incoming.received]
        since = self._now - timedelta(days=self._policy.grace_days)
        night.removed += [row for row in settled if row.missing_since is not None and row.missing_since <= since]
        if self._ask("removals", _numbers(fresh), self._why_held(fresh, absent, created)):
            return
        if self._policy.grace_days and not self._whole:
            night.missing += fresh
        else:
            night.removed += fresh

    def _spare(self, absent: Sequence[Listed]) -> tuple[str | None, Sequence[Listed]]:
        """Return why nothing may be removed, and the absent rows without those that a nameless item could be."""
        incoming, current = self._incoming, self._current
        if incoming.warned:
            return "vendor_warning", absent
        if current.synced_before and yard_key(current.yard_code or "") != yard_key(incoming.yard_code or ""):
            return "yard_filter_changed", absent
        nameless = [traits_of(item.raw) for item in incoming.refused if item.stock_number is None]
        if not nameless:
            return None, absent
        vins = {vin for traits in nameless if (vin := telling_vin(traits.vin)) is not None}
        others = [traits for traits in nameless if telling_vin(traits.vin) is None]
        if not all(traits.kind for traits in others):
            return "no_stock_number", absent
        kinds: dict[str, Traits] = {}
        if others and absent:
            rows = current.rows([row.stock_key for row in absent])
            kinds = {key: Traits.of_values(row.values) for key, row in rows.items()}
        left = [
            row
            for row in absent
            if telling_vin(row.vin) not in vins
            and not any(traits.could_be(kinds[row.stock_key]) for traits in others if row.stock_key in kinds)
        ]
        if len(left) < len(absent):
            self._night.warnings.append(
                f"{len(absent) - len(left)} missing vehicles stay listed: an item without a readable stock number"
                " could be one of them; jobsync stock refused"
            )
        return None, left

    def _carry_out_approval(self, absent: Sequence[Listed]) -> list[Listed]:
        approved = self._asked("removals", "approved")
        if approved is None or (self._night.blocked and not approved.reason.startswith("blocked")):
            return list(absent)
        keys = self._let_through("removals")
        self._night.removed += [row for row in absent if row.stock_key in keys]
        return [row for row in absent if row.stock_key not in keys]

    def _wait_or_ask(self, fresh: Sequence[Listed]) -> None:
        """After seven syncs in a row without removals a person is asked; until then what is missing just stays."""
        rejected = self._asked("removals", "rejected")
        refused = rejected is not None and rejected.keys == _numbers(fresh).keys()
        if not fresh:
            return
        if self._current.blocked_in_a_row + 1 >= BLOCKED_MOST and not refused:
            self._ask("removals", _numbers(fresh), f"blocked_{self._night.blocked}")
        else:
            self._night.warnings.append(
                f"{len(fresh)} missing vehicles stay listed: {_BLOCKED[str(self._night.blocked)]}"
            )

    def _why_held(self, fresh: Sequence[Listed], absent: Sequence[Listed], created: Sequence[Car]) -> str | None:
        if not fresh:
            return None
        if self._incoming.received == 0:
            return "empty_feed"
        night = self._night
        approved = [row for row in night.removed if row.missing_since is None]
        listed, advertised = night.listed - len(approved), night.advertised - _advertised(approved)
        if self._beyond(len(fresh), listed) or self._beyond(_advertised(fresh), advertised):
            return "limit"
        return "drain" if not approved and self._is_drained(fresh, absent, created) else None

    def _is_drained(self, fresh: Sequence[Listed], absent: Sequence[Listed], created: Sequence[Car]) -> bool:
        """Whether the week, with this night, takes more than one night may, and the lot has shrunk by as much."""
        window = self._current.window
        if window is None:
            return False
        night, percent = self._night, self._policy.limit_percent
        listed, advertised = night.listed - len(absent), night.advertised - _advertised(absent)
        for car in created:
            listed += car.values["status"] != EXCLUDED
            advertised += car.values["status"] in ADVERTISED
        for change in night.changed:
            old = change.row.status
            new = change.changes["status"][1] if "status" in change.changes else old
            listed += (new not in _UNLISTED) - (old not in _UNLISTED)
            advertised += (new in ADVERTISED) - (old in ADVERTISED)
        shrunk = [
            (before - left) * 100 > before * percent
            for before, left in ((window.listed, listed), (window.advertised, advertised))
        ]
        if not any(shrunk):  # as on nearly every night: the database is not asked what went
            return False
        gone, gone_advertised = self._current.removed_since(window.began_at)
        waiting = [row for row in absent if row.missing_since is not None and row.missing_since >= window.began_at]
        gone += len(waiting) + len(fresh)
        gone_advertised += _advertised(waiting) + _advertised(fresh)
        return (shrunk[0] and self._beyond(gone, window.listed)) or (
            shrunk[1] and self._beyond(gone_advertised, window.advertised)
        )

    # --- what loses a value

    def values(self) -> None:
        """Decide which values keep what they are, and take them out of the changes."""
        night = self._night
        ours = [change for change in night.changed if change.row.status in ADVERTISED]
        kept: dict[int, list[str]] = {}
        selling = [change for change in ours if _becomes_sold(change)]
        # a small lot can sell out in a day; it cannot lose every price
        self._keep("sold", selling, kept, staying=None)
        # what is sold tonight may lose its price with it
        sold = {change.row.id for change in selling} - kept.keys()
        staying = night.advertised - _advertised(night.removed) - len(sold)
        for kind, loses in _LOSSES.items():
            losing = [change for change in ours if loses(change) and change.row.id not in sold]
            self._keep(kind, losing, kept, staying=staying)
        if kept:
            self._keep_back(kept)

    def _keep(self, kind: str, losing: Sequence[Change], kept: dict[int, list[str]], *, staying: int | None) -> None:
        """Note in `kept` what of a kind is kept back; `staying`: if all of so many rows lose all, it is too much."""
        approved = self._let_through(kind)
        fresh = [change for change in losing if change.car.stock_key not in approved]
        reason = None
        if self._beyond(len(fresh), self._night.advertised):
            reason = "limit"
        elif staying is not None and staying == len(fresh) >= _LOT_LEAST and _are_gone(kind, fresh):
            reason = "all"
        if self._ask(kind, {change.car.stock_key: change.car.stock_number for change in fresh}, reason):
            for change in fresh:
                kept.setdefault(change.row.id, []).extend(HELD_COLUMNS[kind])

    def _keep_back(self, kept: dict[int, list[str]]) -> None:
        """Take columns out of the changes; a row of which something is kept back is read anew the next night."""
        changed: list[Change] = []
        held: dict[str, dict[str, tuple[Any, Any]]] = {}
        for change in self._night.changed:
            columns = kept.get(change.row.id)
            if columns is None:
                changed.append(change)
                continue
            back = {column: change.changes[column] for column in columns if column in change.changes}
            held[change.car.stock_number] = back
            left = {name: pair for name, pair in change.changes.items() if name not in back}
            if left:
                old = {column: pair[0] for column, pair in back.items()}
                changed.append(replace(change, changes=left, kept={**change.kept, **old}, held=frozenset(back)))
            else:
                self._night.unchanged += 1
        self._night.changed = changed
        self._night.holds = [
            hold
            if hold.kind not in HELD_COLUMNS
            else replace(
                hold,
                changes={
                    number: {name: pair for name, pair in held[number].items() if name in HELD_COLUMNS[hold.kind]}
                    for number in hold.stock_numbers
                },
            )
            for hold in self._night.holds
        ]


_FOREIGN_LEAST = 3
_LOT_LEAST = 2
_POINT_MOVES = (-1, -2, -3, 1, 2, 3)  # places: dollars for cents, thousands for dollars
_UNLISTED = frozenset({"removed", EXCLUDED})


def _numbers(rows: Iterable[Listed]) -> dict[str, str]:
    return {row.stock_key: row.stock_number for row in rows}


def _advertised(rows: Iterable[Listed]) -> int:
    return sum(row.status in ADVERTISED for row in rows)


def _becomes_sold(change: Change) -> bool:
    return change.changes.get("status", (None, None))[1] in ("sold", EXCLUDED)


def _loses_price(change: Change) -> bool:
    old, new = change.changes.get("price", (None, None))
    if not old:
        return False
    return not new or new * _FACTOR <= old or new >= old * _FACTOR


def _are_gone(kind: str, losing: Sequence[Change]) -> bool:
    """Whether a small lot lost these values: prices that move by much may well be new ones, unless all move alike."""
    if kind != "prices":
        return True
    prices = [change.changes["price"] for change in losing]
    return not any(new for _, new in prices) or any(
        all(new and abs(new - old.scaleb(places)) < 1 for old, new in prices) for places in _POINT_MOVES
    )


def _loses(column: str) -> Callable[[Change], bool]:
    def loses(change: Change) -> bool:
        old, new = change.changes.get(column, (None, None))
        return bool(old) and not new

    return loses


_LOSSES: dict[str, Callable[[Change], bool]] = {
    "prices": _loses_price,
    "pictures": _loses("images"),
    "descriptions": _loses("description"),
}
_KEPT = {
    "removals": "missing vehicles stay listed: their removal was rejected",
    "sold": "vehicles keep their status: the change to sold was rejected",
    "prices": "vehicles keep their price: the change was rejected",
    "pictures": "vehicles keep their pictures: the loss was rejected",
    "descriptions": "vehicles keep their description: the loss was rejected",
}
_FOREIGN = {
    "nothing_in_common": "it shares neither a stock number nor a VIN with what is listed",
    "another_dealership": "most of its VINs are listed at another dealership and not here",
}
_BLOCKED = {
    "vendor_warning": "the vendor answered with a warning (Code 5), the list may be incomplete",
    "no_stock_number": "an item had no readable stock number, it could be any of them",
    "yard_filter_changed": "the yard asked for is not that of the last sync",
}
