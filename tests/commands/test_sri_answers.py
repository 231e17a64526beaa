"""Answers of the SRI with something wrong inside, and codes that mean something else than they seem to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.sri import Sri
from tests.commands.support import Cli, Rows
from tests.commands.test_authorizations import cli, pending, sri, status  # noqa: F401 - fixtures
from tests.sri import documents
from tests.sri.documents import RUC, make_key

Connection = psycopg.Connection[tuple[object, ...]]
Answer = Callable[[str], bytes]


def inserted(what: str, *, before: str = "CLIENTA", given: Answer = documents.authorized) -> Answer:
    """Return the answer with something put before a word of it."""
    return lambda key: given(key).replace(before.encode(), (what + before).encode())


def named(state: str) -> Answer:
    """Return an answer with a state instead of AUTORIZADO."""
    return lambda key: documents.authorized(key).replace(b">AUTORIZADO<", f">{state}<".encode())


def wrong_bytes(what: bytes) -> Answer:
    """Return the authorized answer with bytes that are no UTF-8 behind a letter that is."""
    return lambda key: documents.authorized(key).replace(b"CLIENTA", "CLIENTA Ñ".encode() + what)


def in_utf16(key: str) -> bytes:
    """Return the authorized answer in UTF-16 with half a pair of surrogates."""
    text = documents.authorized(key).decode().replace("CLIENTA", "CLIENTA \ud800")
    return b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass")


def many_authorizations(key: str) -> bytes:
    """Return an answer with far more authorizations than one document has."""
    return documents.answer(key, "<autorizacion><estado>NO AUTORIZADO</estado></autorizacion>" * 20_000)


def many_messages(key: str) -> bytes:
    """Return an answer with far more messages than one document has."""
    return documents.refused(key, *range(2_000))


def escaped(text: str) -> Answer:
    """Return the authorized answer with its document as escaped text, and in that what stands in `text`."""

    def answer(key: str) -> bytes:
        inner = documents.invoice(key).decode().replace("CLIENTA", text + "CLIENTA")
        inner = inner.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        whole = documents.authorized(key).decode()
        return (whole.partition("<![CDATA[")[0] + inner + whole.rpartition("]]>")[2]).encode()

    return answer


# what is wrong, the answer, the item's status, its reason, its warnings
INSIDE = [
    ("vertical tab in CDATA", inserted("\x0b"), "authorized", "authorized", ["forbidden_characters"]),
    ("NUL in CDATA", inserted("\x00"), "authorized", "authorized", ["forbidden_characters"]),
    ("U+FFFF in CDATA", inserted("\uffff"), "authorized", "authorized", ["forbidden_characters"]),
    (
        "control in a state",
        inserted("\x01", before="AUTORIZADO<"),
        "authorized",
        "authorized",
        ["forbidden_characters"],
    ),
    ("half a letter", wrong_bytes(b"\xc3"), "authorized", "authorized", ["forbidden_characters"]),
    ("surrogate", wrong_bytes(b"\xed\xa0\x80"), "authorized", "authorized", ["forbidden_characters"]),
    ("NUL in two bytes", wrong_bytes(b"\xc0\x80"), "authorized", "authorized", ["forbidden_characters"]),
    ("surrogate in UTF-16", in_utf16, "authorized", "authorized", ["forbidden_characters"]),
    ("reference in CDATA", inserted("&#11;"), "authorized", "authorized", ["forbidden_characters"]),
    ("reference in escaped text", escaped("&#x0;"), "authorized", "authorized", ["forbidden_characters"]),
    ("& in escaped text", escaped("A & "), "authorized", "authorized", ["forbidden_characters"]),
    (
        "reference in a message",
        inserted("&#x0;&#xFFFE;", before="MENSAJE", given=lambda key: documents.refused(key, 39)),
        "rejected",
        "code_39",
        ["forbidden_characters"],
    ),
    (
        "& in a message",
        inserted("A & B &aacute;", before="MENSAJE", given=lambda key: documents.refused(key, 39)),
        "rejected",
        "code_39",
        ["forbidden_characters"],
    ),
    ("of another", lambda _: documents.authorized(make_key(99)), "fault", "other_key", None),
    ("unknown state", named("ALGO NUEVO"), "fault", "unknown_state", None),
    ("mismatched tags", inserted("<b>", before="</ns2:"), "fault", "malformed", None),
    ("nothing of ours", lambda _: documents.answer("1").replace(b"autorizacionCom", b"otraCom"), "fault", None, None),
    ("many authorizations", many_authorizations, "fault", "too_many_parts", None),
    ("many messages", many_messages, "fault", "too_many_parts", None),
    ("annulled", named("ANULADO"), "needs_attention", "annulled", None),
    ("to be annulled", named("pendiente de anular"), "needs_attention", "annulled", None),
    ("to be annulled, short", named("PENDIENTE_ANULAR"), "needs_attention", "annulled", None),
    ("annulment asked", named("Pendiente de anulación."), "needs_attention", "annulled", None),
    ("nothing visible in a state", named("\u200bAUTO\u200bRIZADO"), "authorized", "authorized", None),
]


@pytest.mark.parametrize(("answer", "item", "reason", "warnings"), [c[1:] for c in INSIDE], ids=[c[0] for c in INSIDE])
def test_what_is_wrong_inside_never_counts_against_the_host(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
    answer: Answer,
    item: str,
    reason: str | None,
    warnings: list[str] | None,
) -> None:
    """Eight complete answers in a row have eight verdicts, and the host's circuit stays closed without a fault."""
    pending(*map(make_key, range(8)))
    sri.default = answer

    ran = cli("check-authorizations", "--json")

    assert [found["status"] for found in ran.json["items"]] == [item] * 8, ran.err
    assert {found.get("reason") for found in ran.json["items"]} <= {reason} if reason else True
    assert {tuple(found.get("warnings", ())) for found in ran.json["items"]} == {tuple(warnings or ())}
    assert len(sri.asked) == 8
    assert rows("SELECT faults_in_a_row, opened_at FROM vendor_hosts") == [(0, None)]


OUTSIDE = [
    ("cut off", lambda key: documents.authorized(key)[:-20]),
    ("empty", lambda _: b""),
    ("a web page", lambda _: documents.FIREWALL),
    ("another status", lambda key: ("500 Error", documents.authorized(key))),
]


@pytest.mark.parametrize("answer", [case[1] for case in OUTSIDE], ids=[case[0] for case in OUTSIDE])
def test_what_is_no_answer_counts_against_the_host(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
    answer: Any,
) -> None:
    """Five of them open its circuit."""
    pending(*map(make_key, range(8)))
    sri.default = answer
    assert cli("settings", "set", "sri_check_concurrency", "1").code == 0

    ran = cli("check-authorizations", "--json")

    assert (ran.code, len(sri.asked)) == (69, 5)
    assert rows("SELECT faults_in_a_row, opened_at IS NOT NULL, open_cause FROM vendor_hosts") == [(5, True, "faults")]


@pytest.mark.parametrize(
    "answer",
    [
        inserted("<![CDATA[ nested ]]>"),
        inserted("< ", before="AUTORIZADO<"),
        inserted("<b>", before="</ns2:"),
        lambda _: documents.answer("1").partition(b"<soap:Body>")[0] + b"<soap:Body/></soap:Envelope>",
    ],
    ids=["nested CDATA", "bare <", "mismatched tags", "empty Body"],
)
def test_a_document_whose_answers_stay_unusable_needs_a_person(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
    answer: Answer,
) -> None:
    """A fault for a day, then needs_attention, which health names; the host's circuit stays closed."""
    pending(make_key(1))
    sri.default = answer
    first = cli("check-authorizations", "--json").json["items"][0]
    rows(
        "INSERT INTO sri_events (tenant_id, invoice_id, at, kind, code)"
        " SELECT tenant_id, invoice_id, now() - n * interval '6 hours 1 minute', kind, code"
        " FROM sri_events, generate_series(1, 4) n WHERE kind = 'fault' RETURNING 1"
    )
    rows("UPDATE invoices SET next_check_at = now() RETURNING 1")

    ran = cli("check-authorizations", "--json")

    assert ("fault", "malformed") == (first["status"], first["reason"])
    assert (0, "needs_attention") == (ran.code, ran.json["items"][0]["status"])
    assert [("needs_attention", "malformed")] == rows("SELECT status, status_reason FROM invoices")
    assert "needs attention" in cli("health").out.replace("need ", "needs ")
    assert [(0, None)] == rows("SELECT faults_in_a_row, opened_at FROM vendor_hosts")


def test_forbidden_characters_from_answer_to_paper(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The answer is kept byte for byte, the story tells what was left out, and the RIDE is made."""
    cli.environ["JOBSYNC_STORAGE"] = str(tmp_path)
    key = make_key(1)
    pending(key)
    sri.answers[key] = inserted("P\x0bREZ &#11;")(key)

    assert cli("check-authorizations").code == 0
    printed = cli("generate-ride", "--json")

    [kept] = rows("SELECT authorized_answer, authorized_xml, customer_name FROM invoice_documents, invoices")
    assert bytes(kept[0]) == sri.answers[key]
    assert b"\x0b" not in bytes(kept[1])
    assert kept[2] == "PREZ CLIENTA INVENTADA"
    assert rows("SELECT code FROM sri_events WHERE kind = 'warning'") == [("forbidden_characters",)]
    assert [found["status"] for found in printed.json["items"]] == ["rendered"], printed.err


def test_stored_xml_with_a_forbidden_character_is_printed(
    cli: Cli,  # noqa: F811
    connection: Connection,
    tmp_path: Path,
) -> None:
    """A host application that stored the document as it came gets its RIDE too."""
    cli.environ["JOBSYNC_STORAGE"] = str(tmp_path)
    key = make_key(1)
    xml = documents.invoice(key).replace(b"CLIENTA", b"P\x0bREZ")
    connection.execute(
        "WITH new AS (INSERT INTO invoices (tenant_id, access_key, status) SELECT id, %s, 'authorized' FROM tenants"
        " RETURNING id) INSERT INTO invoice_documents (invoice_id, authorized_xml) SELECT id, %s FROM new",
        [key, xml],
    )

    printed = cli("generate-ride", "--json")

    assert [found["status"] for found in printed.json["items"]] == ["rendered"], printed.err


# --- codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "stored", "reason"),
    [
        ("34", "needs_attention", "code_34"),
        ("64", "rejected", "code_64"),
        ("069", "rejected", "code_69"),
        ("82", "rejected", "code_82"),
        ("2001", "rejected", "code_2001"),
        ("53", "rejected", "code_53"),
        ("33", "pending_authorization", "code_33"),
    ],
)
def test_codes_mean_what_the_sri_means(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
    code: str,
    stored: str,
    reason: str,
) -> None:
    """NO AUTORIZADO with a code: certain codes decide, others leave it to the state, 33 is about us."""
    key = make_key(1)
    pending(key)
    sri.answers[key] = documents.refused(key, 39).replace(b">39<", f">{code}<".encode())

    assert cli("check-authorizations").code == 0

    assert rows("SELECT status, status_reason FROM invoices") == [(stored, reason)]


def test_sanction_leaves_one_probe_a_run(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
) -> None:
    """Code 33 opens the host's circuit at once; one call a run until an answer comes without it."""
    pending(*map(make_key, range(20)))
    sri.default = lambda key: documents.refused(key, 33)
    assert cli("settings", "set", "sri_check_concurrency", "1").code == 0

    first = cli("check-authorizations", "--json")
    asked = [len(sri.asked)]
    for _ in range(2):
        assert cli("check-authorizations").code == 0
        asked.append(len(sri.asked))
    state = rows("SELECT faults_in_a_row, opened_at IS NOT NULL, open_cause FROM vendor_hosts")
    told = cli("status"), cli("health"), cli("invoice", "show", sri.asked[0])
    sri.default = documents.authorized
    recovered = cli("check-authorizations", "--json")

    assert (first.code, asked) == (0, [1, 2, 3])
    assert state == [(0, True, "too_often")]
    assert all("too often" in ran.out for ran in told), [ran.out for ran in told]
    assert (recovered.code, len(sri.asked)) == (0, 20)  # the three that were asked about wait for their next time
    assert rows("SELECT opened_at, open_cause FROM vendor_hosts") == [(None, None)]
    assert rows("SELECT kind FROM sri_events WHERE invoice_id IS NULL ORDER BY id") == [
        ("circuit_opened",),
        ("circuit_closed",),
    ]


def test_sanction_counts_wherever_it_stands(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
) -> None:
    """An answer that names no document and says only 33, beside its authorizations, is about us too."""
    pending(*map(make_key, range(8)))
    words = b"<mensajes><mensaje><identificador>033</identificador><mensaje>X</mensaje></mensaje></mensajes>"
    sri.default = lambda key: documents.empty(key).replace(b"<autorizaciones>", words + b"<autorizaciones>")
    assert cli("settings", "set", "sri_check_concurrency", "1").code == 0

    assert cli("check-authorizations").code == 0

    assert len(sri.asked) == 1
    assert rows("SELECT status_reason, empty_count FROM invoices WHERE status_reason IS NOT NULL") == [("code_33", 0)]


def test_sanction_leaves_a_document_that_needs_attention_as_it_is(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
) -> None:
    """It says nothing about the document: what a person has to do is not forgotten."""
    key = make_key(1)
    pending(key, status="needs_attention", status_reason="code_2", attention_since="2026-11-20")
    sri.answers[key] = documents.refused(key, 33)

    assert cli("check-authorizations").code == 0

    assert rows("SELECT status, status_reason, attention_since IS NOT NULL FROM invoices") == [
        ("needs_attention", "code_2", True)
    ]


# --- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "warning"),
    [
        ("02/04/2026 10:30:00", "date_before_issue"),
        ("2026-10-31T23:59:59-05:00", "date_before_issue"),
        ("2026-11-01T00:00:00-05:00", None),
        ("2099-01-01T00:00:00-05:00", "date_in_future"),
    ],
)
def test_odd_dates_are_kept_and_told(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
    at: str,
    warning: str | None,
) -> None:
    """A date before the day of issue or in the future is stored as received, and told with the document."""
    key = make_key(1)
    pending(key)
    sri.answers[key] = documents.authorized(key, at=at)

    assert cli("check-authorizations").code == 0
    shown = cli("invoice", "show", key, "--json")

    warned = [event for event in shown.json["events"] if event["kind"] == "warning"]
    assert status(rows, key) == "authorized"
    assert shown.json["authorized_at"] is not None
    assert [(event["code"], event["additional_info"]) for event in warned] == ([(warning, at)] if warning else [])


def test_odd_date_in_a_file_is_told(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    """An import tells it as a check does."""
    key = make_key(1)
    (tmp_path / "a.xml").write_bytes(documents.authorized(key, at="02/04/2026 10:30:00"))

    assert cli("invoice", "import", str(tmp_path)).code == 0

    events = cli("invoice", "show", key, "--json").json["events"]
    assert [event["code"] for event in events if event["kind"] == "warning"] == ["date_before_issue"]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what", ["", "<claveAcceso/>", "<claveAcceso> \n </claveAcceso>", "<claveAcceso>12</claveAcceso>"]
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_import_without_a_key_names_the_field(cli: Cli, tmp_path: Path, what: str, *, wrapped: bool) -> None:  # noqa: F811
    """A document whose key is absent, blank or of another length does not go in, and the reason names the element."""
    key = make_key(1)
    xml = documents.invoice(key).replace(f"<claveAcceso>{key}</claveAcceso>".encode(), what.encode())
    (tmp_path / "a.xml").write_bytes(documents.authorized(key, document=xml) if wrapped else xml)

    ran = cli("invoice", "import", str(tmp_path), "--json")

    assert (ran.code, ran.json["items"][0]["status"]) == (1, "refused")
    assert "infoTributaria/claveAcceso" in ran.json["items"][0]["reason"]


@pytest.mark.parametrize("whole", [True, False])
def test_file_that_says_annulled_beside_authorized_is_not_authorized(
    cli: Cli,  # noqa: F811
    rows: Rows,
    tmp_path: Path,
    *,
    whole: bool,
) -> None:
    """As in an answer the annulment counts: the document waits for the SRI's word, and its page is marked."""
    key, file = make_key(1), tmp_path / "a.xml"
    node = documents.authorized(key).decode().partition("<autorizaciones>")[2].partition("</autorizaciones>")[0]
    other = (
        node.replace(">AUTORIZADO<", ">ANULADO<") if whole else "<autorizacion><estado>ANULADO</estado></autorizacion>"
    )
    file.write_bytes(documents.answer(key, other, node))

    assert cli("invoice", "import", str(file)).code == 0
    ran = cli("ride", "render", str(file), "-o", str(tmp_path / "a.pdf"), "--json")

    assert rows("SELECT status, confirmed_by FROM invoices") == [("pending_authorization", None)]
    assert (ran.code, ran.json["authorized"]) == (0, False)


def test_answer_with_a_forbidden_character_is_imported(cli: Cli, rows: Rows, tmp_path: Path) -> None:  # noqa: F811
    """A file that holds the SRI's answer goes in as the answer itself would."""
    key = make_key(1)
    raw = inserted("P\x0bREZ ")(key)
    (tmp_path / "a.xml").write_bytes(raw)

    first = cli("invoice", "import", str(tmp_path), "--json")
    again = cli("invoice", "import", str(tmp_path), "--json")

    assert [ran.json["items"][0]["status"] for ran in (first, again)] == ["imported", "unchanged"]
    [(kept,)] = rows("SELECT authorized_answer FROM invoice_documents")
    assert bytes(kept) == raw
    assert rows("SELECT code FROM sri_events WHERE kind = 'warning'") == [("forbidden_characters",)]


# --- instants further ahead than any wait ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "due"),
    [
        ("now() + interval '6 hours'", False),
        ("now() + interval '7 hours'", True),
        ("'infinity'", True),
        ("NULL", False),
    ],
)
def test_check_too_far_ahead_is_due(
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    connection: Connection,
    pending: Any,  # noqa: F811
    ahead: str,
    *,
    due: bool,
) -> None:
    """A clock that was wrong silences no document; what is never due stays so; health counts them."""
    key = make_key(1)
    pending(key)
    connection.execute(f"UPDATE invoices SET next_check_at = {ahead}".encode())
    before = cli("health").out
    assert (cli("invoice", "list").code, cli("invoice", "show", key).code) == (0, 0)

    assert cli("check-authorizations", "--scheduled").code == 0

    assert (sri.asked == [key]) is due
    assert all(("further ahead" in said) is due for said in (before, cli("health").out))


@pytest.mark.parametrize(
    ("ahead", "due"), [("now() + interval '6 hours'", False), ("'infinity'", True), ("NULL", False)]
)
def test_ride_too_far_ahead_is_due(
    cli: Cli,  # noqa: F811
    connection: Connection,
    tmp_path: Path,
    ahead: str,
    *,
    due: bool,
) -> None:
    """The same holds for printed forms."""
    cli.environ["JOBSYNC_STORAGE"] = str(tmp_path / "rides")
    key = make_key(1)
    (tmp_path / "a.xml").write_bytes(documents.authorized(key))
    assert cli("invoice", "import", str(tmp_path / "a.xml")).code == 0
    connection.execute(f"UPDATE invoices SET ride_next_at = {ahead}".encode())
    before = cli("health").out

    ran = cli("generate-ride", "--scheduled", "--json")

    assert ([found["status"] for found in ran.json["items"]] == ["rendered"]) is due
    assert all(("further ahead" in said) is due for said in (before, cli("health").out))


# --- outside samples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stored", "reason", "warning"),
    [
        ("autorizado-control-char", "authorized", None, "forbidden_characters"),
        ("date-before-issue", "authorized", None, "date_before_issue"),
        ("no-autorizado-33", "pending_authorization", "code_33", None),
        ("no-autorizado-64", "rejected", "code_64", None),
        ("no-autorizado-69", "rejected", "code_69", None),
        ("anulado", "needs_attention", "annulled", None),
    ],
)
def test_outside_answers(
    samples: Path,
    cli: Cli,  # noqa: F811
    sri: Sri,  # noqa: F811
    rows: Rows,
    pending: Any,  # noqa: F811
    name: str,
    stored: str,
    reason: str | None,
    warning: str | None,
) -> None:
    """Whole answers that somebody else wrote have the verdict that belongs to them."""
    body = (samples / "sri" / "more" / "inputs" / f"answer-{name}.xml").read_bytes()
    key = body.partition(b"<claveAccesoConsultada>")[2][:49].decode()
    if key[10:23] != RUC:
        assert cli("tenant", "add", key[10:23], "Otra").code == 0
    pending(key)
    sri.answers[key] = body

    assert cli("check-authorizations").code == 0

    assert rows("SELECT status, status_reason FROM invoices") == [(stored, reason)]
    assert rows("SELECT code FROM sri_events WHERE kind = 'warning' AND code <> 'tenant_environment'") == (
        [(warning,)] if warning else []
    )
