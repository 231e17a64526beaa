"""Plans carried out in a real Postgres and read back."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from jobsync.db.engine import Database
from jobsync.db.statements import read_now
from jobsync.easycars import due, registry, store, watch
from jobsync.easycars.holds import BLOCKED_MOST
from jobsync.easycars.job import Feed, plan_and
from jobsync.easycars.model import FEED_COLUMNS, Car, Current, Envelope, Policy, Refused, StockPlan
from jobsync.easycars.parse import fingerprint, parse_item
from jobsync.easycars.plan import plan_stock, sort_feed
from jobsync.errors import ExitCode
from jobsync.runner import record
from jobsync.runner.job import ItemResult, ItemStatus, Report, RunStatus
from jobsync.runner.record import RunIdentity
from tests.conftest import url_of
from tests.easycars.memory import DAY, FIRST_NIGHT, Dealer, feed, item, numbered
from tests.easycars.test_plan import random_night
from tests.runner.support import on, session

RUN = UUID("00000000-0000-4000-8000-000000000001")
FULL = item(
    "A1",
    VIN="6T1BF3FK00X000001",
    Make="CITROËN",
    Model="C4",
    Badge="\\ a tab\there, \"quotes\" and a 🚗 \\N",
    YearGroup=2019,
    Price="31990.50",
    AdvSpecialPrice=29990,
    Odometer=48211,
    IsDriveAway=True,
    IsUsed=True,
    DoorNum=4,
    SeatCapacity=5,
    AdvDescription="One owner.\r\nDrive away.",
    StandardFeatures="ABS,Tow \\Bar,\"Aux\"",
    OptionalFeatures="Zebra,Alloy",
    ImageURLs="https://x/2,https://x/1",
    YardCode="100",
    GearCount=8,
    BatteryHealth={"now": 97.50},
)  # fmt: skip


class Stored:
    """One dealership in the database, and its nights."""

    def __init__(self, connection: psycopg.Connection[Any], name: str = "Test Yard") -> None:
        self.connection = connection
        self.policy = Policy()
        self.yard: str | None = None
        self.now: datetime = FIRST_NIGHT
        [self.id] = self.one("INSERT INTO dealerships (name) VALUES (%s) RETURNING id", name)

    def one(self, statement: str, *values: Any) -> Any:
        """The only row of an answer."""
        [row] = self.all(statement, *values)
        return row

    def all(self, statement: str, *values: Any) -> list[Any]:
        """All rows of an answer."""
        cursor = self.connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def current(self) -> Current:
        """What the store says there is."""
        listed = store.read_listed(self.connection, self.id)
        return store.read_current(self.connection, self.id, listed, for_update=False)[0]

    def plan(self, items: Sequence[bytes], *, warned: bool = False) -> StockPlan:
        """Say what a night would do."""
        listed = store.read_listed(self.connection, self.id)
        incoming = sort_feed(items, listed, yard_code=self.yard, warned=warned)
        current, _ = store.read_current(self.connection, self.id, listed, for_update=True)
        return plan_stock(incoming, current, self.policy, self.now)

    def night(self, items: Sequence[bytes], *, warned: bool = False) -> StockPlan:
        """Play a night in one transaction and let a day pass."""
        with self.connection.transaction():
            plan = self.plan(items, warned=warned)
            store.apply_plan(self.connection, self.id, plan, run_id=RUN, now=self.now)
            store.write_log(
                self.connection,
                self.id,
                run_id=RUN,
                status="Success",
                duration_ms=5,
                plan=plan,
            )
        self.now += DAY
        return plan

    def values(self, number: str) -> dict[str, Any]:
        """A row's feed columns."""
        row = self.one(
            f"SELECT {', '.join(FEED_COLUMNS)} FROM vehicles WHERE dealership_id = %s AND stock_number = %s",
            self.id,
            number,
        )
        return dict(zip(FEED_COLUMNS, row, strict=True))

    def statuses(self) -> dict[str, str]:
        """Every row's status."""
        return dict(self.all("SELECT stock_number, status FROM vehicles WHERE dealership_id = %s", self.id))

    def changes(self) -> list[Any]:
        """The history, in a stable order."""
        return self.all("SELECT field, old, new FROM vehicle_changes ORDER BY vehicle_id, field, id")


@pytest.fixture(scope="module")
def one_database(server_url: str, template: str) -> Iterator[psycopg.Connection[Any]]:
    """One database for this file: each test ends by rolling back."""
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE test_store TEMPLATE {template}".encode())
    with psycopg.connect(url_of(server_url, "test_store"), autocommit=True) as connection:
        yield connection
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute("DROP DATABASE test_store WITH (FORCE)")


@pytest.fixture
def stored(one_database: psycopg.Connection[Any]) -> Iterator[Stored]:
    """A dealership without stock."""
    with one_database.transaction(force_rollback=True):
        yield Stored(one_database)


def car(raw: bytes) -> Car:
    """Read an item that must be readable."""
    read = parse_item(raw, 1)
    assert isinstance(read, Car)
    return read


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_created_row_holds_every_value(stored: Stored) -> None:
    """Each column holds what the item says, text and lists to the last sign."""
    stored.night([FULL])

    assert stored.values("A1") == dict(car(FULL).values)


def test_an_updated_row_holds_every_value(stored: Stored) -> None:
    """What an update writes is what a creation would have written."""
    stored.night([item("A1")])
    stored.night([FULL])

    assert stored.values("A1") == dict(car(FULL).values)


def test_a_row_can_lose_every_value(stored: Stored) -> None:
    """An item of which nothing is known any more leaves NULLs and empty lists."""
    stored.night([FULL])
    stored.night([item("A1")])

    assert stored.values("A1") == dict(car(item("A1")).values)


@pytest.mark.parametrize("before", [[], [item("A1")]], ids=["created", "updated"])
def test_the_document_is_the_item_as_received(stored: Stored, before: list[bytes]) -> None:
    """The item is kept with its unknown keys, beside the row."""
    stored.night(before)
    stored.night([FULL])

    assert stored.one("SELECT stock_item_json, api_version FROM easycar_stock_data") == (json.loads(FULL), "1.01")


def test_money_is_exact(stored: Stored) -> None:
    """A price has no rounding on its way."""
    raw = FULL.replace(b'"31990.50"', b"0.1000000000000000055511151231257827")
    stored.night([raw])

    assert stored.values("A1")["price"] == Decimal("0.1000000000000000055511151231257827")


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"StockNumber": "A1", "Make": "a\u0000b\ud83dc", "X\u0000": ["\u0000"]}',
        b'{"StockNumber": "A1", "Make": "a\xffb", "Price": NaN, "X": -Infinity}',
        b'{"StockNumber": "A1", "Price": 1e399, "X": 1e-399, "Y": 1e399}',
        b'{"StockNumber": "A1", "X": ' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"StockNumber": "A1", "Make": "' + b"x" * 2_000_000 + b'"}',
        b'{"StockNumber": "' + b"\xf0\x9f\x9a\x97" * 255 + b'"}',
        b'{"StockNumber": "A1", "Price": ' + b"9" * 4000 + b"}",
        b'{"StockNumber": "A1", "VIN": "' + b"V" * 5000 + b'", "YardCode": "' + b"Y" * 5000 + b'"}',
    ],
    ids=["nul", "nan", "exponents", "deep", "long", "stock number", "digits", "vin"],
)
@pytest.mark.parametrize("before", [False, True], ids=["created", "updated"])
def test_what_is_read_can_be_stored(stored: Stored, raw: bytes, before: bool) -> None:
    """Nothing that parse lets through is refused by the database, on either way into it."""
    number = car(raw).stock_number
    if before:
        stored.night([json.dumps({"StockNumber": number}).encode()])
    stored.night([raw])

    assert stored.values(number) == dict(car(raw).values)


def test_the_history_is_text(stored: Stored) -> None:
    """Field, old and new: decimals plain, lists as JSON, absent as NULL."""
    stored.night([item("A", Price=1e4, StandardFeatures="a", IsDriveAway=False, Colour="RED")])
    stored.night([item("A", Price=9999.50, StandardFeatures="a,é", IsDriveAway=True, Fridge="3 way")])

    assert stored.changes() == [
        ("Fridge", "", "3 way"),
        ("colour", "RED", None),
        ("features", '["a"]', '["a", "é"]'),
        ("is_drive_away", "false", "true"),
        ("price", "10000.0", "9999.5"),
    ]


def test_the_history_is_spelled_as_it_is_written(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that all move to another address in one night are a history as large as the feed; it never stands."""
    stored.night(feed(*range(100)))
    plan = stored.plan(feed(*range(100), Price=7))
    monkeypatch.setattr(store, "spell", lambda value: str(value).rjust(100_000))
    tracemalloc.start()
    store.apply_plan(stored.connection, stored.id, plan, run_id=RUN, now=stored.now)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (100, 100_000) == stored.one("SELECT count(*), max(length(new)) FROM vehicle_changes")
    assert most < 5_000_000


def test_unchanged_rows_are_not_written(stored: Stored) -> None:
    """A night without news leaves every row's version as it was."""
    stored.night(numbered(1, 5))
    versions = "SELECT v.xmin::text, d.xmin::text FROM vehicles v JOIN easycar_stock_data d ON vehicle_id = v.id"
    before = stored.all(versions)
    stored.night(numbered(1, 5))

    assert stored.all(versions) == before


@pytest.mark.parametrize("outdated", [None, b"\xfe" + bytes(15)])
def test_outdated_fingerprint_is_renewed_once(stored: Stored, outdated: bytes | None) -> None:
    """After the mapping's version was raised, what says the same as before is known by its bytes again; only once."""
    stored.night(numbered(1, 3))
    stored.all(
        "UPDATE vehicles SET content_hash = %s, locked_fields = CASE stock_number WHEN 'S3' THEN"
        " '{price}'::text[] ELSE '{}' END",
        outdated,
    )
    rows = "SELECT stock_number, content_hash, updated_at, xmin::text FROM vehicles ORDER BY stock_number"
    before = stored.all(rows)
    plan = stored.night(numbered(1, 3))
    after = stored.all(rows)

    assert plan.counts["unchanged"] == 3
    assert [row[1] for row in after] == [fingerprint(raw) for raw in numbered(1, 2)] + [outdated]
    assert [row[2] for row in after] == [row[2] for row in before]

    stored.night(numbered(1, 3))
    assert stored.all(rows) == after


def test_more_than_a_batch_is_updated(stored: Stored) -> None:
    """Updates beyond the size of one batch arrive."""
    count = store._BATCH + 3
    stored.night(feed(*range(count)))
    stored.night(feed(*range(count), Price=7))

    assert stored.one("SELECT count(*), sum(price) FROM vehicles") == (count, 7 * count)


# --- removed, revived, retired ---------------------------------------------------------------------------------------


def test_only_documents_of_sold_rows_are_read(stored: Stored) -> None:
    """To see what is listed no document is read but those of sold rows: all of them are hundreds of megabytes."""
    stored.night([item("A"), item("B"), item("C", StockStatus="Sold")])

    def reads() -> int:
        [number] = stored.one(
            "SELECT coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) FROM pg_stat_xact_user_tables"
            " WHERE relname = 'easycar_stock_data'"
        )
        return int(number)

    with stored.connection.transaction():
        stored.connection.execute("SET LOCAL enable_seqscan = off")
        before = reads()
        store.read_listed(stored.connection, stored.id)

        assert 1 == reads() - before


@pytest.mark.parametrize("sign", ["\\", "\t", "\n", "\r", "\\N", "\x01", "\x02", "\\x01", "\x01\x01", "–"])
def test_signs_that_mean_something_to_copy_are_kept(stored: Stored, sign: str) -> None:
    """Whatever stands in texts, features and pictures comes back as it was, and NULL stays NULL beside it."""
    text = f"a{sign}b"
    stored.night([item("A", AdvDescription=text, StandardFeatures=text, ImageURLs=text, Badge=None)])
    values = stored.values("A")

    assert (text, [text], [text], None) == tuple(values[n] for n in ("description", "features", "images", "badge"))


def test_removal_is_a_tombstone(stored: Stored) -> None:
    """A removed row stays with its values, its time and its history."""
    stored.night(feed("A", "B", Price=5))
    stored.night(feed("B", Price=5))

    assert stored.one("SELECT status, price, removed_at, missing_since FROM vehicles WHERE stock_number = 'A'") == (
        "removed",
        5,
        FIRST_NIGHT + DAY,
        FIRST_NIGHT + DAY,
    )
    assert stored.changes() == [("status", "active", "removed")]


def test_a_revived_row_is_the_old_one(stored: Stored) -> None:
    """Coming back clears the tombstone and keeps the row."""
    stored.night(feed("A", "B"))
    before = stored.one("SELECT id, first_seen_at FROM vehicles WHERE stock_number = 'A'")
    stored.night(feed("B"))
    stored.night(feed("A", "B"))

    assert stored.one(
        "SELECT id, first_seen_at, status, removed_at, missing_since FROM vehicles WHERE stock_number = 'A'"
    ) == (*before, "active", None, None)


def test_another_vehicle_under_an_old_number(stored: Stored) -> None:
    """The removed row keeps its history under a retired number; the new one starts its own; again and again."""
    for vin in ("6T1A0000X1", "6T1A0000X2", "6T1A0000X3"):
        stored.night([item("A", VIN=vin), item("B")])
        stored.night([item("B")])
    rows = stored.all("SELECT vin, status, stock_number LIKE 'A~%%' FROM vehicles WHERE vin IS NOT NULL ORDER BY vin")

    assert [(vin[-2:], status, retired) for vin, status, retired in rows] == [
        ("X1", "removed", True),
        ("X2", "removed", True),
        ("X3", "removed", False),
    ]
    assert [field for field, _, _ in stored.changes()].count("stock_number") == 2


def test_grace_is_kept_in_the_row(stored: Stored) -> None:
    """A missing row knows since when, and forgets it on return, as itself, changed or refused."""
    stored.policy = Policy(grace_days=3)
    back = [item("A"), item("A", Price=3), item("A", Odometer=10**12)]
    stored.night(feed("A", "B"))
    since = []
    for again in back:
        stored.night(feed("B"))
        since.append(stored.one("SELECT missing_since, status FROM vehicles WHERE stock_number = 'A'"))
        stored.night([again, *feed("B")])
        since.append(stored.one("SELECT missing_since, status FROM vehicles WHERE stock_number = 'A'"))

    assert since == [
        entry for night in range(3) for entry in ((FIRST_NIGHT + (2 * night + 1) * DAY, "active"), (None, "active"))
    ]


# --- what is read ----------------------------------------------------------------------------------------------------


def test_other_dealerships_are_not_seen(stored: Stored) -> None:
    """The same number in another dealership is another row, and neither writes the other's."""
    other = Stored(stored.connection, "Other")
    other.night(feed("A", "B", VIN="V1", Price=1))
    stored.night(feed("A", VIN="V1", Price=2))

    assert (other.values("A")["price"], stored.values("A")["price"], len(stored.current().listed)) == (1, 2, 1)


def test_rows_of_people_are_known_by_number_and_vin(stored: Stored) -> None:
    """Manual and imported rows of the dealership protect themselves, by their number and by a VIN that tells."""
    rows = (("manual", " M1 ", " abc 12345 "), ("import", "I1", "TBA"), ("manual", None, None))
    for source, number, vin in rows:
        stored.all(
            "INSERT INTO vehicles (dealership_id, stock_number, vin, data_source) VALUES (%s, %s, %s, %s)",
            stored.id,
            number,
            vin,
            source,
        )
    current = stored.current()

    assert (set(current.other_stock_keys), set(current.other_vins)) == ({"m1", "i1"}, {"ABC12345"})
    assert not current.listed


def test_a_manual_row_is_never_written(stored: Stored) -> None:
    """A night over a manual row of the same number changes nothing of it and makes no second."""
    stored.all("INSERT INTO vehicles (dealership_id, stock_number, price) VALUES (%s, 'A', 1)", stored.id)
    stored.night([item("A", Price=2)])

    assert stored.all("SELECT data_source, price FROM vehicles") == [("manual", 1)]


@pytest.mark.parametrize(("before", "expected"), [("In Stock", True), ("", True), (" sOLD ", False), ("Sold\n", False)])
def test_locally_sold_is_told_from_the_stored_item(stored: Stored, before: str, expected: bool) -> None:
    """A row that is sold here while its item was not is locally sold."""
    stored.night([item("A", StockStatus=before)])
    stored.all("UPDATE vehicles SET status = 'sold'")
    current = stored.current()

    assert (current.listed["a"].locally_sold, current.rows(["a"])["a"].listed.locally_sold) == (expected, expected)


def test_locked_fields_are_read_and_kept(stored: Stored) -> None:
    """A lock set in the database holds its field against the feed, and the rest is written."""
    stored.night([item("A", Price=1, Colour="RED")])
    stored.all("UPDATE vehicles SET locked_fields = '{price}', price = 7")
    stored.night([item("A", Price=2, Colour="BLUE")])
    values = stored.values("A")

    assert (values["price"], values["colour"]) == (7, "BLUE")
    assert stored.one("SELECT content_hash FROM vehicles") == (
        fingerprint(fingerprint(item("A", Price=2, Colour="BLUE")), ("price",)),
    )


def test_the_yard_of_the_last_sync_is_known(stored: Stored) -> None:
    """The filter of the last sync that did not fail is what the next one is compared with."""
    first = stored.current()
    stored.yard = "100"
    stored.night([])
    store.write_log(stored.connection, stored.id, run_id=RUN, status="Failed", duration_ms=1)
    second = stored.current()

    assert [(c.synced_before, c.yard_code) for c in (first, second)] == [(False, None), (True, "100")]


def test_blocked_syncs_in_a_row_are_counted(stored: Stored) -> None:
    """Failed syncs between do not count, and do not break the row."""
    stored.night(feed("A"))
    for _ in range(3):
        stored.night([], warned=True)
    store.write_log(stored.connection, stored.id, run_id=RUN, status="Failed", duration_ms=1)

    assert stored.current().blocked_in_a_row == 3


# --- questions -------------------------------------------------------------------------------------------------------


def questions(stored: Stored) -> list[Any]:
    """Status, size, reason of every held set, and whether it was carried out."""
    columns = "status, cardinality(stock_numbers), reason, applied_at IS NOT NULL"
    return stored.all(f"SELECT {columns} FROM holds ORDER BY id")


def test_a_question_is_kept_superseded_and_withdrawn(stored: Stored) -> None:
    """The same set is the same row, another set another row, and a full return leaves none open."""
    stored.night(numbered(1, 20))
    seen = []
    for items in (numbered(11, 20), numbered(11, 20), numbered(12, 20), numbered(1, 20)):
        stored.night(items)
        seen.append([(status, size) for status, size, _, _ in questions(stored)])

    assert seen == [
        [("pending", 10)],
        [("pending", 10)],
        [("superseded", 10), ("pending", 11)],
        [("superseded", 10), ("superseded", 11)],
    ]


def test_what_is_asked_says_how_much(stored: Stored) -> None:
    """A question names the rows and the sizes of the list before and now."""
    stored.night(numbered(1, 9))
    stored.night([])

    assert stored.one("SELECT run_id, stock_numbers, listed_before, listed_now, reason FROM holds") == (
        RUN,
        [f"S{number}" for number in range(1, 10)],
        9,
        0,
        "empty_feed",
    )


def test_an_approval_is_carried_out_once(stored: Stored) -> None:
    """The night after the approval removes the set and spends the approval."""
    stored.night(numbered(1, 20))
    stored.night(numbered(11, 20))
    stored.all("UPDATE holds SET status = 'approved'")
    removed = stored.night(numbered(11, 20)).counts["removed"]

    assert (removed, questions(stored)) == (10, [("approved", 10, "limit", True)])
    assert ("removals", "approved") not in stored.current().asked


def test_a_rejection_is_remembered(stored: Stored) -> None:
    """A rejected set is neither removed nor asked about again."""
    stored.night(numbered(1, 20))
    stored.night(numbered(11, 20))
    stored.all("UPDATE holds SET status = 'rejected'")
    counts = stored.night(numbered(11, 20)).counts

    assert (counts["removed"], counts["held"], len(questions(stored))) == (0, 0, 1)


def test_blocked_nights_lead_to_a_question(stored: Stored) -> None:
    """The seventh sync in a row without removals asks, told from the log."""
    stored.night(feed("A", "B"))
    for _ in range(BLOCKED_MOST):
        stored.night(feed("B"), warned=True)

    assert questions(stored) == [("pending", 1, "blocked_vendor_warning", False)]


# --- refused items and the log ---------------------------------------------------------------------------------------


def test_refused_items_are_kept_with_their_text(stored: Stored) -> None:
    """Place, number, code, reason and raw text of each refused item can be looked up, however odd it is."""
    stored.night(
        [
            b'"see \x00 the \xff office"',
            rb'{"StockNumber": "A\u0000", "X": 1e999999}',
            item("B", Odometer=10**12),
            b'{"StockNumber": "' + b"x" * 5000 + b'"}',
        ]
    )
    rows = stored.all("SELECT position, left(stock_number, 3), reason_code FROM refused_items ORDER BY position")

    assert rows == [
        (1, None, "not_an_object"),
        (2, "A\ufffd", "unreadable"),
        (3, "B", "value_too_large"),
        (4, "xxx", "stock_number_too_long"),
    ]
    assert stored.one("SELECT raw FROM refused_items WHERE position = 1") == ('"see \ufffd the \ufffd office"',)


def test_the_log_counts_received_and_refused(stored: Stored) -> None:
    """Processed is received, failed is refused; removed and held stand outside the sum."""

    class Counted(StockPlan):
        @property
        def counts(self) -> dict[str, int]:
            return dict(zip(store.COUNT_NAMES, (1, 2, 3, 4, 5, 6, 7, 8), strict=True))

    store.write_log(
        stored.connection,
        stored.id,
        run_id=RUN,
        status="Held",
        duration_ms=1500,
        plan=Counted(refused=[Refused(2, "A", "database", "a\x00\nb", "{}")]),
    )
    names = "items_processed, items_succeeded, items_failed, created, updated, unchanged, revived, refused, skipped"

    assert stored.one(
        f"SELECT {names}, removed, held, error_messages, sync_type, synced_at - started_at FROM easycar_sync_logs"
    )[:-1] == (21, 16, 5, 1, 2, 3, 4, 5, 6, 7, 8, ["item 2 (A): a b"], "stock")
    assert stored.one("SELECT round(extract(epoch FROM synced_at - started_at), 1) FROM easycar_sync_logs") == (
        Decimal("1.5"),
    )


# --- what the database refuses ---------------------------------------------------------------------------------------

MOST_DECIMALS = "1." + "1" * 16_383


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'"Price": "{MOST_DECIMALS}", "GPS": {MOST_DECIMALS}', {}),
        (f'"Price": "{MOST_DECIMALS}1"', {"refused": 1}),
        (f'"GPS": {MOST_DECIMALS}1', {"refused": 1}),
        ('"GPS": ' + "9" * 4000, {}),
    ],
    ids=["as many as it holds", "text", "number", "digits"],
)
def test_what_is_planned_can_be_written(stored: Stored, text: str, expected: dict[str, int]) -> None:
    """What the database cannot hold is refused before anything is sent: a dry run says what the run will do."""
    strange = ('{"StockNumber": "X", ' + text + "}").encode()
    new = stored.night([item("A"), strange])
    stored.night([item("A"), item("X")])
    changed = stored.night([item("A"), strange])

    assert {name: number for name, number in new.counts.items() if number} == {"created": 2 - len(expected), **expected}
    assert changed.counts["refused"] == len(expected)
    assert changed.counts["updated"] == 1 - len(expected)


def test_nothing_of_a_plan_remains_when_its_transaction_fails(stored: Stored) -> None:
    """The store commits nothing: what its caller rolls back never was."""
    plan = stored.plan(numbered(1, 3))
    with stored.connection.transaction(force_rollback=True):
        store.apply_plan(stored.connection, stored.id, plan, run_id=uuid4(), now=stored.now)

    assert stored.statuses() == {}


# --- random nights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_nights_leave_what_the_rule_alone_would(stored: Stored, seed: int) -> None:
    """Over many nights the database holds the same rows as the plain rule carried out in memory."""
    random = Random(seed)
    dealer = Dealer(policy=Policy(grace_days=random.choice((0, 2))))
    stored.policy = dealer.policy
    lot = {f"S{number}": json.loads(item(f"S{number}", Price=number)) for number in range(1, 31)}
    out: dict[str, dict[str, Any]] = {}
    for _ in range(25):
        items = random_night(random, lot, out)
        warned = random.random() < 0.1
        if random.random() < 0.3:
            decision = random.choice(("approved", "rejected"))
            dealer.decide(decision)
            stored.all("UPDATE holds SET status = %s WHERE status = 'pending'", decision)
        expected = dealer.night(items, warned=warned)
        actual = stored.night(items, warned=warned)
        assert actual.counts == expected.counts
        assert {number: stored.values(number) for number in dealer.rows} == {
            number: dict(row.values) for number, row in dealer.rows.items()
        }
        assert sorted(stored.current().listed) == sorted(dealer.listed)


def test_now_is_an_argument(stored: Stored) -> None:
    """Times in rows are those of the plan's clock, aware and exact."""
    stored.now += timedelta(microseconds=123456)
    stored.policy = Policy(grace_days=1)
    stored.night(feed("A", "B"))
    now = stored.now
    stored.night(feed("B"))

    assert stored.current().listed["a"].missing_since == now


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003", "\u3000", "\x0b", "\x1f", "\x85", " \u200a\t"])
def test_sold_with_any_blank_around_it_is_the_feeds_word(stored: Stored, blank: str) -> None:
    """A vehicle that the feed calls sold in odd spacing is not sold here, and follows the feed back into stock."""
    stored.night([item("A", StockStatus=f"Sold{blank}", Price=1)])
    sold = stored.values("A")["status"]
    again = stored.night([item("A", StockStatus=f"Sold{blank}", Price=1)])
    back = stored.night([item("A", StockStatus="In Stock", Price=2)])

    assert (sold, again.counts["unchanged"], back.counts["updated"]) == ("sold", 1, 1)
    assert (stored.values("A")["status"], stored.values("A")["price"]) == ("active", Decimal(2))


@pytest.mark.parametrize("document", ["[1]", '"Sold"', "7"])
def test_a_stored_document_that_is_no_item_is_replaced(stored: Stored, document: str) -> None:
    """A document that somebody stored by SQL costs neither the dealership nor the vehicle."""
    stored.night([item("A", Price=1)])
    stored.all("UPDATE easycar_stock_data SET stock_item_json = %s::jsonb", document)
    plan = stored.night([item("A", Price=2)])

    assert (plan.counts["updated"], stored.values("A")["price"]) == (1, Decimal(2))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM vehicles WHERE stock_number = 'A'",
        "UPDATE vehicles SET data_source = 'manual' WHERE stock_number = 'A'",
        "UPDATE vehicles SET status = 'sold' WHERE stock_number = 'A'",
    ],
    ids=["deleted", "taken over", "sold"],
)
def test_a_vehicle_that_was_changed_after_it_was_read_is_not_removed(stored: Stored, statement: str) -> None:
    """A plan that would remove what is no longer there, no longer ours or sold meanwhile writes nothing."""
    stored.night(numbered(1, 3) + feed("A"))
    plan = stored.plan(numbered(2, 4))
    stored.all(statement)
    before = stored.statuses()
    with pytest.raises(store.ChangedMeanwhile), stored.connection.transaction():
        store.apply_plan(stored.connection, stored.id, plan, run_id=RUN, now=stored.now)

    assert (stored.statuses(), stored.changes()) == (before, [])


def test_planning_again_has_an_end(stored: Stored) -> None:
    """Another session that changes what is to be removed again and again is waited for until the next sync."""
    plans: list[StockPlan] = []

    def apply(plan: StockPlan, _now: datetime) -> StockPlan:
        plans.append(plan)
        raise store.ChangedMeanwhile

    fed = Feed(Envelope(0, None, numbered(1, 3)), None)
    with pytest.raises(store.ChangedMeanwhile, match="nothing was written") as raised:
        plan_and(apply, stored.connection, stored.id, fed, stored.policy, run_id=RUN)

    assert (raised.value.transient, len(plans)) == (True, 3)


def test_a_car_sold_here_comes_back_sold(stored: Stored) -> None:
    """A vehicle that was sold here, left the feed and is listed again is revived as sold."""
    stored.night([item("A"), item("B")])
    stored.all("UPDATE vehicles SET status = 'sold' WHERE stock_number = 'A'")
    stored.night([item("B")])
    plan = stored.night([item("A"), item("B")])

    assert (plan.counts["revived"], stored.values("A")["status"]) == (1, "sold")


def test_absent_stock_status_does_not_make_a_sold_row_sold_here(stored: Stored) -> None:
    """A row that the feed once called sold stays the feed's, also after an item without the key was stored."""
    stored.night([item("A", StockStatus="Sold")])
    stored.all("UPDATE easycar_stock_data SET stock_item_json = stock_item_json - 'StockStatus'")

    assert stored.current().listed["a"].locally_sold is False


def test_rejection_lapses_when_its_set_comes_back(stored: Stored) -> None:
    """A rejected set that was listed again in between is asked about anew when it goes missing once more."""
    full = numbered(1, 20)
    stored.night(full)
    stored.night([])
    stored.all("UPDATE holds SET status = 'rejected'")
    rejected = stored.night([])
    stored.night(full)
    again = stored.night([])

    assert (len(rejected.holds), len(again.holds)) == (0, 1)


# --- a run that ended before its dealerships were through ------------------------------------------------------------


def begun(connection: psycopg.Connection[Any], *dealerships: int) -> UUID:
    """Open a run of stock sync that has begun these dealerships."""
    who = RunIdentity(uuid4(), "stock-sync", "timer", "host", 1, None)
    record.open_run(connection, who)
    for number in dealerships:
        record.begin_item(connection, who.run_id, str(number), f"Yard {number}", 1)
    return who.run_id


def logged(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return the log: dealership, status, reasons."""
    return connection.execute("SELECT dealership_id, status, error_messages FROM easycar_sync_logs").fetchall()


def end(connection: psycopg.Connection[Any], run_id: UUID, *items: ItemResult, error: str | None = None) -> bool:
    """Close the run as one that lost its lock."""
    report = Report("stock-sync", RunStatus.LOCK_LOST, ExitCode.LOCK_LOST, run_id, items=items, error=error)
    return record.close_run(on(connection), report, counts_for_streak=True, unfinished=store.log_unfinished)[1]


def test_a_lost_lock_leaves_a_line_in_the_log(stored: Stored) -> None:
    """A dealership begun and not finished has a Failed line, with the reason for which its run ended."""
    end(stored.connection, begun(stored.connection, stored.id), error="the lock connection is gone")

    why = "unfinished when the run ended as lock_lost: the lock connection is gone"
    assert [(stored.id, "Failed", [why])] == logged(stored.connection)


def test_an_item_that_could_not_be_recorded_says_why_itself(stored: Stored) -> None:
    """What its own work came to, which only the run knows, is the reason."""
    failed = ItemResult(str(stored.id), "Yard", ItemStatus.FAILED, reason="database", error="the server went away")
    end(stored.connection, begun(stored.connection, stored.id), failed)

    [(_, status, [why])] = logged(stored.connection)
    assert ("Failed", True) == (status, why.endswith(": the server went away"))


def test_the_line_comes_once_whoever_closes_the_run(stored: Stored, database: Database) -> None:
    """Taken for dead by another's run first, closed by itself afterwards: one line."""
    run_id = begun(stored.connection, stored.id)
    locks = session(database)
    record.bury_crashed(on(stored.connection), locks, store.log_unfinished)
    locks.close()

    assert end(stored.connection, run_id)
    assert [(stored.id, "Failed", ["the process died while working on it"])] == logged(stored.connection)


def test_a_dealership_that_was_finished_gets_no_second_line(stored: Stored) -> None:
    """Only what was begun and not finished is added; what is deleted meanwhile is nobody's."""
    run_id = begun(stored.connection, stored.id, 4711)
    store.write_log(stored.connection, stored.id, run_id=run_id, status="Success", duration_ms=5)
    end(stored.connection, run_id)

    assert [(stored.id, "Success", [])] == logged(stored.connection)


def test_a_log_that_the_host_refuses_does_not_keep_the_verdict_back(stored: Stored) -> None:
    """A trigger of the host's on the log raises: the run is closed all the same."""
    run_id = begun(stored.connection, stored.id)
    stored.connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no logs today'; END$$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON easycar_sync_logs FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    assert end(stored.connection, run_id)
    assert [("lock_lost",)] == stored.all("SELECT status FROM job_runs")


def test_the_overview_counts_vehicles_in_one_go(database: Database) -> None:
    """However many dealerships there are, the vehicles are read once."""
    with database.engine().begin() as connection:
        for name in ("North", "South", "East"):
            registry.add_dealership(connection, name, timezone=None, email=None)
        connection.execute(text("INSERT INTO vehicles (dealership_id, status) VALUES (1, 'sold'), (1, 'removed')"))
        shown = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {registry._OVERVIEW}")
        plan = json.dumps(connection.scalar(shown, {"id": None}))
        [node] = re.findall(r'{[^{}]*"Relation Name": "vehicles"[^{}]*', plan)

        assert [1, 0, 0] == [row["vehicles"] for row in registry.list_dealerships(connection)]
        assert '"Actual Loops": 1,' in node


def test_a_dealership_that_is_added_between_two_questions_waits_for_the_next_look(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its schedule was not read, so it is left out; nothing breaks."""
    with database.engine().begin() as connection:
        registry.add_dealership(connection, "Test Yard", timezone=None, email=None)
        monkeypatch.setattr(due, "read_dealerships", lambda _connection: [])

        assert ([], ()) == (
            registry.list_dealerships(connection),
            watch.read_dealerships(connection, read_now(connection)),
        )
