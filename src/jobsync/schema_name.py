"""The schema that holds our tables: which names it may have, how SQL spells them, and how a connection knows it."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is heavy, and an idle tick reads this file
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "public"
_LONGEST = 63  # bytes; the server would cut the rest off, and mean another schema


def problem_of_schema(name: str) -> str | None:
    """
    Return what keeps a text from being our schema's name, None if nothing does.

    >>> [problem_of_schema(name) for name in ("jobsync", 'Our "Cars"', "pg_jobs", "$user")]
    [None, None, 'PostgreSQL keeps names that begin with pg_ for itself', 'means another schema for each role']
    """
    problems = {
        "empty": not name.strip(),
        "begins or ends with a blank": name != name.strip(),
        "holds a control character": not name.isprintable(),
        f"longer than {_LONGEST} bytes": len(name.encode(errors="replace")) > _LONGEST,
        "PostgreSQL keeps names that begin with pg_ for itself": name.startswith("pg_"),
        "PostgreSQL's own schema": name == "information_schema",
        "means another schema for each role": name == "$user",
    }
    return next((words for words, is_so in problems.items() if is_so), None)


def quoted(name: str) -> str:
    """
    Return a name as SQL spells it, whatever its letters.

    >>> print(quoted('Our "Cars" here'))
    "Our ""Cars"" here"
    """
    return '"' + name.replace('"', '""') + '"'


def use_schema(name: str) -> str:
    """Return the statement that makes a transaction see this schema and PostgreSQL's own alone."""
    return f"SET LOCAL search_path TO {quoted(name)}"


def schema_of(connection: Any) -> str:
    """Return the schema that a connection's transactions use."""
    return str(getattr(connection, "schema", DEFAULT))


def qualified(connection: Any, table: str) -> str:
    """Return a table of ours for a statement with parameters that no transaction of the engine surrounds."""
    return f"{quoted(schema_of(connection))}.{table}".replace("%", "%%")
