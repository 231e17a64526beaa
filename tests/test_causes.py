"""The closed list of causes."""

from __future__ import annotations

from jobsync.causes import BEFORE_TABLES, KINDS, Cause


def test_every_cause_says_what_it_means_and_what_mends_it() -> None:
    """Once each, and no two the same."""
    meanings = [cause.meaning for cause in Cause]

    assert len(set(meanings)) == len(Cause)
    assert all(cause.remedy and cause.kind in KINDS for cause in Cause)


def test_what_is_looked_at_first_stands_first() -> None:
    """Configuration, then the server, then the tables."""
    assert (Cause.CONFIGURATION_WRONG, Cause.DATABASE_UNREACHABLE) == BEFORE_TABLES[:2]
    assert BEFORE_TABLES.index(Cause.DATABASE_LOGIN_REFUSED) < BEFORE_TABLES.index(Cause.SCHEMA_OLDER)
