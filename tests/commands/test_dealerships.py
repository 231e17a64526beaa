"""jobsync dealership: what is corrected by command, and what is refused."""

# Expected stands before actual.

from __future__ import annotations

import pytest

from tests.commands.support import Add, Cli, Rows, contents


def test_a_dealership_is_corrected_by_command(cli: Cli, add: Add, rows: Rows) -> None:
    """Name, zone, e-mail, switch: what is not named stays, '' takes away, each change says what was before."""
    add("Northsied", "N")
    cli("dealership", "set", "1", "--email", "a@b.example")
    cli("stock-sync", "--scheduled")

    ran = cli("dealership", "set", "1", "--name", " Northside ", "--timezone", "Australia/Perth", "--json")
    [planned] = cli("schedule", "show", "--json").json
    cli("stock-sync", "--scheduled")
    off = cli("dealership", "set", "1", "--no-auto-sync", "--email", "", "--json")

    expected = {"id": 1, "name": "Northside", "timezone": "Australia/Perth", "email": "a@b.example", "auto_sync": True}
    assert (0, expected) == (ran.code, ran.json)
    assert (0, {**expected, "email": None, "auto_sync": False}) == (off.code, off.json)
    assert "02:00:00+08:00" == planned["next_at"][11:]
    assert [("Australia/Perth", planned["next_at"][11:13])] == rows(
        "SELECT timezone, to_char(next_at AT TIME ZONE 'Australia/Perth', 'HH24') FROM sync_schedule"
    )
    assert [
        {"email": "a@b.example", "email_before": None},
        {
            "name": "Northside",
            "name_before": "Northsied",
            "timezone": "Australia/Perth",
            "timezone_before": "Australia/Sydney",
        },
        {"email": None, "email_before": "a@b.example"},
        {"easycar_auto_sync_enabled": False},
    ] == [row for (row,) in rows("SELECT details FROM audit WHERE action = 'dealership.set' ORDER BY id")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["9", "--name", "x"], "no dealership 9"),
        (["9", "--auto-sync"], "no dealership 9"),
        (["1"], "nothing to change"),
        (["1", "--name", " "], "--name: expected"),
        (["1", "--timezone", "Sydney"], "no time zone 'Sydney'"),
        (["1", "--email", "nobody"], "--email: expected"),
    ],
)
def test_what_a_dealership_cannot_become_is_refused(words: list[str], told: str, cli: Cli, database_url: str) -> None:
    """Exit 2 and nothing written."""
    cli("dealership", "add", "Northside")
    before = contents(database_url)

    ran = cli("dealership", "set", *words, "--json")

    assert (2, before) == (ran.code, contents(database_url))
    assert told in ran.json["error"]


def test_a_dealership_added_twice_is_told_with_what_to_do(cli: Cli) -> None:
    """There is no deletion: without credentials it is never synced, and it can be renamed."""
    cli("dealership", "add", "Northside")

    ran = cli("dealership", "add", "Northside")

    assert (0, "dealership 2: Northside\n") == (ran.code, ran.out)
    assert "dealership 1 has the same name" in ran.err
    assert "jobsync dealership set 2 --name" in ran.err
