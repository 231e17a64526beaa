"""The original's database, where it does not answer as it should."""

from __future__ import annotations

import time

import psycopg
import pytest

from jobsync.adopt.original import open_original
from jobsync.db.silence import Patience
from jobsync.errors import ConfigurationProblem, Unavailable
from tests.adopt.tables import make
from tests.db.servers import freezer


def test_a_source_that_falls_silent_ends_the_reading(empty_url: str) -> None:
    """It lets us in and then says nothing: unavailable, said of --from, within seconds of the patience."""
    make(empty_url)
    began = time.monotonic()
    with (
        freezer(empty_url) as proxy,
        open_original(proxy.url, "public", patience=Patience(0.2)) as original,
    ):
        proxy.freeze()
        with pytest.raises(Unavailable, match="--from: "):
            original.read_all("vehicles")

    assert time.monotonic() - began < 30


def test_one_reading_sees_one_instant(empty_url: str) -> None:
    """What the old program writes meanwhile belongs to the next time: no document comes without its vehicle."""
    make(empty_url)
    with open_original(empty_url, "public") as original:
        before = original.read_all("vehicles", "id")
        with psycopg.connect(empty_url) as connection:
            connection.execute("DELETE FROM vehicle")

        assert before == original.read_all("vehicles", "id")
        assert 1 == len(original.read_all("documents"))


def test_a_table_without_its_column_is_named(empty_url: str) -> None:
    """A table of that name that is something else is not read as empty."""
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE dealership (id int, title text)")
    with (
        pytest.raises(ConfigurationProblem, match=r"public\.dealership has no column name"),
        open_original(empty_url, "public"),
    ):
        pass
