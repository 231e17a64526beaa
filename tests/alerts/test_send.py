"""Mail, webhook and ping over real sockets: what is sent, what counts as sent, and how long anything may take."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobsync import logs
from jobsync.alerts.mail import Mail, parse_mail
from jobsync.alerts.message import AlertMessage, AlertNote
from jobsync.alerts.model import Alert
from jobsync.alerts.post import NotSent, Ping, Webhook, hide_secrets, ping_address, within
from jobsync.alerts.send import channels_of, services_of
from jobsync.errors import ConfigurationProblem
from jobsync.settings import Settings
from tests.watch.support import HOSTILE, NOW, clerk, free_port, listener, post_office


def note(text: str = "stock-sync: no tick", phase: str = "opened") -> AlertNote:
    """One thing to tell."""
    over = NOW if phase == "closed" else None
    alert = Alert("tick", "stock-sync", "timer_silent", text, "systemctl status", NOW, NOW, closed_at=over)
    return AlertNote(alert, phase)


def message(*notes: AlertNote) -> AlertMessage:
    """A message of this host."""
    return AlertMessage("app1", NOW, notes or (note(),))


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for line in held:
            line.close()


def test_mail_arrives_with_plain_headers() -> None:
    """Subject, sender, every address, a stable identity; other mail programs do not answer it."""
    with post_office() as (office, port):
        channel = parse_mail(f"smtp://127.0.0.1:{port}?from=jobs@example.org", "a@example.org, b@example.org")
        channel.send(message())
        channel.send(message())

    first, second = office.mails
    assert "[jobsync] problem: stock-sync: no tick" == first["Subject"]
    assert ("jobs@example.org", "a@example.org, b@example.org") == (first["From"], first["To"])
    assert "auto-generated" == first["Auto-Submitted"]
    assert first["Message-ID"] == second["Message-ID"]
    assert "what to do: systemctl status" in first.get_content()


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "a\r\nBcc: evil@example.org", "a\nSubject: b", "é" * 300, "\ud800", "\u202eright", "=?utf-8?q?x?="],
)
def test_no_text_leaves_its_header(text: str) -> None:
    """Whatever a text holds, the mail has the same headers and one line of subject."""
    with post_office() as (office, port):
        parse_mail(f"smtp://127.0.0.1:{port}", "a@example.org").send(message(note(text)))

    [mail] = office.mails
    assert mail["Bcc"] is None
    assert 1 == len(mail.get_all("Subject", []))
    assert not any(sign in mail["Subject"] for sign in "\r\n\x1b\u202e")
    assert len(mail["Subject"]) <= 160


def test_many_notes_are_one_mail() -> None:
    """The subject counts them, the text has each."""
    with post_office() as (office, port):
        parse_mail(f"smtp://127.0.0.1:{port}", "a@example.org").send(
            message(note("one"), note("two", "reminded"), note("three", "closed"))
        )

    [mail] = office.mails
    assert "[jobsync] 1 problem, 1 still, 1 recovered on app1" == mail["Subject"]
    for words in ("PROBLEM: one", "STILL THERE: two", "RECOVERED: three"):
        assert words in mail.get_content()


def test_login_with_user_and_password() -> None:
    """Percent signs in the URL are read; loopback needs no TLS."""
    with post_office(password="p@ss/word") as (office, port):
        parse_mail(f"smtp://ops:p%40ss%2Fword@127.0.0.1:{port}", "a@example.org").send(message())

    assert (b"ops", b"p@ss/word") in office.logins
    assert 1 == len(office.mails)


def test_a_password_is_not_sent_in_the_clear() -> None:
    """Away from loopback a server without STARTTLS gets no password."""
    with post_office(password="secret", hostname="127.0.0.2") as (office, port), pytest.raises(NotSent) as refused:
        parse_mail(f"smtp://ops:secret@127.0.0.2:{port}", "a@example.org").send(message())

    assert "not sent in the clear" in str(refused.value)
    assert ([], []) == (office.logins, office.mails)


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1000))
        .not_valid_after(NOW + timedelta(days=1000))
        .sign(key, hashes.SHA256())
    )
    (folder / "c.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "k.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "c.pem", folder / "k.pem")
    return context


def test_starttls_is_used_where_it_is_offered(tmp_path: Path) -> None:
    """Without a password any certificate is better than plain text; with one it must hold."""
    with post_office(hostname="127.0.0.2", tls=own_certificate(tmp_path)) as (office, port):
        parse_mail(f"smtp://127.0.0.2:{port}", "a@example.org").send(message())
        with pytest.raises(NotSent) as refused:
            parse_mail(f"smtp://ops:secret@127.0.0.2:{port}", "a@example.org").send(message())

    assert 1 == len(office.mails)
    assert "certificate" in str(refused.value).lower()


def test_starttls_that_is_insisted_on() -> None:
    """`starttls=always` sends nothing to a server that does not offer it, and does not ask it twice."""
    with clerk() as server, pytest.raises(NotSent, match="STARTTLS"):
        parse_mail(f"smtp://127.0.0.1:{server.port}?starttls=always", "a@example.org").send(message())

    assert ([], 1) == (server.mails, server.calls)


@pytest.mark.parametrize("answer", ["451 later", "554 never"])
def test_a_refusal_is_not_sent(answer: str) -> None:
    """Only what the server took counts."""
    with post_office() as (office, port):
        office.answer = answer
        with pytest.raises(NotSent) as refused:
            parse_mail(f"smtp://127.0.0.1:{port}", "a@example.org").send(message())

    assert answer[:3] in str(refused.value)


def test_nobody_listens() -> None:
    """A server that is down is named, with its port."""
    port = free_port()
    with pytest.raises(NotSent) as refused:
        replace(parse_mail(f"smtp://127.0.0.1:{port}", "a@example.org"), deadline_s=0.4).send(message())

    assert f"127.0.0.1:{port}" in str(refused.value)


def test_a_mute_server_costs_its_deadline_and_no_more() -> None:
    """The whole conversation has one deadline."""
    with silent_server() as port:
        channel = replace(parse_mail(f"smtp://127.0.0.1:{port}", "a@example.org"), deadline_s=0.3)
        started = time.monotonic()
        with pytest.raises(NotSent):
            channel.send(message())

    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("url", "to", "words"),
    [
        ("smtp://", "a@b.example", "no host"),
        ("smtp://h:port", "a@b.example", "port is no number"),
        ("smtp://h?starttls=maybe", "a@b.example", "starttls is one of"),
        ("smtp://h", "nobody", "nobody is no mail address"),
        ("smtp://h", " , ", "no mail address"),
        ("smtp://h", "a@b.example\r\nBcc: c@d.example", "no mail address"),
        ("smtp://u:topsecret@h?from=x", "a@b.example", "from is no mail address"),
    ],
)
def test_a_wrong_configuration_is_named_without_its_secret(url: str, to: str, words: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(ConfigurationProblem) as refused:
        parse_mail(url, to)

    assert words in str(refused.value)
    assert "topsecret" not in str(refused.value)


def test_default_ports() -> None:
    """25, with a user 587, with implicit TLS 465."""
    found = [
        parse_mail(url, "a@b.example").port for url in ("smtp://h", "smtp://u:p@h", "smtps://u:p@h", "smtp://h:2525")
    ]

    assert [25, 587, 465, 2525] == found


def test_half_configured_mail_leaves_the_webhook() -> None:
    """What is usable is used, what is not is named."""
    found, problems = channels_of(Settings(smtp_url="smtp://h", alert_webhook="https://h/x"))

    assert (["webhook"], 1) == ([channel.name for channel in found], len(problems))


# --- mail servers that misbehave --------------------------------------------------------------------------------------


def mail_to(port: int, *, user: str = "", to: str = "ops@example.org, oncall@example.org", **more: float) -> Mail:
    """A channel to a mail server of ours."""
    return replace(parse_mail(f"smtp://{user}127.0.0.1:{port}", to), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("goodbye", [b"421 too busy\r\n", b"500 \xff\r\n", b"", None])
def test_what_was_taken_is_sent_however_quit_is_answered(goodbye: bytes | None) -> None:
    """250 after the text is the last word; a goodbye costs two seconds at most."""
    started = time.monotonic()
    with clerk(quit=goodbye) as server:
        refused = mail_to(server.port).send(message())

    assert ((), 1) == (refused, len(server.mails))
    assert time.monotonic() - started < 4


def test_an_address_that_is_refused_is_named_and_the_others_have_the_mail() -> None:
    """It is masked, and the mail counts as sent."""
    with clerk(rcpt={b"oncall": b"550 no such user\r\n"}) as server:
        refused = mail_to(server.port).send(message())

    assert ("mail: 127.0.0.1 refuses o•••@example.org of JOBSYNC_ALERT_TO: 550 no such user",) == refused
    assert 1 == len(server.mails)


def test_every_address_refused_is_not_sent() -> None:
    """With the server's reason."""
    with clerk(rcpt={b"@": b"550 no such user\r\n"}) as server, pytest.raises(NotSent) as problem:
        mail_to(server.port).send(message())

    assert "refuses every address of JOBSYNC_ALERT_TO: 550 no such user" in str(problem.value)
    assert not problem.value.perhaps


def test_a_server_may_take_longer_once_it_has_the_whole_text() -> None:
    """It looks for viruses before it says 250."""
    with clerk(data_after_s=1.0) as server:
        mail_to(server.port, answer_s=10.0).send(message())

    assert 1 == len(server.mails)


@pytest.mark.parametrize(
    ("how", "perhaps"),
    [
        ({"data": None}, True),
        ({"data": b"nonsense\r\n"}, True),
        ({"data": b"250 " + b"x" * 9000 + b"\r\n"}, True),
        ({"data_after_s": 3.0}, True),
        ({"data": b"451 later\r\n"}, False),
        ({"data": b"554 never\r\n"}, False),
        ({"banner": b"421 busy\r\n"}, False),
        ({"rcpt": {b"@": b"451 later\r\n"}}, False),
        ({"ehlo": b""}, False),
    ],
)
def test_what_perhaps_arrived_is_told_from_what_did_not(how: dict[str, Any], perhaps: bool) -> None:
    """Only the server's no, or an end before the text was handed over, is certain."""
    with clerk(**how) as server, pytest.raises(NotSent) as problem:
        mail_to(server.port, answer_s=0.5, deadline_s=2.0).send(message())

    assert perhaps == problem.value.perhaps


@pytest.mark.parametrize(
    ("how", "tries"),
    [
        ({"banner": b"421 busy\r\n"}, 3),
        ({"rcpt": {b"@": b"421 busy\r\n"}}, 3),
        ({"data": b"451 later\r\n"}, 1),
        ({"data": b"554 never\r\n"}, 1),
        ({"data": None}, 1),
    ],
)
def test_a_server_that_is_away_or_busy_is_tried_again(how: dict[str, Any], tries: int) -> None:
    """Within the same deadline; a no stands, and what perhaps arrived is not said twice."""
    with clerk(**how) as server, pytest.raises(NotSent):
        mail_to(server.port, deadline_s=8.0, answer_s=0.5).send(message())

    assert server.calls == tries


def test_lines_that_begin_with_a_dot_arrive() -> None:
    """And none ends the mail."""
    with clerk() as server:
        mail_to(server.port).send(message(note(".\n. dot")))

    assert 1 == len(server.mails)
    assert b"-- jobsync" in server.mails[0]


@pytest.mark.parametrize("drips", [b"2", b"220-x\r\n" * 4000])
def test_a_server_that_never_ends_its_answer_costs_the_deadline(drips: bytes) -> None:
    """A byte now and then, or megabytes: it is hung up on."""
    started = time.monotonic()
    with clerk(drips=drips) as server, pytest.raises(NotSent) as problem:
        mail_to(server.port, deadline_s=1.0).send(message())

    assert time.monotonic() - started < 3
    assert not problem.value.perhaps


AUTH = b"250-hi\r\n250 AUTH "


@pytest.mark.parametrize(
    ("offered", "answers"),
    [
        (b"PLAIN", [b"535 5.7.8 bad credentials {} \r\n"]),
        (b"LOGIN", [b"334 UGFzc3dvcmQ6\r\n", b"535 5.7.8 {}\r\n"]),
        (b"CRAM-MD5", [b"334 PDFAeD4=\r\n", b"535 5.7.8 {}\r\n"]),
    ],
)
def test_a_login_that_a_server_quotes_back_is_shown_nowhere(offered: bytes, answers: list[bytes]) -> None:
    """Over the wire a password is base64: that form, or a piece of it, is as secret as the password."""
    hide_secrets(Settings(smtp_url="smtp://ops:hunter2-secret@127.0.0.1"))
    with clerk(ehlo=AUTH + offered + b"\r\n", auth=answers) as server, pytest.raises(NotSent) as problem:
        mail_to(server.port, user="ops:hunter2-secret@").send(message())

    quoted = [word.decode() for said in server.said for word in said.split() if len(word) >= 16]
    assert "mail: 127.0.0.1 refuses user or password of JOBSYNC_SMTP_URL (535)" == str(problem.value)
    assert offered == b"CRAM-MD5" or not any(word in logs.visible(word) for word in quoted)


def test_a_short_password_is_shown_in_no_quoted_login() -> None:
    """Of so few characters nothing is looked for within longer base64: the whole login is a secret too."""
    hide_secrets(Settings(smtp_url="smtp://duty:zq7@127.0.0.1"))
    with clerk(ehlo=AUTH + b"PLAIN\r\n", auth=[b"235 ok\r\n"]) as server:
        mail_to(server.port, user="duty:zq7@").send(message())

    login = base64.b64encode(b"\0duty\0zq7").decode()
    assert any(login.encode() in said for said in server.said)
    assert "550 after AUTH PLAIN •••" == logs.visible(f"550 after AUTH PLAIN {login}".rstrip("="))


def test_user_and_password_are_utf_8() -> None:
    """As RFC 4616 has it."""
    with post_office(password="pässwörd-€") as (office, port):
        mail_to(port, user="j%C3%B6rg:p%C3%A4ssw%C3%B6rd-%E2%82%AC@").send(message())

    assert [("jörg".encode(), "pässwörd-€".encode())] == office.logins
    assert 1 == len(office.mails)


def test_a_challenge_is_answered() -> None:
    """CRAM-MD5 as RFC 2195 has it."""
    challenge = base64.b64encode(b"<1896.697170952@postoffice.reston.mci.net>")
    answers = [b"334 " + challenge + b"\r\n", b"235 ok\r\n"]
    with clerk(ehlo=AUTH + b"CRAM-MD5\r\n", auth=answers) as server:
        mail_to(server.port, user="tim:tanstaaftanstaaf@").send(message())

    assert base64.b64encode(b"tim b913a602c7eda7a495b4e6e7334d3890") in [said.strip() for said in server.said]


def test_an_error_never_quotes_the_letters_that_cannot_be_sent() -> None:
    """They may be the password's."""
    with clerk(ehlo=AUTH + b"PLAIN\r\n") as server, pytest.raises(NotSent) as problem:
        replace(mail_to(server.port), user="ops", password="hunter\ud800").send(message())

    assert "JOBSYNC_SMTP_URL" in str(problem.value)
    assert "d800" not in str(problem.value)


# --- webhook ---------------------------------------------------------------------------------------------------------


def test_the_webhook_gets_one_document() -> None:
    """Chat services show `text`; programs read `alerts`."""
    with listener() as (hook, url):
        Webhook(f"{url}/hook?key=k").send(message(note(HOSTILE), note("over", "closed")))

    [document] = hook.documents
    assert ["firing", "resolved"] == [each["status"] for each in document["alerts"]]
    assert "\n" not in document["alerts"][0]["text"]
    assert "\x1b" not in json.dumps(document, ensure_ascii=False)
    assert "/hook?key=k" == hook.got[0][0]


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_only_2xx_counts_as_told(status: int) -> None:
    """Anything else is tried again; the error names the host alone."""
    with listener() as (hook, url):
        hook.status = status
        with pytest.raises(NotSent) as refused:
            Webhook(f"{url}/token-token-token").send(message())

    assert f"webhook: 127.0.0.1 answers HTTP {status}" == str(refused.value)


def test_a_mute_webhook_costs_its_deadline() -> None:
    """As with mail."""
    with silent_server() as port:
        started = time.monotonic()
        with pytest.raises(NotSent):
            Webhook(f"http://127.0.0.1:{port}/x", deadline_s=0.3).send(message())

    assert time.monotonic() - started < 3


@pytest.mark.parametrize(("length", "body"), [(0, b""), (100, b""), (10_000_000_000, b"x" * (3 << 20))])
def test_the_status_line_decides(length: int, body: bytes) -> None:
    """A body that is huge, or never comes, is nobody's business: the post was taken."""
    started = time.monotonic()
    with listener() as (hook, url):
        hook.length, hook.body = length, body
        assert () == Webhook(f"{url}/x", deadline_s=5.0).send(message())

    assert time.monotonic() - started < 4
    assert 1 == len(hook.got)


def test_a_post_without_an_answer_perhaps_arrived() -> None:
    """One that found nobody did not."""
    with listener() as (hook, url):
        hook.wait.clear()
        with pytest.raises(NotSent) as mute:
            Webhook(f"{url}/x", deadline_s=0.5).send(message())
    with pytest.raises(NotSent) as nobody:
        Webhook(f"http://127.0.0.1:{free_port()}/x").send(message())

    assert (True, False) == (mute.value.perhaps, nobody.value.perhaps)


# --- ping ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "signal", "expected"),
    [
        ("https://h/k", "success", "https://h/k?rid=r"),
        ("https://h/k/", "start", "https://h/k/start?rid=r"),
        ("https://h/k/{job}", "fail", "https://h/k/stock-sync/fail?rid=r"),
        ("https://h/k", "3", "https://h/k/3?rid=r"),
        ("https://h/k/%7Bjob%7D?create=1", "success", "https://h/k/stock-sync?create=1&rid=r"),
    ],
)
def test_ping_addresses(url: str, signal: str, expected: str) -> None:
    """In the manner of healthchecks.io."""
    assert expected == ping_address(url, "stock-sync", signal, run="r")


def test_a_ping_carries_the_verdict() -> None:
    """The body is the summary."""
    with listener() as (hook, url):
        Ping(f"{url}/k").tell("stock-sync", "fail", run="r", text="failed, exit 1")

    assert [("/k/fail?rid=r", b"failed, exit 1")] == hook.got


# --- deadlines and secrets -------------------------------------------------------------------------------------------


def test_within_gives_up_and_hands_problems_on() -> None:
    """The answer, the error, or the end of patience."""
    gave_up = threading.Event()

    assert 3 == within(1, lambda: 3)
    with pytest.raises(ZeroDivisionError):
        within(1, lambda: 1 // 0)
    with pytest.raises(TimeoutError):
        within(0.05, lambda: gave_up.wait(5), give_up=gave_up.set)
    assert gave_up.is_set()


def test_addresses_of_alerts_are_secrets() -> None:
    """Password, URLs and long pieces of them are masked wherever text is made visible; short words are not."""
    hide_secrets(
        Settings(
            smtp_url="smtp://u:p%40ssword@h",
            alert_webhook="https://h/services/T0123456789ab/alerts?key=0123456789abcdef",
            ping_url="https://h/ping/01234567-89ab-cdef-0123-456789abcdef",
            alert_urls="slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ json://alerts.example.com",
        )
    )
    shown = logs.visible(
        "T1JJ3T3L2 A1BRTD4JD TIiajkdnlazkcOXrIdevi7FQ alerts.example.com"
        " p@ssword p%40ssword T0123456789ab 0123456789abcdef 01234567-89ab-cdef-0123-456789abcdef alerts services"
    )

    assert "••• ••• ••• alerts.example.com ••• ••• ••• ••• ••• alerts services" == shown


def test_a_secret_with_escapes_that_are_no_utf_8_is_masked_as_it_stands() -> None:
    """Nothing undoes such an escape where the address is quoted."""
    hide_secrets(Settings(smtp_url="smtp://u:latin%E9-pass7@h", alert_urls="slack://Qw%E9rtz1234567/x"))

    assert "••• •••" == logs.visible("latin%E9-pass7 Qw%E9rtz1234567")


def test_a_message_is_named_by_what_it_tells() -> None:
    """The same message tried again has the same identity; another phase, or the next reminder, has another."""
    first = message()
    reminded = note(phase="reminded")
    reminder = message(reminded)
    next_reminder = message(reminded._replace(alert=replace(reminded.alert, reminded={first.channel: NOW})))
    others = [message(note(phase="closed")), reminder, next_reminder]

    assert first.identity == replace(first, sent_at=NOW + timedelta(hours=24)).identity
    assert first.identity == replace(message(note("x"), note("y")), repeats=first.identity).identity
    assert 4 == len({each.identity for each in (first, *others)})


# --- Apprise ---------------------------------------------------------------------------------------------------------


def test_services_are_named_by_scheme_and_number() -> None:
    """As Apprise reads them, blanks or commas between; none of their secrets is in a name or a text."""
    found = services_of("json://h/hook-1 jsons://u:secret-1@h, ntfy://topic-12345", {})

    assert ["json #1", "jsons #2", "ntfy #3"] == [service.name for service in found]
    assert not any(secret in repr(found) for secret in ("hook-1", "secret-1", "topic-12345"))


def test_a_service_gets_title_and_text() -> None:
    """One that answers with a failure has not taken it."""
    with listener() as (hook, url):
        [service] = services_of(url.replace("http://", "json://") + "/notify", {})
        service.send(message())
        hook.status = 500
        with pytest.raises(NotSent) as refused:
            service.send(message())

    [document] = hook.documents
    assert "[jobsync] problem: stock-sync: no tick" == document["title"]
    assert "what to do: systemctl status" in document["message"]
    assert str(refused.value).startswith("json #1: not taken")


def test_a_service_that_is_slow_to_answer_has_it_perhaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apprise waits for seconds only and calls that a failure; taken for one, it would be told at every look."""
    monkeypatch.setattr("apprise.URLBase.socket_read_timeout", 0.1)
    with silent_server() as port:
        [service] = services_of(f"json://127.0.0.1:{port}/notify", {})
        with pytest.raises(NotSent) as problem:
            replace(service, deadline_s=0.5).send(message())

    assert problem.value.perhaps


def test_a_service_is_reached_by_the_proxy_that_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by another of the environment, which is as before afterwards."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with listener() as (proxy, url):
        [service] = services_of("json://hooks.example/notify", {"all://": url})
        service.send(message())

    assert "/notify" in proxy.got[0][0]
    assert "http://127.0.0.1:9" == os.environ["http_proxy"]


@pytest.mark.parametrize(("urls", "wrong"), [("json://h nothing://x-secret-1", "#2 of 2"), ("x-secret-1", "#1 of 1")])
def test_a_url_that_apprise_does_not_know_is_named_by_its_number(urls: str, wrong: str) -> None:
    """It may be a secret with a typo."""
    found, problems = channels_of(Settings(alert_urls=urls))

    assert [] == found
    assert f"JOBSYNC_ALERT_URLS: {wrong} cannot be used" in problems[0]
    assert "secret" not in problems[0]


def test_without_apprise_the_line_to_type_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    found, problems = channels_of(Settings(alert_urls="json://h", alert_webhook="https://h/x"))

    assert ["webhook"] == [channel.name for channel in found]
    assert "pip install 'jobsync-runner[notify]'" in problems[0]
