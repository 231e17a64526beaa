"""Unit files from a configuration: what each line depends on."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from jobsync.deploy.installation import UNITS_FOLDER, Installation, read_installation
from jobsync.deploy.units import TMPFILES, render_units
from jobsync.errors import ConfigurationProblem, ExitCode
from tests.conftest import TEST_KEY
from tests.generated import render_all

PROGRAM = Path("/opt/jobsync/bin/jobsync")
SOCKET = "postgresql:///jobsync"
JOBS = ("stock-sync", "check-authorizations", "generate-ride")


def read(environ: dict[str, str], root: Path) -> Installation:
    return read_installation(environ, root=root, executable=PROGRAM)


def service(environ: dict[str, str], root: Path, name: str) -> list[str]:
    """Return the lines of one service."""
    return render_units(read(environ, root))[f"{UNITS_FOLDER}/jobsync-{name}.service"].splitlines()


def values(lines: list[str], directive: str) -> list[str]:
    return [line.partition("=")[2] for line in lines if line.startswith(f"{directive}=")]


@pytest.mark.parametrize(
    ("job", "calendar", "accuracy", "success"),
    [
        ("stock-sync", "*:*:00", "1s", "75"),
        ("check-authorizations", "*:*:00/30", "100ms", "75 3"),
        ("generate-ride", "*:*:15", "1s", "75 3"),
    ],
)
def test_contract(job: str, calendar: str, accuracy: str, success: str) -> None:
    """Beat, accuracy, exit codes, type, watchdog and alert are those of the contract."""
    files = render_units(Installation(executable=PROGRAM))
    timer = files[f"{UNITS_FOLDER}/jobsync-{job}.timer"].splitlines()
    lines = files[f"{UNITS_FOLDER}/jobsync-{job}.service"].splitlines()

    assert (values(timer, "OnCalendar"), values(timer, "AccuracySec")) == ([calendar], [accuracy])
    assert values(lines, "ExecStart") == [f"/opt/jobsync/bin/jobsync {job} --scheduled"]
    assert values(lines, "SuccessExitStatus") == [success]
    assert (values(lines, "Type"), values(lines, "NotifyAccess")) == (["exec"], ["main"])
    assert values(lines, "WatchdogSec")
    assert values(lines, "OnFailure") == ["jobsync-alert@%n.service"]


def test_alert_is_never_told_of_itself() -> None:
    """The alert's own failure starts no alert, and its name is passed as it stands."""
    lines = render_units(Installation(executable=PROGRAM))[f"{UNITS_FOLDER}/jobsync-alert@.service"].splitlines()

    assert values(lines, "OnFailure") == []
    assert values(lines, "ExecStart") == ["/opt/jobsync/bin/jobsync alert --unit %i"]


def test_health_acts_every_five_minutes() -> None:
    """The health timer starts the acting form."""
    files = render_units(Installation(executable=PROGRAM))

    assert "ExecStart=/opt/jobsync/bin/jobsync health --act\n" in files[f"{UNITS_FOLDER}/jobsync-health.service"]
    assert "OnCalendar=*:0/5:40\n" in files[f"{UNITS_FOLDER}/jobsync-health.timer"]


@pytest.mark.parametrize(("name", "file"), [("report", "/srv/a $b 5%/r.html"), ("metrics", "/var/lib/m/jobsync.prom")])
def test_a_file_that_is_configured_is_written_every_five_minutes(tmp_path: Path, name: str, file: str) -> None:
    """Its folder, and no other, is writable; the database is all that it talks to; its failure is told."""
    environ = {"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_PING_URL": "https://h/p"}
    files = render_units(read({**environ, f"JOBSYNC_{name.upper()}_FILE": file}, tmp_path))
    lines = files[f"{UNITS_FOLDER}/jobsync-{name}.service"].splitlines()
    quoted = file.replace("%", "%%")
    folder = str(Path(quoted).parent)

    assert re.search("(?m)^OnCalendar=[*]:./5", files[f"{UNITS_FOLDER}/jobsync-{name}.timer"])
    assert [quoted.replace("$", "$$")] == [
        text.partition(" -o ")[2].strip('"') for text in values(lines, "ExecStart") if f" {name} -o " in text
    ]
    assert [folder] == [text.strip('"') for text in values(lines, "ReadWritePaths")]
    assert ["yes"] == values(lines, "PrivateNetwork")
    assert ["jobsync-alert@%n.service"] == values(lines, "OnFailure")
    assert [] == values(lines, "LoadCredential")


@pytest.mark.parametrize("name", ["report", "metrics"])
def test_a_file_that_is_not_configured_has_no_units(name: str) -> None:
    """Nothing is written, so nothing wakes up for it."""
    assert not [path for path in render_units(Installation(executable=PROGRAM)) if name in path]


def test_a_hand_run_in_the_sandbox(tmp_path: Path) -> None:
    """It is a run by hand of the job that it names, with all that any of the three needs, and nobody is told of it."""
    environ = {
        "JOBSYNC_DATABASE_URL": SOCKET,
        "JOBSYNC_STORAGE": "/srv/rides",
        "JOBSYNC_ENCRYPTION_KEY": TEST_KEY,
        "JOBSYNC_SMTP_URL": "smtp://h",
        "JOBSYNC_ALERT_TO": "a@h",
    }
    lines = service(environ, tmp_path, "now@")

    assert ["/opt/jobsync/bin/jobsync %i"] == values(lines, "ExecStart")
    assert ["/srv/rides"] == values(lines, "ReadWritePaths")
    assert ["jobsync_encryption_key"] == [text.partition(":")[0] for text in values(lines, "LoadCredential")]
    assert set(values(service(environ, tmp_path, "stock-sync"), "ProtectSystem")) == set(values(lines, "ProtectSystem"))
    assert ([], ["75"]) == (values(lines, "OnFailure"), values(lines, "SuccessExitStatus"))


@pytest.mark.parametrize(("name", "code"), [*((job, 0) for job in JOBS), ("doctor", 2), ("-c", 2), ("$(id)", 2)])
def test_a_hand_run_of_anything_else_is_refused(tmp_path: Path, name: str, code: int) -> None:
    """What looks first lets the three jobs pass, and names them to whoever meant another."""
    text = render_units(read({"JOBSYNC_DATABASE_URL": SOCKET}, tmp_path))[f"{UNITS_FOLDER}/jobsync-now@.service"]
    [command] = re.findall(r"(?ms)^ExecStartPre=(.*?) %i$", text)
    first = shlex.split(command.replace("\\\n", " ").replace("$$", "$"))
    ran = subprocess.run([*first, name], capture_output=True, text=True, check=False)

    assert code == ran.returncode
    assert ran.stderr == ("" if code == 0 else f"no job {name}, expected {', '.join(JOBS[:2])} or {JOBS[2]}\n")


# --- secrets ---------------------------------------------------------------------------------------------------------


SCHEMA = '"JOBSYNC_DATABASE_SCHEMA=public"'


@pytest.mark.parametrize(
    ("url", "environment", "credentials"),
    [
        (SOCKET, [f'"JOBSYNC_DATABASE_URL={SOCKET}"', SCHEMA, "PYTHONFAULTHANDLER=1"], []),
        (
            "postgresql://jobsync@/jobsync?host=%2Frun%2Fpostgresql",
            [
                '"JOBSYNC_DATABASE_URL=postgresql://jobsync@/jobsync?host=%%2Frun%%2Fpostgresql"',
                SCHEMA,
                "PYTHONFAULTHANDLER=1",
            ],
            [],
        ),
        (
            "postgresql://jobsync@10.0.0.5/jobsync",
            ['"JOBSYNC_DATABASE_URL=postgresql://jobsync@10.0.0.5/jobsync"', SCHEMA, "PYTHONFAULTHANDLER=1"],
            [],
        ),
        ("postgresql://jobsync:pw@10.0.0.5/jobsync", [SCHEMA, "PYTHONFAULTHANDLER=1"], ["jobsync_database_url"]),
        (
            "postgresql://10.0.0.5/jobsync?user=a&password=pw",
            [SCHEMA, "PYTHONFAULTHANDLER=1"],
            ["jobsync_database_url"],
        ),
        ("postgresql:///jobsync?sslpassword=pw", [SCHEMA, "PYTHONFAULTHANDLER=1"], ["jobsync_database_url"]),
    ],
)
def test_url_is_a_credential_only_where_it_holds_a_secret(
    tmp_path: Path, url: str, environment: list[str], credentials: list[str]
) -> None:
    """A peer's socket needs no credential; a password never stands in a unit."""
    lines = service({"JOBSYNC_DATABASE_URL": url}, tmp_path, "check-authorizations")

    assert values(lines, "Environment") == environment
    assert values(lines, "LoadCredential") == [f"{name}:/etc/jobsync/credentials/{name}" for name in credentials]


def test_secrets_never_reach_a_unit(tmp_path: Path) -> None:
    """Whatever is secret is loaded by its name."""
    environ = {
        "JOBSYNC_DATABASE_URL": "postgresql://u:hidden-1@h/d",
        "JOBSYNC_LOCK_DATABASE_URL": "postgresql://u:hidden-2@h/d",
        "JOBSYNC_ENCRYPTION_KEY": TEST_KEY,
        "JOBSYNC_SMTP_URL": "smtp://u:hidden-3@h",
        "JOBSYNC_ALERT_WEBHOOK": "https://h/hidden-4",
        "JOBSYNC_PING_URL": "https://h/hidden-5",
        "JOBSYNC_SRI_URL": "https://u:hidden-6@h",
        "JOBSYNC_PROXY": "http://hidden-7.example:3128",
        "JOBSYNC_ALERT_URLS": "slack://hidden-8/b/c",
    }
    text = "".join(render_units(read(environ, tmp_path)).values())

    assert "hidden" not in text
    assert TEST_KEY not in text
    assert "hidden" not in repr(read(environ, tmp_path))


@pytest.mark.parametrize(
    ("name", "loaded"),
    [
        ("stock-sync", {"jobsync_encryption_key", "jobsync_ping_url", "jobsync_proxy"}),
        ("check-authorizations", {"jobsync_ping_url", "jobsync_proxy"}),
        ("generate-ride", {"jobsync_ping_url", "jobsync_proxy"}),
        (
            "health",
            {"jobsync_ping_url", "jobsync_smtp_url", "jobsync_alert_webhook", "jobsync_alert_urls", "jobsync_proxy"},
        ),
        ("alert@", {"jobsync_smtp_url", "jobsync_alert_webhook", "jobsync_alert_urls", "jobsync_proxy"}),
    ],
)
def test_each_service_gets_the_secrets_that_it_needs(tmp_path: Path, name: str, loaded: set[str]) -> None:
    """A service that has no use for a secret never holds it."""
    environ = {
        "JOBSYNC_DATABASE_URL": SOCKET,
        "JOBSYNC_ENCRYPTION_KEY": TEST_KEY,
        "JOBSYNC_SMTP_URL": "smtp://h",
        "JOBSYNC_ALERT_WEBHOOK": "https://h",
        "JOBSYNC_ALERT_URLS": "json://h",
        "JOBSYNC_PING_URL": "https://h",
        "JOBSYNC_PROXY": "http://h:3128",
    }

    assert {text.partition(":")[0] for text in values(service(environ, tmp_path, name), "LoadCredential")} == loaded


def test_secrets_of_the_folder_are_loaded_from_there(tmp_path: Path) -> None:
    """What lies in the credentials folder is loaded, and not written anew."""
    folder = tmp_path / "etc/jobsync/credentials"
    folder.mkdir(parents=True)
    (folder / "jobsync_database_url").write_text("postgresql://u:pw@h/d\n")
    installation = read({}, tmp_path)

    assert (installation.credentials, dict(installation.secrets)) == (("JOBSYNC_DATABASE_URL",), {})


def test_file_is_read_at_the_root_that_is_installed_to(tmp_path: Path) -> None:
    """The file's address and storage are written down, its other settings are left to each run."""
    (tmp_path / "etc/jobsync").mkdir(parents=True)
    text = f'database_url = "{SOCKET}"\nstorage = "/srv/rides"\nsri_url = "http://h"\n'
    (tmp_path / "etc/jobsync/config.toml").write_text(text)

    assert read({}, tmp_path).environment == {
        "JOBSYNC_DATABASE_SCHEMA": "public",
        "JOBSYNC_DATABASE_URL": SOCKET,
        "JOBSYNC_STORAGE": "/srv/rides",
    }


def test_another_configuration_file_is_told_to_every_service(tmp_path: Path) -> None:
    """A file that was named for the installation is the units' file too."""
    (tmp_path / "other.toml").write_text(f'database_url = "{SOCKET}"\n')
    installation = read_installation(
        {"JOBSYNC_CONFIG": str(tmp_path / "other.toml")}, root=tmp_path, executable=PROGRAM, sandboxed=False
    )
    services = [text for path, text in render_units(installation).items() if path.endswith(".service")]

    assert all(f'Environment="JOBSYNC_CONFIG={tmp_path}/other.toml"\n' in text for text in services)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_closed_configuration_is_one_sentence(tmp_path: Path) -> None:
    """Somebody who may not read the configuration is told so."""
    (tmp_path / "etc/jobsync").mkdir(parents=True)
    (tmp_path / "etc/jobsync").chmod(0)
    with pytest.raises(ConfigurationProblem, match="run it as root"):
        read({}, tmp_path)
    (tmp_path / "etc/jobsync").chmod(0o700)


# --- network and files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "network"),
    [
        ({"JOBSYNC_DATABASE_URL": SOCKET}, ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"]),
        (
            {"JOBSYNC_DATABASE_URL": "postgresql://10.0.0.5,10.0.0.6/d"},
            [
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
                "IPAddressDeny=any",
                "IPAddressAllow=10.0.0.5 10.0.0.6",
            ],
        ),
        (
            {"JOBSYNC_DATABASE_URL": "postgresql://db.example/d"},
            ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"],
        ),
        (
            {"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_LOCK_DATABASE_URL": "postgresql://localhost/d"},
            ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "IPAddressDeny=any", "IPAddressAllow=localhost"],
        ),
        (
            {"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_PING_URL": "https://ping.example"},
            ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"],
        ),
    ],
    ids=["socket", "addresses", "name", "lock by TCP", "ping"],
)
def test_rides_reach_the_database_and_nobody_else(tmp_path: Path, environ: dict[str, str], network: list[str]) -> None:
    """The job that needs no network has none, beyond what the database and the ping ask for."""
    lines = service(environ, tmp_path, "generate-ride")
    names = ("PrivateNetwork", "RestrictAddressFamilies", "IPAddressDeny", "IPAddressAllow")

    assert [line for line in lines if line.startswith(names)] == network


@pytest.mark.parametrize(
    ("storage", "writable"),
    [
        (None, []),
        ("/var/lib/jobsync/rides", []),
        ("/srv/rides", ["/srv/rides"]),
        ('/srv/50% "off"', [r'"/srv/50%% \"off\""']),
        ("/srv/two  blanks", ['"/srv/two  blanks"']),
    ],
)
def test_storage_is_writable_for_rides_alone(tmp_path: Path, storage: str | None, writable: list[str]) -> None:
    """The storage outside the state folder is opened, for the one job that writes there."""
    environ = {"JOBSYNC_DATABASE_URL": SOCKET, **({"JOBSYNC_STORAGE": storage} if storage else {})}

    assert values(service(environ, tmp_path, "generate-ride"), "ReadWritePaths") == writable
    assert values(service(environ, tmp_path, "stock-sync"), "ReadWritePaths") == []
    assert ("d /srv/rides 0750 jobsync jobsync -" in render_units(read(environ, tmp_path))[TMPFILES]) == (
        storage == "/srv/rides"
    )


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "JOBSYNC_DATABASE_URL"),
        ({"JOBSYNC_DATABASE_URL": "embedded:"}, "JOBSYNC_DATABASE_URL"),
        ({"JOBSYNC_DATABASE_URL": "embedded:/srv/pg"}, "JOBSYNC_DATABASE_URL"),
        ({"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_STORAGE": "/home/me/rides"}, "/home/me/rides lies below /home"),
        ({"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_STORAGE": "rides"}, "expected an absolute path"),
        ({"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_REPORT_FILE": "/root/r.html"}, "/root/r.html lies below /root"),
        ({"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_METRICS_FILE": "/tmp/m"}, "/tmp/m lies below /tmp"),  # noqa: S108
        ({"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_STORAGE": "/srv/a\nb"}, "holds a control character"),
        ({"JOBSYNC_DATABASE_URL": "postgresql:///d?host=/tmp"}, "/tmp lies below /tmp"),  # noqa: S108
        ({"JOBSYNC_DATABASE_URL": SOCKET, "JOBSYNC_ALERT_TO": "a\nExecStart=/bin/sh"}, "JOBSYNC_ALERT_TO"),
        ({"JOBSYNC_DATABASE_URL": "postgresql://u:hidden@h/d?nonsense=1"}, "cannot be read by libpq"),
    ],
)
def test_what_keeps_units_from_running_is_refused(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    """Nothing is rendered that could not run, and no secret is quoted: 78."""
    with pytest.raises(ConfigurationProblem, match=re.escape(said)) as refused:
        read(environ, tmp_path)

    assert refused.value.exit_code is ExitCode.CONFIGURATION
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("name", ["JOBSYNC_EASYCARS_URL", "JOBSYNC_SRI_URL"])
@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost:8080", True),
        ("http://sri.localhost", True),
        ("http://[::1]:8080", True),
        ("http://0.0.0.0:8080", True),
        ("http://user:hidden@127.0.0.1:8080", True),
        ("https://proxy.example/sri", False),
        ("https://10.0.0.7", False),
    ],
)
def test_exported_sandbox_is_refused(tmp_path: Path, name: str, url: str, refused: bool) -> None:
    """A sandbox that was left over in the environment never gets into a unit; a proxy of the vendor's does."""
    environ = {"JOBSYNC_DATABASE_URL": SOCKET, name: url}
    if refused:
        with pytest.raises(ConfigurationProblem, match=f"{name} is exported .* unset {name}") as problem:
            read(environ, tmp_path)
        assert "hidden" not in str(problem.value)
    else:
        assert read(environ, tmp_path).environment[name] == url


@pytest.mark.parametrize("job", ["stock-sync", "check-authorizations", "generate-ride", "health", "alert@", "now@"])
def test_every_unit_names_the_schema(tmp_path: Path, job: str) -> None:
    """Also where the file names it: a tick with nothing to do reads no file."""
    (tmp_path / "etc/jobsync").mkdir(parents=True)
    (tmp_path / "etc/jobsync/config.toml").write_text(
        f"database_url = '{SOCKET}'\ndatabase_schema = 'Our \"Cars\" 5%'\n"
    )

    lines = service({}, tmp_path, job)

    assert '"JOBSYNC_DATABASE_SCHEMA=Our \\"Cars\\" 5%%"' in values(lines, "Environment")


def test_sandbox_of_the_configuration_file_is_installed(tmp_path: Path) -> None:
    """Whoever writes a sandbox into the file means it, and may try everything out."""
    (tmp_path / "etc/jobsync").mkdir(parents=True)
    text = f'database_url = "{SOCKET}"\nsri_url = "http://127.0.0.1:8081"\n'
    (tmp_path / "etc/jobsync/config.toml").write_text(text)

    assert read({}, tmp_path).environment == {"JOBSYNC_DATABASE_SCHEMA": "public", "JOBSYNC_DATABASE_URL": SOCKET}


def test_program_below_a_home_folder_is_refused(tmp_path: Path) -> None:
    """ProtectHome= would hide the program from its own unit."""
    with pytest.raises(ConfigurationProblem, match="/root/venv/bin/jobsync lies below /root"):
        read_installation({"JOBSYNC_DATABASE_URL": SOCKET}, root=tmp_path, executable=Path("/root/venv/bin/jobsync"))


@pytest.mark.parametrize("sign", ["'", '"', "\\", "$"])
def test_program_that_systemd_would_not_start_is_refused(tmp_path: Path, sign: str) -> None:
    """systemd takes blanks and percent signs in a program's path, and these not."""
    environ = {"JOBSYNC_DATABASE_URL": SOCKET}
    program = Path("/opt/50% off/jobsync")
    taken = render_units(read_installation(environ, root=tmp_path, executable=program))

    assert 'ExecStart="/opt/50%% off/jobsync" ' in taken[f"{UNITS_FOLDER}/jobsync-stock-sync.service"]
    with pytest.raises(ConfigurationProblem, match="systemd starts none"):
        read_installation(environ, root=tmp_path, executable=Path(f"/opt/a{sign}b/jobsync"))


def test_three_services_differ_only_where_meant() -> None:
    """What the jobs' services do not share is what the table of services says."""
    files = render_units(Installation(executable=PROGRAM))
    lines = [set(files[f"{UNITS_FOLDER}/jobsync-{job}.service"].splitlines()) for job in JOBS]
    shared = lines[0] & lines[1] & lines[2]
    apart = {line.partition("=")[0] for found in lines for line in found - shared if "=" in line}

    assert {name for name in apart if not name.startswith("#")} == {
        "Description",
        "Wants",
        "After",
        "ExecStart",
        "SuccessExitStatus",
        "RuntimeMaxSec",
        "WatchdogSec",
        "TimeoutStopSec",
        "Nice",
        "IOSchedulingClass",
        "MemoryMax",
        "StateDirectory",
        "StateDirectoryMode",
        "UMask",
        "PrivateNetwork",
        "RestrictAddressFamilies",
    }


@pytest.mark.parametrize("path", sorted(render_all()))
def test_generated_files_are_up_to_date(path: str) -> None:
    """What is in the repository is what the code renders; `make generated` writes it anew."""
    assert (Path(__file__).parents[2] / path).read_text() == render_all()[path]
