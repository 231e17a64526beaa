"""Columns are checked before anything runs."""

from __future__ import annotations

import pytest

from tests.columns import wrong, wrong_in

IMPORT = "from jobsync.db.tables import dealerships as d\n"


def test_every_column_in_the_sources_is_in_the_map() -> None:
    """A column renamed in the map fails here and in `make lint`, wherever a statement still has the old name."""
    assert wrong() == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("select(d.c.name)", []),
        ('select(d.c["name"])', []),
        ("select(d.c.nome)", ["dealerships has no column nome"]),
        ('select(d.c["nome"])', ["dealerships has no column nome"]),
        ("update(d).values({d.c.name: 1})", []),
        ("update(d).values({d.c.nome: 1})", ["dealerships has no column nome"]),
        ("update(d).values(name=1)", ["values by table.c.name: a name alone is checked by nobody"]),
        ('update(d).values({"name": 1})', ["values by table.c.name: a name alone is checked by nobody"]),
        ("c = d.c\nselect(c.name)", []),
        ("c = d.c\nselect(c.nome)", ["dealerships has no column nome"]),
        ("for value in found.values(): pass", []),
        ("few = select(d.c.id).subquery()\nselect(few.c.id)", []),
    ],
)
def test_what_is_found(source: str, expected: list[str]) -> None:
    """A column that no table has is found however it is named; values by a bare name are told as well."""
    assert expected == [sentence for _, sentence in wrong_in(IMPORT + source)]
