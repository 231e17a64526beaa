"""The closed list of causes, and that what it says to type can be typed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from jobsync.causes import BEFORE_TABLES, Cause, Kind
from jobsync.easycars.watch import CAUSES
from tests.tree import read_tree

GOLDENS = Path(__file__).parent / "goldens"
VALUES = {
    "ID": "4",
    "RUN": "3f2a91b0",
    "KEY": "1" * 49,
    "JOB": "stock-sync",
    "SETTING": "ride_delay_ms",
    "VALUE": "200",
}


def commands_in(remedy: str) -> list[str]:
    """Return what of a remedy is typed: from the program's name to a semicolon, a bracket or the end."""
    return re.findall(r"\bjobsync(?: [^;()]+?)?(?= \(|;|,? or:? |$)", re.sub(r"(/|jobsync-)\S*", "", remedy))


def problem_of(line: str) -> str | None:
    """Return why a line cannot be typed, None if it can."""
    _, *words = (VALUES.get(word, word) for word in shlex.split(line))
    command = read_tree()
    while command.commands:
        word = words.pop(0) if words else ""
        found = next((each for each in command.commands if each.name == word), None)
        if found is None:
            return None if word == "--version" else f"no command {word}"
        command = found
    options = {name: option for option in command.options for name in option.names}
    given = []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            given.append(word)
        elif word not in options:
            return f"no option {word}"
        elif options[word].value is not None and (not words or words.pop(0).startswith("--")):
            return f"{word} without a value"
    least = sum(1 for argument in command.arguments if argument.required)
    most = 99 if any(argument.repeats for argument in command.arguments) else len(command.arguments)
    return None if least <= len(given) <= most else f"{len(given)} arguments"


def test_every_cause_says_what_it_means_and_what_mends_it() -> None:
    """Once each, and no two the same."""
    meanings = [cause.meaning for cause in Cause]

    assert len(set(meanings)) == len(Cause)
    assert all(cause.remedy for cause in Cause)
    assert set(Kind) == {cause.kind for cause in Cause}


def test_what_is_looked_at_first_stands_first() -> None:
    """Configuration, then the server, then the tables."""
    assert (Cause.CONFIGURATION_WRONG, Cause.DATABASE_UNREACHABLE) == BEFORE_TABLES[:2]
    assert BEFORE_TABLES.index(Cause.DATABASE_LOGIN_REFUSED) < BEFORE_TABLES.index(Cause.SCHEMA_OLDER)


@pytest.mark.parametrize("cause", Cause)
def test_a_remedy_can_be_typed(cause: Cause) -> None:
    """Each command that it names is there, with these options and so many arguments."""
    assert [] == [why for line in commands_in(cause.remedy) if (why := problem_of(line))]


@pytest.mark.parametrize("cause", sorted({*CAUSES.values(), Cause.ITEM_FAILED, Cause.NO_SUCCESS}))
def test_what_only_a_sync_ends_has_it_as_its_last_step(cause: Cause) -> None:
    """Mended is not over: nothing else asks whether it is, before the next slot."""
    assert cause.do(ID=4).endswith("; then: jobsync stock-sync --dealership 4")


@pytest.mark.parametrize("line", ["jobsync free disk", "jobsync runs show", "jobsync doctor --loud", "jobsync locks x"])
def test_what_cannot_be_typed_is_found(line: str) -> None:
    """A command, an argument or an option that is not there."""
    [found] = commands_in(f"why: {line}; and so on")

    assert problem_of(found)


def test_most_remedies_are_commands() -> None:
    """The others are SQL, systemd's, or to be done elsewhere."""
    without = {cause for cause in Cause if not commands_in(cause.remedy)}
    sql, elsewhere = {Cause.DATABASE_NO_ROOM, Cause.DATABASE_LOCKED}, {Cause.DATABASE_STANDBY}
    systems = {Cause.UNIT_WATCHDOG, Cause.TIMER_SILENT, Cause.STORAGE_FULL, Cause.STORAGE_READ_ONLY}

    assert without == sql | elsewhere | systems


def advice_in(document: object) -> list[str]:
    """Return every next step of a document, however deep it stands."""
    if isinstance(document, list):
        return [what for each in document for what in advice_in(each)]
    if not isinstance(document, dict):
        return []
    own = [what for name, what in document.items() if name == "what_to_do" and what]
    return own + [what for each in document.values() for what in advice_in(each)]


@pytest.mark.parametrize("name", ["rows", "demo"])
@pytest.mark.parametrize("screen", ["health", "status"])
def test_what_a_screen_says_to_type_can_be_typed(name: str, screen: str) -> None:
    """Also where a problem, a job or a row words its own next step: no word of a sentence is an argument."""
    text = (GOLDENS / name / f"{screen}.json").read_text()
    told = advice_in(json.loads(re.sub(r"<run \d+>", "3f2a91b0", text)))

    assert told
    assert [] == [why for what in told for line in commands_in(what) if (why := problem_of(line))]
