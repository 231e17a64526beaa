"""
What the SRI stand-in plays: when a document becomes authorized or refused, in which words, and when nobody answers.

It is the table `sri` of a scenario file (every key may be left out):

    [sri]
    latency_ms = 300                 # before every answer
    received_s = 0                   # from the first ask of a key: so long nothing is known of it (empty answers)
    in_process_s = [1, 5]            # then so long in process; two numbers: something between, by the key
    waiting = "in_process"           # or "empty", "code_70": what is said meanwhile
    outcome = "authorized"           # then: one of OUTCOMES
    documents = "submitted"          # a folder of documents; without it, and for other keys, one is invented
    unknown = "play"                 # or "empty": what is said of keys that are not in the folder

    [[sri.rules]]                    # the first that fits a key changes what is said above
    last = "7"                       # the key ends in; or keys = [...], ruc = "...", document_code = "04"
    outcome = "refused"
    codes = ["39"]
    oddities = ["several", "tree"]
    behaviour = {kind = "http_error", status = 503, times = 2}

    [[sri.outages]]                  # counted from the start; behaviour as above, without `times`
    from_s = 60
    to_s = 90
    behaviour = "html"

A behaviour is a word of BEHAVIOURS or a table of `kind` and parameters; `times` is counted by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jobsync.sandbox.scenario_file import ScenarioError, ScenarioTable

# behaviour -> the parameters that it takes beside `times` (only the first so many asks of a key)
BEHAVIOURS: Mapping[str, tuple[str, ...]] = {
    "normal": (),
    "html": ("status",),  # a firewall's page, with status 200 or another
    "http_error": ("status", "retry_after"),
    "soap_fault": ("code",),  # Client or Server
    "other_key": (),  # the answer for another document
    "empty": (),  # nothing to tell
    "garbage": (),
    "truncated": (),  # half of the body, then the connection is cut
    "slow": ("seconds",),  # waits before it answers
    "drip": ("bytes_per_second",),
    "drop": (),  # the connection is closed without an answer
}
OUTCOMES = ("authorized", "refused", "rejected", "returned", "in_process", "empty")
WAITING = ("in_process", "empty", "code_70")
ODDITIES = (
    *("several", "several_after", "notice"),  # refused attempts before or after the last word; a message beside it
    *("escaped", "tree", "byte_order_mark", "other_document", "no_document"),  # of the document inside
    *("lower_case", "qualified", "no_key", "no_number", "other_environment", "bare_environment"),
    *("no_date", "bad_date", "day_first_date", "local_date"),
)


@dataclass(frozen=True)
class SriBehaviour:
    """How an ask is answered; `kind` is one of BEHAVIOURS, `times` None means always."""

    kind: str = "normal"
    times: int | None = None
    status: int | None = None
    retry_after: str | None = None
    code: str = "Server"
    seconds: float = 30.0
    bytes_per_second: float = 20.0


SRI_NORMAL = SriBehaviour()


@dataclass(frozen=True)
class Play:
    """
    What becomes of a document.

    Args:
        received_s, in_process_s: from, to; the key decides where between.
        codes: of the messages of a refusal; empty: 39 for a refusal, 35 for a document that is returned.
    """

    outcome: str = "authorized"
    codes: tuple[str, ...] = ()
    received_s: tuple[float, float] = (0.0, 0.0)
    in_process_s: tuple[float, float] = (0.0, 0.0)
    waiting: str = "in_process"
    oddities: tuple[str, ...] = ()
    behaviour: SriBehaviour = SRI_NORMAL


@dataclass(frozen=True)
class SriRule:
    """What is played for the keys that fit; what is not given fits every key."""

    play: Play
    keys: frozenset[str] = frozenset()
    last: str = ""
    ruc: str = ""
    document_code: str = ""

    def fits(self, key: str) -> bool:
        """Whether the rule is for this key."""
        return (
            (not self.keys or key in self.keys)
            and key.endswith(self.last)
            and self.ruc in ("", key[10:23])
            and self.document_code in ("", key[8:10])
        )


@dataclass(frozen=True)
class Outage:
    """From when to when, in seconds from the start, everybody is answered in one way."""

    from_s: float
    to_s: float
    behaviour: SriBehaviour


@dataclass(frozen=True)
class SriScenario:
    """All that the SRI stand-in plays; `documents` is a folder, `unknown` "play" or "empty"."""

    play: Play = Play()
    rules: tuple[SriRule, ...] = ()
    outages: tuple[Outage, ...] = ()
    latency_ms: float = 0
    documents: Path | None = None
    unknown: str = "play"

    def play_for(self, key: str) -> tuple[int, Play]:
        """Return the number of the rule that fits a key (0: none) and what is played."""
        for number, rule in enumerate(self.rules, 1):
            if rule.fits(key):
                return number, rule.play
        return 0, self.play


def default_sri_scenario() -> SriScenario:
    """
    Everything is authorized after two to eight seconds in process, but for keys that end in 7 (refused with 39),
    6 (a refused attempt beside the authorization) and 9 (nothing is ever known of them).
    """
    play = Play(in_process_s=(2.0, 8.0))
    return SriScenario(
        play=play,
        rules=(
            SriRule(replace(play, outcome="refused", codes=("39",)), last="7"),
            SriRule(replace(play, oddities=("several",)), last="6"),
            SriRule(replace(play, outcome="empty"), last="9"),
        ),
    )


def read_sri_scenario(table: ScenarioTable) -> SriScenario:
    """
    Read the table `sri` of a scenario file.

    Raises:
        ScenarioError: the first mistake in it.
    """
    play = _read_play(table, Play())
    scenario = SriScenario(
        play=play,
        rules=tuple(_read_rule(each, play) for each in table.tables("rules")) if "rules" in table.values else (),
        outages=tuple(_read_outage(each) for each in table.tables("outages")) if "outages" in table.values else (),
        latency_ms=table.number("latency_ms", 0),
        documents=_read_folder(table),
        unknown=table.one_of("unknown", "play", ("play", "empty")),
    )
    table.done(*_PLAY_KEYS, "rules", "outages", "latency_ms", "documents", "unknown")
    return scenario


_PLAY_KEYS = ("outcome", "codes", "received_s", "in_process_s", "waiting", "oddities", "behaviour")


def _read_play(table: ScenarioTable, default: Play) -> Play:
    return Play(
        outcome=table.one_of("outcome", default.outcome, OUTCOMES),
        codes=table.texts("codes", default.codes),
        received_s=_read_span(table, "received_s", default.received_s),
        in_process_s=_read_span(table, "in_process_s", default.in_process_s),
        waiting=table.one_of("waiting", default.waiting, WAITING),
        oddities=table.texts("oddities", default.oddities, ODDITIES),
        behaviour=_read_behaviour(table, default.behaviour),
    )


def _read_span(table: ScenarioTable, key: str, default: tuple[float, float]) -> tuple[float, float]:
    value = table.values.get(key)
    if not isinstance(value, list):
        only = table.number(key, -1) if value is not None else None
        return default if only is None else (only, only)
    del table.values[key]
    numbers = [part for part in value if isinstance(part, int | float) and not isinstance(part, bool)]
    if len(value) != 2 or len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1] < 1e9:
        raise table.wrong(key, "a number of seconds, or two, the smaller first", value)
    return float(numbers[0]), float(numbers[1])


def _read_rule(table: ScenarioTable, default: Play) -> SriRule:
    keys = table.texts("keys", ())
    for key in keys:
        if len(key) != 49 or not key.isdigit():
            raise table.wrong("keys", "access keys of 49 digits", key)
    given = {name: table.text(name) for name in ("last", "ruc", "document_code") if name in table.values}
    for name, text in given.items():
        if not text.isdigit():
            raise table.wrong(name, "digits", text)
    rule = SriRule(
        play=_read_play(table, default),
        keys=frozenset(keys),
        last=given.get("last", ""),
        ruc=given.get("ruc", ""),
        document_code=given.get("document_code", ""),
    )
    table.done("keys", "last", "ruc", "document_code", *_PLAY_KEYS)
    return rule


def _read_outage(table: ScenarioTable) -> Outage:
    start = table.number("from_s", 0)
    end = table.number("to_s", 1e9 - 1)
    if end <= start:
        raise table.wrong("to_s", f"a number above from_s ({start:g})", end)
    outage = Outage(start, end, _read_behaviour(table, SriBehaviour("http_error")))
    if outage.behaviour.times is not None:
        raise table.wrong("behaviour", "a behaviour without times", outage.behaviour.times)
    table.done("from_s", "to_s", "behaviour")
    return outage


def _read_folder(table: ScenarioTable) -> Path | None:
    if "documents" not in table.values:
        return None
    name = table.text("documents")
    folder = table.path.parent / name
    if not folder.is_dir():
        raise table.wrong("documents", "a folder that is there", name)
    return folder


def _read_behaviour(table: ScenarioTable, default: SriBehaviour) -> SriBehaviour:
    value = table.values.pop("behaviour", None)
    if value is None:
        return default
    given = ScenarioTable(table.path, table.name("behaviour"), {"kind": value} if isinstance(value, str) else value)
    kind = given.one_of("kind", "", tuple(BEHAVIOURS))
    allowed = ("times", *BEHAVIOURS[kind]) if kind != "normal" else ()
    for key in given.values:
        if key not in allowed:
            takes = ", ".join(allowed) or "no parameters"
            raise ScenarioError(f"{table.path}: {given.name(key)}: unknown key, {kind} takes {takes}")
    if isinstance(given.values.get("retry_after"), int):
        given.values["retry_after"] = str(given.values["retry_after"])
    return SriBehaviour(
        kind=kind,
        times=given.whole("times", 1, least=1) if "times" in given.values else None,
        status=given.whole("status", 503, least=200, most=599) if "status" in given.values else None,
        retry_after=given.text("retry_after") if "retry_after" in given.values else None,
        code=given.one_of("code", "Server", ("Client", "Server")),
        seconds=given.number("seconds", SRI_NORMAL.seconds),
        bytes_per_second=given.number("bytes_per_second", SRI_NORMAL.bytes_per_second, above=0),
    )
