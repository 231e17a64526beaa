"""The table of message codes."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from jobsync.fiscal.access_key import KeyProblem
from jobsync.sri import verdict
from jobsync.sri.catalogue import CODES, CodeClass, explain
from jobsync.sri.model import DocumentStatus, FaultKind, Outcome
from jobsync.sri.reasons import WORDS
from tests.commands.support import Cli
from tests.tree import read_tree

CERTAIN = (
    "2 10 26 27 28 34 35 36 37 39 40 42 43 45 46 47 48 49 50 52 56 57 58 59 60 62 63 64 65 67 68 69 70 80 82 92 99"
)


OLD_TABLE = "33 53 66 71 72 74 75 77"


def test_every_documented_code_is_there() -> None:
    """No code of the facts is missing, and none is invented; what only the old table has is not certain."""
    assert set(CERTAIN.split()) == {code for code, entry in CODES.items() if entry.certain}
    assert set(OLD_TABLE.split()) == {code for code, entry in CODES.items() if not entry.certain}


@pytest.mark.parametrize("code", CODES)
def test_entries_are_sentences(code: str) -> None:
    """Meaning and advice are whole sentences of our own; every class has its words."""
    entry = CODES[code]

    assert re.fullmatch(r"(jobsync asks|[A-Z]).*\.", entry.meaning)
    assert re.fullmatch(r"[A-Z].*\.", entry.advice)
    assert entry.source
    assert entry.stage
    assert entry.who
    assert entry.code_class.words


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ("33 70", CodeClass.PENDING),
        ("43 45 99", CodeClass.QUERY),
        ("50", CodeClass.RETRY),
        ("26 35 36 52 58 64 67 69 82 92", CodeClass.REBUILD),
        ("39 40 42", CodeClass.RESIGN),
        ("2 10 27 28 34 37 46 56 57 63", CodeClass.TENANT_MUST_ACT),
        ("47 48 49 80", CodeClass.OUR_BUG),
        ("65", CodeClass.HUMAN),
        ("53 66 71 72 74 75 77", CodeClass.STATE_DECIDES),
        ("2000 2001 3006 4500 5001 6007 7000", CodeClass.OTHER_SERVICE),
        ("59 60 62 68", CodeClass.WARNING),
    ],
)
def test_classes(codes: str, expected: CodeClass) -> None:
    """The class decides what becomes of a document; a change here is a change of the rule."""
    assert {explain(code).code_class for code in codes.split()} == {expected}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("64", "supporting document"),
        ("34", "kind of document"),
        ("27", "electronic documents at all"),
        ("42", "not renewed"),
        ("40", "X.509"),
        ("57", "day of issue"),
        ("59", "does not exist"),
        ("62", "wrong in itself"),
        ("68", "as an electronic one"),
        ("69", "CONSUMIDOR FINAL"),
        ("10", "ends by itself"),
        ("56", "not end by itself"),
        ("46", "Look at both"),
        ("39", "same document again as it is"),
        ("82", "start of the transport"),
        ("92", "refund"),
        ("99", "not even where RECHAZADA stands"),
        ("33", "asks the SRI too often"),
        ("2001", "another service"),
    ],
)
def test_what_the_sri_means(code: str, words: str) -> None:
    """The table says what the SRI's own says."""
    entry = explain(code)

    assert words in f"{entry.meaning} {entry.advice}"


@pytest.mark.parametrize("code", ["43", " 43 ", "043", "0043"])
def test_spellings_of_one_code(code: str) -> None:
    """Blanks and leading zeros do not matter."""
    assert explain(code).code == "43"


@pytest.mark.parametrize("code", ["1", "1999", "7001", "20000", "", "ERR-1", "999999999999", "²"])
def test_unknown_codes_are_called_so(code: str) -> None:
    """A code that is not in the table is not explained away."""
    entry = explain(code)

    assert (entry.known, entry.code_class, entry.source) == (False, CodeClass.HUMAN, "none")


def test_explain_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints meaning, class and advice, without any database."""
    ran = Cli({}, capsys)("sri", "explain", "70")

    assert ran.code == 0
    assert "still working on this access key" in ran.out
    assert "pending" in ran.out


def test_explain_command_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The machine's form has the same."""
    ran = Cli({}, capsys)("sri", "explain", "039", "--json")

    assert (ran.code, ran.json["code"], ran.json["class"], ran.json["known"]) == (0, "39", "resign", True)


@pytest.mark.parametrize("code", ["33", "053", "code_77"])
def test_explain_command_marks_what_is_not_confirmed(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A code that only an old table has is explained, and said to be not confirmed."""
    person = Cli({}, capsys)("sri", "explain", code)
    program = Cli({}, capsys)("sri", "explain", code, "--json")

    assert "(not confirmed)" in person.out
    assert (program.json["known"], program.json["certain"]) == (True, False)


def test_explain_command_names_another_service(capsys: pytest.CaptureFixture[str]) -> None:
    """2000 to 7000 are no codes of documents."""
    ran = Cli({}, capsys)("sri", "explain", "2001", "--json")

    assert (ran.json["stage"], ran.json["class"]) == ("another service", "other_service")


def test_explain_command_for_an_unknown_code(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown code has general advice and says that it is unknown."""
    ran = Cli({}, capsys)("sri", "explain", "1234")

    assert ran.code == 0
    assert "not in our table" in ran.out


@pytest.mark.parametrize("text", ["", "abc", "4 3", "123456", "٤٣"])
def test_explain_command_for_no_code(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no code is a wrong command line."""
    ran = Cli({}, capsys)("sri", "explain", text, "--json")

    assert ran.code == 2
    assert json.loads(ran.out)["exit_code"] == 2


# --- our own words ---------------------------------------------------------------------------------------------------


def every_word() -> set[str]:
    """Return each state and reason that lists and stories can show beside a document."""
    table = re.findall(r"^\| [^|]+ \| (\w+) +\| (\w+) +\| [^|]+ \|$", verdict.__doc__ or "", re.MULTILINE)
    reasons = {reason for _, reason in table if reason != "reason" and not reason.startswith("code_")}
    warnings = {"date_before_issue", "date_in_future", "forbidden_characters"}
    return {*reasons, *get_args(KeyProblem), *warnings, *DocumentStatus, *Outcome, *FaultKind}


def test_every_word_is_explained() -> None:
    """Whoever sees a word can ask for it."""
    assert len(every_word()) > 30
    assert {str(word) for word in every_word()} - WORDS.keys() == set()


@pytest.mark.parametrize("text", ["empty", " In_Process ", "needs_attention", "not_authorized", "date_unreadable"])
def test_explain_command_for_a_word(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Meaning and what to do, for people and programs, without any database."""
    person = Cli({}, capsys)("sri", "explain", text)
    program = Cli({}, capsys)("sri", "explain", text, "--json")

    word = WORDS[text.strip().lower()]
    assert (person.code, program.code, program.json["known"]) == (0, 0, True)
    assert word.meaning in person.out
    assert word.advice in person.out
    assert (word.meaning, word.advice, "jobsync") == tuple(
        program.json[name] for name in ("meaning", "advice", "stage")
    )


def test_words_name_commands_that_exist() -> None:
    """What a word tells to type can be typed."""
    known = {" ".join(command.path) for command in read_tree().walk() if not command.commands}
    told = {found for word in WORDS.values() for found in re.findall(r"jobsync [a-z-]+(?: [a-z]+\b)?", word.advice)}

    assert {words for words in told if words not in known and words.rpartition(" ")[0] not in known} == set()


@pytest.mark.parametrize("code", ["33", " 033 ", "33.0", "33,00", "+33", "３３", "0" * 20 + "33"])
def test_codes_are_numbers_however_written(code: str) -> None:
    """Zeros, signs and blanks around a number change nothing."""
    assert explain(code).code == "33"


def test_code_of_any_length_is_shown_short() -> None:
    """What is no code of the SRI cannot fill a screen or a row."""
    assert len(explain("3" * 5000).code) <= 40
