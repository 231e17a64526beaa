"""What an operator decides: held removals, credentials, settings; and that each decision leaves its audit row."""

# Expected stands before actual.

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.support import Add, Cli, Feed, Rows, car, cars, contents


def item_of(ran: Any) -> Any:
    """Return the one item of a run."""
    [item] = ran.json["items"]
    return item


def status_of(rows: Rows) -> dict[str, str]:
    """Return each vehicle's status by stock number."""
    return dict(rows("SELECT stock_number, status FROM vehicles"))


# --- holds ---------------------------------------------------------------------------------------------------

ALL = tuple("ABCDEFGHIJ")


@pytest.fixture
def held(cli: Cli, feed: Feed, add: Add) -> str:
    """The number of a hold: six of ten vehicles are missing at dealership 1."""
    add("Northside", "N")
    feed.answers["N"] = cars(*ALL)
    assert 0 == cli("stock-sync").code
    feed.answers["N"] = cars(*ALL[:4])
    assert 3 == cli("stock-sync").code
    [row] = cli("holds", "list", "--json").json
    return str(row["id"])


def test_more_than_the_limit_waits_and_the_rest_is_applied(cli: Cli, feed: Feed, held: str, rows: Rows) -> None:
    """Six of ten are held; a new vehicle and a new price come in all the same; the question stays one row."""
    feed.answers["N"] = [car("A", Price=1), *cars("B", "C", "D", "new")]

    ran = cli("stock-sync", "--json")

    item = item_of(ran)
    assert (3, "held", "limit", 6) == (ran.code, item["status"], item["reason"], item["held"])
    assert (1, 1, 0) == (item["created"], item["updated"], item["removed"])
    assert "active" == status_of(rows)["J"]
    assert [(int(held), "pending")] == rows("SELECT id, status FROM holds")


def test_a_held_removal_is_shown_in_plain_words(cli: Cli, held: str) -> None:
    """No name of a column."""
    ran = cli("holds", "show", held)
    facts = {line[:15].strip(): line[15:] for line in ran.out.splitlines()}

    assert ("10", "4") == (facts["listed before"], facts["in the feed"])
    assert "_" not in "".join(facts).replace("stock_number", "")


def test_an_empty_feed_names_the_credentials_wherever_it_is_asked_about(cli: Cli, feed: Feed, add: Add) -> None:
    """A wrong account looks the same: nobody is led to approve the end of a whole stock without a word of that."""
    dealership = add("Northside", "N")
    feed.answers["N"] = cars(*ALL)
    cli("stock-sync")
    feed.answers["N"] = []

    for command in (
        ["stock-sync", "--dry-run"],
        ["stock-sync"],
        ["holds", "list"],
        ["holds", "show", "1"],
        ["status"],
        ["health"],
    ):
        said = cli(*command).out
        assert "a wrong AccountSecret or AccountNumber" in said, command
        assert f"jobsync credentials test {dealership}" in said, command
        before, _, after = said.partition("jobsync holds approve")
        assert not after or "credentials test" in before, command


def test_other_removals_say_nothing_of_credentials(cli: Cli, held: str) -> None:
    """Four of ten are in the feed: the account is right."""
    for command in (["stock-sync"], ["holds", "list"], ["holds", "show", held], ["status"], ["health"]):
        assert "AccountSecret" not in cli(*command).out


def test_advice_on_an_empty_feed_is_not_left_out_beside_another_question(cli: Cli, feed: Feed, add: Add) -> None:
    """Two are held, for two reasons: each has its own line."""
    add("Northside", "N")
    add("Southside", "S")
    feed.answers |= {"N": cars(*ALL), "S": cars(*ALL)}
    cli("stock-sync")
    feed.answers |= {"N": cars(*ALL[:4]), "S": []}
    cli("stock-sync")

    assert "jobsync credentials test 2; jobsync holds show 2, then" in cli("status").out


def test_a_dry_run_that_would_hold_does_not_send_to_an_empty_list(cli: Cli, feed: Feed, add: Add) -> None:
    """Nothing is asked yet."""
    add("Northside", "N")
    feed.answers["N"] = cars(*ALL)
    cli("stock-sync")
    feed.answers["N"] = cars(*ALL[:4])

    said = cli("stock-sync", "--dry-run").out

    assert "1 Northside: too many would go: a run that writes would hold them and ask\n" in said
    assert "holds list" not in said
    assert "1 Northside: too many would go: jobsync holds list\n" in cli("stock-sync").out


def test_an_approval_is_carried_out_by_the_next_sync(cli: Cli, feed: Feed, held: str, rows: Rows) -> None:
    """What is still missing goes; what came back stays; the approval is used up."""
    feed.answers["N"] = cars(*ALL[:5])
    approved = cli("holds", "approve", held, "--json")
    assert (0, "approved") == (approved.code, approved.json["status"])
    assert [int(held)] == [row["id"] for row in cli("holds", "list", "--json").json]
    assert "active" == status_of(rows)["J"]

    ran = cli("stock-sync", "--json")

    assert (0, 5, 0) == (ran.code, item_of(ran)["removed"], item_of(ran)["held"])
    expected = dict.fromkeys(ALL[:5], "active") | dict.fromkeys(ALL[5:], "removed")
    assert expected == status_of(rows)
    assert [] == cli("holds", "list", "--json").json
    again = cli("stock-sync", "--json")
    assert (0, 0) == (again.code, item_of(again)["removed"])


def test_an_approval_covers_only_what_was_asked(cli: Cli, feed: Feed, held: str, rows: Rows) -> None:
    """One more missing vehicle is judged anew: it lies under the floor and goes as any other."""
    cli("holds", "approve", held)
    feed.answers["N"] = []

    ran = cli("stock-sync", "--json")

    assert (3, "held", "empty_feed") == (ran.code, item_of(ran)["status"], item_of(ran)["reason"])
    assert (6, 4) == (item_of(ran)["removed"], item_of(ran)["held"])
    assert dict.fromkeys(ALL[:4], "active") | dict.fromkeys(ALL[4:], "removed") == status_of(rows)


@pytest.mark.parametrize(("back", "removed"), [("ABCDE", 5), ("ABCDEFGHIJ", 0)])
def test_the_list_says_what_an_approval_has_removed(cli: Cli, feed: Feed, held: str, back: str, removed: int) -> None:
    """One that found all vehicles back is told from one that took them away."""
    cli("holds", "approve", held)
    [before] = cli("holds", "list", "--all", "--json").json
    feed.answers["N"] = cars(*back)
    cli("stock-sync")

    [after] = cli("holds", "list", "--all", "--json").json
    heading, line = cli("holds", "list", "--all").out.splitlines()
    assert (None, removed) == (before["removed"], after["removed"])
    assert heading.endswith("carried out           removed")
    assert line.endswith(f"Z  {removed:>7}")


def test_a_rejection_that_is_over_was_not_carried_out(cli: Cli, feed: Feed, held: str) -> None:
    """All are back: the word has no more effect, and nothing was removed by it."""
    cli("holds", "reject", held)
    cli("stock-sync")
    feed.answers["N"] = cars(*ALL)
    cli("stock-sync")

    _, line = cli("holds", "list", "--all").out.splitlines()
    assert ["-", "-"] == line.split()[-2:]
    assert "carried out" not in cli("holds", "show", held).out


def test_a_rejection_keeps_the_vehicles_and_ends_the_asking(cli: Cli, feed: Feed, held: str, rows: Rows) -> None:
    """The rows stay listed, the next syncs succeed and ask nothing until the set changes."""
    rejected = cli("holds", "reject", held, "--json")
    assert (0, "rejected") == (rejected.code, rejected.json["status"])

    ran = cli("stock-sync", "--json")

    assert (0, "success", 0, 0) == (ran.code, *(item_of(ran)[key] for key in ("status", "removed", "held")))
    assert dict.fromkeys(ALL, "active") == status_of(rows)
    feed.answers["N"] = []
    assert (3, 10) == ((more := cli("stock-sync", "--json")).code, item_of(more)["held"])


@pytest.mark.parametrize(
    ("first", "last", "status", "removed"), [("reject", "approve", "approved", 6), ("approve", "reject", "rejected", 0)]
)
def test_a_decision_can_be_changed_until_a_sync_has_acted_on_it(
    first: str, last: str, status: str, removed: int, cli: Cli, held: str, rows: Rows
) -> None:
    """A slip of the hand at night is taken back by the other word; the same word twice is refused."""
    cli("holds", first, held)
    assert 2 == cli("holds", first, held).code
    changed = cli("holds", last, held)

    assert 0 == changed.code
    assert f"6 vehicles): {'those still' if removed else 'they stay'}" in changed.out
    assert f"jobsync holds {first} {held}" in changed.out
    assert [(status,)] == rows("SELECT status FROM holds")
    assert {"pending", "rejected" if first == "reject" else "approved"} == {
        was for (was,) in rows("SELECT details->>'was' FROM audit WHERE action LIKE 'holds%'")
    }
    item = item_of(cli("stock-sync", "--json"))
    assert (removed, 0) == (item["removed"], item["held"])


def test_what_a_sync_has_carried_out_cannot_be_rejected_any_more(cli: Cli, held: str) -> None:
    """The vehicles are gone; another word would promise what cannot be."""
    cli("holds", "approve", held)
    cli("stock-sync")

    ran = cli("holds", "reject", held)

    assert (2, True) == (ran.code, f"hold {held} is approved and done with" in ran.err)


def test_another_set_supersedes_the_question(cli: Cli, feed: Feed, held: str, rows: Rows) -> None:
    """The old question cannot be answered any more; the new one can."""
    feed.answers["N"] = cars(*ALL[:3])
    cli("stock-sync")
    [pending] = cli("holds", "list", "--json").json
    everything = cli("holds", "list", "--all", "--json").json

    late = cli("holds", "approve", held, "--json")

    assert ["superseded", "pending"] == [row["status"] for row in everything]
    assert list(ALL[3:]) == pending["stock_numbers"]
    assert 2 == late.code
    assert "superseded" in late.json["error"]


def test_a_question_is_withdrawn_when_the_vehicles_return(cli: Cli, feed: Feed, held: str, rows: Rows) -> None:
    """All are back: nothing waits, nothing was lost."""
    feed.answers["N"] = cars(*ALL)

    ran = cli("stock-sync", "--json")

    assert (0, 10) == (ran.code, item_of(ran)["unchanged"])
    assert [("superseded",)] == rows("SELECT status FROM holds")


@pytest.mark.parametrize(("first", "word"), [("approve", "approved"), ("reject", "rejected")])
def test_the_same_decision_is_made_once(first: str, word: str, cli: Cli, held: str, rows: Rows) -> None:
    """The same once more is a usage error that says how it stands; one audit row, with who and where."""
    assert 0 == cli("holds", first, held).code

    ran = cli("holds", first, held, "--json")

    assert (2, 2) == (ran.code, ran.json["exit_code"])
    assert f"is {word}" in ran.json["error"]
    [(actor, host, action, subject)] = rows("SELECT actor, host, action, subject FROM audit WHERE action LIKE 'holds%'")
    assert (f"holds.{first}", held) == (action, subject)
    assert actor
    assert host
    assert [(word, actor)] == rows("SELECT status, decided_by FROM holds")


def test_a_held_removal_is_shown_with_its_vehicles(cli: Cli, held: str) -> None:
    """Stock number, title, price, status of each; the numbers before and now."""
    ran = cli("holds", "show", held, "--json")

    assert list(ALL[4:]) == [vehicle["stock_number"] for vehicle in ran.json["vehicles"]]
    assert {"Toyota Corolla"} == {vehicle["title"] for vehicle in ran.json["vehicles"]}
    assert (10, 4, "pending", "limit") == tuple(
        ran.json[key] for key in ("listed_before", "listed_now", "status", "reason")
    )
    person = cli("holds", "show", held)
    assert "Toyota Corolla" in person.out
    assert "E, F, G, H, I, J" in person.out


# --- dealerships -----------------------------------------------------------------------------------------------------


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


def test_the_list_of_dealerships_tells_questions_from_vehicles(cli: Cli, held: str) -> None:
    """One question about six vehicles is one removal to decide."""
    assert 6 == cli("holds", "list", "--json").json[0]["listed_before"] - 4
    heads, row = cli("dealership", "list").out.splitlines()
    assert "holds to decide" in heads
    assert "1" == row[heads.index("holds to decide") :][: len("holds to decide")].strip()
    assert "holds to decide  1" in cli("dealership", "show", "1").out


# --- credentials -----------------------------------------------------------------------------------------------------

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


# --- fields to keep --------------------------------------------------------------------------------------------------


def test_locked_fields_are_shown_without_a_field(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """Commas are as good as blanks; a look writes nothing, not even an audit row."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    cli("stock-sync")
    none = cli("stock", "lock", "1", "A")
    locked = cli("stock", "lock", "1", "A", "price,description", "title,", "--json")
    before = rows("SELECT count(*) FROM audit"), rows("SELECT content_hash, updated_at FROM vehicles")
    seen = cli("stock", "lock", "1", "A", "--json")

    assert "A: locked fields: none\n" == none.out
    assert (0, ["description", "price", "title"]) == (locked.code, locked.json["locked_fields"])
    assert (0, locked.json) == (seen.code, seen.json)
    assert before == (rows("SELECT count(*) FROM audit"), rows("SELECT content_hash, updated_at FROM vehicles"))
    assert [("stock.lock",)] == rows("SELECT action FROM audit WHERE action LIKE 'stock%'")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lock", "1", "A", "prize"], "no field prize; the fields are"),
        (["lock", "1", "A", ","], "no field was named; the fields are"),
        (["lock", "1", "Z"], "has no vehicle Z"),
        (["lock", "9", "A"], "no dealership 9"),
    ],
)
def test_locks_that_cannot_be_are_refused(words: list[str], told: str, cli: Cli, feed: Feed, add: Add) -> None:
    """Exit 2, and the fields that there are."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    cli("stock-sync")

    ran = cli("stock", *words, "--json")

    assert 2 == ran.code
    assert told in ran.json["error"]


def test_an_unlocked_correction_stays_until_the_item_changes(cli: Cli, feed: Feed, add: Add, rows: Rows) -> None:
    """As operations.md says: not compared while the feed repeats itself; `unlock` brings the feed's value at once."""
    add("Northside", "N")
    feed.answers["N"] = cars("A")
    cli("stock-sync")
    prices = []
    for step in (["unlock", "1", "A", "price"], None):
        rows("UPDATE vehicles SET price = 1 RETURNING 1")
        cli("stock-sync")
        prices += rows("SELECT price FROM vehicles")
        if step:
            cli("stock", *step)
        else:
            feed.answers["N"] = [car("A", Colour="red")]
        cli("stock-sync")
        prices += rows("SELECT price FROM vehicles")

    assert [(1,), (20000,)] * 2 == prices


# --- settings --------------------------------------------------------------------------------------------------------


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
