"""A dealership kept in memory: it plays nights through the pure rule and carries out what the plans say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jobsync.easycars.identity import stock_key
from jobsync.easycars.model import (
    FEED_COLUMNS,
    Car,
    Current,
    HeldSet,
    Hold,
    Listed,
    Policy,
    StockPlan,
    VehicleRow,
    Window,
)
from jobsync.easycars.parse import fingerprint, rules_of, says_sold, status_word
from jobsync.easycars.plan import plan_stock, sort_feed
from jobsync.sandbox.fields import blank_vehicle

FIRST_NIGHT = datetime(2026, 3, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)


def item(number: object, **keys: Any) -> bytes:
    """One complete item as the feed sends it; keys given as ... are left out."""
    document = {**blank_vehicle(), "StockNumber": number, "StockStatus": "In Stock", "ImageCount": None, **keys}
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def feed(*numbers: object, **keys: Any) -> list[bytes]:
    """One item for each stock number, alike but for that."""
    return [item(number, **keys) for number in numbers]


def numbered(first: int, last: int) -> list[bytes]:
    """Items S1 … Sn."""
    return feed(*(f"S{number}" for number in range(first, last + 1)))


def question(plan: StockPlan) -> Hold | None:
    """The only thing that waits for a person, None if nothing does."""
    assert len(plan.holds) < 2
    return plan.holds[0] if plan.holds else None


@dataclass
class Dealer:
    """
    One dealership.

    `yard` is the filter of the nights, `rows` are ours by stock number, removed ones too; `retired` those whose
    number another vehicle took.
    """

    policy: Policy = field(default_factory=Policy)
    now: datetime = FIRST_NIGHT
    yard: str | None = None
    rows: dict[str, VehicleRow] = field(default_factory=dict)
    retired: list[VehicleRow] = field(default_factory=list)
    other_stock_keys: dict[str, str] = field(default_factory=dict)
    other_vins: dict[str, str] = field(default_factory=dict)
    status_words: frozenset[str] = frozenset()
    status_map: Mapping[str, str] = field(default_factory=dict)
    held: list[HeldSet] = field(default_factory=list)
    sold_before: dict[str, bool] = field(default_factory=dict)
    log: list[tuple[str | None, str | None]] = field(default_factory=list)
    elsewhere: frozenset[str] = frozenset()
    nights: list[Window] = field(default_factory=list)
    gone: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    approved_at: datetime | None = None
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def listed(self) -> dict[str, Listed]:
        """Our rows that are not removed."""
        return {row.listed.stock_key: row.listed for row in self.rows.values() if row.listed.status != "removed"}

    def statuses(self) -> dict[str, str]:
        """Every row's status."""
        return {number: row.listed.status for number, row in self.rows.items()}

    def values(self, number: str) -> Mapping[str, Any]:
        """A row's values."""
        return self.rows[number].values

    def current(self) -> Current:
        """What the database would say."""
        asked = {(held.kind, held.status): held for held in self.held if held.status not in ("superseded", "over")}
        blocked = [why is not None for _, why in reversed(self.log)]
        every = {row.listed.stock_key: row for row in self.rows.values()}
        return Current(
            dealership_id=1,
            listed=self.listed,
            rows=lambda keys: {key: every[key] for key in keys if key in every},
            with_vins=lambda vins: [row for row in (*every.values(), *self.retired) if row.listed.vin in vins],
            other_stock_keys=self.other_stock_keys,
            other_vins=self.other_vins,
            status_words=self.status_words,
            status_map=self.status_map,
            asked=asked,
            window=self.window,
            removed_since=self.removed_since,
            elsewhere=lambda vins: self.elsewhere & set(vins),
            synced_before=bool(self.log),
            yard_code=self.log[-1][0] if self.log else None,
            blocked_in_a_row=blocked.index(False) if False in blocked else len(blocked),
        )

    def plan(self, items: Sequence[bytes], *, warned: bool = False) -> StockPlan:
        """Say what a night would do."""
        rules = rules_of(self.policy.status_map)
        incoming = sort_feed(items, self.listed, yard_code=self.yard, warned=warned, rules=rules)
        return plan_stock(incoming, self.current(), self.policy, self.now)

    def night(self, items: Sequence[bytes], *, warned: bool = False) -> StockPlan:
        """Plan a night, carry it out, and let a day pass."""
        plan = self.plan(items, warned=warned)
        self._apply(plan)
        self.nights.append(Window(plan.listed, plan.advertised, self.now))
        self.log.append((plan.yard_code, plan.blocked))
        self.now += DAY
        return plan

    def decide(self, status: str) -> None:
        """Approve or reject what is open."""
        self.held = [
            replace(held, status=status, decided_at=self.now) if held.status == "pending" else held
            for held in self.held
        ]

    @property
    def window(self) -> Window | None:
        """What was there a week ago, or after the last approval."""
        nights = [night for night in self.nights if night.listed and night.began_at > self.now - 7 * DAY]
        return next((night for night in nights if self.approved_at is None or night.began_at > self.approved_at), None)

    def removed_since(self, since: datetime) -> tuple[int, int]:
        """Count the rows removed since then, and those of them that had been advertised."""
        gone = [
            old
            for number, (when, old) in self.gone.items()
            if when >= since and number in self.rows and self.rows[number].listed.status == "removed"
        ]
        return len(gone), sum(old in ("active", "deposit") for old in gone)

    def edit(self, number: str, *, locked: tuple[str, ...] | None = None, **values: Any) -> None:
        """Let a person change a row."""
        row = self.rows[number]
        listed = row.listed if locked is None else row.listed._replace(locked=locked)
        self._put(replace(row, listed=listed, values={**row.values, **values}))

    def _apply(self, plan: StockPlan) -> None:
        self.status_words |= set(plan.new_words)
        self.status_map = self.status_map if plan.status_map is None else plan.status_map
        for old in plan.retired:
            row = self.rows.pop(old.stock_number)
            number = f"{old.stock_number}~{old.id} "
            self.retired.append(
                replace(row, listed=row.listed._replace(stock_number=number, stock_key=stock_key(number)))
            )
        moved = {change.row.id: self._take(change.row) for change in (*plan.changed, *plan.restated)}
        for car in plan.created:
            assert car.stock_key not in {row.listed.stock_key for row in self.rows.values()}
            self._put(VehicleRow(self._listed(next(self._ids), car), dict(car.values), car.document))
        for change in (*plan.changed, *plan.restated):
            row = moved[change.row.id]
            digest = change.car.content_hash
            locked = row.listed.locked
            listed = row.listed._replace(
                stock_number=change.car.stock_number,
                stock_key=change.car.stock_key,
                content_hash=(fingerprint(digest, locked) if locked else digest) if change.is_whole else None,
                missing_since=None,
            )
            self._put(VehicleRow(listed, dict(change.values), change.car.document))
        for listed in plan.recognized:
            row = self.rows[listed.stock_number]
            self._put(replace(row, listed=row.listed._replace(content_hash=listed.content_hash)))
        for gone in plan.removed:
            row = self.rows[gone.stock_number]
            self.sold_before[gone.stock_number] = row.listed.status == "sold"
            self.gone[gone.stock_number] = (self.now, row.listed.status)
            self._put(replace(row, values={**row.values, "status": "removed"}))
        for rows, since in ((plan.missing, self.now), (plan.returned, None)):
            for listed in rows:
                row = self.rows[listed.stock_number]
                self._put(replace(row, listed=row.listed._replace(missing_since=since)))
        self._note(plan)

    def _note(self, plan: StockPlan) -> None:
        """Keep what became of the questions, and the new ones."""
        ended = {*plan.spent, *plan.lapsed}
        if any(held.id in ended and held.status == "approved" for held in self.held):
            self.approved_at = self.now
        self.held = [
            replace(held, status="superseded" if held.id in plan.superseded else "over")
            if held.id in ended.union(plan.superseded)
            else held
            for held in self.held
        ]
        for hold in plan.holds:
            if hold.pending_id is None:
                assert all((held.status, held.kind) != ("pending", hold.kind) for held in self.held)
                self.held.append(
                    HeldSet(
                        len(self.held) + 1,
                        frozenset(keys := [stock_key(number) for number in hold.stock_numbers]),
                        "pending",
                        hold.reason,
                        hold.kind,
                        tuple(zip(keys, hold.vins, strict=False)),
                    )
                )

    def _take(self, listed: Listed) -> VehicleRow:
        """Take a row out, to be put back under the number that it has then."""
        for row in [row for row in self.retired if row.listed.id == listed.id]:
            self.retired.remove(row)
            return row
        return self.rows.pop(listed.stock_number)

    def _listed(self, number: int, car: Car) -> Listed:
        return Listed(
            id=number,
            stock_number=car.stock_number,
            stock_key=car.stock_key,
            vin=None,
            status="",
            content_hash=None if car.unreadable else car.content_hash,
            locked=(),
            missing_since=None,
            locally_sold=False,
            yard_code=None,
            excluded_by=None,
        )

    def _put(self, row: VehicleRow) -> None:
        values = row.values
        said = json.loads(row.document).get("StockStatus", values["stock_status"])
        sold_there = says_sold(status_word(str(said or "")), self.status_map)
        excluded_by = row.listed.excluded_by if row.listed.kept_off or row.listed.status == "excluded" else None
        if values["status"] == "excluded" and row.listed.status != "excluded" and excluded_by is None:
            excluded_by = "map"
        listed = row.listed._replace(
            vin=values["vin"],
            status=values["status"],
            yard_code=values["yard_code"],
            excluded_by=excluded_by if values["status"] == "excluded" else None,
            locally_sold=(
                values["status"] == "sold"
                or (values["status"] == "removed" and self.sold_before.get(row.listed.stock_number, False))
            )
            and not sold_there,
        )
        assert set(FEED_COLUMNS) <= set(values)
        self.rows[listed.stock_number] = VehicleRow(listed, values, row.document)
