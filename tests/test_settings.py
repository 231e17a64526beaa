"""Environment, credentials folder and configuration file, and what wins."""

from __future__ import annotations

import base64
import dataclasses
import os
from pathlib import Path

import pytest

from jobsync import settings as module
from jobsync.errors import ConfigurationProblem, ExitCode
from jobsync.settings import load_settings

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()

VARIABLES = [
    ("JOBSYNC_DATABASE_URL", "postgresql://u@h/d", "database_url", "postgresql://u@h/d"),
    ("JOBSYNC_DATABASE_URL", "postgres://u@/d?host=/run/pg", "database_url", "postgres://u@/d?host=/run/pg"),
    ("JOBSYNC_DATABASE_URL", "embedded:/srv/pg", "embedded_folder", Path("/srv/pg")),
    ("JOBSYNC_LOCK_DATABASE_URL", "postgresql://u@h2/d", "lock_database_url", "postgresql://u@h2/d"),
    ("JOBSYNC_DATABASE_SCHEMA", "Our cars", "database_schema", "Our cars"),
    ("JOBSYNC_ENCRYPTION_KEY", KEY, "encryption_key", bytes(range(32))),
    ("EASYCARS_ENCRYPTION_KEY", KEY, "encryption_key", bytes(range(32))),
    ("JOBSYNC_ENCRYPTION_KEY_PREVIOUS", KEY, "encryption_key_previous", bytes(range(32))),
    ("JOBSYNC_EASYCARS_URL", "http://127.0.0.1:8/x", "easycars_url", "http://127.0.0.1:8/x"),
    ("JOBSYNC_SRI_URL", "https://h:8443", "sri_url", "https://h:8443"),
    ("JOBSYNC_PROXY", "http://u:p@proxy:3128", "proxy", "http://u:p@proxy:3128"),
    ("JOBSYNC_STORAGE", "/srv/rides", "storage", Path("/srv/rides")),
    ("JOBSYNC_REPORT_FILE", "/srv/r/r.html", "report_file", Path("/srv/r/r.html")),
    ("JOBSYNC_METRICS_FILE", "/srv/m/m.prom", "metrics_file", Path("/srv/m/m.prom")),
    ("JOBSYNC_LOG_LEVEL", "WARNING", "log_level", "warning"),
    ("JOBSYNC_LOG_FORMAT", "json", "log_format", "json"),
    ("JOBSYNC_SMTP_URL", "smtps://u:p@h:465", "smtp_url", "smtps://u:p@h:465"),
    ("JOBSYNC_ALERT_TO", "a@b.example", "alert_to", "a@b.example"),
    ("JOBSYNC_ALERT_WEBHOOK", "https://h/hook", "alert_webhook", "https://h/hook"),
    ("JOBSYNC_ALERT_URLS", "json://h, slack://a/b/c", "alert_urls", "json://h, slack://a/b/c"),
    ("JOBSYNC_PING_URL", "https://h/ping", "ping_url", "https://h/ping"),
]


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file of this machine, if there is one, is not the tests'."""
    monkeypatch.setattr(module, "CONFIG_FILE", str(tmp_path / "no-such-file.toml"))
    monkeypatch.setattr(module, "CREDENTIALS_FOLDER", str(tmp_path / "no-such-folder"))


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty credentials folder and an empty file."""
    (tmp_path / "credentials").mkdir()
    (tmp_path / "config.toml").write_text("")
    return {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"), "JOBSYNC_CONFIG": str(tmp_path / "config.toml")}


def credential(sources: dict[str, str], name: str, text: str) -> None:
    (Path(sources["CREDENTIALS_DIRECTORY"]) / name).write_text(text)


def config(sources: dict[str, str], text: str) -> None:
    Path(sources["JOBSYNC_CONFIG"]).write_text(text)


@pytest.mark.parametrize(("name", "text", "field", "value"), VARIABLES)
def test_variable_is_read_from_the_environment(name: str, text: str, field: str, value: object) -> None:
    """Every variable reaches its field."""
    assert getattr(load_settings({name: text}), field) == value


@pytest.mark.parametrize(("name", "text", "field", "value"), [row for row in VARIABLES if "EASYCARS_ENC" not in row[0]])
def test_variable_is_read_from_a_credential(
    sources: dict[str, str], name: str, text: str, field: str, value: object
) -> None:
    """Every variable can be a systemd credential of the lower-case name; a final newline does not matter."""
    credential(sources, name.lower(), f"{text}\n")

    assert getattr(load_settings(sources), field) == value


@pytest.mark.parametrize("prefix", ["jobsync_", "", "JOBSYNC_"])
@pytest.mark.parametrize(("name", "text", "field", "value"), [row for row in VARIABLES if "EASYCARS_ENC" not in row[0]])
def test_variable_is_read_from_the_file(
    sources: dict[str, str], name: str, text: str, field: str, value: object, prefix: str
) -> None:
    """Every variable can stand in the configuration file, with or without the prefix."""
    config(sources, f'{prefix}{name.removeprefix("JOBSYNC_").lower()} = "{text}"\n')

    assert getattr(load_settings(sources), field) == value


def test_every_name_is_tried() -> None:
    """No variable was added without a line in the table above."""
    assert {row[0] for row in VARIABLES} - {"EASYCARS_ENCRYPTION_KEY"} == set(module.NAMES)


def test_a_command_typed_by_hand_reads_the_units_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without $CREDENTIALS_DIRECTORY the folder that the units' credentials come from is read, where it may be."""
    monkeypatch.setattr(module, "CREDENTIALS_FOLDER", str(tmp_path))
    (tmp_path / "jobsync_encryption_key").write_text(KEY + "\n")

    assert load_settings({}).encryption_key == bytes(range(32))


def test_environment_wins_over_credential_and_credential_over_file(sources: dict[str, str]) -> None:
    """env > $CREDENTIALS_DIRECTORY > file, for each variable by itself."""
    for name in ("alert_to", "ping_url", "sri_url"):
        credential(sources, f"jobsync_{name}", "https://credential")
    config(
        sources, "\n".join(f'{name} = "https://file"' for name in ("alert_to", "ping_url", "sri_url", "easycars_url"))
    )
    (Path(sources["CREDENTIALS_DIRECTORY"]) / "jobsync_ping_url").unlink()
    found = load_settings({**sources, "JOBSYNC_ALERT_TO": "environment"})

    assert (found.alert_to, found.sri_url, found.ping_url, found.easycars_url) == (
        "environment",
        "https://credential",
        "https://file",
        "https://file",
    )


def test_empty_text_is_unset(sources: dict[str, str]) -> None:
    """An empty variable does not hide what stands in the file."""
    config(sources, 'alert_to = "file"')

    assert load_settings({**sources, "JOBSYNC_ALERT_TO": ""}).alert_to == "file"


def test_our_key_wins_over_the_old_name() -> None:
    """JOBSYNC_ENCRYPTION_KEY is the one; the old name only stands in for it."""
    found = load_settings({"JOBSYNC_ENCRYPTION_KEY": KEY, "EASYCARS_ENCRYPTION_KEY": OTHER_KEY})

    assert found.encryption_key == bytes(range(32))


def test_a_bad_key_is_named_as_it_was_given() -> None:
    """Who set the old name alone finds no other in the message."""
    with pytest.raises(ConfigurationProblem, match=r"configuration: EASYCARS_ENCRYPTION_KEY: not base64"):
        load_settings({"EASYCARS_ENCRYPTION_KEY": "key!"})


@pytest.mark.parametrize("url", [None, "", "embedded:"])
def test_without_a_url_the_server_is_our_own(url: str | None) -> None:
    """No URL means the embedded server in the user's folder."""
    found = load_settings({} if url is None else {"JOBSYNC_DATABASE_URL": url})

    assert (found.database_url, found.embedded_folder) == (None, None)


WRONG = {
    "JOBSYNC_DATABASE_URL": "mysql://u:db-secret@h/d",
    "JOBSYNC_LOCK_DATABASE_URL": "h:5432",
    "JOBSYNC_ENCRYPTION_KEY": "key-secret!",
    "JOBSYNC_ENCRYPTION_KEY_PREVIOUS": base64.b64encode(b"short-secret").decode(),
    "JOBSYNC_EASYCARS_URL": "ftp://x",
    "JOBSYNC_SRI_URL": "https://",
    "JOBSYNC_LOG_LEVEL": "loud",
    "JOBSYNC_LOG_FORMAT": "xml",
    "JOBSYNC_SMTP_URL": "mailto:smtp-secret",
    "JOBSYNC_ALERT_WEBHOOK": "http://[",
    "JOBSYNC_PING_URL": "ping-secret",
}


def test_everything_that_is_wrong_is_named_at_once() -> None:
    """One message has every wrong variable in it: 78."""
    with pytest.raises(ConfigurationProblem) as refused:
        load_settings(WRONG)
    assert set(WRONG) == {name for name in WRONG if f"{name}: " in str(refused.value)}
    assert refused.value.exit_code is ExitCode.CONFIGURATION


@pytest.mark.parametrize("url", ["http://proxy:port", "http://[", "http://proxy:99999"])
def test_what_cannot_be_read_as_a_url_is_called_so(url: str) -> None:
    """It begins as it should: that alone would send somebody looking there."""
    with pytest.raises(ConfigurationProblem, match=r"JOBSYNC_PROXY: not a URL \(expected http://… or https://…\)"):
        load_settings({"JOBSYNC_PROXY": url})


def test_wrong_values_are_not_repeated() -> None:
    """What was wrong may have been a secret: the message names it without quoting it."""
    with pytest.raises(ConfigurationProblem) as refused:
        load_settings(WRONG)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('nonsense = "1"', "unknown key 'nonsense'"),
        ("alert_to = 5", "alert_to: expected text"),
        ("alert_to = ", "cannot be read as TOML"),
        ('[database]\nurl = "x"', "unknown key 'database'"),
        ('"postgresql://a:hidden@h/x" = "database_url"', "unknown key '…'"),
    ],
)
def test_wrong_file_is_named(sources: dict[str, str], text: str, said: str) -> None:
    """A file that does not say what it should is refused, with the place."""
    config(sources, text)

    with pytest.raises(ConfigurationProblem, match=said) as refused:
        load_settings(sources)
    assert "hidden" not in str(refused.value)


def test_named_file_must_be_there(tmp_path: Path) -> None:
    """JOBSYNC_CONFIG names a file that somebody counts on."""
    with pytest.raises(ConfigurationProblem, match=r"gone\.toml"):
        load_settings({"JOBSYNC_CONFIG": str(tmp_path / "gone.toml")})


def test_system_file_is_read_where_no_other_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without JOBSYNC_CONFIG the system's file counts."""
    (tmp_path / "system.toml").write_text('alert_to = "system"')
    monkeypatch.setattr(module, "CONFIG_FILE", str(tmp_path / "system.toml"))

    assert load_settings({}).alert_to == "system"


def test_closed_system_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody who may not read the service's file is told so, and given no database of their own instead: 78."""
    (tmp_path / "system.toml").write_text('alert_to = "system"')
    monkeypatch.setattr(module, "CONFIG_FILE", str(tmp_path / "system.toml"))
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)

    with pytest.raises(ConfigurationProblem, match="runuser -u jobsync"):
        load_settings({})
    assert load_settings({"JOBSYNC_DATABASE_URL": "postgresql:///d"}).database_url == "postgresql:///d"


@pytest.mark.parametrize(
    ("mode", "group", "said"),
    [
        (0o600, "root", "is there (root:root, mode 0600), and root may not read it; as root: chown root:jobsync {0}"),
        (0o640, "jobsync", "{0}: you may not read it; as the service's user: runuser -u jobsync"),
    ],
)
def test_closed_credential_is_never_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int, group: str, said: str
) -> None:
    """The way root writes a key: whose it is, its mode and the line that opens it; or whom the file is open to."""
    key = tmp_path / "jobsync_encryption_key"
    key.write_text(KEY)
    monkeypatch.setattr(module, "CREDENTIALS_FOLDER", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    monkeypatch.setattr(module, "read_rights", lambda path: path.stat() and module.Rights("root", group, mode))

    with pytest.raises(ConfigurationProblem, match="configuration: JOBSYNC_ENCRYPTION_KEY: ") as raised:
        load_settings({"JOBSYNC_DATABASE_URL": "postgresql:///d"})
    assert said.format(key) in str(raised.value)
    assert load_settings({"JOBSYNC_ENCRYPTION_KEY": KEY, "JOBSYNC_DATABASE_URL": "postgresql:///d"}).encryption_key


def test_a_unit_does_without_what_it_was_not_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """generate-ride needs no key: one that the service cannot read stops hand runs, and stock sync, which needs it."""
    (tmp_path / "jobsync_encryption_key").write_text(KEY)
    monkeypatch.setattr(module, "CREDENTIALS_FOLDER", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    monkeypatch.setattr(module, "read_rights", lambda _path: module.Rights("root", "root", 0o600))
    unit = {"JOBSYNC_DATABASE_URL": "postgresql:///d", "INVOCATION_ID": "0" * 32}

    assert load_settings(unit).encryption_key is None


def test_place_where_nobody_may_look_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that is closed to this user may hold what was not found; where all can be read, it is not set."""
    monkeypatch.setattr(module, "CREDENTIALS_FOLDER", str(tmp_path))
    assert module.closed_place("JOBSYNC_STORAGE", {}) is None
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    monkeypatch.setattr(Path, "stat", _closed)

    said = module.closed_place("JOBSYNC_STORAGE", {})
    assert said is not None
    assert "JOBSYNC_STORAGE is not in the environment, and perhaps here: " in said
    assert "runuser -u jobsync" in said


def _closed(path: Path) -> os.stat_result:
    raise PermissionError(path)


def test_unreadable_credential_is_named(sources: dict[str, str]) -> None:
    """A credential that cannot be read is an error, not an unset variable."""
    (Path(sources["CREDENTIALS_DIRECTORY"]) / "jobsync_smtp_url").mkdir()

    with pytest.raises(ConfigurationProblem, match="JOBSYNC_SMTP_URL"):
        load_settings(sources)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBSYNC_DATABASE_URL", "embedded:pg"),
        ("JOBSYNC_STORAGE", "rides"),
        ("JOBSYNC_REPORT_FILE", "report.html"),
        ("JOBSYNC_REPORT_FILE", "/report.html"),
        ("JOBSYNC_METRICS_FILE", "/srv/metrics/"),
    ],
)
def test_folders_must_be_absolute(name: str, value: str) -> None:
    """Where the data lies must not depend on where the command was typed."""
    with pytest.raises(ConfigurationProblem, match="absolute"):
        load_settings({name: value})


@pytest.mark.parametrize("url", ["https://h/a?wsdl", "https://h/#a", "https://h:99999", "https://h:port"])
@pytest.mark.parametrize("name", ["JOBSYNC_SRI_URL", "JOBSYNC_EASYCARS_URL"])
def test_address_that_cannot_be_right_is_named(name: str, url: str) -> None:
    """A vendor's address with its query, as it is often copied, would otherwise look like an outage."""
    with pytest.raises(ConfigurationProblem, match=name):
        load_settings({name: url})


def test_no_secret_is_in_the_repr() -> None:
    """Settings that end up in a message or a traceback give nothing away."""
    found = load_settings(
        {
            "JOBSYNC_DATABASE_URL": "postgresql://u:secret@h/d",
            "JOBSYNC_LOCK_DATABASE_URL": "postgresql://u:secret@h/d",
            "JOBSYNC_ENCRYPTION_KEY": KEY,
            "JOBSYNC_ENCRYPTION_KEY_PREVIOUS": KEY,
            "JOBSYNC_SMTP_URL": "smtp://u:secret@h",
            "JOBSYNC_ALERT_WEBHOOK": "https://h/secret",
            "JOBSYNC_PING_URL": "https://h/secret",
        }
    )

    assert "secret" not in repr(found)
    assert repr(bytes(range(32))) not in repr(found)


def test_settings_cannot_be_changed() -> None:
    """What was read once holds for the whole command."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings({}).log_level = "debug"  # type: ignore[misc]
