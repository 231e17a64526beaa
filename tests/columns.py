"""
Every column that the code names is one of the map of tables: `python -m tests.columns`, part of `make lint`.

Statements over the map name columns as `table.c.name`, values of rows included, which Python looks up only when the
statement is built. This reads the sources instead: a column renamed in `db/tables.py` is told with each line that
still has the old name.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Table

import jobsync
from jobsync.db import tables

ROOT = Path(jobsync.__file__).parent
TABLES = {name: table for name, table in vars(tables).items() if isinstance(table, Table)}


def imported(tree: ast.AST) -> dict[str, Table]:
    """Return the tables that a source imports, by the names that they have there."""
    return {
        alias.asname or alias.name: TABLES[alias.name]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "jobsync.db.tables"
        for alias in node.names
        if alias.name in TABLES
    }


def wrong_in(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and sentence of each column that no table has, and of each that is named so that nobody can tell."""
    if "jobsync.db.tables" not in source:
        return
    tree = ast.parse(source)
    known = imported(tree)
    short = _shortened(tree, known)
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr):
            continue
        table, columns = _columns(node, short)
        for name in columns if table in known else ():
            if name not in known[table].c:
                yield node.lineno, f"{known[table].name} has no column {name}"
        if known and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
            texts = [key for found in node.args if isinstance(found, ast.Dict) for key in found.keys]
            if node.keywords or any(isinstance(key, ast.Constant) for key in texts):
                yield node.lineno, "values by table.c.name: a name alone is checked by nobody"


def _shortened(tree: ast.AST, known: Mapping[str, Table]) -> dict[str, str]:
    """Return what a source calls the columns of its tables: `name = table.c`."""
    return {
        target.id: node.value.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Attribute)
        and isinstance(node.value.value, ast.Name)
        and (node.value.attr, node.value.value.id in known) == ("c", True)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _columns(node: ast.AST, short: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return table and columns of `table.c.column`, of `table.c["column", ...]`, and of `short.column`."""
    if isinstance(node, ast.Attribute) and node.attr != "c":
        of, columns = node.value, [node.attr]
    elif isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        of, columns = node.value, [str(part.value) for part in parts if isinstance(part, ast.Constant)]
    else:
        return "", []
    if isinstance(of, ast.Name) and of.id in short:
        return short[of.id], columns
    if isinstance(of, ast.Attribute) and of.attr == "c" and isinstance(of.value, ast.Name):
        return of.value.id, columns
    return "", []


def wrong() -> list[str]:
    """Return every mistake in the sources, each with its place."""
    return [
        f"{path.relative_to(ROOT.parent)}:{line}: {sentence}"
        for path in sorted(ROOT.rglob("*.py"))
        for line, sentence in wrong_in(path.read_text())
    ]


if __name__ == "__main__":
    found = wrong()
    sys.stdout.writelines(f"{sentence}\n" for sentence in found)
    sys.exit(bool(found))
