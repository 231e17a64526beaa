"""jobsync settings: stored and audited, ranges, near misses, and values that cannot be read."""

# Expected stands before actual.

from __future__ import annotations

import pytest

from tests.commands.support import Add, Cli, Feed, Rows, cars


def test_a_setting_is_stored_and_audited(cli: Cli, rows: Rows) -> None:
    """set tells the old value, get and list tell the new one, the audit row both."""
    ran = cli("settings", "set", "easycar_sync_concurrency", " 32 ", "--json")

    assert (0, "32") == (ran.code, ran.json["value"])
    assert "32" == cli("settings", "get", "easycar_sync_concurrency", "--json").json["value"]
    assert "32\n" == cli("settings", "get", "easycar_sync_concurrency").out
    listed = {row["key"]: row for row in cli("settings", "list", "--json").json}
    assert ("32", "1") == (
        listed["easycar_sync_concurrency"]["value"],
        listed["easycar_sync_concurrency"]["default"],
    )
    [(subject, details)] = rows("SELECT subject, details FROM audit WHERE action = 'settings.set'")
    assert ("easycar_sync_concurrency", "32") == (subject, details["new"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("easycar_sync_concurrency", "0"),
        ("easycar_sync_concurrency", "33"),
        ("easycar_sync_concurrency", "two"),
        ("easycar_sync_concurrency", "1.5"),
        ("easycar_removal_limit_percent", "101"),
        ("sri_call_delay_ms", "60001"),
        ("easycar_sync_enabled", "maybe"),
        ("easycar_sync_cron", "99 * * * *"),
        ("easycar_sync_cron", "0 2 * *"),
        ("easycar_sync_cron", "0 0 30 2 *"),
        ("easycar_sync_timezone", "Sydney"),
        ("easycar_sync_timezone", "../../etc/passwd"),
    ],
)
def test_a_value_out_of_range_is_refused_and_the_range_named(key: str, value: str, lookup: Cli) -> None:
    """Exit 2, the key, what was given and what is expected; nothing is stored (see `lookup`)."""
    ran = lookup("settings", "set", key, value, "--json")

    assert 2 == ran.code
    assert f"{key}: '{value}'" in ran.json["error"]
    assert "expected" in ran.json["error"]


@pytest.mark.parametrize("words", [("get",), ("set", "1")])
def test_a_near_miss_is_offered(words: tuple[str, ...], lookup: Cli) -> None:
    """A slip of the finger: the setting that was probably meant."""
    ran = lookup("settings", words[0], "easycar_sync_concurency", *words[1:], "--json")

    assert 2 == ran.code
    assert "did you mean easycar_sync_concurrency?" in ran.json["error"]


def test_an_unreadable_value_is_told_in_one_document(cli: Cli, rows: Rows) -> None:
    """The stored text, that it cannot be read and what holds instead; exit 3, since somebody must look."""
    rows(
        "INSERT INTO system_settings (key, value) VALUES ('easycar_sync_concurrency', 'ninety')"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING 1"
    )

    ran = cli("settings", "get", "easycar_sync_concurrency", "--json")

    assert (3, "ninety", False) == (ran.code, ran.json["value"], ran.json["readable"])
    assert "cannot be read" in ran.err
    assert 0 == cli("settings", "list", "--json").code


def test_a_key_that_nobody_reads_is_listed_as_such(cli: Cli, rows: Rows) -> None:
    """Misspelt in SQL, or another application's: neither is silently taken for a setting, nor is either an error."""
    rows("INSERT INTO system_settings (key, value) VALUES ('easycar_sync_cronn', '0 3'), ('theme', 'x') RETURNING 1")

    listed = cli("settings", "list", "--json")
    out = cli("settings", "list").out

    unused = {row["key"]: row["description"] for row in listed.json if not row["used"]}
    near = "no setting of jobsync; did you mean easycar_sync_cron?"
    assert (0, {"easycar_sync_cronn": near, "theme": "no setting of jobsync"}) == (listed.code, unused)
    [line] = [line for line in out.splitlines() if line.startswith("easycar_sync_cronn ")]
    assert "no: jobsync does not read it" in line
    assert near in line


def test_an_unreadable_concurrency_never_stops_a_sync(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """The default counts, and the log says so."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    for value in ("ninety", "0", "33", "", "9" * 30):
        rows(
            f"INSERT INTO system_settings (key, value) VALUES ('easycar_sync_concurrency', '{value}')"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING 1"
        )

        ran = cli("stock-sync", "--json")

        assert 0 == ran.code
        assert "settings.unreadable" in ran.err
