"""Commands forked from a process that has imported them: `python forks.py` reads a JSON object a line, says a code."""

from __future__ import annotations

import json
import os
import pkgutil
import sys
from importlib import import_module

import jobsync.cli
import jobsync.easycars
from jobsync.__main__ import main


def _become(asked: dict[str, object]) -> None:
    """Take streams, environment and arguments as if just started."""
    for number, (stream, mode) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
        file = os.open(str(asked[stream]), mode | (os.O_CREAT | os.O_TRUNC if number else 0), 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the process's
    os.environ.clear()
    os.environ.update(asked["env"])  # type: ignore[call-overload]
    sys.argv = ["jobsync", *asked["args"]]  # type: ignore[misc]


if __name__ == "__main__":
    for package in (jobsync.cli, jobsync.easycars):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
            main()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - the answer
