"""The rule, over the very table that stands at its head, and the cases that need more than a line."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobsync.sri import verdict
from jobsync.sri.model import (
    UNUSABLE,
    Answer,
    Authorization,
    DocumentStatus,
    Fault,
    FaultKind,
    History,
    Message,
    Outcome,
    Verdict,
)
from jobsync.sri.parse import parse_answer
from jobsync.sri.verdict import (
    ATTENTION_EVERY,
    BACK_OFF_LEAST,
    BACK_OFF_MOST,
    EMPTY_ANSWERS_LEAST,
    SRI_WINDOW,
    back_off,
    judge,
    judge_unusable,
)
from tests.sri.answers import KEY, OTHER_KEY

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEW = History(access_key=KEY, waiting_since=NOW)
ATTENTION = replace(NEW, status=DocumentStatus.NEEDS_ATTENTION, attention_since=NOW - timedelta(days=1))
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (verdict.__doc__ or "").splitlines()
    if line.startswith("| ") and "---" not in line
][1:]
ROWS = [
    (text, outcome, reason.replace("_N", f"_{text.split()[-1]}"), again)
    for texts, outcome, reason, again in LINES
    for text in texts.split("; ")
]


def node(text: str, *, day: int = 1) -> Authorization:
    """An authorization from its line in the table: a state, then codes."""
    found = re.fullmatch(r"(.*?)((?: \d+)*)", text)
    assert found is not None
    good = found[1] in ("AUTORIZADO", "AUT")
    return Authorization(
        state=found[1],
        number=KEY if good else None,
        authorized_at=datetime(2026, 7, 1, 5 + day, tzinfo=UTC),
        environment="test",
        document=b"<factura/>" if good else None,
        messages=tuple(Message(code) for code in found[2].split()),
    )


def answer(text: str, *, key: str | None = KEY) -> Answer:
    """An answer from its line in the table."""
    nodes = () if text == "nothing" else tuple(node(part, day=day) for day, part in enumerate(text.split(" + "), 1))
    return Answer(access_key=key, declared=len(nodes), authorizations=nodes)


def said(*nodes: Authorization, key: str | None = KEY) -> Answer:
    """An answer with these authorizations."""
    return Answer(access_key=key, declared=len(nodes), authorizations=nodes)


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_is_read() -> None:
    """The head of the module holds the cases, each once."""
    assert len(ROWS) > 30
    assert len({row[0] for row in ROWS}) == len(ROWS)
    assert {row[1] for row in ROWS} == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_table(row: tuple[str, str, str, str]) -> None:
    """What the table says is what happens."""
    text, outcome, reason, again = row
    history = NEW
    if text.endswith(", 5 times in 24 hours"):
        text, history = "nothing", replace(NEW, empty_since=NOW - SRI_WINDOW, empty_count=4)
    found = judge(answer(text), history, NOW)
    asked = {None: "no", ATTENTION_EVERY: "in 6 hours"}.get(found.next_check_in, "soon")

    assert (found.outcome.value, found.reason, asked) == (outcome, reason, again)


@pytest.mark.parametrize("row", [row for row in ROWS if "nothing" not in row[0]], ids=lambda row: row[0])
def test_table_in_other_spelling(row: tuple[str, str, str, str]) -> None:
    """Case and blanks of a state do not matter."""
    text, outcome, reason, _ = row
    plain = answer(text)
    other = tuple(
        replace(one, state=f"  {one.state.lower().replace(' ', chr(10) + ' ')} ") for one in plain.authorizations
    )

    assert (outcome, reason) == (
        (found := judge(replace(plain, authorizations=other), NEW, NOW)).outcome.value,
        found.reason,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_table_again(row: tuple[str, str, str, str]) -> None:
    """The same answer, history and hour give the same verdict."""
    text = row[0].partition(",")[0]

    assert judge(answer(text), NEW, NOW) == judge(answer(text), NEW, NOW)


@pytest.mark.parametrize("text", ["NO AUTORIZADO 39", "NO AUTORIZADO 2", "NO AUTORIZADO 70"])
def test_advice(text: str) -> None:
    """Somebody who has to do something is told what."""
    assert judge(answer(text), NEW, NOW).advice


def test_codes_are_told_once_in_their_order() -> None:
    """The codes of the deciding element are those of the verdict."""
    assert judge(answer("NO AUTORIZADO 52 39 52"), NEW, NOW).codes == ["52", "39"]


# --- whom it is about ------------------------------------------------------------------------------------------------

GOOD = node("AUTORIZADO")
MUTE = replace(GOOD, number=None)
BAD = node("NO AUTORIZADO 39")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (said(GOOD, key=OTHER_KEY), "other_key"),
        (said(key=OTHER_KEY), "other_key"),
        (said(node("EN PROCESO"), key=OTHER_KEY), "other_key"),
        (said(replace(GOOD, number=OTHER_KEY)), "other_key"),
        (said(replace(GOOD, document_key=OTHER_KEY)), "other_key"),
        (said(replace(BAD, document_key=OTHER_KEY)), "other_key"),
        (said(replace(node("EN PROCESO"), number=OTHER_KEY)), "other_key"),
        (said(replace(GOOD, number=OTHER_KEY), BAD), "code_39"),
        (said(replace(GOOD, number=OTHER_KEY), replace(GOOD, number=KEY)), "authorized"),
        (said(MUTE), "authorized"),
        (said(replace(GOOD, number="1234567890123456789012345678901234567")), "authorized"),
        (said(replace(GOOD, document_key="not a key")), "authorized"),
        (said(MUTE, key=None), "other_key"),
        (said(replace(MUTE, number="0"), key=None), "other_key"),
        (said(GOOD, key=None), "authorized"),
        (said(replace(MUTE, document_key=KEY), key=None), "authorized"),
        (said(BAD, key=None), "other_key"),
        (said(replace(BAD, document_key=KEY), key=None), "code_39"),
        (said(node("DEVUELTA 35"), key=None), "other_key"),
        (said(node("DEVUELTA 70"), key=None), "other_key"),
        (said(replace(node("DEVUELTA 70"), document_key=KEY), key=None), "code_70"),
        (said(replace(node("DEVUELTA 35"), document_key=KEY), key=None), "code_35"),
        (said(replace(node("DEVUELTA 35"), document_key=OTHER_KEY), key=None), "other_key"),
        (said(node("EN PROCESO"), key=None), "in_process"),
        (said(node("ANULADO"), key=None), "annulled"),
        (said(replace(node("ANULADO"), number=OTHER_KEY), key=None), "other_key"),
        (said(node("RECIBIDA"), key=None), "received"),
        (said(key=None), "empty"),
    ],
)
def test_only_what_is_about_our_key_counts(given: Answer, expected: str) -> None:
    """A decision has to name our key; what names another one says nothing of ours."""
    found = judge(given, NEW, NOW)

    assert expected == found.reason
    assert (found.outcome == Outcome.FAULT) == (expected == "other_key")


# --- warnings of an authorized document ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 7, 1, 4, 59, tzinfo=UTC), ("date_before_issue",)),
        (datetime(2026, 7, 1, 5, 0, tzinfo=UTC), ()),
        (NOW + timedelta(minutes=4), ()),
        (NOW + timedelta(minutes=6), ("date_in_future",)),
    ],
)
def test_odd_dates(at: datetime, expected: tuple[str, ...]) -> None:
    """A day before the key's, in Ecuador, or an hour that has not come is told; clocks may differ by minutes."""
    found = judge(said(replace(GOOD, authorized_at=at)), NEW, NOW)

    assert (found.outcome, found.warnings) == (Outcome.AUTHORIZED, expected)


def test_sanction_is_told_whatever_stands_beside_it() -> None:
    """33 opens the circuit even beside an authorization, or in what is said of another key."""
    other = replace(node("NO AUTORIZADO 33"), document_key=OTHER_KEY)

    assert judge(answer("AUTORIZADO 33"), NEW, NOW).too_often
    assert judge(said(other), NEW, NOW).too_often
    assert judge(said(other), NEW, NOW).outcome == Outcome.PENDING


def test_sanction_leaves_empty_answers_as_they_were() -> None:
    """It says nothing about the document."""
    history = replace(NEW, empty_since=NOW - HOUR, empty_count=3)
    found = judge(answer("NO AUTORIZADO 33"), history, NOW)

    assert (found.empty_since, found.empty_count) == (NOW - HOUR, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (GOOD, ()),
        (replace(GOOD, authorized_at=None, authorized_at_text="31/02/2026 10:30:00"), ("date_unreadable",)),
        (replace(GOOD, document=None), ("no_document",)),
        (replace(GOOD, environment="production"), ("environment_mismatch",)),
        (replace(GOOD, environment=None), ()),
        (
            replace(GOOD, authorized_at=None, document=None, environment="production"),
            ("date_unreadable", "no_document", "environment_mismatch"),
        ),
    ],
)
def test_warnings(given: Authorization, expected: tuple[str, ...]) -> None:
    """What is odd about an authorized document is told, and does not make it less authorized."""
    found = judge(said(given), NEW, NOW)

    assert (found.outcome, found.warnings, found.authorization) == (Outcome.AUTHORIZED, expected, given)


def test_latest_of_several_authorized() -> None:
    """Of several that are authorized the latest counts."""
    late = replace(GOOD, authorized_at=NOW)

    assert judge(said(GOOD, late, replace(GOOD, authorized_at=None)), NEW, NOW).authorization == late


def test_latest_refusal_by_date_not_by_place() -> None:
    """Dates decide between refusals; without dates the last one named."""
    late, early = node("NO AUTORIZADO 52", day=9), node("NO AUTORIZADO 39", day=2)
    undated = replace(node("NO AUTORIZADO 35"), authorized_at=None)

    assert judge(said(late, early, undated), NEW, NOW).reason == "code_52"
    assert judge(said(replace(late, authorized_at=None), undated), NEW, NOW).reason == "code_35"


# --- empty answers ---------------------------------------------------------------------------------------------------


def replay(steps: str, *, every: timedelta) -> list[Verdict]:
    """Judge answers one after the other: e empty, p in process, f fault."""
    kinds: dict[str, Answer | Fault] = {
        "e": answer("nothing"),
        "p": answer("EN PROCESO"),
        "f": Fault(FaultKind.TIMEOUT, "no answer"),
    }
    history, found = NEW, []
    for turn, step in enumerate(steps):
        one = judge(kinds[step], history, NOW + turn * every)
        found.append(one)
        if one.outcome == Outcome.NEEDS_ATTENTION and history.status != DocumentStatus.NEEDS_ATTENTION:
            history = replace(history, status=DocumentStatus.NEEDS_ATTENTION, attention_since=NOW + turn * every)
        elif one.outcome == Outcome.PENDING:
            history = replace(history, status=DocumentStatus.PENDING, attention_since=None)
        history = replace(history, empty_since=one.empty_since, empty_count=one.empty_count)
    return found


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [
        ("eeeee", 6 * HOUR, "ppppa"),  # 24 hours and 5 answers
        ("eeeee", 5.9 * HOUR, "ppppp"),  # 23.6 hours
        ("eeee", 12 * HOUR, "pppp"),  # 36 hours, 4 answers
        ("eeeeee", 12 * HOUR, "ppppaa"),
        ("e" * 30, HOUR, "p" * 24 + "a" * 6),
        ("eeffffffe", 6 * HOUR, "ppffffffp"),  # an outage proves nothing: three answers only
        ("effffeffe", 12 * HOUR, "pffffpffp"),
        ("ffffffff", 12 * HOUR, "ffffffff"),  # an outage alone never counts
        ("eeeepeeee", 12 * HOUR, "ppppppppp"),  # in process begins anew
        ("eeeeepe", 6 * HOUR, "ppppapp"),
        ("eeeeefe", 6 * HOUR, "ppppafa"),  # a fault in between changes nothing
    ],
)
def test_empty_answers(steps: str, every: timedelta, expected: str) -> None:
    """Only empty answers that themselves span 24 hours, and are five, need a person."""
    letters = {Outcome.PENDING: "p", Outcome.NEEDS_ATTENTION: "a", Outcome.FAULT: "f"}

    assert "".join(letters[found.outcome] for found in replay(steps, every=every)) == expected


def test_empty_answers_are_counted() -> None:
    """The count and its beginning are handed on, kept by a fault, and dropped by an answer with something in it."""
    counts = [(found.empty_count, found.empty_since) for found in replay("eefep", every=HOUR)]

    assert counts == [(1, NOW), (2, NOW), (2, NOW), (3, NOW), (0, None)]


def test_answer_that_announces_what_it_does_not_hold() -> None:
    """It counts as empty, with a warning."""
    found = judge(Answer(KEY, 1, ()), NEW, NOW)

    assert (found.outcome, found.reason, found.warnings) == (Outcome.PENDING, "empty", ("announced_but_absent",))


def test_authorization_without_anything_in_it_is_nothing() -> None:
    """An element whose parts are all absent tells nothing."""
    assert judge(said(Authorization("")), NEW, NOW).reason == "empty"


def test_state_that_is_absent_beside_other_things() -> None:
    """An element that says something, but no state, is not guessed at."""
    assert judge(said(Authorization("", number=KEY)), NEW, NOW).reason == "unknown_state"


# --- what needs attention --------------------------------------------------------------------------------------------


def test_empty_leaves_attention_as_it_is() -> None:
    """One more empty answer does not make a document pending that needs somebody."""
    found = judge(answer("nothing"), ATTENTION, NOW)

    assert (found.outcome, found.next_check_in) == (Outcome.NEEDS_ATTENTION, ATTENTION_EVERY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("EN PROCESO", Outcome.PENDING), ("AUTORIZADO", Outcome.AUTHORIZED), ("NO AUTORIZADO 39", Outcome.REJECTED)],
)
def test_attention_ends(text: str, expected: Outcome) -> None:
    """What the SRI says since then counts."""
    assert judge(answer(text), ATTENTION, NOW).outcome == expected


@pytest.mark.parametrize("days", [0, 1, 29.99])
@pytest.mark.parametrize("given", [answer("nothing"), answer("NO AUTORIZADO 2"), Fault(FaultKind.TIMEOUT, "x")])
def test_attention_is_asked_every_six_hours(days: float, given: Answer | Fault) -> None:
    """For thirty days; a fault changes nothing of it."""
    history = replace(ATTENTION, attention_since=NOW - timedelta(days=days))

    assert judge(given, history, NOW).next_check_in == ATTENTION_EVERY


@pytest.mark.parametrize("given", [answer("nothing"), answer("NO AUTORIZADO 2"), Fault(FaultKind.TIMEOUT, "x")])
def test_attention_is_not_asked_for_ever(given: Answer | Fault) -> None:
    """After thirty days no more."""
    history = replace(ATTENTION, attention_since=NOW - timedelta(days=30))

    assert judge(given, history, NOW).next_check_in is None


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FaultKind)
def test_faults_say_nothing_about_the_document(kind: FaultKind) -> None:
    """Every fault leaves everything as it was and is asked again soon."""
    history = replace(NEW, empty_since=NOW - HOUR, empty_count=3)
    found = judge(Fault(kind, "words"), history, NOW)

    assert (found.outcome, found.reason, found.advice) == (Outcome.FAULT, kind.value, "words")
    assert (found.empty_since, found.empty_count, found.authorization) == (NOW - HOUR, 3, None)
    assert found.next_check_in == back_off(history, NOW)


@pytest.mark.parametrize(
    ("lasting", "count", "outcome"),
    [
        (23.9, 40, Outcome.FAULT),
        (24, 4, Outcome.FAULT),
        (24, 5, Outcome.NEEDS_ATTENTION),
        (400, 50, Outcome.NEEDS_ATTENTION),
    ],
)
@pytest.mark.parametrize("kind", sorted(UNUSABLE))
def test_unusable_answers_that_go_on_for_a_day_need_a_person(
    kind: FaultKind, lasting: float, count: int, outcome: Outcome
) -> None:
    """Twenty-four hours and five answers, as with empty ones; then the document is asked about every six hours."""
    fault = judge(Fault(kind, "words"), NEW, NOW)
    found = judge_unusable(fault, NEW, NOW, since=NOW - lasting * HOUR, count=count)

    assert (found.outcome, found.reason, "words" in (found.advice or "")) == (outcome, kind.value, True)
    assert (found.next_check_in == 6 * HOUR) == (outcome is Outcome.NEEDS_ATTENTION) != found.status_stays


def test_unusable_answers_leave_attention_as_it_is() -> None:
    """A document that needs a person goes on towards the end of its thirty days."""
    old = replace(NEW, status=DocumentStatus.NEEDS_ATTENTION, attention_since=NOW - timedelta(days=31))
    fault = judge(Fault(FaultKind.MALFORMED, "words"), old, NOW)

    assert judge_unusable(fault, old, NOW, since=NOW - timedelta(days=31), count=100) == fault
    assert fault.next_check_in is None


def test_unknown_state_is_named() -> None:
    """Somebody can look the word up."""
    assert "ALGO NUEVO" in (judge(answer("ALGO NUEVO"), NEW, NOW).advice or "")


# --- the back-off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(days=-3), timedelta(seconds=30)),
        (timedelta(0), timedelta(seconds=30)),
        (timedelta(minutes=12), timedelta(seconds=30)),
        (timedelta(minutes=24), timedelta(minutes=1)),
        (4 * HOUR, timedelta(minutes=10)),
        (24 * HOUR, HOUR),
        (timedelta(days=400), HOUR),
    ],
)
def test_back_off(age: timedelta, expected: timedelta) -> None:
    """A 24th of the age, from half a minute to an hour, give or take a tenth."""
    waits = [
        back_off(replace(NEW, access_key=f"{number:049d}", waiting_since=NOW - age), NOW).total_seconds()
        for number in range(500)
    ]
    least, most = expected.total_seconds() * 0.9, expected.total_seconds() * 1.1

    assert all(least <= wait <= most for wait in waits)
    assert all(BACK_OFF_LEAST.total_seconds() <= wait <= BACK_OFF_MOST.total_seconds() for wait in waits)
    assert max(waits) - min(waits) > expected.total_seconds() * 0.09
    assert len(set(waits)) > 490


def test_an_answer_is_known_in_time() -> None:
    """Whenever the SRI answers, it is known after at most half a minute and five in a hundred of the wait."""
    for number in range(50):
        history = replace(NEW, access_key=f"{number:049d}")
        now = NOW
        while now < NOW + timedelta(hours=24):
            wait = back_off(history, now)

            assert wait <= max(timedelta(seconds=33), 0.05 * (now - NOW))
            now += wait


def test_asks_of_one_document_in_a_day() -> None:
    """A document that takes the whole day costs the SRI some hundred asks, not thousands."""
    now, asks = NOW, 0
    while now < NOW + timedelta(hours=24):
        now += back_off(NEW, now)
        asks += 1

    assert 80 < asks < 200


def test_the_rules_numbers() -> None:
    """The numbers that a tax accountant would ask for."""
    assert (SRI_WINDOW, EMPTY_ANSWERS_LEAST) == (24 * HOUR, 5)


# --- over outside samples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "outcome", "reason"),
    [
        ("soap-autorizacion-AUTORIZADO-2019-escaped.xml", 200, Outcome.AUTHORIZED, "authorized"),
        ("soap-autorizacion-NO-AUTORIZADO-39.xml", 200, Outcome.REJECTED, "code_39"),
        ("soap-autorizacion-empty-0.xml", 200, Outcome.PENDING, "empty"),
        ("recorded-autorizacion-EN-PROCESO-2019.xml", 200, Outcome.PENDING, "in_process"),
        ("soap-fault-unmarshalling.xml", 500, Outcome.FAULT, "soap_client"),
        ("soap-recepcion-RECIBIDA.xml", 200, Outcome.PENDING, "received"),
        ("soap-recepcion-DEVUELTA-35.xml", 200, Outcome.FAULT, "other_key"),
        ("waf-request-rejected.html.txt", 200, Outcome.FAULT, "firewall"),
        ("waf-request-rejected.html.txt", 403, Outcome.FAULT, "firewall"),
    ],
)
def test_sample_answers(samples: Path, name: str, status: int, outcome: Outcome, reason: str) -> None:
    """Answers that were really given lead where they should."""
    body = (samples / "sri" / "samples" / name).read_bytes()
    given = parse_answer(body, http_status=status, content_type=None)
    key = (given.access_key if isinstance(given, Answer) else None) or KEY
    found = judge(given, replace(NEW, access_key=key), NOW)

    assert (found.outcome, found.reason) == (outcome, reason)


# --- the dangerous one, said once more -------------------------------------------------------------------------------


def test_authorized_only_with_proof() -> None:
    """In whatever company, an authorization counts if and only if something names our key and nothing another one."""
    names = (None, KEY, OTHER_KEY, "37", "")
    for turn, (state, number, inside, other, key) in enumerate(
        itertools.product(
            ("AUTORIZADO", " aut ", "EN PROCESO", "NO AUTORIZADO", "x"),
            names,
            names,
            (None, "EN PROCESO", "NO AUTORIZADO", "RECIBIDA", "ALGO NUEVO"),
            (None, KEY, OTHER_KEY),
        )
    ):
        one = Authorization(state, number=number, document_key=inside, document=b"<factura/>")
        nodes = (one,) if other is None else (Authorization(other), one)
        found = judge(said(*nodes[:: 1 if turn % 2 else -1], key=key), NEW, NOW)
        proven = KEY in (key, number, inside) and OTHER_KEY not in (key, number, inside)

        assert (found.outcome == Outcome.AUTHORIZED) == (state in ("AUTORIZADO", " aut ") and proven)
