"""Holds: a night judged whole before anything is written, and what of it waits for a person; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jobsync.easycars.identity import kind_of, stock_key, telling_vin, yard_key
from jobsync.easycars.model import Change, Current, HeldSet, Hold, Incoming, Listed, Policy, StockPlan

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
_Changes = Mapping[str, tuple[Any, Any]]  # field -> (old, new)
_FACTOR = 10  # a price is lost, too, when it becomes a tenth or tenfold
_FOREIGN_LEAST = 3
_LOT_LEAST = 2
_POINT_MOVES = (-1, -2, -3, 1, 2, 3)  # places: dollars for cents, thousands for dollars
_UNLISTED = frozenset({"removed", EXCLUDED})
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


def why_incomplete(incoming: Incoming, current: Current) -> str | None:
    """Return why what the feed does not name may be there all the same, None if it is complete."""
    if incoming.warned:
        return "vendor_warning"
    changed = current.synced_before and yard_key(current.yard_code or "") != yard_key(incoming.yard_code or "")
    return "yard_filter_changed" if changed else None


class Judge:
    """The rules, over one night; what they come to is put down in the plan."""

    def __init__(self, plan: StockPlan, incoming: Incoming, current: Current, policy: Policy, now: datetime) -> None:
        self._plan, self._incoming, self._current, self._policy, self._now = plan, incoming, current, policy, now
        self._rows = [row for row in current.listed.values() if row.status != EXCLUDED]
        self._whole = False  # a foreign feed that was approved goes through whole
        plan.listed, plan.advertised = len(self._rows), _advertised(self._rows)

    def _asked(self, kind: str, status: str) -> HeldSet | None:
        return self._current.asked.get((kind, status))

    # --- one kind, whatever it is

    def _let_through(self, kind: str) -> frozenset[str]:
        """Return what a person approved; the sync that asks for it spends the approval."""
        approved = self._asked(kind, "approved")
        if approved is None:
            return frozenset()
        self._plan.spent.append(approved.id)
        return approved.keys

    def _ask(
        self, kind: str, vehicles: Mapping[str, str], reason: str | None, changes: Mapping[str, _Changes] | None = None
    ) -> bool:
        """
        Hold vehicles (key -> number) if there is a reason or a person was asked or said so before; True if held.

        Other rows that come or return make a set a smaller share; what a person was asked or said still stands.
        """
        plan, pending, rejected = self._plan, self._asked(kind, "pending"), self._asked(kind, "rejected")
        keys = frozenset() if self._whole else frozenset(vehicles)
        refused = rejected is not None and bool(keys) and rejected.keys == keys
        if rejected is not None and not refused:
            plan.lapsed.append(rejected.id)
        same = pending if pending is not None and keys and pending.keys == keys else None
        if same is not None and not same.reason.startswith("blocked"):
            reason = reason or same.reason
        wanted = reason is not None and bool(keys) and not refused
        if pending is not None and not (same and wanted):
            plan.superseded.append(pending.id)
        if wanted and reason is not None:
            plan.holds.append(
                Hold(kind, tuple(sorted(vehicles.values())), reason, same.id if same else None, (), changes or {})
            )
        elif refused:
            plan.warnings.append(f"{len(keys)} {_KEPT[kind]}")
        return wanted or refused

    # --- somebody else's feed

    def is_foreign(self) -> bool:
        """Whether nothing of the feed may be applied; an approved one is let through, whole."""
        plan, received, reason = self._plan, self._incoming.received, self._why_foreign()
        approved = self._asked("foreign_feed", "approved")
        if approved is not None:
            old = approved.decided_at is not None and self._now - approved.decided_at > APPROVED_FOR
            self._whole = not old and self._come_again(approved) > (0 if reason else len(approved.vehicles) / 2)
            # carried out, or the feed is the right one again, or it is a week old
            if old or (received and not self._incoming.warned and (self._whole or reason is None)):
                plan.spent.append(approved.id)
            if self._whole:
                reason = None
        asked = [held for status in ("pending", "rejected") if (held := self._asked("foreign_feed", status))]
        same = {
            held.status: held
            for held in asked
            if reason is not None and self._come_again(held) > len(held.vehicles) / 2
        }
        if reason is not None or received:
            for held in asked:
                if held.status not in same:
                    (plan.superseded if held.status == "pending" else plan.lapsed).append(held.id)
        if reason is None:
            return False
        plan.foreign = True
        if "rejected" in same:
            plan.warnings.append("nothing of the feed was applied: it looks foreign, and was rejected")
            return True
        plan.warnings.append(f"nothing of the feed was applied: {_FOREIGN[reason]}")
        numbers, vins = zip(*self._vehicles(), strict=True)
        pending_id = same["pending"].id if "pending" in same else None
        plan.holds.append(Hold("foreign_feed", numbers, reason, pending_id, vins))
        return True

    def _why_foreign(self) -> str | None:
        incoming, rows = self._incoming, self._rows
        if not incoming.received:
            return None
        if len(rows) >= _LOT_LEAST and all(row.status == EXCLUDED for row in incoming.same):
            keys, _ = _identities(self._vehicles())
            vins = {vin for car in incoming.cars if (vin := telling_vin(car.vin))}
            if keys and not any(row.stock_key in keys or row.vin in vins for row in rows):
                return "nothing_in_common"
        return "another_dealership" if self._is_listed_elsewhere() else None

    def _is_listed_elsewhere(self) -> bool:
        """Whether more than half of the feed's VINs, three at the least, are listed at others and not here."""
        vins = {vin for car in self._incoming.cars if (vin := telling_vin(car.vin)) is not None}
        if len(vins) < _FOREIGN_LEAST:
            return False
        unknown = vins - {row.vin for row in self._rows}
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
        incoming = self._incoming
        named = {row.stock_number: telling_vin(row.vin) or "" for row in incoming.same}
        named |= {item.stock_number: "" for item in incoming.refused if item.stock_number is not None}
        named |= {car.stock_number: telling_vin(car.vin) or "" for car in incoming.cars}
        return sorted(named.items())

    def _come_again(self, held: HeldSet) -> int:
        keys, vins = _identities(self._vehicles())
        return sum(key in keys or vin in vins for key, vin in held.vehicles)

    # --- what goes

    def removals(self, absent: Sequence[Listed]) -> None:
        """Decide what becomes of the listed rows that the feed does not name, excluded ones among them."""
        plan = self._plan
        excluded = [row for row in absent if row.status == EXCLUDED]
        plan.blocked, absent = self._spare([row for row in absent if row.status != EXCLUDED])
        fresh = self._carry_out_approval(absent)
        if plan.blocked:
            self._wait_or_ask(fresh)
            return
        if self._incoming.received:  # an empty feed confirms nothing: rows in their days of grace wait with the others
            since = self._now - timedelta(days=self._policy.grace_days)
            plan.removed += [row for row in fresh if row.missing_since is not None and row.missing_since <= since]
            fresh = [row for row in fresh if row.missing_since is None]
            # so that one of them does not come back that is gone by now
            plan.missing += [row for row in excluded if row.missing_since is None]
        if not self._ask("removals", _numbers(fresh), self._why_held(fresh, absent)):
            (plan.missing if self._policy.grace_days and not self._whole else plan.removed).extend(fresh)

    def _spare(self, absent: Sequence[Listed]) -> tuple[str | None, Sequence[Listed]]:
        """Return why nothing may be removed, and the absent rows without those that a nameless item could be."""
        if why := why_incomplete(self._incoming, self._current):
            return why, absent
        nameless = [item for item in self._incoming.refused if item.stock_number is None]
        vins = {vin for item in nameless if (vin := telling_vin(item.vin))}
        kinds = [item.kind for item in nameless if not telling_vin(item.vin)]
        if not all(kinds):
            return "no_stock_number", absent
        rows = self._current.rows([row.stock_key for row in absent]) if kinds and absent else {}
        ours = {key: kind_of(row.values) for key, row in rows.items()}
        left = [
            row
            for row in absent
            if telling_vin(row.vin) not in vins
            and not any(kind <= ours[row.stock_key] for kind in kinds if row.stock_key in ours)
        ]
        if len(left) < len(absent):
            self._plan.warnings.append(
                f"{len(absent) - len(left)} missing vehicles stay listed: an item without a readable stock number"
                " could be one of them; jobsync stock refused"
            )
        return None, left

    def _carry_out_approval(self, absent: Sequence[Listed]) -> list[Listed]:
        approved = self._asked("removals", "approved")
        if approved is None or (self._plan.blocked and not approved.reason.startswith("blocked")):
            return list(absent)
        keys = self._let_through("removals")
        self._plan.removed += [row for row in absent if row.stock_key in keys]
        return [row for row in absent if row.stock_key not in keys]

    def _wait_or_ask(self, fresh: Sequence[Listed]) -> None:
        """After seven syncs in a row without removals a person is asked; until then what is missing just stays."""
        rejected, why = self._asked("removals", "rejected"), str(self._plan.blocked)
        refused = rejected is not None and rejected.keys == _numbers(fresh).keys()
        if fresh and self._current.blocked_in_a_row + 1 >= BLOCKED_MOST and not refused:
            self._ask("removals", _numbers(fresh), f"blocked_{why}")
        elif fresh:
            self._plan.warnings.append(f"{len(fresh)} missing vehicles stay listed: {_BLOCKED[why]}")

    def _why_held(self, fresh: Sequence[Listed], absent: Sequence[Listed]) -> str | None:
        if not fresh:
            return None
        if self._incoming.received == 0:
            return "empty_feed"
        plan = self._plan
        approved = [row for row in plan.removed if row.missing_since is None]
        listed, advertised = plan.listed - len(approved), plan.advertised - _advertised(approved)
        if self._policy.is_beyond(len(fresh), listed) or self._policy.is_beyond(_advertised(fresh), advertised):
            return "limit"
        return "drain" if not approved and self._is_drained(fresh, absent) else None

    def _is_drained(self, fresh: Sequence[Listed], absent: Sequence[Listed]) -> bool:
        """Whether the week, with this night, takes more than one night may, and the lot has shrunk by as much."""
        window = self._current.window
        if window is None:
            return False
        plan, percent = self._plan, self._policy.limit_percent
        listed, advertised = plan.listed - len(absent), plan.advertised - _advertised(absent)
        moves = [("removed", car.values["status"]) for car in plan.created]
        moves += [(change.row.status, _new(change, "status") or change.row.status) for change in plan.changed]
        for old, new in moves:
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
        return (shrunk[0] and self._policy.is_beyond(gone, window.listed)) or (
            shrunk[1] and self._policy.is_beyond(gone_advertised, window.advertised)
        )

    # --- what loses a value

    def values(self) -> None:
        """Decide which values keep what they are, and take them out of the changes."""
        plan = self._plan
        ours = [change for change in plan.changed if change.row.status in ADVERTISED]
        back: dict[int, dict[str, tuple[Any, Any]]] = {}
        selling = [change for change in ours if _new(change, "status") in ("sold", EXCLUDED)]
        # a small lot can sell out in a day; it cannot lose every price
        self._keep("sold", selling, back, staying=None)
        # what is sold tonight may lose its price with it
        sold = {change.row.id for change in selling} - back.keys()
        staying = plan.advertised - _advertised(plan.removed) - len(sold)
        for kind, loses in _LOSSES.items():
            losing = [change for change in ours if loses(change) and change.row.id not in sold]
            self._keep(kind, losing, back, staying=staying)
        if back:
            plan.changed = [left for change in plan.changed if (left := self._without(change, back.get(change.row.id)))]

    def _keep(
        self, kind: str, losing: Sequence[Change], back: dict[int, dict[str, Any]], *, staying: int | None
    ) -> None:
        """Note in `back` what of a kind is kept back; `staying`: if all of so many rows lose all, it is too much."""
        approved = self._let_through(kind)
        fresh = [change for change in losing if change.car.stock_key not in approved]
        reason = None
        if self._policy.is_beyond(len(fresh), self._plan.advertised):
            reason = "limit"
        elif staying is not None and staying == len(fresh) >= _LOT_LEAST and _are_gone(kind, fresh):
            reason = "all"
        numbers = {change.car.stock_key: change.car.stock_number for change in fresh}
        kept = {
            change.row.id: {name: change.changes[name] for name in HELD_COLUMNS[kind] if name in change.changes}
            for change in fresh
        }
        if self._ask(kind, numbers, reason, {change.car.stock_number: kept[change.row.id] for change in fresh}):
            for row_id, pairs in kept.items():
                back.setdefault(row_id, {}).update(pairs)

    def _without(self, change: Change, back: _Changes | None) -> Change | None:
        """Return a change without what is kept back, None if nothing is left; its row is read anew the next night."""
        if back is None:
            return change
        left = {name: pair for name, pair in change.changes.items() if name not in back}
        if not left:
            self._plan.unchanged += 1
            return None
        old = {name: pair[0] for name, pair in back.items()}
        return replace(change, changes=left, kept={**change.kept, **old}, partial=True)


def _numbers(rows: Iterable[Listed]) -> dict[str, str]:
    return {row.stock_key: row.stock_number for row in rows}


def _advertised(rows: Iterable[Listed]) -> int:
    return sum(row.status in ADVERTISED for row in rows)


def _identities(vehicles: Sequence[tuple[str, str]]) -> tuple[set[str], set[str]]:
    return {stock_key(number) for number, _ in vehicles}, {vin for _, vin in vehicles if vin}


def _new(change: Change, column: str) -> Any:
    return change.changes.get(column, (None, None))[1]


def _loses(column: str) -> Callable[[Change], bool]:
    return lambda change: bool(change.changes.get(column, (None, None))[0]) and not _new(change, column)


def _loses_price(change: Change) -> bool:
    old, new = change.changes.get("price", (None, None))
    return bool(old) and (not new or new * _FACTOR <= old or new >= old * _FACTOR)


_LOSSES: dict[str, Callable[[Change], bool]] = {
    "prices": _loses_price,
    "pictures": _loses("images"),
    "descriptions": _loses("description"),
}


def _are_gone(kind: str, losing: Sequence[Change]) -> bool:
    """Whether a small lot lost these values; prices may be new ones, unless one is gone or its decimal point moved."""
    if kind != "prices":
        return True
    prices = [change.changes["price"] for change in losing]
    return any(not new or any(abs(new - old.scaleb(places)) < 1 for places in _POINT_MOVES) for old, new in prices)
