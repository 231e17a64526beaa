"""jobsync runs list and show: runs with their items, found by the beginning of the id; crashed ones as such."""

# Expected stands before actual.

from __future__ import annotations

import pytest

from jobsync.runner.lock import lock_key
from tests.commands.support import Add, Cli, Feed, Rows, cars, envelope

# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_is_shown_with_its_items(cli: Cli, feed: Feed, add: Add) -> None:
    """By its id or the beginning of it, in any case; each item with attempt, counts and error."""
    good, bad = add("Good", "G"), add("Bad", "B")
    feed.answers = {"G": cars("A"), "B": envelope(7, message="no")}
    run_id = cli("stock-sync", "--json").json["run_id"]

    ran = cli("runs", "show", run_id[:8].upper(), "--json")

    assert (0, run_id, "partial", 3, "manual") == (
        ran.code,
        *(ran.json[key] for key in ("run_id", "status", "exit_code", "trigger")),
    )
    items = {int(item["item_key"]): item for item in ran.json["items"]}
    assert ("success", 1, 1) == (items[good]["status"], items[good]["attempt"], items[good]["counts"]["created"])
    assert "failed" == items[bad]["status"]
    assert "Code 7" in items[bad]["error"]
    assert "Code 7" in cli("runs", "show", run_id).out
    assert "label" in cli("runs", "show", run_id).out


def test_a_key_that_is_its_own_label_is_printed_once(cli: Cli, rows: Rows) -> None:
    """Documents have no other name than their access key."""
    key = "1" * 49
    [(run_id,)] = rows(
        "INSERT INTO job_runs (id, job, trigger, host, pid, version)"
        " VALUES (gen_random_uuid(), 'generate-ride', 'timer', 'h', 1, '0') RETURNING id::text"
    )
    rows(
        f"INSERT INTO job_items (run_id, item_key, label, attempt) VALUES ('{run_id}', '{key}', '{key}', 1) RETURNING 1"
    )
    ran = cli("runs", "show", run_id)

    assert (1, False) == (ran.out.count(key), "label" in ran.out)
    assert key == cli("runs", "show", run_id, "--json").json["items"][0]["label"]


def test_a_run_is_found_by_its_beginning_only(cli: Cli, feed: Feed) -> None:
    """With one run in the table, what is no beginning of its id finds nothing."""
    cli("stock-sync")
    for name in ("", " ", "%", "_", "\\", "zz", "' OR 1=1 --"):
        ran = cli("runs", "show", "--json", "--", name)

        assert 2 == ran.code


@pytest.mark.parametrize("words", [("runs", "show"), ("runs", "retry"), ("logs",)], ids=" ".join)
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_of_a_run_says_what_is_expected(cli: Cli, words: tuple[str, ...], name: str) -> None:
    """All runs begin with it; the words are not of several runs."""
    ran = cli(*words, name)

    assert (2, True) == (ran.code, "expected a run's id or its beginning" in ran.err)


def test_an_ambiguous_beginning_is_refused(cli: Cli, rows: Rows) -> None:
    """Two runs begin alike."""
    for digit in "01":
        rows(
            "INSERT INTO job_runs (id, job, trigger, host, pid, version, status)"
            f" VALUES ('abcdef0{digit}-0000-0000-0000-000000000000', 'x', 'cron', 'h', 1, '0', 'failed') RETURNING 1"
        )

    ran = cli("runs", "show", "abcdef", "--json")

    assert 2 == ran.code
    assert "more than one" in ran.json["error"]


def test_runs_are_listed_newest_first_by_job(cli: Cli, feed: Feed) -> None:
    """The limit and the job are heeded."""
    ids = [cli("stock-sync", "--json").json["run_id"] for _ in range(3)]

    assert ids[::-1] == [row["run_id"] for row in cli("runs", "list", "--json").json]
    assert ids[:0:-1] == [row["run_id"] for row in cli("runs", "list", "--limit", "2", "--json").json]
    assert [] == cli("runs", "list", "--job", "generate-ride", "--json").json


def test_a_row_that_says_running_is_believed_only_with_its_lock(cli: Cli, rows: Rows) -> None:
    """Two open rows: the one whose lock is held runs, the other is shown as crashed; neither is written."""
    dead, alive = (f"{digit * 8}-0000-0000-0000-000000000000" for digit in "12")
    for run in (dead, alive):
        rows(
            "INSERT INTO job_runs (id, job, trigger, host, pid, version)"
            f" VALUES ('{run}', 'stock-sync', 'timer', 'h', 1, '0') RETURNING 1"
        )
    rows(f"INSERT INTO job_items (run_id, item_key, label, attempt) VALUES ('{dead}', '1', 'Northside', 1) RETURNING 1")
    rows(f"SELECT pg_advisory_lock({lock_key(f'run:{alive}')})")

    shown = {row["run_id"]: row for row in cli("runs", "list", "--json").json}

    assert {dead: "crashed", alive: "running"} == {run: row["status"] for run, row in shown.items()}
    assert "died" in shown[dead]["error"]
    assert ["crashed"] == [item["status"] for item in cli("runs", "show", dead, "--json").json["items"]]
    assert [("running",), ("running",)] == rows("SELECT status FROM job_runs")
