"""Only fetch the bodies, with jobsync's HTTP client: `fetch_only.py URL DEALERSHIPS WORKERS`."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from jobsync.http import HttpClient


def main() -> None:
    """Fetch a token, then every body, and drop them."""
    url, dealerships, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    http = HttpClient(connections=workers)
    http.post(f"{url}/RequestToken", deadline_s=60)

    def fetch(number: int) -> int:
        content = json.dumps({"AccountNumber": f"EC{number:06}", "AccountSecret": "bench"}).encode()
        return len(http.post(f"{url}/GetAdvertisementStocks", deadline_s=60, content=content).body)

    with ThreadPoolExecutor(workers) as pool:
        print(sum(pool.map(fetch, range(1, dealerships + 1))))
    http.close()


if __name__ == "__main__":
    main()
