"""jobsync credentials: stored, replaced and deleted, without a secret shown."""

# Expected stands before actual.

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.support import Cli, Feed, Rows, cars, contents


def item_of(ran: Any) -> Any:
    """Return the one item of a run."""
    [item] = ran.json["items"]
    return item


SECRETS = {
    "client_id": "ident-SECRET-1",
    "client_secret": "cs-SECRET-2",
    "account_number": "EC-SECRET-3",
    "account_secret": "as-SECRET-4",
}
DOCUMENT = {**SECRETS, "environment": "Test", "yard_code": "Y1"}


@pytest.fixture
def store(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set credentials from standard input."""

    def store(document: object, dealership: int = 1, *more: str) -> Any:
        text = document if isinstance(document, str) else json.dumps(document)
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return cli("credentials", "set", str(dealership), "--from-stdin", *more)

    return store


def test_credentials_replace_everything_and_an_omitted_yard_clears_the_old_one(
    cli: Cli, store: Any, feed: Feed, rows: Rows
) -> None:
    """Set once with a yard, inactive since, set again without: active, new account, no yard, sent as stored."""
    cli("dealership", "add", "Northside")
    assert 0 == store(DOCUMENT).code
    assert [("Y1", True)] == rows("SELECT yard_code, is_active FROM easycar_credentials")
    rows("UPDATE easycar_credentials SET is_active = false RETURNING 1")
    feed.answers["other"] = cars("A")

    ran = store({**SECRETS, "account_number": "other", "environment": "Production"}, 1, "--json")

    assert (0, {"dealership_id": 1, "environment": "Production", "yard_code": None}) == (ran.code, ran.json)
    assert [(None, True, "Production")] == rows("SELECT yard_code, is_active, environment FROM easycar_credentials")
    assert 0 == cli("stock-sync").code
    assert ["other"] == feed.asked


def test_no_secret_is_ever_shown(cli: Cli, store: Any, feed: Feed, database_url: str) -> None:
    """Not on screen, not in logs at debug, not in any table, not when the vendor echoes it in an error or a feed."""
    cli("dealership", "add", "Northside")
    outputs = [store(DOCUMENT), store(DOCUMENT, 1, "--json")]
    echo = " ".join(SECRETS.values())
    answer = json.dumps({"Code": 7, "ErrorMessage": f"no {echo}", "StockList": None}).encode()
    feed.answers[SECRETS["account_number"]] = answer
    outputs += [cli("stock-sync", *more, JOBSYNC_LOG_LEVEL="debug") for more in ((), ("--json",), ("--dry-run",))]
    feed.tokens[SECRETS["client_id"]] = json.dumps({"Code": 1, "ErrorMessage": f"no {echo}", "Token": None}).encode()
    outputs += [cli("stock-sync", JOBSYNC_LOG_FORMAT="console", JOBSYNC_LOG_LEVEL="debug")]
    for arguments in (
        ("dealership", "show", "1"),
        ("dealership", "list"),
        ("runs", "list"),
        ("runs", "show", cli("runs", "list", "--json").json[0]["run_id"]),
    ):
        outputs += [cli(*arguments), cli(*arguments, "--json")]

    told = "\n".join([ran.out + ran.err for ran in outputs] + [str(rows) for rows in contents(database_url).values()])

    assert "•••" in told
    for secret in SECRETS.values():
        assert secret not in told


def test_stored_credentials_are_followed_by_what_to_do_next(cli: Cli, store: Any) -> None:
    """Try them, and sync: the slot that failed for the old ones is over."""
    cli("dealership", "add", "Northside")

    _, first, then = store(DOCUMENT).out.splitlines()

    assert "next: jobsync credentials test 1" == first
    assert then.startswith("then: jobsync stock-sync --dealership 1 (after wrong credentials")


BAD: list[tuple[object, str]] = [
    ("", "not JSON"),
    ("{" + json.dumps(DOCUMENT), "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[]", "one JSON object"),
    ('"cs-SECRET-2"', "one JSON object"),
    ({**DOCUMENT, "client_secret": " "}, "client_secret: required"),
    ({**DOCUMENT, "client_secret": 12345}, "client_secret: expected text, in quotes"),
    ({**DOCUMENT, "yard_code": 7}, "yard_code: expected text, in quotes"),
    ({key: value for key, value in DOCUMENT.items() if key != "account_secret"}, "account_secret: required"),
    ({**DOCUMENT, "environment": "test"}, "environment: expected Test or Production"),
    ({**DOCUMENT, "yard_code": "y" * 51}, "yard_code: expected text of at most 50"),
    ({**DOCUMENT, "client_id": "x" * 201}, "client_id: 201 characters, at most 200"),
    ({**DOCUMENT, "yardcode": "Y1"}, "unknown field yardcode"),
    ({**DOCUMENT, "cs-SECRET-2": "client_secret"}, "1 unknown and not shown of the fields"),
    ({**DOCUMENT, "yard_code": "Y\x00"}, "yard_code"),
    ({**DOCUMENT, "client_secret": "cs-SECRET-2\ud800"}, "client_secret"),
]


def test_bad_credentials_are_refused_without_quoting_them(cli: Cli, store: Any, database_url: str) -> None:
    """Exit 2, the field and what was expected, nothing stored."""
    cli("dealership", "add", "Northside")
    before = contents(database_url)
    for document, words in BAD:
        ran = store(document, 1, "--json")

        assert (2, 2) == (ran.code, ran.json["exit_code"])
        assert words in ran.json["error"]
        assert "SECRET" not in ran.out + ran.err
    assert before == contents(database_url)


def test_credentials_of_an_unknown_dealership_are_refused(store: Any) -> None:
    """Exit 2."""
    assert 2 == store(DOCUMENT, 7).code


def test_credentials_without_a_key_or_a_terminal_are_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key: 78. No terminal to ask on and no --from-stdin: 2."""
    cli("dealership", "add", "Northside")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    no_key = cli("credentials", "set", "1", "--from-stdin", "--json", JOBSYNC_ENCRYPTION_KEY="")
    no_terminal = cli("credentials", "set", "1", "--json")

    assert (78, 2) == (no_key.code, no_terminal.code)
    assert "--from-stdin" in no_terminal.json["error"]


def test_each_answer_is_checked_before_the_next_question(cli: Cli, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip is named and asked again at once: nothing that was typed before is lost, nothing secret is quoted."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked = []
    answers = iter(["id", " ", "secret-one", "x" * 600, "EC1", "secret-two", "Testing", "test", "Y" * 60, "Y1"])

    def prompt(words: str, **_how: object) -> str:
        asked.append(words.split(maxsplit=1)[0])
        return next(answers)

    cli("dealership", "add", "Northside")
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("typer.prompt", prompt)
    ran = cli("credentials", "set", "1")

    names = "ClientID ClientSecret ClientSecret AccountNumber AccountNumber AccountSecret Environment Environment"
    assert [*names.split(), "YardCode", "YardCode"] == asked
    assert (0, [("Test", "Y1")]) == (ran.code, rows("SELECT environment, yard_code FROM easycar_credentials"))
    problems = (
        "client_secret: required",
        "account_number: 600",
        "environment: expected Test or",
        "yard_code: expected",
    )
    assert all(f"jobsync: {problem}" in ran.err for problem in problems), ran.err
    assert "xxx" not in ran.err


@pytest.mark.parametrize(
    "words", ["credentials delete 1", "units uninstall --root {root}"], ids=["credentials", "units"]
)
def test_what_destroys_needs_a_yes_without_a_terminal(
    words: str, cli: Cli, store: Any, rows: Rows, tmp_path: Path
) -> None:
    """Nobody can be asked: nothing is done, and the message says which option it needs."""
    cli("dealership", "add", "Northside")
    store(DOCUMENT)

    ran = cli(*words.format(root=tmp_path).split())

    assert (2, True) == (ran.code, "--yes" in ran.err)
    assert [(1,)] == rows("SELECT count(*) FROM easycar_credentials")


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("n", 130, 1)])
def test_what_destroys_asks_on_a_terminal(
    answer: str, code: int, left: int, cli: Cli, store: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another answer than yes leaves everything as it is."""
    cli("dealership", "add", "Northside")
    store(DOCUMENT)
    terminal = io.StringIO(f"{answer}\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)

    assert code == cli("credentials", "delete", "1").code
    assert [(left,)] == rows("SELECT count(*) FROM easycar_credentials")


def test_deleted_credentials_are_gone(cli: Cli, store: Any, rows: Rows) -> None:
    """The dealership is left out then; a second deletion finds nothing and leaves no audit row."""
    cli("dealership", "add", "Northside")
    store(DOCUMENT)

    first = cli("credentials", "delete", "1", "--yes", "--json")
    second = cli("credentials", "delete", "1", "--yes", "--json")

    assert (0, True, 0, False) == (first.code, first.json["deleted"], second.code, second.json["deleted"])
    assert "no_credentials" == item_of(cli("stock-sync", "--json"))["reason"]
    assert [("dealership.add",), ("credentials.set",), ("credentials.delete",)] == rows(
        "SELECT action FROM audit ORDER BY id"
    )
    assert [({"environment": "Test", "yard_code": "Y1"},)] == rows(
        "SELECT details FROM audit WHERE action = 'credentials.set'"
    )
