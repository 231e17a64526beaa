"""
The business rule of authorization checks, pure: what an answer of the SRI means for the document that was asked for.

In the table, `X 39` is a state with a message code, `+` joins several authorizations of one answer from the earliest
to the latest, `nothing` is an answer without any; semicolons part answers that mean the same. Spellings in other case
count the same. `code_N` names the last code of the answer.

| the SRI says                                                | outcome         | reason        | asked again |
| ----------------------------------------------------------- | --------------- | ------------- | ----------- |
| AUTORIZADO; AUT; AUTORIZADO 60; AUTORIZADO 33               | authorized      | authorized    | no          |
| NO AUTORIZADO 39 + AUTORIZADO; EN PROCESO + AUTORIZADO      | authorized      | authorized    | no          |
| AUTORIZADO + NO AUTORIZADO 39                               | authorized      | authorized    | no          |
| EN PROCESO; EN PROCESAMIENTO; PPR; EN PROCESO 53            | pending         | in_process    | soon        |
| NO AUTORIZADO 39 + EN PROCESO                               | pending         | in_process    | soon        |
| nothing                                                     | pending         | empty         | soon        |
| nothing, 5 times in 24 hours                                | needs_attention | empty         | in 6 hours  |
| RECIBIDA                                                    | pending         | received      | soon        |
| NO AUTORIZADO; NO AUTORIZADO 60                             | rejected        | refused       | no          |
| NO AUTORIZADO 39; NAT 39; RECHAZADO 35; RECHAZADA 35        | rejected        | code_N        | no          |
| NO AUTORIZADO 45; NO AUTORIZADO 64; NO AUTORIZADO 82        | rejected        | code_N        | no          |
| NO AUTORIZADO 60 52; NO AUTORIZADO 70 39                    | rejected        | code_N        | no          |
| NO AUTORIZADO 39 + RECHAZADO 52                             | rejected        | code_N        | no          |
| NO AUTORIZADO 53; NO AUTORIZADO 9999; NO AUTORIZADO 2001    | rejected        | code_N        | no          |
| NO AUTORIZADO 53 39; DEVUELTA 35                            | rejected        | code_N        | no          |
| NO AUTORIZADO 069                                           | rejected        | code_69       | no          |
| NO AUTORIZADO 43; NO AUTORIZADO 50; NO AUTORIZADO 70        | pending         | code_N        | soon        |
| NO AUTORIZADO 60 70; NO AUTORIZADO 53 70                    | pending         | code_N        | soon        |
| NO AUTORIZADO 33; RECHAZADA 33; EN PROCESO 33; DEVUELTA 33  | pending         | code_N        | soon        |
| NO AUTORIZADO 33 39                                         | pending         | code_33       | soon        |
| RECHAZADA 99; RECHAZADA 0099 39                             | pending         | code_99       | soon        |
| DEVUELTA 43; DEVUELTA 45; DEVUELTA 70                       | pending         | code_N        | soon        |
| NO AUTORIZADO 2; NO AUTORIZADO 34; NO AUTORIZADO 80         | needs_attention | code_N        | in 6 hours  |
| NO AUTORIZADO 53 34; NO AUTORIZADO 39 63; DEVUELTA 28       | needs_attention | code_N        | in 6 hours  |
| ANULADO; PENDIENTE DE ANULAR                                | needs_attention | annulled      | in 6 hours  |
| AUTORIZADO + ANULADO; NO AUTORIZADO 39 + ANULADO            | needs_attention | annulled      | in 6 hours  |
| ALGO NUEVO; NO AUTORIZADO 39 + ALGO NUEVO                   | fault           | unknown_state | soon        |

A code decides what a refusal means only if it was read in the SRI's own table of these documents; another one leaves it
to the state. The exception is 33, which says that we ask too often: it says nothing about the document, and where it
stands the host is to be asked less (`too_often`).

A refusal that was already judged of an earlier submission (the same instant) does not count for the corrected document
that was sent since under the same key: `earlier_refusal`, pending, for as long as the SRI may take.

A fault says nothing about the document. So does what is said of another key: an authorization or a refusal counts only
if the answer, its number or the document inside names our key.

Source: docs/facts/sri.md, "States".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import blake2b

from jobsync.fiscal.access_key import ENVIRONMENTS, LENGTH
from jobsync.fiscal.document import issue_date
from jobsync.fiscal.states import ANNULLED, AUTHORIZED, normal_state
from jobsync.sri.catalogue import NO_DATA, TOO_OFTEN, CodeClass, explain
from jobsync.sri.model import (
    Answer,
    Authorization,
    DocumentStatus,
    Fault,
    FaultKind,
    History,
    Outcome,
    Verdict,
)
from jobsync.sri.reasons import WORDS

SRI_WINDOW = timedelta(hours=24)  # how long the SRI may take
EMPTY_ANSWERS_LEAST = 5
BACK_OFF_LEAST = timedelta(seconds=30)
BACK_OFF_MOST = timedelta(hours=1)
BACK_OFF_SHARE = 24  # of the age: what comes is known at most about a 24th later than it came
ATTENTION_EVERY = timedelta(hours=6)
ATTENTION_FOR = timedelta(days=30)
_JITTER = 0.1

_IN_PROCESS = frozenset({"EN PROCESO", "EN PROCESAMIENTO", "PPR"})
_REFUSED = frozenset({"NO AUTORIZADO", "NO AUTORIZADA", "NAT", "RECHAZADO", "RECHAZADA"})
_RECEIVED = "RECIBIDA"
_RETURNED = "DEVUELTA"
_DECIDED = AUTHORIZED | _REFUSED | {_RETURNED}
_NOT_YET = frozenset({"43", "50", "70"})
_NOT_YET_RETURNED = _NOT_YET | {"45"}
_NEEDS_SOMEBODY = frozenset({CodeClass.TENANT_MUST_ACT, CodeClass.OUR_BUG})
_KEY = re.compile(f"[0-9]{{{LENGTH}}}")
_ECUADOR = timezone(timedelta(hours=-5))
_CLOCKS_APART = timedelta(minutes=5)  # the SRI's and ours
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_REFUSED_SILENTLY = (
    "The SRI refused it without saying why. Look the key up in the SRI's portal, correct the document and send it again"
    " with the same key."
)
_SILENT = (
    "The SRI knows nothing of this key: submit the document again, with the same key. Look for line breaks inside its"
    " texts first: they can be the cause of such silence."
)


def judge(answer: Answer | Fault, history: History, now: datetime) -> Verdict:
    """Decide what one ask means for one document; `now` is the database's clock."""
    verdict = _judge(answer, history, now)
    return replace(verdict, next_check_in=_next_check(verdict, history, now))


def _judge(answer: Answer | Fault, history: History, now: datetime) -> Verdict:
    if isinstance(answer, Fault):
        return _fault(answer.kind, answer.text, history)
    verdict = _judge_answer(answer, history, now)
    if answer.mended:
        verdict = replace(verdict, warnings=(*verdict.warnings, "forbidden_characters"))
    # these are about us, whatever document stands beside them
    every = (answer.messages, *(one.messages for one in answer.authorizations))
    sanction = tuple(said for several in every for said in several if explain(said.code).code == TOO_OFTEN)
    if not sanction:
        return verdict
    if verdict.outcome is Outcome.AUTHORIZED:
        return replace(verdict, too_often=True)
    return replace(
        _nothing_said(Outcome.PENDING, f"code_{TOO_OFTEN}", history),
        advice=f"{explain(TOO_OFTEN).meaning} {explain(TOO_OFTEN).advice}",
        messages=verdict.messages or sanction,
        warnings=verdict.warnings,
        status_stays=history.status == DocumentStatus.NEEDS_ATTENTION,
        too_often=True,
    )


def _judge_answer(answer: Answer, history: History, now: datetime) -> Verdict:
    if answer.access_key is not None and answer.access_key != history.access_key:
        return _fault(FaultKind.OTHER_KEY, "the SRI answered about another access key than was asked for", history)
    said = [one for one in answer.authorizations if one != Authorization(state="")]
    if ours := [one for one in said if _may_be_ours(one, answer, history.access_key)]:
        return _judge_said(ours, history, now)
    if said:
        return _fault(FaultKind.OTHER_KEY, "what the SRI said does not name the document asked for", history)
    return _judge_empty(answer, history, now)


def _nothing_said(outcome: Outcome, reason: str, history: History) -> Verdict:
    """Nothing was said of the document: what is remembered of empty answers stays."""
    return Verdict(outcome, reason, empty_since=history.empty_since, empty_count=history.empty_count)


def _next_check(verdict: Verdict, history: History, now: datetime) -> timedelta | None:
    if verdict.outcome in (Outcome.AUTHORIZED, Outcome.REJECTED):
        return None
    attention = history.status == DocumentStatus.NEEDS_ATTENTION
    if verdict.outcome is not Outcome.NEEDS_ATTENTION and not (attention and verdict.status_stays):
        return back_off(history, now)
    since = (history.attention_since if attention else None) or now
    return ATTENTION_EVERY if now - since < ATTENTION_FOR else None


def back_off(history: History, now: datetime) -> timedelta:
    """
    Return how long to wait while nothing is decided: a 24th of the wait so far, 30 s to an hour, give or take 10 %.

    The jitter follows from the input, and is mirrored at both ends, so that it never leaves them.
    """
    least, most = BACK_OFF_LEAST.total_seconds(), BACK_OFF_MOST.total_seconds()
    age = (now - history.waiting_since).total_seconds()
    seconds = min(most, max(least, age / BACK_OFF_SHARE))
    seed = f"{history.access_key} {history.empty_count} {now.timestamp()}".encode()
    draw = int.from_bytes(blake2b(seed, digest_size=4).digest(), "big") / 2**32  # 0 to 1
    seconds *= 1 + _JITTER * (2 * draw - 1)
    seconds = max(seconds, 2 * least - seconds)
    return timedelta(seconds=min(seconds, 2 * most - seconds))


def _may_be_ours(one: Authorization, answer: Answer, access_key: str) -> bool:
    """Whether an authorization names our key, or names none and need not: what decides nothing needs no proof."""
    names = (one.number, one.document_key)
    if any(name != access_key and _KEY.fullmatch(name or "") for name in names):
        return False
    return access_key in (answer.access_key, *names) or normal_state(one.state) not in _DECIDED


def _judge_said(ours: Sequence[Authorization], history: History, now: datetime) -> Verdict:
    """Decide by what is said of our document: annulled wins over authorized, then in process, then refusals."""
    states = [(normal_state(one.state), one) for one in ours]
    if annulled := [one for state, one in states if state in ANNULLED]:
        advice = " ".join(WORDS["annulled"])
        return _said(Outcome.NEEDS_ATTENTION, "annulled", _latest(annulled), history, advice=advice)
    if authorized := [one for state, one in states if state in AUTHORIZED]:
        one = _latest(authorized)
        verdict = _said(Outcome.AUTHORIZED, "authorized", one, history)
        missing = ("no_document",) if one.document is None else ()
        odd = date_warnings(one.authorized_at, history.access_key, now)
        return replace(verdict, warnings=(*odd, *missing, *verdict.warnings))
    if waiting := [(state, one) for state, one in states if state in _IN_PROCESS or state == _RECEIVED]:
        state, one = waiting[-1]
        return _said(Outcome.PENDING, "received" if state == _RECEIVED else "in_process", one, history)
    if unknown := [one for state, one in states if state not in _DECIDED]:
        state, messages = unknown[-1].state[:60], unknown[-1].messages
        text = f"the SRI names a state that is not known here: {state!r}" if state else "no state is named"
        return replace(_fault(FaultKind.UNKNOWN_STATE, text, history), messages=messages)
    return _judge_refused(_latest(ours), history, now)


def _judge_refused(one: Authorization, history: History, now: datetime) -> Verdict:
    # the one that the submission before this got; after a day it is the SRI's last word
    known = one.authorized_at is not None and one.authorized_at == history.earlier_refusal_at
    if known and now - history.waiting_since < SRI_WINDOW:
        return _said(Outcome.PENDING, "earlier_refusal", one, history)
    told = [explain(message.code) for message in one.messages if message.code]
    if no_data := next((known for known in told if known.code == NO_DATA), None):
        return _said(Outcome.PENDING, f"code_{NO_DATA}", one, history, advice=no_data.advice)
    serious = [known for known in told if known.code_class != CodeClass.WARNING]
    serious = [known for known in serious if known.may_decide] or serious
    not_yet = _NOT_YET_RETURNED if normal_state(one.state) == _RETURNED else _NOT_YET
    if serious and all(known.code in not_yet for known in serious):
        return _said(Outcome.PENDING, f"code_{serious[0].code}", one, history, advice=serious[0].advice)
    if somebody := next((known for known in serious if known.code_class in _NEEDS_SOMEBODY), None):
        return _said(Outcome.NEEDS_ATTENTION, f"code_{somebody.code}", one, history, advice=somebody.advice)
    if final := next((known for known in serious if known.code not in not_yet), None):
        return _said(Outcome.REJECTED, f"code_{final.code}", one, history, advice=final.advice)
    return _said(Outcome.REJECTED, "refused", one, history, advice=_REFUSED_SILENTLY)


def date_warnings(authorized_at: datetime | None, access_key: str, now: datetime) -> tuple[str, ...]:
    """Return what is odd about an authorization's date, beside the key's day of issue; it is stored all the same."""
    if authorized_at is None:
        return ("date_unreadable",)
    before = authorized_at.astimezone(_ECUADOR).date() < (issue_date(None, access_key) or date.min)
    odd = {"date_before_issue": before, "date_in_future": authorized_at > now + _CLOCKS_APART}
    return tuple(name for name, is_so in odd.items() if is_so)


def _said(outcome: Outcome, reason: str, one: Authorization, history: History, *, advice: str | None = None) -> Verdict:
    """Return what an authorization decides; of another environment than the key's it is odd."""
    expected = ENVIRONMENTS.get(history.access_key[23:24])
    odd = ("environment_mismatch",) if one.environment not in (None, expected) else ()
    return Verdict(outcome, reason, advice, one, one.messages, warnings=odd)


def _judge_empty(answer: Answer, history: History, now: datetime) -> Verdict:
    """
    Nothing to tell: not processed yet, never received, or returned; the answer does not say which.

    Only the empty answers themselves tell how long the SRI has known nothing: an outage in between proves nothing. An
    answer that announces documents and holds none is one of them, with a warning: a person sees it after a day, while a
    fault would be tried for ever.
    """
    since = history.empty_since or now
    count = history.empty_count + 1
    lasting = now - since >= SRI_WINDOW and count >= EMPTY_ANSWERS_LEAST
    needs_attention = lasting or history.status == DocumentStatus.NEEDS_ATTENTION
    return Verdict(
        Outcome.NEEDS_ATTENTION if needs_attention else Outcome.PENDING,
        "empty",
        advice=_SILENT if needs_attention else None,
        empty_since=since,
        empty_count=count,
        messages=answer.messages,
        warnings=("announced_but_absent",) if answer.declared else (),
    )


def _fault(kind: FaultKind, text: str, history: History) -> Verdict:
    return replace(_nothing_said(Outcome.FAULT, kind.value, history), advice=text, status_stays=True)


def judge_unusable(verdict: Verdict, history: History, now: datetime, *, since: datetime, count: int) -> Verdict:
    """
    Decide what it means that complete answers go on saying nothing usable: `count` in a row `since` then.

    After a day, and five of them, it is no passing fault, and a person looks. `verdict` is of the latest.
    """
    if history.status == DocumentStatus.NEEDS_ATTENTION or now - since < SRI_WINDOW or count < EMPTY_ANSWERS_LEAST:
        return verdict
    verdict = replace(
        verdict,
        outcome=Outcome.NEEDS_ATTENTION,
        advice=f"The SRI has answered for a day, and nothing could be made of it: {verdict.advice}. Look at its answer"
        " (jobsync invoice show), or the document up in the SRI's portal.",
        status_stays=False,
    )
    return replace(verdict, next_check_in=_next_check(verdict, history, now))


def _latest(several: Iterable[Authorization]) -> Authorization:
    """Return the latest by date; of those without a date, or with the same, the last one named."""
    return max(enumerate(several), key=lambda pair: (pair[1].authorized_at or _EARLIEST, pair[0]))[1]
