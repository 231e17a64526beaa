"""What a person decides about held removals: shown, approved, rejected, superseded, each with its audit row."""

# Expected stands before actual.

from __future__ import annotations

from typing import Any

import pytest

from tests.commands.support import Add, Cli, Feed, Rows, car, cars


def item_of(ran: Any) -> Any:
    """Return the one item of a run."""
    [item] = ran.json["items"]
    return item


def status_of(rows: Rows) -> dict[str, str]:
    """Return each vehicle's status by stock number."""
    return dict(rows("SELECT stock_number, status FROM vehicles"))


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

    assert "jobsync credentials test 2; jobsync holds show 2; then" in cli("status").out


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


def test_the_list_of_dealerships_tells_questions_from_vehicles(cli: Cli, held: str) -> None:
    """One question about six vehicles is one removal to decide."""
    assert 6 == cli("holds", "list", "--json").json[0]["listed_before"] - 4
    heads, row = cli("dealership", "list").out.splitlines()
    assert "holds to decide" in heads
    assert "1" == row[heads.index("holds to decide") :][: len("holds to decide")].strip()
    assert "holds to decide  1" in cli("dealership", "show", "1").out
