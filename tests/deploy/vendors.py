"""A stand-in SRI as a service of the test's machine: in process at first, then authorized."""

from __future__ import annotations

import signal
import sys
from collections import Counter

from jobsync.sandbox.serve import serve
from tests.commands.sri import Sri
from tests.sri import documents


def main() -> None:
    """Serve on the port that is the first argument, until SIGTERM."""
    asked: Counter[str] = Counter()

    def answer(key: str) -> bytes:
        asked[key] += 1
        return documents.in_process(key) if asked[key] < 2 else documents.authorized(key)

    sri = Sri()
    sri.default = answer
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with serve(sri, port=int(sys.argv[1]), path=""):
        signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    main()
