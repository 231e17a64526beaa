"""The stand-in against what reads the real service: each thing that it can play leads to the verdict that it should."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobsync.sandbox.documents import Invented, invent_document, invent_documents, make_key, write_documents
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import Scenario
from jobsync.sandbox.serve import SRI_PATH, BothVendors, serve
from jobsync.sandbox.sri import SriSandbox
from jobsync.sandbox.sri_scenario import ODDITIES, Outage, SriBehaviour, SriRule, SriScenario
from jobsync.sandbox.stand_in import ConnectionDropped
from jobsync.sri.client import HEADERS, PATH, build_authorization_request
from jobsync.sri.model import Answer, Fault, FaultKind, History, Outcome, Verdict
from jobsync.sri.parse import parse_answer
from jobsync.sri.verdict import judge

RUC = "1799999990001"
KEY = make_key(date(2026, 7, 1), "01", RUC, 123)
START = datetime(2026, 7, 1, 15, 0, tzinfo=UTC).timestamp()


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Sandbox:
    """A stand-in in this process, asked by our own words and read by our own eyes."""

    def __init__(self, scenario: SriScenario) -> None:
        self.clock = Clock()
        self.slept: list[float] = []
        self.app = SriSandbox(scenario, now=self.clock, sleep=self.slept.append)

    def post(self, body: bytes, *, path: str = PATH, headers: Mapping[str, str] = HEADERS) -> tuple[int, str, bytes]:
        """Send a body and return status, content type and what came."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": headers["Content-Type"],
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        started: list[Any] = []
        chunks: Any = self.app(environ, lambda *given: started.append(given))  # type: ignore[arg-type]
        raw = b"".join(chunks)
        chunks.close()
        return int(started[0][0].split()[0]), dict(started[0][1])["Content-Type"], raw

    def ask(self, key: str = KEY) -> Answer | Fault:
        """Ask about a document."""
        status, kind, body = self.post(build_authorization_request(key))
        return parse_answer(body, http_status=status, content_type=kind)

    def verdict(self, key: str = KEY) -> Verdict:
        """Ask, and judge what is said."""
        now = datetime.fromtimestamp(self.clock.now, UTC)
        return judge(self.ask(key), History(access_key=key, waiting_since=now), now)


def playing(**play: Any) -> Sandbox:
    """A stand-in that plays one thing for every key."""
    return Sandbox(SriScenario(**play))


# --- from received to the last word ----------------------------------------------------------------------------------


def test_a_document_ripens() -> None:
    """Nothing is known first, then it is in process, then authorized, and it stays so."""
    sandbox = playing(received_s=10, in_process_s=20)
    reasons = []
    for _ in range(8):
        reasons.append(sandbox.verdict().reason)
        sandbox.clock.now += 5

    assert reasons == [
        "empty",
        "empty",
        "in_process",
        "in_process",
        "in_process",
        "in_process",
        "authorized",
        "authorized",
    ]


def test_authorization_tells_the_hour_and_the_document() -> None:
    """The answer carries the key, the hour when it was decided, and a document of that key."""
    sandbox = playing(in_process_s=20)
    sandbox.ask()
    sandbox.clock.now += 1000
    found = sandbox.verdict()

    assert found.authorization is not None
    assert (found.outcome, found.warnings) == (Outcome.AUTHORIZED, ())
    assert found.authorization.authorized_at == datetime.fromtimestamp(START + 20, UTC)
    assert (found.authorization.number, found.authorization.document_key) == (KEY, KEY)
    assert found.authorization.document == invent_document(KEY)


def test_documents_from_a_folder(tmp_path: Path) -> None:
    """What lies in the folder is what the answer carries, also if it was put there later."""
    sandbox = Sandbox(SriScenario(documents=tmp_path, unknown="empty"))
    assert sandbox.verdict().reason == "empty"
    raw = invent_document(KEY, lines=3, extras=["long"])
    write_documents(tmp_path, [Invented(KEY, raw)])
    found = sandbox.verdict().authorization

    assert found is not None
    assert found.document == raw


def test_delays_differ_by_key_and_stay() -> None:
    """Between two numbers the key decides."""
    sandbox = playing(in_process_s=[1, 100])
    keys = [make_key(date(2026, 7, 1), "01", RUC, number) for number in range(50)]
    authorized = []
    for after in (0, 0.9, 50, 50, 101):
        sandbox.clock.now = START + after
        authorized.append([key for key in keys if sandbox.verdict(key).reason == "authorized"])

    assert authorized[0] == authorized[1] == []
    assert 5 < len(authorized[2]) < 45
    assert authorized[2] == authorized[3]
    assert authorized[4] == keys


@pytest.mark.parametrize(
    ("play", "outcome", "reason"),
    [
        ({}, Outcome.AUTHORIZED, "authorized"),
        ({"outcome": "refused"}, Outcome.REJECTED, "code_39"),
        ({"outcome": "refused", "codes": ("52", "60")}, Outcome.REJECTED, "code_52"),
        ({"outcome": "rejected", "codes": ("35",)}, Outcome.REJECTED, "code_35"),
        ({"outcome": "refused", "codes": ("70",)}, Outcome.PENDING, "code_70"),
        ({"outcome": "refused", "codes": ("2",)}, Outcome.NEEDS_ATTENTION, "code_2"),
        ({"outcome": "returned"}, Outcome.REJECTED, "code_35"),
        ({"outcome": "returned", "codes": ("43",)}, Outcome.PENDING, "code_43"),
        ({"outcome": "in_process"}, Outcome.PENDING, "in_process"),
        ({"outcome": "empty"}, Outcome.PENDING, "empty"),
        ({"in_process_s": 9, "waiting": "code_70"}, Outcome.PENDING, "code_70"),
        ({"in_process_s": 9, "waiting": "empty"}, Outcome.PENDING, "empty"),
        ({"in_process_s": 9}, Outcome.PENDING, "in_process"),
        ({"outcome": "refused", "oddities": ("several",)}, Outcome.REJECTED, "code_39"),
    ],
)
def test_outcomes(play: dict[str, Any], outcome: Outcome, reason: str) -> None:
    """Every outcome is understood."""
    found = playing(**play).verdict()

    assert (found.outcome, found.reason) == (outcome, reason)


@pytest.mark.parametrize("code", ["01", "03", "04", "05", "06", "07"])
@pytest.mark.parametrize("environment", ["1", "2"])
def test_every_kind_is_answered(code: str, environment: str) -> None:
    """A key of any kind, never heard of before, has an answer with a document of that key."""
    key = make_key(date(2026, 7, 1), code, RUC, 5, environment=environment)
    found = playing(oddities=("notice",)).verdict(key)

    assert (found.outcome, found.warnings) == (Outcome.AUTHORIZED, ())
    assert found.codes == (["60", "62"] if environment == "1" else ["62"])
    assert found.authorization is not None
    assert found.authorization.document_key == key


# --- oddities --------------------------------------------------------------------------------------------------------

_WARNED = {
    "no_document": ("no_document",),
    "no_date": ("date_unreadable",),
    "bad_date": ("date_unreadable",),
    "other_environment": ("environment_mismatch",),
}


@pytest.mark.parametrize("oddity", [word for word in ODDITIES if word != "other_document"])
def test_oddities_do_not_hide_an_authorization(oddity: str) -> None:
    """However it is said, authorized is authorized; what is odd about it is a warning."""
    found = playing(oddities=(oddity,)).verdict()

    assert (found.outcome, found.warnings) == (Outcome.AUTHORIZED, _WARNED.get(oddity, ()))
    assert found.authorization is not None
    if oddity not in ("no_date", "bad_date"):
        assert found.authorization.authorized_at == datetime.fromtimestamp(START, UTC)
    if oddity in ("escaped", "byte_order_mark"):
        assert found.authorization.document == invent_document(KEY)


def test_a_document_of_another_key_is_not_ours() -> None:
    """An authorization around somebody else's document is refused."""
    assert playing(oddities=("other_document",)).verdict().reason == "other_key"


def test_all_oddities_together() -> None:
    """They can be played at once, in every order of the words."""
    words = tuple(word for word in ODDITIES if word not in ("no_document", "other_document", "tree", "no_key"))

    assert playing(oddities=words).verdict().outcome == Outcome.AUTHORIZED


# --- when nobody answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (SriBehaviour("html"), FaultKind.FIREWALL),
        (SriBehaviour("html", status=403), FaultKind.FIREWALL),
        (SriBehaviour("http_error"), FaultKind.HTTP_STATUS),
        (SriBehaviour("http_error", status=404), FaultKind.HTTP_STATUS),
        (SriBehaviour("soap_fault"), FaultKind.SOAP_SERVER),
        (SriBehaviour("soap_fault", code="Client"), FaultKind.SOAP_CLIENT),
        (SriBehaviour("garbage"), FaultKind.UNREADABLE),
        (SriBehaviour("truncated"), FaultKind.BROKEN),
    ],
)
def test_behaviours(behaviour: SriBehaviour, expected: FaultKind) -> None:
    """What comes instead of an answer is a fault of its kind."""
    found = playing(behaviour=behaviour).ask()

    assert isinstance(found, Fault)
    assert found.kind == expected


def test_answers_about_another_key() -> None:
    """The answer for another document says nothing of ours."""
    assert playing(behaviour=SriBehaviour("other_key")).verdict().reason == "other_key"


def test_empty_behaviour() -> None:
    """For a while nothing is told, whatever is known."""
    sandbox = playing(behaviour=SriBehaviour("empty", times=2))

    assert [sandbox.verdict().reason for _ in range(3)] == ["empty", "empty", "authorized"]


def test_drop() -> None:
    """The connection ends without an answer."""
    sandbox = playing(behaviour=SriBehaviour("drop", times=1))
    with pytest.raises(ConnectionDropped):
        sandbox.ask()

    assert sandbox.verdict().reason == "authorized"
    assert sandbox.app.in_flight_max == 1


def test_times_are_counted_by_key() -> None:
    """Each key has its own turns."""
    sandbox = playing(behaviour=SriBehaviour("http_error", times=1))
    other = make_key(date(2026, 7, 1), "01", RUC, 124)

    assert [sandbox.verdict(key).reason for key in (KEY, other, KEY, other)] == [
        "http_status",
        "http_status",
        "authorized",
        "authorized",
    ]


def test_slow_drip_and_latency_wait() -> None:
    """Waits go through the function that was handed in."""
    Sandbox(SriScenario(latency_ms=300)).ask()
    sandbox = Sandbox(SriScenario(latency_ms=300, behaviour=SriBehaviour("slow", seconds=7)))
    sandbox.ask()
    dripping = playing(behaviour=SriBehaviour("drip", bytes_per_second=500))
    dripping.ask()

    assert sandbox.slept == [0.3, 7]
    assert len(dripping.slept) > 10
    assert set(dripping.slept) == {0.2}


def test_outage_from_to() -> None:
    """In its window everybody is answered in one way; documents ripen meanwhile."""
    scenario = SriScenario(outages=(Outage(10, 20, SriBehaviour("html")), Outage(30, 40, SriBehaviour("http_error"))))
    sandbox = Sandbox(scenario)
    reasons = []
    for _ in range(5):
        reasons.append(sandbox.verdict().reason)
        sandbox.clock.now += 10

    assert reasons == ["authorized", "firewall", "authorized", "http_status", "authorized"]


def test_outage_by_hand() -> None:
    """The control address begins and ends an outage, and tells the state."""
    sandbox = playing()
    control = SRI_PATH + "__control"
    said = [sandbox.post(body, path=control)[0] for body in (b'{"outage": "http_error"}', b'{"outage": "rain"}', b"x")]
    during = sandbox.verdict().reason
    status, _, _ = sandbox.post(b'{"outage": null}', path=control)

    assert said == [200, 400, 400]
    assert (during, status, sandbox.verdict().reason) == ("http_status", 200, "authorized")


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"keys": (KEY,)}, True),
        ({"keys": (KEY[:-1] + "0",)}, False),
        ({"last": KEY[-2:]}, True),
        ({"last": "x"}, False),
        ({"ruc": RUC}, True),
        ({"ruc": "1799999982001"}, False),
        ({"document_code": "01"}, True),
        ({"document_code": "04"}, False),
        ({"ruc": RUC, "document_code": "04"}, False),
        ({}, True),
    ],
)
def test_rules(rule: dict[str, Any], *, fits: bool) -> None:
    """A rule is for the keys that fit all that it names; the first that fits counts."""
    first = SriRule(outcome="refused", **rule)
    sandbox = Sandbox(SriScenario(rules=(first, SriRule(outcome="in_process"))))

    assert sandbox.verdict().reason == ("code_39" if fits else "in_process")


# --- what is no question ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:0],
        lambda body: b"hola" + body,
        lambda body: body[:-10],
        lambda body: body.replace(b"ec.gob.sri.ws.autorizacion", b"example.invalid"),
        lambda body: body.replace(b"soapenv:Body", b"soapenv:Head"),
        lambda body: body.replace(b"schemas.xmlsoap.org/soap/envelope", b"www.w3.org/2003/05/soap-envelope"),
        lambda body: body.replace(b"autorizacionComprobante>", b"validarComprobante>"),
    ],
)
def test_wrong_envelopes_are_faults(change: Callable[[bytes], bytes]) -> None:
    """What is not the WSDL's envelope is blamed on us."""
    status, kind, body = playing().post(change(build_authorization_request(KEY)))
    found = parse_answer(body, http_status=status, content_type=kind)

    assert isinstance(found, Fault)
    assert (found.kind, status) == (FaultKind.SOAP_CLIENT, 500)


def test_the_parameter_stands_in_no_namespace() -> None:
    """A key in the service's namespace is none, as the WSDL says."""
    body = build_authorization_request(KEY).replace(b"claveAccesoComprobante>", b"ec:claveAccesoComprobante>")
    _, _, said = playing().post(body)

    assert b"<identificador>80</identificador>" in said


@pytest.mark.parametrize("key", ["1", "123", "9" * 48, "9" * 50])
def test_keys_of_the_wrong_length(key: str) -> None:
    """Message 80, and nothing else, for what is no key."""
    assert playing().verdict(key).reason in ("code_80", "other_key")


def test_a_wrong_check_digit_is_known_to_nobody() -> None:
    """A key that cannot be has an empty answer."""
    assert playing().verdict(KEY[:-1] + str((int(KEY[-1]) + 1) % 10)).reason == "empty"


def test_other_addresses() -> None:
    """Only the one operation is there; no WSDL is served; SOAP 1.2 is not taken."""
    sandbox = playing()
    with httpx.Client(transport=httpx.WSGITransport(sandbox.app), base_url="http://sri.invalid") as http:
        statuses = [
            http.get(f"{PATH}?wsdl").status_code,
            http.post(SRI_PATH + "RecepcionComprobantesOffline").status_code,
            http.put(PATH).status_code,
            http.post(PATH, content=b"<x/>", headers={"Content-Type": "application/soap+xml"}).status_code,
            http.delete(SRI_PATH + "__control").status_code,
        ]

    assert statuses == [404, 404, 405, 415, 405]
    assert list(sandbox.app.asks) == []


# --- served ----------------------------------------------------------------------------------------------------------


def test_asks_are_recorded_in_order() -> None:
    """What was asked can be looked up."""
    sandbox = playing()
    keys = [make_key(date(2026, 7, 1), "01", RUC, number) for number in range(5)]
    for key in keys:
        sandbox.ask(key)

    assert list(sandbox.app.asks) == keys


def test_both_vendors_at_one_address() -> None:
    """One port serves both; many ask at once, each answer is about its own key."""
    sri = SriSandbox(SriScenario(latency_ms=20))
    app = BothVendors(EasyCarsSandbox(Scenario()), sri)
    documents = list(invent_documents(24))
    found: dict[str, str] = {}

    with serve(app) as served, httpx.Client(base_url=served.origin, trust_env=False, timeout=30) as http:

        def ask(key: str) -> None:
            reply = http.post(PATH, content=build_authorization_request(key), headers=dict(HEADERS))
            answer = parse_answer(reply.content, http_status=reply.status_code, content_type=None)
            assert isinstance(answer, Answer)
            found[key] = answer.authorizations[0].document_key or ""

        threads = [threading.Thread(target=ask, args=(one.key,)) for one in documents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        easycars = http.get("/ECService/StockService/__control").json()
        state = http.get(SRI_PATH + "__control").json()

    assert found == {one.key: one.key for one in documents}
    assert 1 < sri.in_flight_max <= 16
    assert (state["asks"], state["keys"], state["in_flight"]) == (24, 24, 0)
    assert "dealers" in easycars


def test_closing_cuts_what_waits() -> None:
    """A slow answer does not keep the stand-in open."""
    sri = SriSandbox(SriScenario(behaviour=SriBehaviour("slow", seconds=600)))
    app = BothVendors(EasyCarsSandbox(Scenario()), sri)
    caught: list[Exception] = []

    def ask(url: str) -> None:
        try:
            httpx.post(url + PATH, content=build_authorization_request(KEY), headers=dict(HEADERS), trust_env=False)
        except httpx.TransportError as error:
            caught.append(error)

    with serve(app) as served:
        asking = threading.Thread(target=ask, args=(served.origin,))
        asking.start()
        while not sri.asks:
            threading.Event().wait(0.01)
    asking.join(timeout=10)

    assert len(caught) == 1


def test_refused_connection_and_back() -> None:
    """Closed, nobody listens; served again at the same port it goes on where it was."""
    sri = SriSandbox(SriScenario())
    question = build_authorization_request(KEY)

    def ask(url: str) -> int:
        return httpx.post(url + PATH, content=question, headers=dict(HEADERS), trust_env=False).status_code

    with serve(sri) as served:
        first = ask(served.origin)
    with pytest.raises(httpx.ConnectError):
        ask(served.origin)
    with serve(sri, port=int(served.origin.rsplit(":", 1)[1])) as again:
        second = ask(again.origin)

    assert (first, second) == (200, 200)
    assert list(sri.asks) == [KEY, KEY]


def test_truncated_and_dropped_on_the_wire() -> None:
    """Half an answer and a closed connection are what they are to a real client."""
    for kind in ("truncated", "drop"):
        app = SriSandbox(SriScenario(behaviour=SriBehaviour(kind)))
        with serve(app, path="") as served, pytest.raises(httpx.RemoteProtocolError):
            httpx.post(
                served.origin + PATH, content=build_authorization_request(KEY), headers=dict(HEADERS), trust_env=False
            )
