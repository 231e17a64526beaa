"""
The same feeds through dlt: `dlt_merge.py URL DEALERSHIPS WORKERS DATABASE HOST FOLDER STRATEGY FILE_FORMAT`.

One resource lists the dealerships, a parallel transformer fetches each one's page, and dlt merges on dealership and
stock number. Child tables are off (features and images stay in one column, as ours do).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

url, dealerships, workers, database, host, folder, strategy, file_format = sys.argv[1:]
os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "EXTRACT__WORKERS": workers,
    "DLT_PROJECT_DIR": folder,
    "DLT_DATA_DIR": folder,
}

import dlt  # type: ignore[import-not-found]  # noqa: E402
from dlt.destinations.impl.postgres.configuration import PostgresCredentials  # type: ignore[import-not-found]  # noqa: E402
from dlt.sources.helpers import requests  # type: ignore[import-not-found]  # noqa: E402

_local = threading.local()


def post(operation: str, **document: str) -> Any:
    """Send one request over the thread's own kept-alive connection."""
    if not hasattr(_local, "session"):
        _local.session = requests.Client().session
    return _local.session.post(f"{url}/{operation}", json=document).json()


def pages(token: str) -> Any:
    """Return the pipeline's source: every dealership's vehicles."""

    @dlt.resource(name="dealerships", selected=False)  # type: ignore[untyped-decorator, unused-ignore]
    def dealership_numbers() -> Iterator[int]:
        yield from range(1, int(dealerships) + 1)

    @dlt.transformer(  # type: ignore[untyped-decorator, unused-ignore]
        data_from=dealership_numbers,
        name="stock",
        write_disposition={"disposition": "merge", "strategy": strategy},
        primary_key=("dealership_id", "StockNumber"),
        max_table_nesting=0,
        parallelized=True,
    )
    def stock(number: int) -> Iterator[list[dict[str, Any]]]:
        answer = post("GetAdvertisementStocks", AccountNumber=f"EC{number:06}", AccountSecret="bench", token=token)
        items = answer["StockList"]
        for item in items:
            item["dealership_id"] = number
        yield items

    return stock


def main() -> None:
    """Run the pipeline once."""
    credentials = PostgresCredentials()
    credentials.database, credentials.username, credentials.password = database, "jobsync", "unused"
    credentials.host = host
    credentials.resolve()
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(credentials=credentials),
        dataset_name="bench",
        progress=None,
    )
    info = pipeline.run(pages(post("RequestToken")["Token"]), loader_file_format=file_format)
    info.raise_on_failed_jobs()


main()
