"""A role that owns nothing, in a schema of its own: what the page about it says, run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.commands.pgbouncer import PGBOUNCER, pgbouncer
from tests.commands.support import Cli, Feed, cars
from tests.conftest import TEST_KEY
from tests.sri import documents

PAGE = (Path(__file__).parents[2] / "docs/least-privilege.md").read_text()
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
ROLES = ("jobsync_work", "jobsync_owner")
Connection = psycopg.Connection[tuple[object, ...]]
Run = Callable[[int], None]


@pytest.fixture
def owner(empty_url: str) -> Iterator[Connection]:
    """A superuser's connection; the page's roles are gone afterwards."""
    with psycopg.connect(empty_url, autocommit=True) as connection:
        yield connection
        for role in ROLES:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])
            connection.execute(f"DROP OWNED BY {role} CASCADE".encode())
            connection.execute(f"DROP ROLE {role}".encode())


@pytest.fixture
def run(owner: Connection) -> Run:
    """Run the statements of one block of the page."""

    def run(number: int) -> None:
        owner.execute(BLOCKS[number].encode())

    return run


@pytest.fixture
def work(empty_url: str, run: Run, easycars_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Commands of the role that works, after the owner has made the tables as the page says."""
    run(0)
    run(1)
    schema = {"JOBSYNC_DATABASE_SCHEMA": "jobsync", "HOME": str(tmp_path)}
    upgrade = Cli({**schema, "JOBSYNC_DATABASE_URL": empty_url.replace("//jobsync@", "//jobsync_owner@")}, capsys)
    assert 0 == upgrade("db", "upgrade").code
    url = empty_url.replace("//jobsync@", "//jobsync_work@")
    return Cli(
        {
            **schema,
            "JOBSYNC_DATABASE_URL": url,
            "JOBSYNC_ENCRYPTION_KEY": TEST_KEY,
            "JOBSYNC_EASYCARS_URL": easycars_url,
            "JOBSYNC_STORAGE": str(tmp_path / "rides"),
            "JOBSYNC_LOG_FORMAT": "json",
        },
        capsys,
    )


def prepare(work: Cli, owner: Connection, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a dealership with credentials and its feed, and a tenant."""
    import io
    import json

    from tests.commands.support import CREDENTIALS

    assert 0 == work("dealership", "add", "One", "--timezone", "Australia/Sydney").code
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({**CREDENTIALS, "account_number": "A"})))
    stored = work("credentials", "set", "1", "--from-stdin")
    assert 0 == stored.code, stored.err
    assert 0 == work("tenant", "add", documents.RUC, "Tenant").code
    feed.answers["A"] = cars(1, 2, 3)


COMMANDS = [
    *("db status", "dealership list", "dealership show 1", "dealership pause 1", "dealership resume 1"),
    *("dealership schedule 1", "settings list", "settings set easycar_sync_concurrency 2", "holds list"),
    *("stock history 1", "stock changes", "stock refused", "stock lock 1 1 price", "stock unlock 1 1 price"),
    *("tenant list", "invoice list", "runs list", "runs prune", "locks", "schedule show", "status", "audit"),
    *("stock-sync --scheduled", "check-authorizations --scheduled", "generate-ride --scheduled", "health --act"),
    *("stock-sync --dry-run", "check-authorizations", "generate-ride", "credentials rotate-key"),
]


def test_all_commands_work_for_a_role_that_owns_nothing(
    work: Cli, owner: Connection, feed: Feed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Jobs, ticks, screens and changes; only the upgrade asks for the owner."""
    prepare(work, owner, feed, monkeypatch)
    synced = work("stock-sync", "--json")
    ran = {command: work(*command.split()) for command in COMMANDS}
    files = {name: work(name, "-o", str(tmp_path / name)).code for name in ("report", "metrics")}
    doctor = work("doctor", "--offline", "--json").json["findings"]

    assert (0, 3) == (synced.code, synced.json["items"][0]["created"])
    assert {} == {command: (one.code, one.err) for command, one in ran.items() if one.code not in (0, 3)}
    assert {"report": 0, "metrics": 0} == files
    assert ["ok", "ok", "ok", "ok"] == [
        each["level"] for each in doctor if each["name"] in ("database", "schema", "rights", "locks")
    ]
    assert [] == owner.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchall()
    assert (
        []
        == owner.execute(
            "SELECT objid FROM pg_shdepend WHERE refobjid = 'jobsync_work'::regrole AND deptype = 'o'"
        ).fetchall()
    )


def test_rights_of_tables_that_were_there_before(work: Cli, owner: Connection, run: Run) -> None:
    """Without them a command says which right is missing; the page's statements give them."""
    owner.execute("REVOKE ALL ON ALL TABLES IN SCHEMA jobsync FROM jobsync_work")

    assert 78 == work("dealership", "list").code
    run(2)
    assert 0 == work("dealership", "list").code


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed here")
def test_work_through_pgbouncer_in_a_schema(
    work: Cli, owner: Connection, feed: Feed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In transaction mode, with the locks going to the server itself, whatever the database's search_path."""
    prepare(work, owner, feed, monkeypatch)
    owner.execute(f"ALTER DATABASE {owner.info.dbname} SET search_path TO ''".encode())
    with pgbouncer(work.environ["JOBSYNC_DATABASE_URL"], tmp_path) as url:
        through = {"JOBSYNC_DATABASE_URL": url, "JOBSYNC_LOCK_DATABASE_URL": work.environ["JOBSYNC_DATABASE_URL"]}
        synced = work("stock-sync", "--json", **through)
        codes = [work(*command.split(), **through).code for command in ("status", "health", "stock-sync --scheduled")]

    assert (0, 3) == (synced.code, synced.json["items"][0]["created"])
    assert [0, 0, 0] == codes


EACH_WAY = [
    *("stock-sync", "stock-sync --scheduled", "check-authorizations --scheduled", "generate-ride --scheduled"),
    *("status", "health", "health --act", "doctor --offline", "dealership list", "db status", "runs prune"),
]


@pytest.mark.parametrize("table", ["system_settings", "invoices", "vehicles"])
def test_hidden_rows_are_a_refusal_each_way(work: Cli, owner: Connection, run: Run, table: str) -> None:
    """Hand runs, ticks, screens, health, doctor: 78, naming table, role and cure; the cure works."""
    assert 0 == work("stock-sync", "--scheduled").code
    owner.execute(f"ALTER TABLE jobsync.{table} ENABLE ROW LEVEL SECURITY".encode())
    with psycopg.connect(work.environ["JOBSYNC_DATABASE_URL"]) as connection:
        [[tick]] = connection.execute("SELECT jobsync.jobsync_tick('generate-ride')").fetchall()
    ran = {command: work(*command.split()) for command in EACH_WAY}
    cure = "ALTER ROLE jobsync_work BYPASSRLS"

    assert tick
    assert {} == {command: one.code for command, one in ran.items() if one.code != 78}
    assert {} == {
        command: one.out + one.err
        for command, one in ran.items()
        if not all(words in one.out + one.err for words in (f"rows of {table} from the role jobsync_work", cure))
    }
    run(3)
    assert [0, 0] == [work("stock-sync", "--scheduled").code, work("status").code]


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("TO jobsync_work USING (true)", 0),
        ("USING (true)", 0),
        ("FOR SELECT TO jobsync_work USING (true)", 78),
        ("TO jobsync_work USING (tenant_id = 1)", 78),
        ("TO jobsync_owner USING (true)", 78),
        ("TO jobsync_work USING (true) WITH CHECK (tenant_id = 1)", 78),
        ("AS RESTRICTIVE TO jobsync_work USING (true)", 78),
    ],
)
def test_policy_that_shows_everything_is_a_cure(work: Cli, owner: Connection, policy: str, code: int) -> None:
    """As the message offers it; one that shows a part is none."""
    owner.execute("ALTER TABLE jobsync.invoices ENABLE ROW LEVEL SECURITY")
    offered = work("status").err
    owner.execute(f"CREATE POLICY jobsync ON jobsync.invoices {policy}".encode())

    assert 'CREATE POLICY jobsync ON "jobsync".invoices TO jobsync_work USING (true)' in offered
    assert code == work("status").code


def test_tables_of_others_may_hide_what_they_like(work: Cli, owner: Connection) -> None:
    """A table of the host application's is none of ours, whatever its name, in another schema."""
    owner.execute("CREATE TABLE public.invoices (); ALTER TABLE public.invoices ENABLE ROW LEVEL SECURITY")

    assert 0 == work("status").code
    owner.execute("DROP TABLE public.invoices")


def test_no_cure_by_policy_where_rows_are_copied(work: Cli, owner: Connection) -> None:
    """COPY works under no policy: the message offers none, and one that is there does not count."""
    owner.execute("ALTER TABLE jobsync.vehicles ENABLE ROW LEVEL SECURITY")
    owner.execute("CREATE POLICY jobsync ON jobsync.vehicles TO jobsync_work USING (true)")
    said = work("status")

    assert (78, False) == (said.code, "CREATE POLICY" in said.err)


def test_an_owner_whose_own_tables_are_forced_is_told_everywhere(work: Cli, owner: Connection, empty_url: str) -> None:
    """FORCE ROW LEVEL SECURITY binds the owner too; without it a policy for others does not concern it."""
    owner.execute("ALTER TABLE jobsync.invoices ENABLE ROW LEVEL SECURITY")
    url = empty_url.replace("//jobsync@", "//jobsync_owner@")
    free = work("status", JOBSYNC_DATABASE_URL=url)
    owner.execute("ALTER TABLE jobsync.invoices FORCE ROW LEVEL SECURITY")
    commands = ("status", "health", "check-authorizations --scheduled", "check-authorizations", "doctor --offline")
    said = {command: work(*command.split(), JOBSYNC_DATABASE_URL=url) for command in commands}

    assert 0 == free.code
    assert dict.fromkeys(commands, 78) == {command: one.code for command, one in said.items()}
    assert all("jobsync_owner" in one.out + one.err for one in said.values())


def test_owner_with_forced_security_is_told_before_an_upgrade(work: Cli, owner: Connection, empty_url: str) -> None:
    """A version that is hidden is not taken for a database without tables."""
    owner.execute(
        "ALTER TABLE jobsync.jobsync_schema_version ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE jobsync.jobsync_schema_version FORCE ROW LEVEL SECURITY"
    )
    said = work("db", "upgrade", JOBSYNC_DATABASE_URL=empty_url.replace("//jobsync@", "//jobsync_owner@"))

    assert (78, True) == (said.code, "rows of jobsync_schema_version from the role jobsync_owner" in said.err)
