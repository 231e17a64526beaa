"""What the host's own database refuses, swallows or leaves as it was costs that vehicle alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from jobsync.easycars import store
from jobsync.easycars.job import Feed, plan_and
from jobsync.easycars.model import Envelope, Policy, StockPlan
from jobsync.runner.items import ItemFailure
from jobsync.runner.job import ItemStatus
from tests.easycars.memory import feed, item

RUN = UUID("00000000-0000-4000-8000-000000000002")
SUM = ("created", "updated", "unchanged", "revived", "refused", "skipped")


class Host:
    """A dealership in a database of its own, whose nights commit."""

    def __init__(self, url: str, connection: psycopg.Connection[Any]) -> None:
        self.url, self.connection = url, connection
        row = connection.execute("INSERT INTO dealerships (name) VALUES ('Host') RETURNING id").fetchone()
        assert row is not None
        self.id = int(row[0])

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """A transaction of its own connection, as a run has."""
        with closing(psycopg.connect(self.url, autocommit=True)) as connection, connection.transaction():
            yield connection

    def night(self, items: Sequence[bytes]) -> StockPlan:
        """Play a night as the job does; returns the plan as it was carried out."""

        def apply(plan: StockPlan, now: datetime) -> StockPlan:
            return store.apply_plan(connection, self.id, plan, run_id=RUN, now=now)

        fed = Feed(Envelope(0, None, list(items)), None)
        with self.transaction() as connection:
            plan = plan_and(apply, connection, self.id, fed, Policy(limit_floor=1000), run_id=RUN)
        assert plan.received == sum(plan.counts[name] for name in SUM)
        return plan

    def sql(self, statement: str) -> list[Any]:
        """Run a statement of the host application's."""
        cursor = self.connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def trigger(self, body: str, when: str = "BEFORE INSERT OR UPDATE ON vehicles", *, constraint: str = "") -> None:
        """Add a trigger to a table."""
        self.sql(f"CREATE FUNCTION host() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$")
        self.sql(f"CREATE {constraint} TRIGGER host {when} FOR EACH ROW EXECUTE FUNCTION host()")

    def prices(self) -> dict[str, Any]:
        """Every row's price."""
        return dict(self.sql("SELECT stock_number, price FROM vehicles ORDER BY id"))

    def history(self) -> list[Any]:
        """All changes."""
        return self.sql(
            "SELECT v.stock_number, c.field, c.old, c.new FROM vehicle_changes c JOIN vehicles v ON v.id = c.vehicle_id"
            " ORDER BY c.id"
        )


@pytest.fixture
def host(database_url: str, connection: psycopg.Connection[Any]) -> Host:
    """A dealership whose database has rules of its own."""
    return Host(database_url, connection)


def refused(plan: StockPlan) -> list[tuple[Any, str]]:
    """What was refused, by number and code."""
    return [(item.stock_number, item.code) for item in plan.refused]


RAISE = "IF NEW.make = 'BAD' THEN RAISE EXCEPTION 'unknown make %', NEW.make"
RULES = {
    "check": "ALTER TABLE vehicles ADD CONSTRAINT good_make CHECK (make <> 'BAD')",
    "not null": "ALTER TABLE vehicles ALTER make SET NOT NULL",
    "width": "ALTER TABLE vehicles ALTER make TYPE varchar(5)",
    "precision": "ALTER TABLE vehicles ALTER price TYPE numeric(6, 2)",
    "unique": "CREATE UNIQUE INDEX one_engine ON vehicles (dealership_id, badge)",
    "deferred": "ALTER TABLE vehicles ADD UNIQUE (dealership_id, badge) DEFERRABLE INITIALLY DEFERRED",
    "foreign key": "CREATE TABLE makes (make text PRIMARY KEY); INSERT INTO makes VALUES ('FORD');"
    " ALTER TABLE vehicles ADD FOREIGN KEY (make) REFERENCES makes DEFERRABLE INITIALLY DEFERRED",
}
BAD: dict[str, dict[str, Any]] = {
    "check": {"Make": "BAD"},
    "not null": {"Make": ""},
    "width": {"Make": "TOYOTA"},
    "precision": {"Price": 123456},
    "unique": {"Badge": "b1"},
    "deferred": {"Badge": "b1"},
    "foreign key": {"Make": "BAD"},
}


def lot(*numbers: int, **keys: Any) -> list[bytes]:
    """Vehicles that offend nobody, each with a badge of its own."""
    return [item(f"H{n}", **{"Make": "FORD", "Badge": f"b{n}", "Price": n, **keys}) for n in numbers]


@pytest.mark.parametrize("rule", RULES)
def test_a_new_item_that_a_rule_refuses_costs_itself_alone(host: Host, rule: str) -> None:
    """The others are written; the refused one has the database's words, and nothing of it remains."""
    host.night(lot(1, 2))
    host.sql(RULES[rule])
    plan = host.night(
        [*lot(1, 2, Price=9), *lot(3, 4), item("X", **{"Make": "FORD", "Badge": "x", **BAD[rule]}), *lot(5)]
    )

    assert refused(plan) == [("X", "database")]
    assert "is refused by the database: " in plan.refused[0].reason
    assert (plan.counts["updated"], plan.counts["created"], plan.status) == (2, 3, ItemStatus.PARTIAL)
    assert list(host.prices()) == ["H1", "H2", "H3", "H4", "H5"]


@pytest.mark.parametrize("rule", RULES)
def test_a_known_item_that_a_rule_refuses_keeps_its_row(host: Host, rule: str) -> None:
    """Its row stays as it was and is not missing; removals and updates of others go on."""
    host.night(lot(1, 2, 3, 4))
    host.sql(RULES[rule])
    plan = host.night(
        [*lot(1, Price=9), item("H2", **{"Make": "FORD", "Badge": "b2", "Price": 9, **BAD[rule]}), *lot(3)]
    )

    assert (refused(plan), [row.stock_number for row in plan.removed]) == ([("H2", "database")], ["H4"])
    assert (host.prices()["H1"], host.prices()["H2"]) == (9, 2)
    assert {number for number, *_ in host.history()} == {"H1", "H4"}


@pytest.mark.parametrize("state", ["P0001", "45000", "23514", "42501", "57014", "40001", "08006", "XX000"])
def test_whatever_a_trigger_raises_is_a_refusal(host: Host, state: str) -> None:
    """A host may raise with any SQLSTATE; it is the row's fault all the same."""
    host.night(lot(1, 2))
    host.trigger(f"{RAISE} USING ERRCODE = '{state}'; END IF;")
    plan = host.night([*lot(1, Price=9), *lot(2, Make="BAD"), *lot(3, Make="BAD")])

    assert refused(plan) == [("H2", "database"), ("H3", "database")]
    assert all("unknown make BAD" in item.reason for item in plan.refused)
    assert host.prices() == {"H1": 9, "H2": 2}


def test_a_trigger_that_fails_at_commit(host: Host) -> None:
    """A deferred constraint trigger is asked before the transaction is tried again."""
    host.night(lot(1, 2))
    host.trigger(
        f"{RAISE}; END IF;",
        "AFTER INSERT OR UPDATE ON vehicles DEFERRABLE INITIALLY DEFERRED",
        constraint="CONSTRAINT",
    )
    plan = host.night([*lot(1, Price=9), *lot(2, Make="BAD")])

    assert (refused(plan), host.prices()) == ([("H2", "database")], {"H1": 9, "H2": 2})


def test_a_trigger_that_is_broken_inside(host: Host) -> None:
    """An error of a trigger's own, as a table that it misses, is not taken for a damaged schema."""
    host.trigger("IF NEW.make = 'BAD' THEN PERFORM 1 FROM no_such_table; END IF;")
    plan = host.night([*lot(1), *lot(2, Make="BAD")])

    assert (refused(plan), list(host.prices())) == ([("H2", "database")], ["H1"])


@pytest.mark.parametrize("table", ["easycar_stock_data", "vehicle_changes"])
def test_a_rule_on_another_table_of_a_vehicle(host: Host, table: str) -> None:
    """The item's document and history belong to it: what they are refused for is refused with it."""
    host.night(lot(1, 2))
    column = "stock_item_json->>'Price'" if table == "easycar_stock_data" else "new"
    host.sql(f"ALTER TABLE {table} ADD CHECK ({column} IS DISTINCT FROM '66')")
    plan = host.night([*lot(1, Price=9), *lot(2, Price=66)])

    assert (refused(plan), host.prices()) == ([("H2", "database")], {"H1": 9, "H2": 2})


def test_a_refused_tombstone_leaves_the_row(host: Host) -> None:
    """The row stays, with a warning; the others go."""
    host.night(lot(1, 2, 3))
    host.trigger("IF NEW.stock_number = 'H2' THEN RAISE EXCEPTION 'H2 is promised'; END IF;")
    plan = host.night(lot(1))

    assert ([row.stock_number for row in plan.removed], plan.status) == (["H3"], ItemStatus.SUCCESS)
    assert any(line.startswith("H2: ") and "H2 is promised" in line for line in plan.warnings)
    assert dict(host.sql("SELECT stock_number, status FROM vehicles")) == {
        "H1": "active",
        "H2": "active",
        "H3": "removed",
    }


def test_of_two_that_cannot_be_together_one_is_written(host: Host) -> None:
    """A rule over two items is broken by the second of them."""
    host.sql(RULES["unique"])
    plan = host.night([*lot(1), item("X", Badge="y"), item("Y", Badge="y"), *lot(2)])

    assert (refused(plan), list(host.prices())) == ([("Y", "database")], ["H1", "X", "H2"])


def test_many_refused_among_many(host: Host) -> None:
    """However they lie among the others, each is found."""
    host.sql(RULES["check"])
    plan = host.night([item(n, Make="BAD" if n % 7 == 0 else "FORD") for n in range(1, 61)])

    assert [int(number) for number, _ in refused(plan)] == list(range(7, 61, 7))
    assert plan.counts["created"] == 52


def test_all_refused(host: Host) -> None:
    """A column of the host's own that every row lacks: each item is refused, and nothing is a bug."""
    host.sql("ALTER TABLE vehicles ADD branch text NOT NULL")
    plan = host.night(lot(1, 2, 3))

    assert (plan.counts["refused"], plan.counts["created"]) == (3, 0)
    assert all("branch" in item.reason for item in plan.refused)


def test_a_refusal_of_what_is_no_vehicle_is_a_failure_in_words(host: Host) -> None:
    """Where no item is to blame the sync fails with the database's words, and nothing is written."""
    host.sql("ALTER TABLE refused_items ADD CHECK (position < 0)")
    with pytest.raises(ItemFailure, match="refused_items"):
        host.night([*lot(1), b"null"])

    assert host.prices() == {}


def test_words_do_not_show_the_row(host: Host) -> None:
    """The database's detail of a check is the row in full; it is left out."""
    host.sql(RULES["check"])
    [only] = host.night(lot(1, Make="BAD", AdvDescription="the whole text")).refused

    assert ("good_make" in only.reason, "whole text" in only.reason) == (True, False)


# --- swallowed and left ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", ["RETURN NULL;", "RETURN OLD;", "NEW.price := OLD.price;"], ids=["null", "old", "reset"]
)
def test_a_row_that_a_trigger_leaves_as_it_was(host: Host, body: str) -> None:
    """It is neither counted as changed nor put down in the history; a warning names it; the others are written."""
    host.night(lot(1, 2, 3))
    host.trigger(f"IF NEW.stock_number = 'H2' THEN {body} END IF;", "BEFORE UPDATE ON vehicles")
    plan = host.night(lot(1, 2, 3, Price=9))

    assert (plan.counts["updated"], plan.counts["skipped"], plan.status) == (2, 1, ItemStatus.SUCCESS)
    assert host.prices() == {"H1": 9, "H2": 2, "H3": 9}
    assert [number for number, *_ in host.history()] == ["H1", "H3"]
    assert any(line.startswith("H2: ") for line in plan.warnings)


def test_the_history_has_what_the_database_made_of_a_value(host: Host) -> None:
    """A trigger that writes something else is the last word."""
    host.night(lot(1))
    host.trigger("NEW.make := upper(NEW.make); NEW.price := OLD.price;", "BEFORE UPDATE ON vehicles")
    host.night(lot(1, Make="Holden", Price=9))

    assert host.history() == [("H1", "make", "FORD", "HOLDEN"), ("H1", "title", "FORD", "Holden")]


def test_the_history_has_what_a_columns_type_made_of_a_value(host: Host) -> None:
    """A host's numeric(10,2) rounds: the history shows what is stored, and does not show it anew with each change."""
    host.night(lot(1))
    host.sql("ALTER TABLE vehicles ALTER price TYPE numeric(10, 2)")
    host.night(lot(1, Price=19.504))
    host.night(lot(1, Price=19.504, Make="Holden"))

    assert [line for line in host.history() if line[1] == "price"] == [("H1", "price", "1.00", "19.50")]


def test_a_value_that_a_columns_type_rounds_away_is_no_change(host: Host) -> None:
    """The vehicle is named, and neither counted as changed nor put down in the history."""
    host.night(lot(1))
    host.sql("ALTER TABLE vehicles ALTER price TYPE numeric(10, 0)")
    plan = host.night(lot(1, Price=1.2))

    assert (plan.counts["updated"], plan.counts["skipped"], host.history()) == (0, 1, [])
    assert any(line.startswith("H1: ") for line in plan.warnings)


def test_a_row_that_a_trigger_deletes(host: Host) -> None:
    """It is not counted as changed, the others are written."""
    host.night(lot(1, 2))
    host.trigger(
        "IF NEW.stock_number = 'H2' THEN DELETE FROM vehicles WHERE id = NEW.id; END IF;", "AFTER UPDATE ON vehicles"
    )
    plan = host.night(lot(1, 2, Price=9))

    assert (plan.counts["updated"], plan.counts["skipped"], host.prices()) == (1, 1, {"H1": 9})


def test_an_insert_that_a_trigger_swallows(host: Host) -> None:
    """It is not created, and its document is not tried."""
    host.trigger("IF NEW.stock_number = 'H2' THEN RETURN NULL; END IF;", "BEFORE INSERT ON vehicles")
    plan = host.night(lot(1, 2, 3))

    assert (plan.counts["created"], plan.counts["skipped"], list(host.prices())) == (2, 1, ["H1", "H3"])
    assert any(line.startswith("H2: ") for line in plan.warnings)
    assert host.sql("SELECT count(*) FROM easycar_stock_data") == [(2,)]


@pytest.mark.parametrize("body", ["RETURN NULL;", "RETURN OLD;", "NEW.status := OLD.status;"])
def test_a_tombstone_that_a_trigger_leaves_out(host: Host, body: str) -> None:
    """The row is not counted as removed, on no night."""
    host.night(lot(1, 2))
    host.trigger(f"IF NEW.stock_number = 'H2' THEN {body} END IF;", "BEFORE UPDATE ON vehicles")
    for _ in range(2):
        plan = host.night(lot(1))
        assert (plan.counts["removed"], host.history()) == (0, [])
        assert any(line.startswith("H2: ") for line in plan.warnings)


def test_nothing_refused_costs_no_search(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night that the database takes is written once."""
    monkeypatch.setattr(store, "find_refused", None)

    assert host.night(feed("A", "B")).counts["created"] == 2


# --- renumbered in the database --------------------------------------------------------------------------------------


def test_numbers_change_hands_in_the_database(host: Host) -> None:
    """Two vehicles that take each other's place keep their ids, and the history has a line for each."""
    vins = "6T1A00000X0000001", "6T1A00000X0000002"
    host.night([item("A", VIN=vins[0]), item("B", VIN=vins[1]), *lot(1, 2, 3, 4)])
    host.night([item("B", VIN=vins[1]), *lot(1, 2, 3, 4)])
    before = dict(host.sql("SELECT vin, id FROM vehicles WHERE vin IS NOT NULL"))
    plan = host.night([item("A", VIN=vins[1]), item("N", VIN=vins[0]), *lot(1, 2, 3, 4)])

    assert plan.counts["renumbered"] == 2
    assert before == dict(host.sql("SELECT vin, id FROM vehicles WHERE vin IS NOT NULL"))
    assert dict(host.sql("SELECT vin, stock_number FROM vehicles WHERE vin IS NOT NULL")) == dict(
        zip(vins, "NA", strict=True)
    )
    assert [line for line in host.history() if line[1] == "stock_number"] == [
        ("A", "stock_number", "B", "A"),
        ("N", "stock_number", "A", "N"),
    ]
