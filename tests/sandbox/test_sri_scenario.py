"""The table `sri` of a scenario file: what it may say, and what is told about mistakes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobsync.sandbox.scenario import Scenario, ScenarioError, load_scenario
from jobsync.sandbox.sri_scenario import DEFAULT_SRI, Outage, SriBehaviour, SriRule
from tests.sandbox.test_scenario import documentation


def load(folder: Path, text: str) -> Scenario:
    """Write a file and read it."""
    path = folder / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def test_the_documented_example_loads(tmp_path: Path) -> None:
    """The file shown in docs/sandbox.md is one."""
    example = re.search(r"(    \[sri\].*?)\n\n[-A-Z]", documentation(), re.DOTALL)
    assert example
    (tmp_path / "submitted").mkdir()
    sri = load(tmp_path, example[1]).sri

    common: Any = {"received_s": 2, "in_process_s": [5, 60]}
    assert (sri.latency_ms, sri.unknown, sri.documents) == (300, "play", tmp_path / "submitted")
    assert (sri.received_s, sri.in_process_s, sri.outcome) == (2, [5, 60], "authorized")
    assert sri.rules == (
        SriRule(last="7", outcome="refused", codes=("39",), **common),
        SriRule(document_code="06", waiting="code_70", oddities=("several", "tree", "day_first_date"), **common),
        SriRule(last="3", behaviour=SriBehaviour("http_error", status=503, times=2), **common),
    )
    assert sri.outages == (Outage(120, 180, SriBehaviour("html")),)


def test_a_file_without_the_table_plays_the_default(tmp_path: Path) -> None:
    """Files from before there was an SRI play as they did, and an SRI that answers."""
    text = '[[clients]]\nclient_id = "c"\nclient_secret = "s"\n'
    text += '[[dealers]]\nname = "N"\naccount_number = "1"\naccount_secret = "a"\n'

    assert load(tmp_path, text).sri == DEFAULT_SRI


def test_a_file_with_the_table_alone_plays_the_default_dealers(tmp_path: Path) -> None:
    """Who tries out the SRI need not write down dealers."""
    loaded = load(tmp_path, "[sri]\nlatency_ms = 5\n")

    assert loaded.dealers == Scenario().dealers
    assert loaded.sri.latency_ms == 5


def test_rules_begin_with_what_holds_for_all(tmp_path: Path) -> None:
    """A rule changes only what it names."""
    rule = load(tmp_path, '[sri]\nin_process_s = 3\nwaiting = "empty"\n[[sri.rules]]\nruc = "17"\n').sri.rules[0]

    assert rule == SriRule(in_process_s=3, waiting="empty", ruc="17")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sri = 3", "sri: Expected `object`, got `int`"),
        ("[sri]\nlatency = 3", "sri: Object contains unknown field `latency`"),
        ("[sri]\nlatency_ms = -1", "sri.latency_ms: Expected `float` >= 0"),
        ('[sri]\noutcome = "lost"', "sri.outcome: Expected `str` matching regex '^(authorized|refused|"),
        (
            "[sri]\nin_process_s = [5, 1]",
            "sri: expected a number of seconds, or two, the smaller first, got [5.0, 1.0]",
        ),
        ("[sri]\nin_process_s = [1]", "sri.in_process_s: Expected `array` of length >= 2"),
        ('[sri]\nreceived_s = "1"', "sri.received_s: Expected `float | array`, got `str`"),
        ("[sri]\nreceived_s = [true, 2]", "sri.received_s[1]: Expected `float`, got `bool`"),
        ('[sri]\nwaiting = "tea"', "sri.waiting: Expected `str` matching regex '^(in_process|empty|code_70)$'"),
        ("[sri]\ncodes = [39]", "sri.codes[1]: Expected `str`, got `int`"),
        ('[sri]\noddities = ["odd"]', "sri.oddities[1]: Expected `str` matching regex '^(several|"),
        ('[sri]\ndocuments = "nowhere"', "sri.documents: expected a folder that is there, got 'nowhere'"),
        ('[sri]\nunknown = "x"', "sri.unknown: Expected `str` matching regex '^(play|empty)$'"),
        ('[sri]\nbehaviour = "x"', "sri.behaviour: kind: expected one of normal, empty, html"),
        (
            '[sri]\nbehaviour = {kind = "html", seconds = 3}',
            "sri.behaviour: seconds: unknown key, html takes times, st",
        ),
        ('[sri]\nbehaviour = {kind = "soap_fault", code = "x"}', "behaviour.code: Expected `str` matching regex '^(Cl"),
        ("[[sri.rules]]\ncolour = 1", "sri.rules[1]: Object contains unknown field `colour`"),
        ('[[sri.rules]]\nkeys = ["1"]', "sri.rules[1].keys[1]: Expected `str` matching regex '^[0-9]{49}$'"),
        ('[[sri.rules]]\nlast = "x"', "sri.rules[1].last: Expected `str` matching regex '^[0-9]+$'"),
        ("[[sri.outages]]\nfrom_s = 5\nto_s = 5", "sri.outages[1]: to_s: expected a number above from_s (5), got 5"),
        (
            '[[sri.outages]]\nbehaviour = {kind = "html", times = 2}',
            "sri.outages[1]: behaviour: expected one without ti",
        ),
    ],
)
def test_mistakes_are_named(text: str, message: str, tmp_path: Path) -> None:
    """The first mistake is told with its key and what was expected there."""
    with pytest.raises(ScenarioError, match=re.escape(message)):
        load(tmp_path, text)
