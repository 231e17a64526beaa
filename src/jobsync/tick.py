"""
The idle tick: asks the database through libpq alone whether anything is due, without importing anything heavy.

Whatever is odd (no plain URL, no libpq, no connection) is left to the ordinary way, which asks the same again.
"""

import os

from jobsync.jobs import BY_NAME, GENERATE_RIDE, STOCK_SYNC

# Then the ordinary way asks, and finds out whether the server is slow or silent.
_ANSWER_WITHIN_S = 6.5  # its lock_timeout and a little
_QUESTION = "SELECT jobsync_tick('{job}'), (SELECT version_num FROM jobsync_schema_version)"
# Of one dealership, by a program that spreads the work: no tick of the job, so nothing is stamped.
_OF_ONE = (
    "SELECT NOT EXISTS (SELECT FROM dealerships WHERE id = {number})"
    " OR EXISTS (SELECT FROM due_dealerships WHERE dealership_id = {number})"
    " OR EXISTS (SELECT FROM pg_class c WHERE c.relrowsecurity AND row_security_active(c.oid)),"
    " (SELECT version_num FROM jobsync_schema_version)"
)
SCHEMA = "0016"
_SEVERAL_HOSTS = (",", "%2C", "%2c")  # perhaps in the password: asking for the primary does no harm there
_KEY_LENGTH = 44  # base64 of 32 bytes; a key of another length is refused by the full program


def nothing_is_due(arguments: list[str]) -> bool:
    """Return True only if the database plainly says that this tick has nothing to do."""
    job = BY_NAME.get(arguments[0]) if arguments[1:2] == ["--scheduled"] else None
    number = _number_of_one(arguments[2:]) if job is STOCK_SYNC else ""
    if arguments[2:] and not number:
        return False
    if job is GENERATE_RIDE and not os.environ.get("JOBSYNC_STORAGE"):
        return False  # perhaps it is set elsewhere, perhaps it is missing: the ordinary way says which
    url = _database_url() if job else None
    key = os.environ.get("JOBSYNC_ENCRYPTION_KEY", "")
    if not job or not url or len(key) not in (0, _KEY_LENGTH):
        return False
    try:
        from jobsync import libpq
        from jobsync.schema_name import problem_of_schema, use_schema

        schema = _schema()
        if schema is None or problem_of_schema(schema):
            return False

        # one transaction; the ordinary way says who keeps it waiting
        settings = f"{use_schema(schema)}; SET LOCAL lock_timeout = '5s'; "
        question = _OF_ONE.format(number=number) if number else _QUESTION.format(job=job.name)
        parameters = {"tcp_user_timeout": "15000", "application_name": "jobsync:tick"}
        if any(sign in url for sign in _SEVERAL_HOSTS):
            parameters["target_session_attrs"] = "read-write"
        answer = libpq.ask_row(url, settings + question, parameters=parameters, within_s=_ANSWER_WITHIN_S)
        return answer == (b"f", SCHEMA.encode())
    except (OSError, AttributeError, ValueError):
        return False


def _number_of_one(arguments: list[str]) -> str:
    """Return the number of the one dealership that is named, empty if there is none, or it is spelled otherwise."""
    words = arguments[0].split("=") if len(arguments) == 1 else arguments
    is_plain = len(words) == 2 and words[0] == "--dealership" and words[1].isascii() and words[1].isdigit()
    return words[1] if is_plain and len(words[1]) < 10 else ""  # digits alone: it becomes part of a statement


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


def _schema() -> str | None:
    """Return the schema of our tables, None where another place may name it, which settings.py reads."""
    named = os.environ.get("JOBSYNC_DATABASE_SCHEMA")
    if named:
        return named
    folder = os.environ.get("CREDENTIALS_DIRECTORY") or "/etc/jobsync/credentials"
    elsewhere = (os.environ.get("JOBSYNC_CONFIG") or "/etc/jobsync/config.toml", f"{folder}/jobsync_database_schema")
    return None if any(map(os.path.exists, elsewhere)) else "public"
