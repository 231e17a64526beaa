"""Whole commands of authorization checks against a stand-in SRI over loopback."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.hosts.circuit import HostLine
from jobsync.runner.run import run_job
from jobsync.sandbox.serve import serve
from jobsync.sri import job
from tests.commands.sri import Sri
from tests.commands.support import Cli, Rows, command, finish, until
from tests.sri import documents
from tests.sri.documents import OTHER_RUC, RUC, make_key

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def sri() -> Sri:
    """The stand-in's answers."""
    return Sri()


@pytest.fixture
def cli(environ: dict[str, str], sri: Sri, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Commands that ask the stand-in, without any pause between the calls."""
    with serve(sri, path="") as served:
        environ["JOBSYNC_SRI_URL"] = served.url
        cli = Cli(environ, capsys)
        assert cli("settings", "set", "sri_call_delay_ms", "0").code == 0
        assert cli("tenant", "add", RUC, "Emisora Inventada", "--environment", "test").code == 0
        yield cli
        sri.gate.set()


@pytest.fixture
def pending(connection: Connection) -> Any:
    """Insert pending documents as a host application would."""

    def insert(*keys: str, **columns: object) -> None:
        for key in keys:
            connection.execute(
                "INSERT INTO invoices (tenant_id, access_key) SELECT id, %s FROM tenants WHERE ruc = %s",
                [key, key[10:23]],
            )
            for name, value in columns.items():
                connection.execute(f"UPDATE invoices SET {name} = %s WHERE access_key = %s".encode(), [value, key])

    return insert


def status(rows: Rows, key: str) -> str:
    """Return the document's status as it is stored."""
    [(found,)] = rows(f"SELECT status FROM invoices WHERE access_key = '{key}'")
    return str(found)


def start_asking(sri: Sri, environ: dict[str, str]) -> subprocess.Popen[str]:
    """Start a run and return once the SRI has its question; the answer comes when the gate is opened."""
    sri.gate.clear()
    process = command(environ, "check-authorizations", "--json")
    until(sri.arrived.is_set)
    return process


CASES = [
    ("authorized", documents.authorized, "authorized", "authorized", 0),
    ("refused", lambda key: documents.refused(key, 39), "rejected", "rejected", 0),
    ("in process", documents.in_process, "pending", "pending_authorization", 0),
    ("nothing", documents.empty, "pending", "pending_authorization", 0),
    ("key in process", lambda key: documents.refused(key, 70), "pending", "pending_authorization", 0),
    ("tenant must act", lambda key: documents.refused(key, 2), "needs_attention", "needs_attention", 0),
    ("firewall, 200", lambda _: documents.FIREWALL, "fault", "pending_authorization", 69),
    ("firewall, 403", lambda _: ("403 Forbidden", documents.FIREWALL), "fault", "pending_authorization", 69),
    ("down", lambda _: ("503 Service Unavailable", b""), "fault", "pending_authorization", 69),
    ("our fault", lambda _: ("500 Error", documents.SOAP_CLIENT_FAULT), "fault", "pending_authorization", 1),
    ("half an answer", lambda key: documents.authorized(key)[:700], "fault", "pending_authorization", 69),
    ("of another", lambda _: documents.authorized(make_key(99)), "fault", "pending_authorization", 1),
    ("entities", lambda _: b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "fault", "pending_authorization", 69),
    ("17 MB", lambda _: b" " * (17 << 20), "fault", "pending_authorization", 69),
]


@pytest.mark.parametrize(("answer", "item", "stored", "code"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_answer_gets_its_verdict(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, answer: Any, item: str, stored: str, code: int
) -> None:
    """Each answer becomes the item's status, the row's status and the exit code that belong to it."""
    key = make_key(1)
    pending(key)
    sri.answers[key] = answer(key)

    ran = cli("check-authorizations", "--json")

    assert (ran.code, ran.json["items"][0]["status"]) == (code, item), ran.err
    assert ran.json["items"][0]["access_key"] == key
    assert ran.json["items"][0]["tenant_ruc"] == RUC
    assert status(rows, key) == stored
    assert rows("SELECT kind FROM sri_events ORDER BY id")[0] == (item,)


def test_authorized_answer_is_kept_byte_for_byte(cli: Cli, sri: Sri, rows: Rows, pending: Any) -> None:
    """Beside the columns stand the answer as it came and the document inside it."""
    key = make_key(1)
    document = documents.invoice(key, total="23.00")
    sri.answers[key] = documents.authorized(key, document=document)
    pending(key)

    assert cli("check-authorizations").code == 0

    [kept] = rows("SELECT authorized_answer, authorized_xml FROM invoice_documents")
    [row] = rows(
        "SELECT confirmed_by, sri_authorization, authorized_at::text, document_type, series_number, customer_name,"
        " total::text, next_check_at FROM invoices"
    )
    assert (bytes(kept[0]), bytes(kept[1])) == (sri.answers[key], document)
    assert row[:2] == ("sri", key)
    assert row[2].startswith("2026-11-01 15:00:00")
    assert row[3:] == ("invoice", "001-001-000000001", "CLIENTA INVENTADA", "23.00", None)


def test_wrong_keys_are_parked_without_a_call(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection
) -> None:
    """A wrong check digit or another tenant's RUC needs a person, and nobody is asked."""
    wrong = make_key(1)[:-1] + str((int(make_key(1)[-1]) + 1) % 10)
    pending(wrong)
    connection.execute(
        "INSERT INTO invoices (tenant_id, access_key) SELECT id, %s FROM tenants", [make_key(2, ruc=OTHER_RUC)]
    )

    ran = cli("check-authorizations", "--json")

    assert (ran.code, [item["status"] for item in ran.json["items"]]) == (0, ["needs_attention"] * 2)
    assert {item["reason"] for item in ran.json["items"]} == {"key_check_digit", "key_ruc"}
    assert sri.asked == []
    assert rows("SELECT DISTINCT status, next_check_at FROM invoices") == [("needs_attention", None)]


def test_small_tenant_is_not_starved(cli: Cli, sri: Sri, pending: Any) -> None:
    """With 300 documents of one tenant waiting, the three of another are asked about among the first."""
    assert cli("tenant", "add", OTHER_RUC, "La Otra", "--environment", "test").code == 0
    many = [make_key(n) for n in range(300)]
    few = [make_key(n, ruc=OTHER_RUC) for n in range(3)]
    pending(*many, *few)
    sri.default = documents.in_process

    assert cli("check-authorizations", "--limit", "6").code == 0

    assert sorted(sri.asked)[:3] == sorted(few)
    assert len(sri.asked) == 6


def test_outage_opens_the_circuit_and_changes_no_document(cli: Cli, sri: Sri, rows: Rows, pending: Any) -> None:
    """Five faults stop the calls; then one a run; after recovery everything settles, and the events tell the story."""
    keys = [make_key(n) for n in range(40)]
    pending(*keys)
    sri.default = lambda _: ("503 Service Unavailable", b"")
    assert cli("settings", "set", "sri_check_concurrency", "1").code == 0

    opened = cli("check-authorizations", "--json")
    calls_before_open = len(sri.asked)
    probed = [cli("check-authorizations", "--json") for _ in range(2)]
    calls_while_open = len(sri.asked) - calls_before_open
    said = cli("check-authorizations").out
    assert "what remains was not asked about: the host does not answer" in said
    assert ["status", "tenant", "key", "error"] == said.split("\n")[0].split()
    assert rows("SELECT last_success_at FROM jobs WHERE name = 'check-authorizations'") == [(None,)]
    sri.default = documents.authorized
    recovered = cli("check-authorizations", "--json")

    assert (opened.code, calls_before_open, opened.json["counts"]["remaining"]) == (69, 5, 35)
    assert [ran.code for ran in probed] == [0, 0]
    assert calls_while_open == 2
    assert recovered.code == 0
    rest = rows("SELECT count(*) FROM invoices WHERE status = 'pending_authorization'")[0][0]
    assert rest == 8  # those that failed wait for their next time
    assert rows("SELECT DISTINCT status FROM invoices ORDER BY 1") == [("authorized",), ("pending_authorization",)]
    kinds = [kind for (kind,) in rows("SELECT kind FROM sri_events WHERE invoice_id IS NULL ORDER BY id")]
    assert kinds == ["circuit_opened", "circuit_closed"]


def test_named_document_that_only_probes_an_open_circuit(cli: Cli, sri: Sri, pending: Any) -> None:
    """As at a tick: the outage is known, the run ends with 0, and what was asked about does not count as left."""
    pending(*[make_key(number) for number in range(9)])
    sri.default = lambda _: ("503 Service Unavailable", b"")
    assert cli("check-authorizations").code == 69

    ran = cli("check-authorizations", "--access-key", make_key(8), "--json")

    assert (ran.code, ran.json["status"], [item["status"] for item in ran.json["items"]]) == (0, "succeeded", ["fault"])
    assert (ran.json["counts"]["skipped"], ran.json["counts"]["remaining"]) == (1, 0)


def test_calls_keep_their_distance_over_runs(cli: Cli, sri: Sri, pending: Any, rows: Rows) -> None:
    """The starts of two calls are never closer than the delay, not even those of two runs."""
    pending(*[make_key(n) for n in range(6)])
    sri.default = documents.in_process
    assert cli("settings", "set", "sri_call_delay_ms", "150").code == 0

    assert cli("check-authorizations", "--limit", "3").code == 0
    assert cli("check-authorizations").code == 0

    gaps = [later - sooner for sooner, later in zip(sri.times, sri.times[1:], strict=False)]
    assert len(gaps) == 5
    assert min(gaps) >= 0.12  # they leave at least 0.15 s apart; how late each is heard here depends on the machine


def test_verdict_on_an_earlier_submission_does_not_count(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection, environ: dict[str, str]
) -> None:
    """A document that was submitted again while the SRI was asked keeps its new state."""
    key = make_key(1)
    pending(key)
    sri.answers[key] = documents.refused(key, 39)
    process = start_asking(sri, environ)
    connection.execute("UPDATE invoices SET submitted_at = now()")
    sri.gate.set()

    assert finish(process).code == 0

    assert status(rows, key) == "pending_authorization"
    assert "discarded" in {kind for (kind,) in rows("SELECT kind FROM sri_events")}


def test_recheck_while_asked_is_not_undone(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, environ: dict[str, str]
) -> None:
    """Whoever wants a document asked about anew does not want the verdict of the ask before."""
    key = make_key(1)
    pending(key, status="needs_attention")
    sri.answers[key] = documents.empty(key)
    process = start_asking(sri, environ)
    assert cli("invoice", "recheck", key).code == 0
    sri.gate.set()

    assert finish(process).code == 0

    assert rows("SELECT status, next_check_at <= now() FROM invoices") == [("pending_authorization", True)]


def test_tenant_deleted_while_asked(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection, environ: dict[str, str]
) -> None:
    """The answer comes for nobody; that is no failure."""
    pending(make_key(1))
    sri.default = documents.authorized
    process = start_asking(sri, environ)
    connection.execute("DELETE FROM invoices")
    connection.execute("DELETE FROM tenants")
    sri.gate.set()

    ran = finish(process)

    assert (ran.code, "Traceback" in ran.err) == (0, False), ran.err
    assert ("discarded",) in rows("SELECT kind FROM sri_events")


def test_circuit_is_remembered_whatever_fault_is_written_last(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that fail together end in any order; the row says what the last of them knew."""
    together, late = threading.Barrier(6), threading.Event()
    pending(*[make_key(number) for number in range(6)])
    assert cli("settings", "set", "sri_check_concurrency", "6").code == 0

    def fail(_key: str) -> tuple[str, bytes]:
        together.wait(10)
        return "503 Service Unavailable", b""

    sri.default = fail
    real = HostLine.end

    def end(line: HostLine, **how: Any) -> Any:
        change = real(line, **how)
        if not late.is_set():
            late.set()
            time.sleep(1)
        return change

    monkeypatch.setattr(HostLine, "end", end)

    assert cli("check-authorizations").code == 69

    assert rows("SELECT faults_in_a_row, opened_at IS NOT NULL FROM vendor_hosts") == [(6, True)]


def test_many_calls_share_few_connections(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts with 64 calls each would else take all 100 connections that a server usually has; a few do as well."""
    asked: list[int] = []

    def counted(*arguments: Any, connections: int, **more: Any) -> Any:
        asked.append(connections)
        return run_job(*arguments, connections=connections, **more)

    monkeypatch.setattr("jobsync.cli.run.run_job", counted)
    assert cli("settings", "set", "sri_check_concurrency", "64").code == 0

    assert cli("check-authorizations").code == 0

    assert 0 < asked[0] <= 8


@pytest.mark.parametrize("change", ["status = 'cancelled'", "deleted_at = now()"])
def test_document_taken_away_while_asked_stays_as_it_is(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection, environ: dict[str, str], change: str
) -> None:
    """Cancelled or deleted by its owner in the middle of a call, a document is not brought back."""
    pending(make_key(1))
    sri.default = documents.authorized
    process = start_asking(sri, environ)
    connection.execute(f"UPDATE invoices SET {change}".encode())
    before = rows("SELECT status, deleted_at, authorized_at FROM invoices")
    sri.gate.set()

    assert finish(process).code == 0

    assert rows("SELECT status, deleted_at, authorized_at FROM invoices") == before


def test_killed_between_answer_and_write_asks_again(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection, environ: dict[str, str]
) -> None:
    """Nothing is half written; the attempt stands, and the next run settles the document."""
    key = make_key(1)
    pending(key)
    sri.default = documents.authorized
    process = start_asking(sri, environ)
    process.kill()
    finish(process)
    sri.gate.set()
    assert rows("SELECT status, check_count, authorized_at FROM invoices") == [("pending_authorization", 1, None)]

    ran = cli("check-authorizations", "--access-key", key, "--json")

    assert (ran.code, ran.json["items"][0]["status"]) == (0, "authorized")
    assert rows("SELECT status FROM job_runs ORDER BY started_at") == [("crashed",), ("succeeded",)]


def test_second_run_is_told_who_works(cli: Cli, sri: Sri, pending: Any, environ: dict[str, str]) -> None:
    """Two at once: one asks, the other names the holder and exits 75; nobody is asked twice."""
    pending(make_key(1))
    sri.default = documents.authorized
    first = start_asking(sri, environ)

    second = cli("check-authorizations", "--json")
    sri.gate.set()

    assert (second.code, second.json["status"]) == (75, "skipped")
    assert finish(first).code == 0
    assert len(sri.asked) == 1


def test_dry_run_asks_and_writes_nothing(cli: Cli, sri: Sri, pending: Any, rows: Rows) -> None:
    """The verdicts are shown; rows, events and counters stay."""
    pending(make_key(1))
    sri.default = documents.authorized
    before = rows("SELECT * FROM invoices")

    ran = cli("check-authorizations", "--dry-run", "--json")

    assert (ran.code, ran.json["items"][0]["status"]) == (0, "authorized")
    assert rows("SELECT * FROM invoices") == before
    assert rows("SELECT count(*) FROM sri_events") + rows("SELECT count(*) FROM job_runs") == [(0,), (0,)]


def test_idle_and_early_ticks_do_nothing(cli: Cli, sri: Sri, pending: Any, rows: Rows) -> None:
    """A tick with nothing due opens no run, and one before its interval neither."""
    idle = cli("check-authorizations", "--scheduled", "--json")
    pending(make_key(1), make_key(2))
    sri.default = documents.in_process
    assert cli("settings", "set", "sri_check_interval_s", "60").code == 0
    first = cli("check-authorizations", "--scheduled", "--json", "--limit", "1")
    early = cli("check-authorizations", "--scheduled", "--json")

    assert [(ran.code, ran.json["status"], len(ran.json["items"])) for ran in (idle, first, early)] == [
        (0, "succeeded", 0),
        (0, "succeeded", 1),
        (0, "succeeded", 0),
    ]
    assert rows("SELECT count(*) FROM job_runs") == [(1,)]


def test_switched_off_asks_nobody(cli: Cli, sri: Sri, pending: Any) -> None:
    """The global switch ends every form of the job."""
    pending(make_key(1))
    assert cli("settings", "set", "sri_check_enabled", "off").code == 0

    ran = cli("check-authorizations", "--json", "--access-key", make_key(1))

    assert (ran.code, ran.json["status"], sri.asked) == (0, "disabled", [])
    assert "globally disabled" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--access-key", "1" * 49], "no document"),
        (["--tenant", "1790099999001"], "no tenant"),
        (["--scheduled", "--access-key", "1" * 49], "--scheduled"),
        (["--limit", "0"], "--limit"),
        (["--wait", "nan"], "--wait"),
    ],
)
def test_what_does_not_exist_ends_with_2(cli: Cli, arguments: list[str], words: str) -> None:
    """Unknown documents and tenants are named before anything is done."""
    ran = cli("check-authorizations", *arguments, "--json")

    assert (ran.code, words in ran.err + ran.out) == (2, True)


def test_named_document_that_is_decided_is_not_asked_about(cli: Cli, sri: Sri, pending: Any) -> None:
    """A final state is told as it stands."""
    pending(make_key(1), status="authorized")

    ran = cli("check-authorizations", "--access-key", make_key(1), "--json")

    assert (ran.code, ran.json["items"][0]["status"], sri.asked) == (0, "authorized", [])


def test_log_names_no_taxpayer(cli: Cli, sri: Sri, pending: Any) -> None:
    """The log holds keys, RUCs and codes, no name, address or identification of a customer."""
    pending(*[make_key(n) for n in range(4)])
    sri.answers[make_key(1)] = documents.refused(make_key(1), 39)
    sri.answers[make_key(2)] = ("500 Oops", b"<html>CLIENTA INVENTADA 1710034065 Calle Uno</html>")
    sri.default = documents.authorized

    ran = cli("check-authorizations", JOBSYNC_LOG_LEVEL="info")

    assert make_key(0) in ran.err
    assert [word for word in ("CLIENTA", "1710034065", "Calle", "EMISORA") if word in ran.err] == []


@pytest.mark.parametrize(
    ("file", "more", "said"),
    [
        ('log_level = "error"', {}, False),
        ('log_level = "error"', {"JOBSYNC_LOG_LEVEL": "info"}, True),
        ('log_format = "console"', {"JOBSYNC_LOG_LEVEL": "error"}, False),
    ],
)
def test_level_and_format_of_the_configuration_file_count(
    cli: Cli, sri: Sri, pending: Any, tmp_path: Path, file: str, more: dict[str, str], said: bool
) -> None:
    """They are settings like the others; the environment comes first."""
    pending(make_key(0))
    sri.default = documents.authorized
    (tmp_path / "config.toml").write_text(file)

    ran = cli("check-authorizations", JOBSYNC_CONFIG=str(tmp_path / "config.toml"), **more)

    assert (0, said) == (ran.code, make_key(0) in ran.err)


def test_document_is_shown_with_its_story(cli: Cli, sri: Sri, tmp_path: Path) -> None:
    """`invoice show` tells each ask and each answer."""
    key = make_key(1)
    (tmp_path / "a.xml").write_bytes(documents.invoice(key))
    assert cli("invoice", "import", str(tmp_path)).code == 0
    sri.answers[key] = documents.refused(key, 52)
    assert cli("check-authorizations").code == 0

    ran = cli("invoice", "show", key, "--json")

    shown = ran.json
    assert (shown["access_key"], shown["status"], shown["tenant_ruc"], shown["document_type"]) == (
        key,
        "rejected",
        RUC,
        "invoice",
    )
    assert [(event["kind"], event["code"]) for event in shown["events"]] == [
        ("imported", None),
        ("rejected", "code_52"),
        ("message", "52"),
    ]
    assert "MENSAJE 52" in cli("invoice", "show", key).out


def test_sigterm_finishes_what_is_under_way(
    cli: Cli, sri: Sri, pending: Any, environ: dict[str, str], rows: Rows
) -> None:
    """A run that is told to stop settles the calls in flight, starts no other, and is cancelled."""
    pending(*[make_key(n) for n in range(30)])
    sri.default = documents.authorized
    assert cli("settings", "set", "sri_check_concurrency", "2").code == 0
    sri.gate.clear()
    process = command(environ, "check-authorizations", "--json")
    until(lambda: len(sri.asked) == 2)
    process.terminate()
    time.sleep(0.2)
    sri.gate.set()

    ran = finish(process)

    document = json.loads(ran.out)
    assert (ran.code, document["status"], document["counts"]["succeeded"]) == (0, "cancelled", 2)
    assert rows("SELECT count(*) FROM invoices WHERE status = 'authorized'") == [(2,)]


@pytest.mark.parametrize(
    ("empty_for", "count", "expected"),
    [
        ("25 hours", 4, "needs_attention"),  # this is the fifth
        ("25 hours", 1, "pending_authorization"),  # an outage lies between: two answers prove nothing
        ("23 hours", 50, "pending_authorization"),
        (None, 0, "pending_authorization"),
    ],
)
def test_only_empty_answers_themselves_span_a_day(
    cli: Cli,
    sri: Sri,
    rows: Rows,
    pending: Any,
    connection: Connection,
    empty_for: str | None,
    count: int,
    expected: str,
) -> None:
    """A document that the SRI knows nothing of needs a person after a day of answers, not of silence."""
    key = make_key(1)
    pending(key, submitted_at="2026-01-01")
    connection.execute("UPDATE invoices SET empty_since = now() - %s::interval, empty_count = %s", [empty_for, count])
    sri.answers[key] = documents.empty(key)

    assert cli("check-authorizations").code == 0

    assert status(rows, key) == expected
    assert rows("SELECT empty_count FROM invoices") == [(count + 1,)]


def test_day_of_outage_then_one_empty_answer(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection
) -> None:
    """Nothing becomes needs_attention by an outage and what comes right after it."""
    keys = [make_key(number) for number in range(8)]
    pending(*keys, submitted_at="2026-01-01")
    sri.default = lambda _: ("503 Service Unavailable", b"")
    for _ in range(8):
        cli("check-authorizations")
        connection.execute("UPDATE invoices SET next_check_at = now() - interval '1 hour'")
    connection.execute("UPDATE sri_events SET at = at - interval '25 hours'")
    sri.default = documents.empty

    assert cli("check-authorizations").code == 0

    assert rows("SELECT DISTINCT status, empty_count FROM invoices") == [("pending_authorization", 1)]


def test_old_refusal_is_not_the_corrected_documents(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection
) -> None:
    """Sent again under its key, a document waits while the SRI still shows the refusal of the submission before."""
    key = make_key(1)
    pending(key)
    sri.answers[key] = documents.refused(key, 39)
    statuses = []

    def check() -> None:
        assert cli("check-authorizations", "--access-key", key).code == 0
        statuses.append(status(rows, key))

    check()
    connection.execute(
        "UPDATE invoices SET status = 'pending_authorization', submitted_at = now(), next_check_at = now()"
    )
    check()
    sri.answers[key] = documents.refused(key, 52, at="2026-11-01T11:00:00-05:00")
    check()
    assert cli("invoice", "recheck", key).code == 0
    check()

    assert statuses == ["rejected", "pending_authorization", "rejected", "rejected"]
    kinds = rows("SELECT code FROM sri_events WHERE kind IN ('rejected', 'pending') ORDER BY id")
    assert kinds == [("code_39",), ("earlier_refusal",), ("code_52",), ("code_52",)]


def test_refusal_that_stays_for_a_day_is_the_last_word(
    cli: Cli, sri: Sri, rows: Rows, pending: Any, connection: Connection
) -> None:
    """After the time that the SRI may take, the same refusal counts for the new submission."""
    key = make_key(1)
    pending(key)
    sri.answers[key] = documents.refused(key, 39)
    assert cli("check-authorizations").code == 0
    connection.execute(
        "UPDATE invoices SET status = 'pending_authorization', next_check_at = now(),"
        " submitted_at = now() - interval '25 hours'"
    )

    assert cli("check-authorizations").code == 0

    assert status(rows, key) == "rejected"


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--limit", "7")], ids=["run", "dry run", "limit"])
def test_a_hand_run_asks_about_all_that_is_due(
    arguments: tuple[str, ...], cli: Cli, sri: Sri, pending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are read at once; each once, though one that is still in process is due again before the end."""
    monkeypatch.setattr(job.CheckAuthorizations, "most", 3)
    cli("tenant", "add", OTHER_RUC, "Otra", "--environment", "test")
    keys = [make_key(number, ruc=ruc) for number in range(1, 5) for ruc in (RUC, OTHER_RUC)]
    pending(*keys)
    ran = cli("check-authorizations", "--json", *arguments)

    taken = 7 if arguments[:1] == ("--limit",) else 8
    assert (0, 8, taken) == (ran.code, ran.json["counts"]["eligible"], len(set(sri.asked)))
    assert taken == len(sri.asked) == len(ran.json["items"])


def test_a_hand_run_probes_an_open_circuit_once(
    cli: Cli, sri: Sri, pending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learned of a host holds for all that is read after it."""
    monkeypatch.setattr(job.CheckAuthorizations, "most", 7)
    cli("settings", "set", "sri_check_concurrency", "1")
    sri.default = ("503 Service Unavailable", b"")
    pending(*(make_key(number) for number in range(1, 21)))
    opened = cli("check-authorizations", "--json")
    sri.asked.clear()
    cli("check-authorizations", "--json")

    assert (69, 15) == (opened.code, opened.json["counts"]["remaining"])
    assert 1 == len(sri.asked)


def test_a_tick_leaves_what_is_beyond_a_page_to_the_next(
    cli: Cli, sri: Sri, pending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts what remains, which is no failure."""
    monkeypatch.setattr(job.CheckAuthorizations, "most", 3)
    pending(*(make_key(number) for number in range(1, 6)))
    ran = cli("check-authorizations", "--scheduled", "--json")

    assert (0, 3, 2) == (ran.code, len(sri.asked), ran.json["counts"]["remaining"])
