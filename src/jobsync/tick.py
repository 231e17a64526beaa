"""
The idle tick: asks the database through libpq alone whether anything is due, without importing anything heavy.

It can only save time. Whatever is odd (another spelling of the command, no plain URL, no libpq, no connection, an
unexpected answer) is left to the ordinary way, which asks the same function again.
"""

import os
import sys

# job: its switch
_JOBS = {
    "stock-sync": "easycar_sync_enabled",
    "check-authorizations": "sri_check_enabled",
    "generate-ride": "ride_enabled",
}
_OK_STATUS = 0  # CONNECTION_OK
_TUPLES = 2  # PGRES_TUPLES_OK
# False only if nothing is due and the switch is plainly on: a run that is switched off says so in the ordinary way.
_QUESTION = (
    "SELECT jobsync_tick('{job}') OR NOT coalesce((SELECT lower(btrim(value)) IN ('true', '1', 'on', 'yes')"
    " FROM system_settings WHERE key = '{switch}'), true), (SELECT version_num FROM jobsync_schema_version)"
)
SCHEMA = "0008"
_KEY_LENGTH = 44  # base64 of 32 bytes; what has another length is named wrong by the ordinary way


def nothing_is_due(arguments: list[str]) -> bool:
    """Return True only if the database plainly says that this tick has nothing to do."""
    job = arguments[0] if len(arguments) == 2 and arguments[1] == "--scheduled" else ""
    switch = _JOBS.get(job)
    if job == "generate-ride" and not os.environ.get("JOBSYNC_STORAGE"):
        return False  # perhaps it is set elsewhere, perhaps it is missing: the ordinary way says which
    url = _database_url() if switch else None
    library = _libpq() if url else None
    key = os.environ.get("JOBSYNC_ENCRYPTION_KEY", "")
    if not switch or not url or not library or len(key) not in (0, _KEY_LENGTH):
        return False
    try:
        return _ask(library, url, _QUESTION.format(job=job, switch=switch)) == (b"f", SCHEMA.encode())
    except (OSError, AttributeError, ValueError):
        return False


def was_failing(job: str) -> bool:
    """Whether a run of this job under cron has told a failure: the ordinary way then notes that it is over."""
    folder = os.environ.get("STATE_DIRECTORY") or "/var/lib/jobsync"
    return os.path.exists(f"{folder}/cron/{job}")  # noqa: PTH110 - pathlib is heavy


def _database_url() -> str | None:
    """Return the URL from where nearly every installation has it, None to leave the search to settings.py."""
    url = os.environ.get("JOBSYNC_DATABASE_URL", "")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not url and folder:
        try:
            with open(folder + "/jobsync_database_url", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is heavy
                url = file.read().strip()
        except (OSError, ValueError):
            return None
    # C would read no further than a NUL, and so another URL
    return url if url.startswith(("postgresql://", "postgres://")) and "\0" not in url else None


def _libpq() -> str | None:
    """Return the path of the libpq that psycopg-binary bundles, else the name of the system's."""
    for folder in sys.path:
        bundled = folder + "/psycopg_binary.libs"
        try:
            names = os.listdir(bundled)  # noqa: PTH208 - pathlib is heavy
        except OSError:
            continue
        for name in names:
            if name.startswith("libpq"):
                return bundled + "/" + name
    return "libpq.so.5" if sys.platform == "linux" else None


def _ask(library: str, url: str, question: str) -> tuple[bytes, bytes] | None:
    """Return the first row's two fields, None if anything went differently."""
    import ctypes

    pq = ctypes.CDLL(library)
    for function, result in (("PQconnectdbParams", ctypes.c_void_p), ("PQexec", ctypes.c_void_p)):
        getattr(pq, function).restype = result
    pq.PQgetvalue.restype = ctypes.c_char_p
    for function in ("PQstatus", "PQfinish", "PQresultStatus", "PQntuples", "PQclear"):
        getattr(pq, function).argtypes = [ctypes.c_void_p]
    pq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    pq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    # What the URL says comes last and so wins over the defaults.
    parameters = {
        "connect_timeout": "5",
        "tcp_user_timeout": "15000",
        "application_name": "jobsync:tick",
        "dbname": url,
    }
    strings = ctypes.c_char_p * (len(parameters) + 1)
    keywords = strings(*(name.encode() for name in parameters), None)
    values = strings(*(value.encode() for value in parameters.values()), None)
    connection = pq.PQconnectdbParams(keywords, values, 1)
    try:
        if pq.PQstatus(connection) != _OK_STATUS:
            return None
        # both in one transaction; the ordinary way says who keeps it waiting
        answer = pq.PQexec(connection, b"SET LOCAL lock_timeout = '5s'; " + question.encode())
        if pq.PQresultStatus(answer) != _TUPLES or pq.PQntuples(answer) != 1:
            return None
        return pq.PQgetvalue(answer, 0, 0), pq.PQgetvalue(answer, 0, 1)
    finally:
        pq.PQfinish(connection)
