"""PgBouncer itself, in transaction mode, where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.commands.support import until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


@contextmanager
def pgbouncer(url: str, folder: Path, *, servers: int = 3) -> Iterator[str]:
    """Run it before the database of `url`, with a few server connections; yields the URL that leads through it."""
    assert PGBOUNCER is not None
    given = conninfo_to_dict(url)
    port = _free_port()
    (folder / "users.txt").write_text(f'"{given["user"]}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={given['host']} port={given['port']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users.txt\npool_mode = transaction\ndefault_pool_size = {servers}\n"
    )
    # it refuses to run as root, which reads the folder; the same user by another name will do
    as_nobody = ["unshare", "--user", "--map-user=65534"] if os.getuid() == 0 else []
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(
            [*as_nobody, PGBOUNCER, str(folder / "pgbouncer.ini")], stdout=log, stderr=subprocess.STDOUT
        )
    through = f"postgresql://{given['user']}@127.0.0.1:{port}/{given['dbname']}?sslmode=disable&gssencmode=disable"

    def answers() -> bool:
        assert process.poll() is None, (folder / "pgbouncer.log").read_text()
        with suppress(psycopg.OperationalError), psycopg.connect(through, connect_timeout=2):
            return True
        return False

    try:
        until(answers)
        yield through
    finally:
        process.terminate()
        process.wait(20)
