"""What a person expects of any command line: the same words everywhere, examples, spans, what only reads."""

# Expected stands before actual.

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from typer.main import get_command

from jobsync.cli.app import COMMANDS, app
from jobsync.cli.command import use_of
from jobsync.cli.main import line_to_type, only_reads
from jobsync.cli.output import cell, print_json
from jobsync.phrases import parse_span, parse_when
from tests.commands.support import Cli
from tests.tree import read_tree

LEAVES = [command.path[1:] for command in read_tree().walk() if not command.commands]
GROUPS = [command.path[1:] for command in read_tree().walk() if command.commands]


# --- help ------------------------------------------------------------------------------------------------------------


def test_every_help_has_an_example_that_is_that_command() -> None:
    """What is printed to be typed begins as the command does; a group has those of its commands."""
    leaves = [command for command in read_tree().walk() if not command.commands]
    wrong = [each.path for each in leaves if not f"{''.join(each.examples)} ".startswith(f"{' '.join(each.path)} ")]

    assert [] == wrong


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_example_can_be_typed(path: tuple[str, ...]) -> None:
    """Its options and arguments are those of the command."""
    command: Any = get_command(app)
    for word in path:
        command = command.commands[word]
    words = itertools.takewhile(lambda word: word not in ("|", "<", ">"), shlex.split(use_of(command).example))

    assert command.make_context(path[-1], list(words)[len(path) :]).params is not None


@pytest.mark.parametrize("path", [(), ("runs",), ("runs", "list"), ("stock-sync",), ("units", "uninstall")])
def test_short_help_is_the_long_one(lookup: Cli, path: Sequence[str]) -> None:
    """-h everywhere, with an example, none of its lines longer than 80 columns."""
    short, long = lookup(*path, "-h"), lookup(*path, "--help")

    assert (0, short.out) == (short.code, long.out)
    assert "Example" in long.out
    assert 80 >= max(len(line) for line in long.out.splitlines())


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "jobsync")
def test_a_group_without_a_command_shows_its_whole_help(lookup: Cli, path: Sequence[str]) -> None:
    """Line by line what --help prints, as a usage error."""
    shown, told = lookup(*path), lookup(*path, "--help")

    assert (2, told.out) == (shown.code, shown.err)


def test_root_lists_every_command_under_a_heading(lookup: Cli) -> None:
    """No command stands under the heading of those that somebody forgot."""
    out = lookup("-h").out

    assert [] == [name for name, place in COMMANDS.items() if not place.hidden and place.panel not in out]
    assert "More:" not in out


def test_a_complaint_has_an_end(lookup: Cli) -> None:
    """However long what was typed is, screen and document quote a part of it."""
    ran = lookup("runs", "list", "--json", f"--limit={'7' * 9000}x")

    assert 2 == ran.code
    assert "is not a whole number" in ran.err
    assert 2500 > max(len(ran.err), len(ran.out))


@pytest.mark.parametrize(
    "address", ["postgresql://reader:wombat-secret@db.example/shop", "host=db.example password=wombat-secret"]
)
def test_a_complaint_quotes_no_password(lookup: Cli, address: str) -> None:
    """Of an address that stands where none belongs, in either way to write one."""
    ran = lookup("status", "--json", address)

    assert 2 == ran.code
    assert "unexpected" in ran.err
    assert "wombat" not in ran.err + ran.out


def test_a_page_and_a_document_do_not_share_standard_output(lookup: Cli) -> None:
    """--json is one document, whatever else is asked for."""
    ran = lookup("report", "-o", "-", "--json")

    assert (2, 2) == (ran.code, ran.json["exit_code"])


def test_version_is_told_shortly(lookup: Cli) -> None:
    """-V and --version."""
    assert lookup("-V").out == lookup("--version").out
    assert lookup("-V").out.startswith("jobsync ")


@pytest.mark.parametrize(
    ("options", "level", "seen"),
    [
        ([], None, {"info"}),
        (["-q"], None, set()),
        (["-v"], None, {"info", "debug"}),
        (["-q"], "debug", set()),
        (["--verbose"], "error", {"info", "debug"}),
    ],
)
def test_less_and_more_log(cli: Cli, options: list[str], level: str | None, seen: set[str]) -> None:
    """-q and -v at the root, which win over JOBSYNC_LOG_LEVEL."""
    more = {"JOBSYNC_LOG_LEVEL": level} if level else {}
    said = cli(*options, "stock-sync", **more).err + cli(*options, "check-authorizations", "--scheduled", **more).err

    assert seen == {json.loads(line)["level"] for line in said.splitlines()} & {"info", "debug"}


def test_less_and_more_at_once_is_a_usage_error(lookup: Cli) -> None:
    """Nobody can have both."""
    assert 2 == lookup("-q", "-v", "status").code


# --- spans and instants ----------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "span"),
    [
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("2w", timedelta(weeks=2)),
        ("1d 6h", timedelta(days=1, hours=6)),
        ("1w2d3h4m5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        (" 90M ", timedelta(minutes=90)),
        ("0m", timedelta(0)),
        *(
            (words, None)
            for words in ("", " ", "h", "12", "1h1h", "30m1h", "1.5h", "-1h", "1 h", "1y", "٣h", "123456h")
        ),
    ],
)
def test_spans(words: str, span: timedelta | None) -> None:
    """Units from the largest to the smallest, each once, with or without blanks between."""
    assert span == parse_span(words)


@pytest.mark.parametrize(
    ("words", "past", "when"),
    [
        ("1h30m", True, NOW - timedelta(minutes=90)),
        ("1h30m", False, NOW + timedelta(minutes=90)),
        ("2026-12-24", True, datetime(2026, 12, 24, 5, tzinfo=UTC)),
        ("2026-12-24T18:00Z", False, datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("tomorrow", False, None),
    ],
)
def test_instants(words: str, past: bool, when: datetime | None) -> None:
    """A span counts back or forth; what names no offset is meant in the zone."""
    assert when == parse_when(words, now=NOW, zone="America/Guayaquil", past=past)


@pytest.mark.parametrize(
    "words",
    ["runs list --since x", "stock changes --since x", "dealership pause 1 --until x", "status --window x"],
)
def test_what_is_no_span_is_told_with_all_that_is(cli: Cli, words: str) -> None:
    """The option, and what it takes, compound spans included."""
    cli("dealership", "add", "Northside", "--timezone", "UTC")
    ran = cli(*words.split())

    assert (2, True, True) == (ran.code, words.split()[-2] in ran.err, "1h30m" in ran.err)


# --- root on a server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ("status", True),
        ("-v runs show 3f2a --json", True),
        ("removals list", True),
        ("health", True),
        ("health --act", False),
        ("metrics", True),
        ("metrics -o f", False),
        ("report --output=f", False),
        ("stock-sync --dry-run", False),
        ("settings set x list", False),
        ("invoice export KEY --to .", False),
        ("units diff", False),
        ("nonsense", False),
        ("--version", False),
        ("", False),
    ],
)
def test_what_only_reads(words: str, reads: bool) -> None:
    """Only such a command may be somebody else's: it changes nothing, and no file that it names becomes another's."""
    assert reads == only_reads(words.split())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["settings", "set", "k", "a b"], "settings set k 'a b'"),
        (["dealership", "add", "$(id)'; rm"], "dealership add '$(id)'\"'\"'; rm'"),
        (["adopt", "--from=postgresql://u:hidden@h/d"], "adopt …"),
        (["adopt", "--from", "host=h password=hidden"], "adopt --from …"),
        (["adopt", "--from", "postgresql://u@h/d?password=hidden"], "adopt --from …"),
        (["adopt", "--from", "postgresql:///old"], "adopt --from postgresql:///old"),
    ],
)
def test_line_to_type(arguments: list[str], line: str) -> None:
    """What was typed, quoted so that a shell reads it back; no secret is on it."""
    assert f"runuser -u jobsync -- jobsync {line}" == line_to_type("jobsync", arguments)


# --- what a name may hold --------------------------------------------------------------------------------------------

HOSTILE = "a\x1b[31m\x9b\u202eb\nc\u2066"


def test_names_of_a_document_cannot_act_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever writes to the database chooses the names in its documents, too."""
    assert ["a", "[31m", "b", "c=1", "in=(x", "y=2)"] == cell({HOSTILE: 1, "in": f"({'x'}\x9by=2)"}).split()
    print_json({HOSTILE: {HOSTILE + "\u061c": 1}})
    out = capsys.readouterr().out
    assert {"\n"} == {sign for sign in out if not sign.isprintable()}
    assert {HOSTILE: {HOSTILE + "\u061c": 1}} == json.loads(out)


def test_names_in_counts_and_details_are_shown_safely(cli: Cli, connection: psycopg.Connection[Any]) -> None:
    """`runs show` and `audit`."""
    document = json.dumps({HOSTILE: 1, "deep": {HOSTILE: [HOSTILE]}})
    connection.execute(
        "INSERT INTO job_runs (id, job, trigger, host, pid, version, status, counts)"
        " VALUES ('aaaaaaaa-0000-4000-8000-000000000000', 'stock-sync', 'timer', 'h', 1, '0', 'partial', %s)",
        [document],
    )
    connection.execute("INSERT INTO audit (actor, host, action, details) VALUES ('a', 'h', 'x', %s)", [document])

    for words in ("runs show aaaa", "audit"):
        out = cli(*words.split()).out
        assert {"\n"} == {sign for sign in out if not sign.isprintable()}
        assert "a [31m b c=1" in out
