"""What the SRI stand-in plays, the table `sri` of a scenario file; `times` of a behaviour is counted by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from jobsync.sandbox import stand_in
from jobsync.sandbox.stand_in import Seconds, Text, words

OUTCOMES = ("authorized", "refused", "rejected", "returned", "in_process", "empty")
WAITING = ("in_process", "empty", "code_70")
ODDITIES = (
    *("several", "several_after", "notice"),  # refused attempts before or after the last word; a message beside it
    *("escaped", "tree", "byte_order_mark", "other_document", "no_document"),  # of the document inside
    *("lower_case", "qualified", "no_key", "no_number", "other_environment", "bare_environment"),
    *("no_date", "bad_date", "day_first_date", "local_date"),
)
_Digits = Annotated[str, Meta(pattern="^[0-9]+$")]
_Key = Annotated[str, Meta(pattern="^[0-9]{49}$")]
_Span = Seconds | Annotated[list[Seconds], Meta(min_length=2, max_length=2)]


class SriBehaviour(stand_in.Behaviour, frozen=True):
    """What the SRI can do beside; `code` is that of a SOAP fault."""

    code: Annotated[str, words(("Client", "Server"))] = "Server"

    KINDS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **stand_in.Behaviour.KINDS,
        "soap_fault": ("code",),
        "other_key": (),  # the answer for another document
        "drop": (),  # the connection is closed without an answer
    }


class Play(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What becomes of a document.

    `received_s` and `in_process_s` are seconds, or from and to, and the key decides where between. `codes` are those of
    a refusal's messages; empty: 39 for a refusal, 35 for a document that is returned.
    """

    outcome: Annotated[str, words(OUTCOMES)] = "authorized"
    codes: tuple[Text, ...] = ()
    received_s: _Span = 0.0
    in_process_s: _Span = 0.0
    waiting: Annotated[str, words(WAITING)] = "in_process"
    oddities: tuple[Annotated[str, words(ODDITIES)], ...] = ()
    behaviour: SriBehaviour = SriBehaviour()

    def __post_init__(self) -> None:
        for span in (self.received_s, self.in_process_s):
            if isinstance(span, list) and span != sorted(span):
                raise ValueError(f"expected a number of seconds, or two, the smaller first, got {span}")


class SriRule(Play, frozen=True):
    """What is played for the keys that fit; what is not given fits every key."""

    keys: tuple[_Key, ...] = ()
    last: _Digits = ""
    ruc: _Digits = ""
    document_code: _Digits = ""

    def fits(self, key: str) -> bool:
        return (
            (not self.keys or key in self.keys)
            and key.endswith(self.last)
            and self.ruc in ("", key[10:23])
            and self.document_code in ("", key[8:10])
        )


class Outage(Struct, frozen=True, forbid_unknown_fields=True):
    """From when to when, in seconds from the start, everybody is answered in one way."""

    from_s: Seconds = 0.0
    to_s: Seconds = 1e9 - 1
    behaviour: SriBehaviour = SriBehaviour("http_error")

    def __post_init__(self) -> None:
        if self.to_s <= self.from_s:
            raise ValueError(f"to_s: expected a number above from_s ({self.from_s:g}), got {self.to_s:g}")
        if self.behaviour.times is not None:
            raise ValueError("behaviour: expected one without times")


class SriScenario(Play, frozen=True):
    """All that the SRI stand-in plays; `documents` is a folder, `unknown` "play" or "empty"."""

    rules: tuple[SriRule, ...] = ()
    outages: tuple[Outage, ...] = ()
    latency_ms: Seconds = 0.0
    documents: Path | None = None
    unknown: Annotated[str, words(("play", "empty"))] = "play"

    def play_for(self, key: str) -> tuple[int, Play]:
        """Return the number of the rule that fits a key (0: none) and what is played."""
        fitting = (place for place in enumerate(self.rules, 1) if place[1].fits(key))
        return next(fitting, (0, self))


# Everything is authorized after two to eight seconds in process, but for keys that end in 7 (refused with 39), 6 (a
# refused attempt beside the authorization) and 9 (nothing is ever known of them).
DEFAULT_SRI = SriScenario(
    in_process_s=[2.0, 8.0],
    rules=(
        SriRule(in_process_s=[2.0, 8.0], outcome="refused", codes=("39",), last="7"),
        SriRule(in_process_s=[2.0, 8.0], oddities=("several",), last="6"),
        SriRule(in_process_s=[2.0, 8.0], outcome="empty", last="9"),
    ),
)
