"""The arrows between the rooms, read from every import, also those inside functions."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

import jobsync
from jobsync.cli.app import COMMANDS

ROOT = Path(jobsync.__file__).parent
SANDBOX_COMMANDS = ("commands", "demo", "seed")
SLICES = ("easycars", "sri", "ride")
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if "_migrations" not in path.parts
}


def imports_in(source: str, module: str, *, package: bool = False) -> set[str]:
    """Return the modules of ours that a source imports; `from package import module` counts as that module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            up = node.level - package
            base = ".".join(filter(None, [*parts[: len(parts) - up], node.module])) if node.level else node.module or ""
            found.update(f"{base}.{alias.name}" if f"{base}.{alias.name}" in FILES else base for alias in node.names)
    return {name for name in found if name == "jobsync" or name.startswith("jobsync.")}


def names_in(node: ast.AST) -> list[str]:
    """Return the modules that a statement imports, by their full names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@cache
def arrows() -> dict[str, set[str]]:
    """Return every module of ours with those that it imports, be it as the root imports its commands."""
    found = {
        name: imports_in(path.read_text(), name, package=path.name == "__init__.py") for name, path in FILES.items()
    }
    found["jobsync.cli.app"] |= {place.module for place in COMMANDS.values()}
    return found


def within(name: str, *rooms: str) -> bool:
    """Whether the module is one of the rooms, or inside one."""
    return any(name == f"jobsync.{room}" or name.startswith(f"jobsync.{room}.") for room in rooms)


def wrong(sources: tuple[str, ...], targets: tuple[str, ...], *, but: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """Return the imports from a module of `sources` into one of `targets`, except those between the pairs of `but`."""
    return [
        f"{source} -> {target}"
        for source, imported in arrows().items()
        for target in sorted(imported)
        if within(source, *sources)
        and within(target, *targets)
        and not any(within(source, tail) and within(target, head) for tail, head in but)
    ]


def others(*rooms: str) -> tuple[str, ...]:
    """Return every top-level room but these."""
    tops = {name.split(".")[1] for name in FILES if "." in name}
    return tuple(sorted(tops - set(rooms)))


def test_every_file_is_read() -> None:
    """The walk sees the files it is about."""
    assert {"jobsync.runner.run", "jobsync.db.engine", "jobsync.easycars.job", "jobsync.cli.app"} <= arrows().keys()
    assert "jobsync.runner.lock" in arrows()["jobsync.runner.run"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import jobsync.db.engine", "jobsync.db.engine"),
        ("from jobsync.db import engine", "jobsync.db.engine"),
        ("from jobsync.db.engine import connect", "jobsync.db.engine"),
        ("def f():\n    from jobsync.db import engine", "jobsync.db.engine"),
        ("if TYPE_CHECKING:\n    from jobsync.db.engine import Database", "jobsync.db.engine"),
        ("from ..db import engine", "jobsync.db.engine"),
        ("from . import lock", "jobsync.runner.lock"),
        ("from .lock import Fence", "jobsync.runner.lock"),
    ],
)
def test_import_is_seen_however_it_is_written(source: str, expected: str) -> None:
    """No way of writing an import hides it."""
    assert imports_in(source, "jobsync.runner.run") == {expected}


def test_no_circle() -> None:
    """Of two modules that know each other, directly or through others, neither can be read first."""
    left = {name: {target for target in imported if target in FILES} for name, imported in arrows().items()}
    while lowest := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in lowest:
            del left[name]

    assert sorted(left) == []


def test_runner_knows_no_slice() -> None:
    """The runner uses the database and the small files that everybody uses; nothing else of ours."""
    assert wrong(("runner",), others("runner", "db", "errors", "hostname", "jobs", "logs", "schema_name")) == []


def test_db_knows_neither_runner_nor_slice() -> None:
    """The database's room is below all others."""
    below = ("causes", "cron", "errors", "hostname", "jobs", "libpq", "logs", "private_postgres", "schema_name")

    assert wrong(("db",), others("db", *below)) == []


def test_the_private_server_knows_nothing_of_ours() -> None:
    """It is a room that could stand in any program: the standard library, and its own errors."""
    assert wrong(("private_postgres",), others("private_postgres")) == []
    foreign = {
        name.partition(".")[0]
        for module, path in FILES.items()
        if within(module, "private_postgres")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in names_in(node)
    } - sys.stdlib_module_names

    assert foreign == {"jobsync"}


def test_one_place_translates_the_private_server() -> None:
    """Its errors become ours in one file; everybody else asks that."""
    assert wrong(others("private_postgres"), ("private_postgres",), but=(("db.embedded", "private_postgres"),)) == []


def test_hosts_know_no_slice() -> None:
    """What both slices share of a vendor's host is below them."""
    assert wrong(("hosts",), others("hosts", "causes", "db", "errors", "logs", "phrases", "watch")) == []


@pytest.mark.parametrize("name", SLICES)
def test_slices_do_not_know_each_other(name: str) -> None:
    """What two slices share is below both: the fiscal document, a vendor's host."""
    siblings = tuple(other for other in SLICES if other != name)

    assert wrong((name,), siblings) == []


def test_the_fiscal_document_knows_no_slice() -> None:
    """Key, nouns, reader and codes lean on the table of errors alone; `sri` and `ride` both use them."""
    assert wrong(("fiscal",), others("fiscal", "errors")) == []
    assert wrong(("easycars", "runner", "hosts", "db", "watch.model", "alerts", "upkeep"), ("fiscal",)) == []


def test_the_queue_of_documents_knows_no_slice() -> None:
    """Which documents a run takes is said once, for `sri` and `ride`, over the runner and the database."""
    assert wrong(("documents",), others("documents", "db", "errors", "logs", "runner")) == []
    assert wrong(others("documents", "sri", "ride"), ("documents",)) == []


def test_paper_knows_no_document() -> None:
    """Pages, text, fonts and bars could print anything."""
    assert wrong(("ride.paper",), others("ride", "errors")) == []
    assert [
        arrow for arrow in wrong(("ride.paper",), ("ride",)) if not within(arrow.rpartition(" ")[2], "ride.paper")
    ] == []


@pytest.mark.parametrize("name", SLICES)
def test_nothing_in_a_slice_points_back(name: str) -> None:
    """A slice knows nothing of the command line, of how the world is built, or of who reads its traces."""
    assert wrong((name,), ("cli", "wiring", "alerts", "deploy", "sandbox", "__main__")) == []


# In the sandbox's room: the stand-ins, and what a person calls.
STAND_INS = tuple(
    name.removeprefix("jobsync.")
    for name in FILES
    if name.startswith("jobsync.sandbox.") and not within(name, *(f"sandbox.{command}" for command in SANDBOX_COMMANDS))
)


def test_nothing_knows_the_sandbox() -> None:
    """The stand-ins are for tests and their own commands, which the root names; no other code leans on them."""
    hung_in = tuple(("cli.app", f"sandbox.{name}") for name in ("commands", "demo"))

    assert wrong(others("sandbox"), ("sandbox",), but=hung_in) == []


def test_stand_ins_are_written_from_the_papers() -> None:
    """The stand-ins share no code with the clients that they test."""
    assert wrong(STAND_INS, others("sandbox", "errors", "logs", "http")) == []


def test_deploy_knows_settings_only() -> None:
    """Unit files follow from the configuration; no job, no database and no command line is behind them."""
    assert wrong(("deploy",), others("deploy", "errors", "jobs", "journal", "logs", "settings")) == []


def test_only_the_entry_knows_the_command_line() -> None:
    """Nobody but the entry, the command line itself and the sandbox's commands imports it."""
    sandbox = tuple((f"sandbox.{name}", "cli") for name in SANDBOX_COMMANDS)

    assert wrong(others("cli", "__main__"), ("cli", "__main__"), but=sandbox) == []


def test_only_the_command_line_knows_the_wiring() -> None:
    """The real world is built in one place, for the command line."""
    sandbox = tuple((f"sandbox.{name}", "wiring") for name in SANDBOX_COMMANDS)

    assert wrong(others("cli", "__main__", "wiring"), ("wiring",), but=sandbox) == []


@pytest.mark.parametrize("room", ["watch", "alerts", "upkeep"])
def test_who_watches_knows_no_slice(room: str) -> None:
    """Slices are handed in, with the tables that views draw."""
    assert wrong((room,), (*SLICES, "hosts", "fiscal", "cli", "wiring", "sandbox")) == []


def test_who_watches_asks_no_table_of_a_slice() -> None:
    """What stands in a slice's tables is read by the slice; here no statement, import or advice names one of them."""
    tables = (
        r"(?:easycar_\w+|dealership\w*|vehicle\w*|holds|refused_items|sync_schedule|tenants|invoice\w*|sri_events"
        r"|vendor_hosts|due_\w+)"
    )
    theirs = re.compile(rf"\b(?:FROM|JOIN|UPDATE|INTO) {tables}|\b(?:sri|ride|easycar)_\w+ N\b")
    sources = {name: path.read_text() for name, path in FILES.items() if within(name, "watch", "alerts", "upkeep")}
    imported = [
        f"{name} -> {alias.name}"
        for name, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "jobsync.db.tables"
        for alias in node.names
        if re.fullmatch(tables, alias.name)
    ]

    assert [name for name, source in sources.items() if theirs.search(source)] == []
    assert imported == []


def test_watch_points_to_nobody_who_asks_it() -> None:
    """What is true is found without those who tell it and those who act on it."""
    assert wrong(("watch",), ("alerts", "upkeep")) == []


def test_what_a_slice_hands_in_knows_its_nouns_only() -> None:
    """Of watching and upkeep, a slice knows the nouns that it hands in, and neither who judges nor who acts."""
    nouns = tuple((name, f"{room}.model") for name in (*SLICES, "hosts") for room in ("watch", "upkeep"))

    assert wrong((*SLICES, "hosts"), ("watch", "upkeep"), but=nouns) == []
    assert (
        wrong(("watch.model", "upkeep.model"), others("causes", "db", "errors", "jobs", "logs", "runner", "watch"))
        == []
    )


def test_watching_starts_nothing() -> None:
    """Reading never starts, records or locks a run."""
    assert wrong(("watch", "alerts", "upkeep"), ("runner.run", "runner.items", "runner.progress")) == []


def test_watch_only_reads() -> None:
    """No statement of the room that looks at things writes."""
    writes = re.compile(r"\b(INSERT INTO|UPDATE \w+ SET|DELETE FROM|TRUNCATE)\b")

    assert [name for name, path in FILES.items() if within(name, "watch") and writes.search(path.read_text())] == []


def test_small_files_lean_on_nothing() -> None:
    """What everybody uses uses nobody but the table of errors."""
    small = (
        "causes",
        "cron",
        "errors",
        "hostname",
        "jobs",
        "journal",
        "libpq",
        "logs",
        "masking",
        "phrases",
        "proxies",
        "schema_name",
        "settings",
        "whole_file",
    )

    assert wrong(small, others(*small)) == []


def test_only_its_command_knows_adopt() -> None:
    """Moving in is done once; no job and no screen leans on it."""
    assert wrong(others("adopt"), ("adopt",), but=(("cli.adopt", "adopt"),)) == []
    assert wrong(("adopt",), ("cli", "wiring", "watch", "alerts", "upkeep", "deploy", "sandbox", "sri", "ride")) == []


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LINES_MOST = 70  # of one function, its docstring among them: it is read as a whole
HIDDEN_MOST = 60  # imports inside functions, in all files; each spares a cheap command, or an idle tick, a dear library


def test_a_function_fits_on_a_page() -> None:
    """None is longer than 70 lines."""
    long = [
        f"{name}.{node.name}: {lines} lines"
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, FUNCTIONS) and (lines := (node.end_lineno or 0) - node.lineno + 1) > LINES_MOST
    ]

    assert long == []


def test_imports_stand_at_the_top() -> None:
    """Few stand inside functions."""
    hidden = {
        (name, node.lineno)
        for name, path in FILES.items()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, FUNCTIONS)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert len(hidden) <= HIDDEN_MOST, sorted(hidden)
