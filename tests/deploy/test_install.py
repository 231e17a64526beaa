"""Installing below a folder: what is written, what a second time changes, what is taken away."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from jobsync.deploy import install as install_
from jobsync.deploy import installation
from jobsync.settings import Rights
from jobsync.watch import timers as wake
from tests.commands.support import Cli
from tests.conftest import TEST_KEY

UNITS = "etc/systemd/system"
PROGRAM = ("--executable", "/opt/jobsync/bin/jobsync")


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program of this machine's systemd is called."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that is installed to."""
    return tmp_path / "root"


@pytest.fixture
def units(root: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs commands with a database on the unix socket."""
    return Cli({"JOBSYNC_DATABASE_URL": "postgresql:///jobsync"}, capsys)


def install(units: Cli, root: Path, *more: str) -> str:
    ran = units("units", "install", "--root", str(root), *PROGRAM, *more)
    assert ran.code == 0, ran.err
    return ran.out


def contents(root: Path) -> dict[str, tuple[int, str]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_text()) for p in root.rglob("*") if p.is_file()}


def test_first_install_writes_every_file(units: Cli, root: Path) -> None:
    """Units, user and folders: what `show` prints is what lies there."""
    install(units, root)
    shown = json.loads(units("units", "show", "--root", str(root), *PROGRAM, "--json").out)

    assert shown == {f"/{path.relative_to(root)}": path.read_text() for path in root.rglob("*") if path.is_file()}
    assert len(shown) == 13


def test_second_install_writes_nothing(units: Cli, root: Path) -> None:
    """The same configuration twice leaves every file as it is."""
    install(units, root)
    before = contents(root)

    assert "unchanged" in install(units, root)
    assert contents(root) == before


def test_changed_file_is_put_right(units: Cli, root: Path) -> None:
    """What somebody has changed in our file is replaced, and said; drop-ins are theirs."""
    install(units, root)
    changed = root / UNITS / "jobsync-stock-sync.timer"
    wanted = changed.read_text()
    changed.write_text("[Timer]\nOnCalendar=daily\n")
    own = root / UNITS / "jobsync-stock-sync.service.d/memory.conf"
    own.parent.mkdir()
    own.write_text("[Service]\nMemoryMax=2G\n")
    out = install(units, root)

    assert (changed.read_text(), own.read_text()) == (wanted, "[Service]\nMemoryMax=2G\n")
    assert [line.split()[1] for line in out.splitlines() if "stock-sync.timer" in line] == ["replaced"]
    assert [line.split()[1] for line in out.splitlines() if "memory.conf" in line] == ["yours"]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda _folder: None, 0),
        (lambda folder: (folder / "jobsync-health.timer").unlink(), 1),
        (lambda folder: (folder / "jobsync-health.timer").write_text("x"), 1),
    ],
    ids=["same", "missing", "changed"],
)
def test_diff_says_whether_anything_differs(units: Cli, root: Path, spoil: object, code: int) -> None:
    """Exit 0 and nothing where all is as it would be installed; else 1 and what would change."""
    install(units, root)
    assert callable(spoil)
    spoil(root / UNITS)
    ran = units("units", "diff", "--root", str(root), *PROGRAM)

    assert (ran.code, bool(ran.out)) == (code, code == 1)
    assert ("jobsync-health.timer" in ran.out) == (code == 1)


def test_doctor_sees_what_diff_sees(units: Cli, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where timers are installed; a drop-in is no difference."""
    monkeypatch.setattr(installation, "_HIDDEN", ())
    assert units("units", "install", "--root", str(root)).code == 0
    drop_in = root / UNITS / "jobsync-health.service.d/own.conf"
    drop_in.parent.mkdir()
    drop_in.touch()
    monkeypatch.setattr("jobsync.cli.doctor.SYSTEM", root)
    monkeypatch.setattr("jobsync.cli.doctor.read_waker", lambda **_: wake.Waker.UNITS)

    def found() -> tuple[str, str]:
        findings = json.loads(units("doctor", "--offline", "--json").out)["findings"]
        [(level, text)] = [(each["level"], each["text"]) for each in findings if each["name"] == "units"]
        return level, text

    assert found()[0] == "ok"
    (root / UNITS / "jobsync-health.timer").write_text("x")
    assert found()[0] == "warning"
    assert found()[1].endswith(": jobsync-health.timer")


def test_diff_as_json_names_every_file(units: Cli, root: Path) -> None:
    """One document, with the state of each file."""
    ran = units("units", "diff", "--root", str(root), *PROGRAM, "--json")

    assert ran.code == 1
    assert {file["state"] for file in json.loads(ran.out)} == {"missing"}


def test_secret_of_the_environment_is_put_away(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes into a file that only root can read until the group is set, and into no other place."""
    cli = Cli({"JOBSYNC_DATABASE_URL": "postgresql://u:hidden-password@h/d"}, capsys)
    out = install(cli, root)
    path = root / "etc/jobsync/credentials/jobsync_database_url"

    assert path.read_text() == "postgresql://u:hidden-password@h/d\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    others = [found for found in root.rglob("*") if found.is_file() and found != path]
    assert "hidden-password" not in out + "".join(found.read_text() for found in others)
    path.write_text("postgresql://u:another@h/d\n")
    ran = cli("units", "diff", "--root", str(root), *PROGRAM)
    assert "a secret: not shown" in ran.out
    assert "hidden-password" not in ran.out
    assert "another" not in ran.out


def test_another_secret_is_never_written_over(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key that lies there is the only one that opens what is stored: a new one is refused, and all stays."""
    url = "postgresql:///jobsync"
    install(Cli({"JOBSYNC_DATABASE_URL": url, "JOBSYNC_ENCRYPTION_KEY": TEST_KEY}, capsys), root)
    before = contents(root)
    another = base64.b64encode(bytes(32)).decode()
    cli = Cli({"JOBSYNC_DATABASE_URL": url, "JOBSYNC_ENCRYPTION_KEY": another, "JOBSYNC_STORAGE": "/srv/x"}, capsys)
    ran = cli("units", "install", "--root", str(root), *PROGRAM)

    assert ran.code == 1
    assert "jobsync_encryption_key holds another secret" in ran.err
    assert another not in ran.err
    assert contents(root) == before


def test_closed_folder_is_seen_before_anything_is_written(
    units: Cli, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One folder that cannot be written, the last in order: it is named, and nothing is there."""
    closed = root / "usr"
    closed.mkdir(parents=True)
    ask = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: Path(path) != closed and ask(path, mode, **more))
    ran = units("units", "install", "--root", str(root), *PROGRAM)

    assert ran.code == 1
    assert f"nothing was changed: {closed} cannot be written" in ran.err
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_closed_folder_is_seen_before_any_timer_is_stopped(
    units: Cli, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uninstalling what cannot be removed changes nothing."""
    install(units, root)
    before = contents(root)
    monkeypatch.setattr(os, "access", lambda _path, mode, **_more: not mode & os.W_OK)
    monkeypatch.setattr(shutil, "which", lambda name: pytest.fail(f"{name} was called"))
    ran = units("units", "uninstall", "--yes", "--root", str(root))

    assert ran.code == 1
    assert "nothing was changed" in ran.err
    assert contents(root) == before


@pytest.mark.parametrize("stop_after", range(1, 18, 4))
def test_install_that_died_is_completed_by_the_next(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """Killed before any rename: each file is whole or not there, secrets came first, and another install ends it."""
    cli = Cli({"JOBSYNC_DATABASE_URL": "postgresql:///d", "JOBSYNC_ENCRYPTION_KEY": TEST_KEY}, capsys)
    put_shared_files(root)
    left = stop_after
    rename = Path.replace

    def die(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with suppress(KeyboardInterrupt):
            cli("units", "install", "--root", str(root), *PROGRAM)
    assert left == 0
    wanted = json.loads(cli("units", "show", "--root", str(root), *PROGRAM, "--json").out)
    for path, text in wanted.items():
        found = root / path.lstrip("/")
        assert not found.exists() or found.read_text() == text
    assert (root / "etc/jobsync/credentials/jobsync_encryption_key").exists() or stop_after == 1
    install(cli, root)
    assert cli("units", "diff", "--root", str(root), *PROGRAM).code == 0
    assert list(root.rglob(".*")) == []


def put_shared_files(root: Path) -> list[str]:
    """Put below the root what pip puts beside the program; returns where Debian's programs look for it."""
    places = ("man/man1/jobsync.1", "bash-completion/completions/jobsync", "zsh/site-functions/_jobsync")
    for place in (*places, "fish/vendor_completions.d/jobsync.fish"):
        path = root / "opt/jobsync/share" / place
        path.parent.mkdir(parents=True)
        path.write_text(place)
    return [f"usr/local/share/{place}" for place in (*places, "fish/vendor_completions.d/jobsync.fish")]


def test_manual_page_and_completions_are_linked_to_where_debian_looks(units: Cli, root: Path) -> None:
    """They lead to the program's own, and go with it; a file that pip has put there itself stays."""
    places = put_shared_files(root)
    out = install(units, root)

    assert {root / place for place in places} == {path for path in root.rglob("*") if path.is_symlink()}
    assert str((root / places[0]).readlink()) == "/opt/jobsync/share/man/man1/jobsync.1"
    assert f"/{places[0]}" in out
    (root / places[0]).unlink()
    assert f"/{places[0]} -> /opt/jobsync" in units("units", "diff", "--root", str(root), *PROGRAM).out
    (root / places[0]).write_text("put by pip")
    units("units", "uninstall", "--yes", "--root", str(root))
    assert [place for place in places if (root / place).exists() or (root / place).is_symlink()] == [places[0]]


def test_program_elsewhere_takes_the_links_along(units: Cli, root: Path) -> None:
    """Installed anew from another folder, nothing leads to the first one any more."""
    places = put_shared_files(root)
    install(units, root)
    (root / "opt/jobsync").rename(root / "opt/second")
    units("units", "install", "--root", str(root), "--executable", "/opt/second/bin/jobsync")

    assert str((root / places[0]).readlink()) == "/opt/second/share/man/man1/jobsync.1"
    assert "/opt/jobsync/" not in "".join(path.read_text() for path in (root / UNITS).iterdir() if path.is_file())


def test_umask_of_the_administrator_closes_no_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Installed by root with umask 077, everybody finds the manual page, and the service's group its secrets."""
    put_shared_files(root)
    before = os.umask(0o077)
    try:
        install(Cli({"JOBSYNC_DATABASE_URL": "postgresql://u:pw@h/d"}, capsys), root)
    finally:
        os.umask(before)
    modes = {str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode) for path in root.rglob("*")}

    assert {path for path, mode in modes.items() if mode == 0o750} == {"etc/jobsync", "etc/jobsync/credentials"}
    assert {path for path, mode in modes.items() if mode == 0o600} == {"etc/jobsync/credentials/jobsync_database_url"}
    assert {modes[path] for path in ("etc/systemd", "etc/systemd/system", "usr/local/share/man/man1")} == {0o755}


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is not installed")
def test_timer_of_rides_goes_with_the_storage(units: Cli, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enabled while there was a storage, it is off once there is none: each of its ticks would fail."""
    monkeypatch.undo()
    wants = root / UNITS / "timers.target.wants"
    enabled = []
    for storage in ("/srv/rides", ""):
        ran = units("units", "install", "--enable", "--root", str(root), *PROGRAM, JOBSYNC_STORAGE=storage)
        assert ran.code == 0, ran.err
        enabled.append({path.name for path in wants.iterdir()})

    assert enabled[0] - enabled[1] == {"jobsync-generate-ride.timer"}
    assert len(enabled[1]) == 3


@pytest.mark.parametrize("name", ["report", "metrics"])
def test_a_file_that_is_written_no_more_loses_its_units(units: Cli, root: Path, name: str) -> None:
    """With the setting units diff is clean; without it they are a difference, and installing removes them."""
    setting = {f"JOBSYNC_{name.upper()}_FILE": f"/srv/{name}/page"}
    arguments = ("--root", str(root), *PROGRAM)
    ours = [root / UNITS / f"jobsync-{name}.{kind}" for kind in ("service", "timer")]
    assert units("units", "install", *arguments, **setting).code == 0
    before = [path.is_file() for path in ours]

    codes = [units("units", "diff", *arguments, **setting).code, units("units", "diff", *arguments).code]
    out = install(units, root)

    assert ([True, True], [0, 1]) == (before, codes)
    assert [line.split()[1] for line in out.splitlines() if f"jobsync-{name}." in line] == ["removed", "removed"]
    assert not any(path.exists() for path in ours)
    assert units("units", "diff", *arguments).code == 0


def test_uninstall_needs_no_setting_to_take_them_away(units: Cli, root: Path) -> None:
    """Report and metrics units are ours whatever is configured now."""
    files = {"JOBSYNC_REPORT_FILE": "/srv/r/r.html", "JOBSYNC_METRICS_FILE": "/srv/m/m.prom"}
    assert units("units", "install", "--root", str(root), *PROGRAM, **files).code == 0

    assert units("units", "uninstall", "--yes", "--root", str(root)).code == 0
    assert [] == list((root / UNITS).glob("jobsync-*"))


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    ("setting", "timer"),
    [
        ({"JOBSYNC_REPORT_FILE": "/srv/r/r.html"}, "jobsync-report.timer"),
        ({"JOBSYNC_METRICS_FILE": "/srv/m/m.prom"}, "jobsync-metrics.timer"),
        ({"JOBSYNC_STORAGE": "/srv/rides"}, "jobsync-generate-ride.timer"),
    ],
    ids=["report", "metrics", "rides"],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_new_timer_joins_those_that_are_on(
    units: Cli, root: Path, monkeypatch: pytest.MonkeyPatch, enabled: bool, setting: dict[str, str], timer: str
) -> None:
    """On a host that is at work the new setting is enough; one that was switched off stays off; it leaves with it."""
    monkeypatch.undo()
    wants = root / UNITS / "timers.target.wants"
    arguments = ("units", "install", "--root", str(root), *PROGRAM)
    assert units(*arguments, *(["--enable"] if enabled else [])).code == 0
    (wants / "jobsync-health.timer").unlink(missing_ok=True)

    found = []
    for now in (setting, {}):
        assert units(*arguments, **now).code == 0
        found.append({path.name for path in wants.iterdir()} if wants.exists() else set())

    first = {"jobsync-stock-sync.timer", "jobsync-check-authorizations.timer"}
    assert found == ([first | {timer}, first] if enabled else [set(), set()])


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is not installed")
def test_a_timer_of_rides_that_was_switched_off_stays_off(
    units: Cli, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another storage is no new timer."""
    monkeypatch.undo()
    arguments = ("units", "install", "--root", str(root), *PROGRAM)
    assert units(*arguments, "--enable", JOBSYNC_STORAGE="/srv/rides").code == 0
    link = root / UNITS / "timers.target.wants/jobsync-generate-ride.timer"
    link.unlink()
    ran = units(*arguments, JOBSYNC_STORAGE="/srv/other")

    assert (0, False) == (ran.code, link.is_symlink())
    assert "enabled" not in ran.out


def test_unit_unknown_to_this_version_is_named_and_left(units: Cli, root: Path) -> None:
    """A timer left over from another version, or somebody's own: how to remove it is said, and no difference."""
    install(units, root)
    own = root / UNITS / "jobsync-nightly.timer"
    own.write_text("[Timer]\nOnCalendar=daily\n")
    diff = units("units", "diff", "--root", str(root), *PROGRAM)
    gone = units("units", "uninstall", "--yes", "--root", str(root))

    assert (diff.code, own.exists()) == (0, True)
    for said in (diff.out, gone.out):
        assert "systemctl disable --now jobsync-nightly.timer; rm /etc/systemd/system/jobsync-nightly.timer" in said


def test_files_that_the_service_cannot_read_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration and each secret, with their rights; below another root they are that system's to correct."""
    rights = {"config.toml": Rights("root", "root", 0o644), "right": Rights("root", "jobsync", 0o640)}
    for name in ("config.toml", "right", "closed"):
        (tmp_path / name).touch()
    monkeypatch.setattr(install_, "CONFIG_FILE", str(tmp_path / "config.toml"))
    monkeypatch.setattr(install_, "CREDENTIALS_FOLDER", str(tmp_path))
    monkeypatch.setattr(install_, "read_rights", lambda path: rights.get(path.name) or _refuse(path))
    (tmp_path / "config.toml").rename(tmp_path / "moved")
    rights["moved"] = rights["config.toml"]

    assert install_.find_wrong_rights() == {f"{tmp_path}/moved": Rights("root", "root", 0o644)}
    assert install_.find_wrong_rights(tmp_path) == {}


def _refuse(path: Path) -> Rights:
    raise PermissionError(path)


def test_uninstall_takes_our_files_and_leaves_the_rest(units: Cli, root: Path) -> None:
    """Secrets, configuration and drop-ins are not ours to take; it needs no configuration."""
    cli = Cli({"JOBSYNC_DATABASE_URL": "postgresql://u:pw@h/d"}, units._capsys)
    install(cli, root)
    units.environ.clear()
    ran = units("units", "uninstall", "--yes", "--root", str(root))
    again = units("units", "uninstall", "--yes", "--root", str(root))

    assert (ran.code, again.code, again.out) == (0, 0, "nothing is installed\n")
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["jobsync_database_url"]


@pytest.mark.parametrize("command", ["install", "show", "diff"])
def test_without_a_database_nothing_is_written(root: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No URL, no units: 78, with the places where it was looked for."""
    ran = Cli({}, capsys)("units", command, "--root", str(root), *PROGRAM)

    assert ran.code == 78
    assert "/etc/jobsync/credentials/jobsync_database_url" in ran.err
    assert not root.exists()


def test_folder_that_cannot_be_written_is_one_sentence(units: Cli, root: Path) -> None:
    """A file where a folder should be: no traceback."""
    (root / "etc").mkdir(parents=True)
    (root / "etc/systemd").write_text("")
    ran = units("units", "install", "--root", str(root), *PROGRAM)

    assert ran.code == 1
    assert ran.err.count("\n") == 1


def test_unknown_file_is_a_usage_error(units: Cli, root: Path) -> None:
    """`show` names what it does not know."""
    assert units("units", "show", "nonsense", *PROGRAM).code == 2


def test_one_file_is_shown_as_it_is(units: Cli, root: Path) -> None:
    """`show NAME` prints the bare text, to be piped on."""
    ran = units("units", "show", "stock-sync.timer", "--root", str(root), *PROGRAM)

    assert ran.out.startswith("[Unit]\n")
