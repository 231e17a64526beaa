"""
What screens and documents look like, kept as files: a change of a look is seen, and meant.

The files below `rows/` are of a database whose every row is said in `rows.py`, those below `demo/` of what
`jobsync demo` leaves. To write them anew: `JOBSYNC_REWRITE_GOLDENS=1 python -m pytest tests/goldens`, and look at what
has changed.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.main import get_command

from jobsync import __version__
from jobsync.cli.app import app
from jobsync.db import migrate
from jobsync.db.audit import actor
from jobsync.sandbox import demo
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import Scenario
from jobsync.sandbox.serve import serve
from jobsync.sandbox.sri import SriSandbox
from jobsync.watch import snapshot
from jobsync.watch.timers import Waker
from jobsync.wiring import Tools
from tests.commands.support import Cli
from tests.conftest import TEST_KEY, _fresh
from tests.goldens.rows import RUNS, YEARS, fill, shift_past
from tests.tree import read_tree
from tests.watch.support import NOW

HERE = Path(__file__).parent
REWRITE = "JOBSYNC_REWRITE_GOLDENS"
REWRITING = os.environ.get(REWRITE) == "1"

# golden -> the words of the command; {…} is filled in from the database
READS = {
    "status.txt": "status",
    "status.json": "status --json",
    "health.txt": "health",
    "health.json": "health --json",
    "report.html": "report -o -",
    "metrics.prom": "metrics",
    "alerts_list.json": "alerts list --json",
    "audit.json": "audit --json",
    "db_status.json": "db status --json",
    "dealership_list.json": "dealership list --json",
    "dealership_show.json": "dealership show 1 --json",
    "dealership_schedule.json": "dealership schedule 1 --json",
    "doctor.json": "doctor --offline --json",
    "holds_list.json": "holds list --json",
    "holds_show.json": "holds show 1 --json",
    "invoice_list.json": "invoice list --json",
    "invoice_show.json": "invoice show {key} --json",
    "locks.json": "locks --json",
    "logs.json": "logs {run} --json",
    "runs_list.json": "runs list --json",
    "runs_show.json": "runs show {run} --json",
    "schedule_show.json": "schedule show --json",
    "settings_list.json": "settings list --json",
    "settings_get.json": "settings get easycar_sync_cron --json",
    "sri_explain.json": "sri explain 39 --json",
    "stock_changes.json": "stock changes --json",
    "stock_history.json": "stock history 1 --json",
    "stock_refused.json": "stock refused 1 --json",
    "tenant_list.json": "tenant list --json",
    "tenant_show.json": "tenant show {ruc} --json",
}
# what writes, asks a vendor, or (units) has its golden in systemd/
NOT_HERE = (
    *("alerts test", "alerts silence", "alerts unsilence"),
    *("stock-sync", "check-authorizations", "generate-ride", "alert", "db upgrade", "adopt"),
    *("runs prune", "runs retry", "ride render", "storage claim"),
    *("dealership add", "dealership set", "dealership pause", "dealership resume", "settings set"),
    *("credentials set", "credentials delete", "credentials test", "credentials rotate-key"),
    *("holds approve", "holds reject", "stock lock", "stock unlock", "stock include", "stock exclude"),
    *("tenant add", "tenant pause", "tenant resume", "invoice import", "invoice recheck", "invoice export"),
    *("units show", "units diff", "sandbox documents", "sandbox seed"),
)


def test_every_reading_command_is_here() -> None:
    """Each command with a JSON document has its golden, or stands among those that write or ask."""
    there = {
        " ".join(command.path[1:])
        for command in read_tree().walk()
        if any("--json" in option.names for option in command.options)
    }
    told = {name for words in READS.values() for name in there if words.startswith(f"{name} ") or words == name}

    assert sorted(there - told) == sorted(NOT_HERE)


@pytest.fixture(autouse=True)
def one_waker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice is that of a host with unit files, wherever the tests run."""
    monkeypatch.setattr(Tools, "waker", Waker.UNITS)


# --- a database of which every row is said ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows_url(server_url: str, template: str) -> Iterator[str]:
    """A database with the rows of `rows.py`."""
    for url in _fresh(server_url, template):
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
        yield url


@pytest.mark.parametrize("name", READS)
def test_rows(
    name: str,
    rows_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A look at known rows is the same, byte for byte, but for what a machine adds."""
    clock = f"SELECT '{NOW - YEARS}'::timestamptz AS now, 'jobsync' AS database, set_config('jit', 'off', true)"
    monkeypatch.setattr(snapshot, "_CLOCK", clock)
    environ = {"JOBSYNC_DATABASE_URL": rows_url, "STATE_DIRECTORY": str(tmp_path)}
    world = World({**environ, "JOBSYNC_ENCRYPTION_KEY": TEST_KEY}, capsys)
    given = {"run": RUNS["night"], "key": f"{1000001:049d}", "ruc": "1790012345001"}

    compare("rows", name, steady(world.out(READS[name].format(**given))))


# --- what the demo leaves --------------------------------------------------------------------------------------------


class OneByOne(demo.Show):
    """Shows the demo with an item at a time, so that numbers fall out the same."""

    def command(self, *arguments: str, expect: int = 0) -> None:
        """Run a command."""
        words = list(arguments)
        if "--concurrency" in words:
            words[words.index("--concurrency") + 1] = "1"
        if words[0] == "check-authorizations":
            self.ask("settings", "set", "sri_check_concurrency", "1")
        super().command(*words, expect=expect)


@pytest.fixture(scope="module")
def demo_environ(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a database that the demo was played on."""
    folder = tmp_path_factory.mktemp("demo")
    service, documents = EasyCarsSandbox(Scenario()), demo.submitted()
    for url in _fresh(server_url, template):
        with (
            serve(service) as cars,
            serve(SriSandbox(demo.decisions(documents))) as taxes,
            redirect_stdout(StringIO()),
        ):
            environ = demo.addresses(url, cars, taxes, storage=folder / "rides")
            environ["STATE_DIRECTORY"] = str(folder / "state")
            show = OneByOne(get_command(app), {"PATH": os.environ["PATH"], **environ})
            demo.play(show, service, documents, folder / "submitted", folder / "rides")
        with psycopg.connect(url, autocommit=True) as connection:
            shift_past(connection, timedelta(hours=1))  # else some of it is "now", and some "1 s ago"
        yield environ


def test_demo(demo_environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """What the demo leaves looks the same, but for times, ids and what hangs on them."""
    world = World(demo_environ, capsys)
    runs = world.json("runs list --json")
    documents = world.json("invoice list --json")
    given = {
        "run": next(run["run_id"] for run in runs if run["job"] == "stock-sync"),
        "key": documents[-1]["access_key"],
        "ruc": documents[-1]["tenant_ruc"],
    }
    outputs = {name: world.out(words.format(**given)) for name, words in READS.items()}

    folder = str(Path(demo_environ["JOBSYNC_STORAGE"]).parent)
    for name, text in outputs.items():
        plain = steady(text.replace(folder, "<folder>"), [run["run_id"] for run in runs])
        compare("demo", name, without_times(plain))


# --- comparing ---------------------------------------------------------------------------------------------------


class World:
    """Runs commands against one environment."""

    def __init__(self, environ: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        self._cli = Cli({"PATH": os.environ["PATH"], "JOBSYNC_LOG_FORMAT": "json", **environ}, capsys)

    def out(self, words: str) -> str:
        """Return what a command prints; it may find something to complain of, but not fail."""
        ran = self._cli(*words.split())
        assert ran.code in (0, 3, 78), ran.err
        if words.startswith("doctor"):  # what it finds is about this machine
            keys = {name for found in ran.json["findings"] for name in found}
            return json.dumps({"document": sorted(ran.json), "finding": sorted(keys)}, indent=1) + "\n"
        return ran.out

    def json(self, words: str) -> Any:
        """Return a command's document."""
        return json.loads(self.out(words))


_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def steady(text: str, runs: Sequence[str] = ()) -> str:
    """Return an output without what a machine, a user or a release adds to it; `runs` are known ids, in order."""
    for number, run in enumerate(dict.fromkeys([*runs, *_UUID.findall(text)]), 1):
        text = text.replace(run, f"<run {number}>").replace(run[:8], f"<run {number}>")
    text = text.replace(socket.gethostname(), "<host>").replace(f'"actor": "{actor()}"', '"actor": "<user>"')
    text = re.sub(rf"\b{re.escape(__version__)}\b", "<version>", text)
    text = text.replace(f'"{migrate.HEAD}"', '"<schema>"')
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", text)
    text = re.sub(r"\btest_\d+_\d+\b", "<database>", text)
    return re.sub(r'"(pid|database)": ("[^"]*"|\d+)', r'"\1": "<\1>"', text)


_TIMES = (
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", "<instant>"),
    (r"\b\d{4}-\d\d-\d\d\b", "<day>"),
    (r"\b\d+(\.\d+)?(e-\d+)? ?(ms|s|min|h|d|days|hours|minutes|seconds)\b", "<span>"),
    (r'("[a-z0-9_]*(_ms|_s|seconds|p50|p95)": )\d+(\.\d+)?', r'\1"<number>"'),
    (r"(?m)^(\w*(seconds|timestamp)\w*(\{[^}]*\})?) .*$", r"\1 <number>"),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"(?s)<svg.*?</svg>", "<svg/>"),
    (r"<span>( <span>)+", "<span>"),
    (r" {2,}(?=\S)", "  "),
)


def without_times(text: str) -> str:
    """Return an output without instants, spans and what is computed from them."""
    for pattern, label in _TIMES:
        text = re.sub(pattern, label, text)
    return text


def compare(folder: str, name: str, text: str) -> None:
    """Compare an output with its golden, or write it anew."""
    file = HERE / folder / name
    if REWRITING:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    assert text == file.read_text(), f"{file} differs; if that is meant: {REWRITE}=1 python -m pytest tests/goldens"
