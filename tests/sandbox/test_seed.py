"""`jobsync sandbox seed`: the three jobs run against what it wrote and what the stand-ins serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from jobsync.sandbox.documents import invent_documents, write_documents
from jobsync.sandbox.easycars import EasyCarsSandbox
from jobsync.sandbox.scenario import load_scenario
from jobsync.sandbox.serve import BothVendors, serve
from jobsync.sandbox.sri import SriSandbox
from tests.commands.support import Cli

Connection = psycopg.Connection[Any]
SCENARIO = """
[[clients]]
client_id = "c"
client_secret = "s"

[[dealers]]
name = "Bilby Creek Motors"
account_number = "EC900001"
account_secret = "secret-1"
vehicles = 5

[[dealers]]
name = "Wombat Wagons"
account_number = "EC900002"
account_secret = "secret-2"
vehicles = 3

[sri]
"""


@pytest.fixture
def cli(environ: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs commands in this process."""
    return Cli({**environ, "JOBSYNC_STORAGE": str(tmp_path / "rides")}, capsys)


def written(folder: Path, more: str = "") -> str:
    """Write the scenario; returns its path."""
    file = folder / "scenario.toml"
    file.write_text(SCENARIO + more)
    return str(file)


def count(connection: Connection, statement: str) -> Any:
    """Return the only value of a statement."""
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_the_three_jobs_run_against_it(cli: Cli, connection: Connection, tmp_path: Path) -> None:
    """Each dealership syncs, each document is authorized as it was submitted, each authorized one is printed."""
    file = written(tmp_path)
    seeded = cli("sandbox", "seed", "--scenario", file, "--documents", "4", "--json")
    cli("settings", "set", "sri_call_delay_ms", "0")
    scenario = load_scenario(Path(file))
    with serve(BothVendors(EasyCarsSandbox(scenario), SriSandbox(scenario.sri))) as served:
        where = {"JOBSYNC_EASYCARS_URL": served.url, "JOBSYNC_SRI_URL": served.origin}
        codes = [cli(job, "--json", **where).code for job in ("stock-sync", "check-authorizations", "generate-ride")]

    assert seeded.code == 0, seeded.err
    assert [found["name"] for found in seeded.json["dealerships"]] == ["Bilby Creek Motors", "Wombat Wagons"]
    assert seeded.json["documents"] == {"imported": 4}
    assert codes == [0, 0, 0]
    assert count(connection, "SELECT count(*) FROM vehicles") == 8
    assert count(connection, "SELECT count(*) FROM invoices WHERE ride_path IS NOT NULL") == 4
    same = "SELECT bool_and(submitted_xml = authorized_xml) FROM invoice_documents"
    assert count(connection, same) is True


def test_without_a_scenario_it_is_the_demo_s(cli: Cli) -> None:
    """The default of `seed` is the default of `serve`; a person is told how to go on."""
    ran = cli("sandbox", "seed")

    assert ran.code == 0, ran.err
    assert ran.out.startswith("6 dealerships, 2 tenants and 12 documents added\n")
    assert "jobsync sandbox serve" in ran.out


def test_documents_of_the_scenario_s_folder(cli: Cli, tmp_path: Path) -> None:
    """Where the stand-in answers with documents of a folder, those are seeded, with their issuers."""
    keys = write_documents(tmp_path / "submitted", invent_documents(7, seed=5, issuers=1))
    ran = cli("sandbox", "seed", "--scenario", written(tmp_path, 'documents = "submitted"'), "--json")

    assert ran.json["documents"] == {"imported": 7}, ran.err
    assert [found["ruc"] for found in ran.json["tenants"]] == [keys[0][10:23]]
    assert {found["access_key"] for found in cli("invoice", "list", "--json").json} == set(keys)


@pytest.mark.parametrize("first", [["dealership", "add", "Ours"], ["tenant", "add", "1790012345001", "Ours"]])
def test_a_database_in_use_is_refused(first: list[str], cli: Cli, connection: Connection) -> None:
    """One dealership or one tenant is enough; nothing is written, and the way on is said."""
    assert cli(*first).code == 0
    ran = cli("sandbox", "seed", "--json")

    assert (ran.code, ran.json["exit_code"]) == (2, 2)
    assert "seed is for an empty test database" in ran.json["error"]
    assert "--add" in ran.json["error"]
    assert count(connection, "SELECT (SELECT count(*) FROM dealerships) + (SELECT count(*) FROM tenants)") == 1


def test_add_twice_adds_once(cli: Cli, connection: Connection) -> None:
    """With --add what is there stays; the second time everything is there."""
    cli("dealership", "add", "Ours")
    first, second = (cli("sandbox", "seed", "--add", "--json").json for _ in range(2))

    assert (len(first["dealerships"]), len(second["dealerships"])) == (6, 0)
    assert (first["documents"], second["documents"]) == ({"imported": 12}, {"unchanged": 12})
    assert count(connection, "SELECT count(*) FROM dealerships") == 7


def test_no_key_no_seed(cli: Cli, connection: Connection) -> None:
    """Without an encryption key nothing is written: exit code 78."""
    ran = cli("sandbox", "seed", JOBSYNC_ENCRYPTION_KEY="")

    assert ran.code == 78
    assert count(connection, "SELECT count(*) FROM tenants") == 0
