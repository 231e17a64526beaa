"""
COPY prepared text into the two tables: `raw_copy.py DATABASE_URL FOLDER`.

Each subfolder goes over a connection of its own. Each pair of files in it, DEALERSHIP.vehicles and
DEALERSHIP.easycar_stock_data, is one transaction, as a dealership is for whoever may not lose a night for one of them.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from psycopg import sql


def load(url: str, part: Path) -> None:
    """Copy one part: of each dealership the vehicles, then their documents."""
    with psycopg.connect(url) as connection:
        for vehicles in sorted(part.glob("*.vehicles")):
            for file in (vehicles, vehicles.with_suffix(".easycar_stock_data")):
                table = sql.Identifier(file.suffix[1:])
                with (
                    file.open("rb") as stream,
                    connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy,
                ):
                    while block := stream.read(1 << 18):
                        copy.write(block)
            connection.commit()


def main() -> None:
    """Copy all parts at once."""
    url, parts = sys.argv[1], sorted(Path(sys.argv[2]).iterdir())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: load(url, part), parts))


if __name__ == "__main__":
    main()
