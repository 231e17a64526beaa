"""Mail, webhook and ping over real sockets: what is sent, what counts as sent, and how long anything may take."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from jobsync import logs
from jobsync.errors import ConfigurationProblem
from jobsync.operate.send import (
    Message,
    Note,
    NotSent,
    Ping,
    Webhook,
    channels_of,
    hide_secrets,
    parse_mail,
    ping_address,
    usable_channels,
    within,
)
from jobsync.settings import Settings
from tests.operate.support import HOSTILE, NOW, free_port, listener, post_office


def note(text: str = "stock-sync: no tick", phase: str = "opened") -> Note:
    """One thing to tell."""
    return Note("stock-sync", "tick", phase, text, "systemctl status", NOW, NOW if phase == "closed" else None)


def message(*notes: Note) -> Message:
    """A message of this host."""
    return Message("app1", NOW, notes or (note(),))


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
    """`starttls=always` sends nothing to a server that does not offer it."""
    with post_office() as (office, port):
        with pytest.raises(NotSent):
            parse_mail(f"smtp://127.0.0.1:{port}?starttls=always", "a@example.org").send(message())

        assert [] == office.mails


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
        parse_mail(f"smtp://127.0.0.1:{port}", "a@example.org").send(message())

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
    settings = Settings(smtp_url="smtp://h", alert_webhook="https://h/x")
    found, problems = usable_channels(settings)

    assert (["webhook"], 1) == ([channel.name for channel in found], len(problems))
    with pytest.raises(ConfigurationProblem):
        channels_of(settings)


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


# --- ping ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "signal", "expected"),
    [
        ("https://h/k", "success", "https://h/k?rid=r"),
        ("https://h/k/", "start", "https://h/k/start?rid=r"),
        ("https://h/k/{job}", "fail", "https://h/k/stock-sync/fail?rid=r"),
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


def test_addresses_of_alerts_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Password, URLs and long pieces of them are masked wherever text is made visible; short words are not."""
    monkeypatch.setattr(logs, "_secrets", set())
    hide_secrets(
        Settings(
            smtp_url="smtp://u:p%40ssword@h",
            alert_webhook="https://h/services/T0123456789ab/alerts?key=0123456789abcdef",
            ping_url="https://h/ping/01234567-89ab-cdef-0123-456789abcdef",
        )
    )
    shown = logs.visible(
        "p@ssword p%40ssword T0123456789ab 0123456789abcdef 01234567-89ab-cdef-0123-456789abcdef alerts services"
    )

    assert "••• ••• ••• ••• ••• alerts services" == shown


def test_a_message_is_named_by_what_it_tells() -> None:
    """The same message tried again has the same identity; another phase has another."""
    later = replace(message(), sent_at=NOW + timedelta(minutes=5))

    assert message().identity == later.identity
    assert message().identity != message(note(phase="reminded")).identity
