"""Whatever the SRI, or whoever stands in between, answers: a verdict, and none that another document's answer gives."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from jobsync.sri.model import History, Outcome
from jobsync.sri.parse import parse_answer
from jobsync.sri.verdict import judge
from tests.sri.answers import KEY, OTHER_KEY, answer, authorization, document, envelope, message

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30).map(
    lambda text: text.replace("&", "").replace("<", "").replace("]]>", "")
)
_OTHERS = st.sampled_from([OTHER_KEY, KEY[:-1], KEY + "0", KEY[:48] + "7", "0" * 49, "", " ", None])
_STATES = st.one_of(
    st.sampled_from(["AUTORIZADO", "AUT", " autorizado ", "NO AUTORIZADO", "EN PROCESO", "RECHAZADA", "", None]), _WORDS
)
_INNER = st.one_of(
    _OTHERS.map(lambda key: f"<![CDATA[{document(key or '')}]]>"), _OTHERS.map(lambda key: document(key or "")), _WORDS
)
_MESSAGES = st.lists(
    st.builds(message, st.sampled_from(["43", "60", "70", "33", "x", ""]), text=_WORDS), max_size=3
).map("".join)


def _authorizations(keys: st.SearchStrategy[str | None], inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    dates = st.one_of(st.sampled_from(["2026-07-01T10:30:00-05:00", "01/07/2026 10:30:00", "", None]), _WORDS)
    return st.builds(
        authorization,
        _STATES,
        number=keys,
        date=dates,
        environment=st.one_of(st.sampled_from(["PRUEBAS", "PRODUCCIÓN", None]), _WORDS),
        inner=inner,
        messages=_MESSAGES,
    )


def _bodies(keys: st.SearchStrategy[str | None], inner: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    nodes = st.lists(_authorizations(keys, inner), max_size=3)
    declared = st.one_of(st.sampled_from(["0", "1", "2", "-1", "", None]), _WORDS)
    return st.builds(
        lambda found, key, number: envelope(answer(*found, key=key, declared=number)), nodes, keys, declared
    )


@st.composite
def _damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Return a body as it came, cut off, with a piece lost or doubled, or with bytes of somebody else in it."""
    body = draw(bodies)
    start, end = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
    pieces = [body, body[:end], body[:start] + body[end:], body[:end] + body[start:]]
    pieces.append(body[:start] + draw(st.binary(max_size=20)) + body[end:])
    return draw(st.sampled_from(pieces))


_STATUS = st.sampled_from([200, 202, 301, 403, 500, 503])
_TYPES = st.sampled_from(["text/xml; charset=utf-8", "text/html", "application/octet-stream", "", None])
_HISTORY = History(access_key=KEY, waiting_since=NOW)


@given(body=_damaged(_bodies(_OTHERS, _INNER)) | st.binary(max_size=200), status=_STATUS, kind=_TYPES)
def test_no_answer_without_our_key_authorizes(body: bytes, status: int, kind: str | None) -> None:
    """Not another document's, not one of no document, not a damaged one, not a page."""
    verdict = judge(parse_answer(body, http_status=status, content_type=kind), _HISTORY, NOW)

    assert verdict.outcome is not Outcome.AUTHORIZED


@given(
    body=_damaged(_bodies(_OTHERS | st.just(KEY), _INNER | st.just(f"<![CDATA[{document()}]]>"))),
    status=_STATUS,
    kind=_TYPES,
)
def test_any_answer_leads_to_a_verdict(body: bytes, status: int, kind: str | None) -> None:
    """Nothing raises, and what authorizes brings our document along."""
    verdict = judge(parse_answer(body, http_status=status, content_type=kind), _HISTORY, NOW)

    assert isinstance(verdict.outcome, Outcome)
    assert verdict.outcome is not Outcome.AUTHORIZED or KEY.encode() in body
