"""
Start one program and print what it cost: `python -I -S launch.py LOG PROGRAM ARGUMENT...`.

It is a process of its own because Linux counts the memory of whoever starts a program towards that program's peak;
this one is smaller than anything it measures.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run it with its output going to LOG, and print one JSON line."""
    log, *command = sys.argv[1:]
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    redirected = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    started = time.monotonic()
    pid = os.posix_spawn(command[0], command, dict(os.environ), file_actions=redirected)
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.monotonic() - started
    print(
        json.dumps(
            {
                "code": os.waitstatus_to_exitcode(status),
                "started": started,
                "wall_s": wall_s,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "rss_mb": usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024),
            }
        )
    )


main()
